"""The OpenAPI document: FastAPI's, completed by errors, headers, bodies and configs.

FastAPI describes the parameters and the responses of the routes. This module adds the
schemas that it does not know: those of request bodies, of tenant configs and of problem
documents.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic.json_schema import models_json_schema

from relay_dagster.api import documented_responses
from relay_dagster.api.request_parsing import StrictRoute
from relay_dagster.http.config_schema import (
    REFERENCE,
    Schema,
    config_schemas,
)
from relay_dagster.wire.base import Problem, examples

# The schemas of FastAPI's own error responses. This API answers problem documents
# instead.
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")


class DocumentedApp(FastAPI):
    """An app whose OpenAPI document is complete."""

    def setup(self) -> None:
        """Serve the document from bytes that are made once: anyone may request it."""

        @cache
        def document_bytes() -> bytes:
            return bytes(JSONResponse(self.openapi()).body)

        def get_document(_: Request) -> Response:
            return Response(document_bytes(), media_type="application/json")

        self.add_route(
            str(self.openapi_url), get_document, include_in_schema=False
        )
        super().setup()

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document; it is made by the first call."""
        if self.openapi_schema is None:
            routes = [
                route for route in self.routes if isinstance(route, StrictRoute)
            ]
            for route in routes:
                route.add_documentation()
            document = super().openapi()
            schemas = document["components"]["schemas"]
            document["components"]["schemas"] = _all_schemas(schemas, routes)
            _complete_responses(document)
            _add_config_example(document)
        return self.openapi_schema or {}


def _all_schemas(
    schemas: dict[str, Schema], routes: Iterable[StrictRoute]
) -> dict[str, Schema]:
    """Return FastAPI's schemas with those of bodies, configs and problems, by name."""
    complete = {
        name: schema
        for name, schema in schemas.items()
        if name not in _UNUSED_SCHEMAS
    }
    complete |= _body_schemas(routes)
    for name, schema in config_schemas().items():
        complete[name] = _without_compound_defaults(schema)
    problem = Problem.model_json_schema(
        ref_template=REFERENCE, mode="serialization"
    )
    problem.pop("$defs")  # they are among FastAPI's
    complete["Problem"] = problem
    # The examples here are complete: FastAPI drops the nulls of an example.
    for name in complete.keys() & examples().keys():
        complete[name]["examples"] = [examples()[name]]
    return dict(sorted(complete.items()))


def _body_schemas(routes: Iterable[StrictRoute]) -> dict[str, Schema]:
    """Return the schemas of request bodies, and of all models that they refer to."""
    models = {
        route.body_schema.model
        for route in routes
        if route.body_schema is not None and route.body_schema.model is not None
    }
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template=REFERENCE
    )
    schemas: dict[str, Schema] = definitions["$defs"]
    for schema in schemas.values():
        for property_schema in schema.get("properties", {}).values():
            # FastAPI's schemas do not have it either: null says that there is no
            # default.
            if property_schema.get("default", ...) is None:
                del property_schema["default"]
    return schemas


def _without_compound_defaults(schema: Schema) -> Schema:
    """Return the schema of a config section without lists or mappings as defaults.

    Client generators drop a property that may be null and has this default, and every
    schema that refers to it. The document at ``/v1/config.schema.json`` has all
    defaults.
    """
    if "properties" not in schema:
        return schema
    properties = {}
    for name, property_schema in schema["properties"].items():
        properties[name] = dict(property_schema)
        if isinstance(property_schema.get("default"), list | dict):
            del properties[name]["default"]
    return {**schema, "properties": properties}


def _complete_responses(document: dict[str, Any]) -> None:
    """Remove FastAPI's 422; add `INTERNAL_ERROR` and the headers of every response."""
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
            internal_error = documented_responses.problem_responses(
                "INTERNAL_ERROR"
            )
            for status, response in internal_error.items():
                responses[str(status)] = response
            for response in responses.values():
                headers = response.get("headers", {})
                response["headers"] = (
                    headers
                    | documented_responses.header_objects("X-Request-Id")
                )


def _add_config_example(document: dict[str, Any]) -> None:
    """Add an example to the body of ``config:check``, which has no model."""
    path = document["paths"]["/v1/tenants/{tenant_id}/config:check"]
    body = path["post"]["requestBody"]["content"]["application/json"]
    body["examples"] = {"config": {"value": examples()["TenantConfig"]}}
