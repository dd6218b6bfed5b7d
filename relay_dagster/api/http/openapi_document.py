"""The few facts of the OpenAPI document that FastAPI does not know from the routes and models."""

from functools import cache
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from relay_dagster.api.http.config_schema import REFERENCE, config_schemas
from relay_dagster.api.http.error_codes import described, documented
from relay_dagster.wire.base import Problem, examples


class DescribedApp(FastAPI):
    """An app whose document also describes errors, the headers of all answers, and configs."""

    def setup(self) -> None:
        """Serve the document as bytes that are made once: anybody may ask for it, at any pace."""

        @cache
        def body() -> bytes:
            return bytes(JSONResponse(self.openapi()).body)

        async def document(_: Request) -> Response:
            return Response(body(), media_type="application/json")

        self.add_route(str(self.openapi_url), document, include_in_schema=False)
        super().setup()

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _describe_models(document["components"]["schemas"])
            check = document["paths"]["/v1/tenants/{tenant_id}/config:check"]["post"]
            (sent,) = check["requestBody"]["content"].values()  # any object, which has no model
            sent["examples"] = {"config": {"value": examples()["TenantConfig"]}}
            for path in document["paths"].values():
                for operation in path.values():
                    answers = operation["responses"]
                    if "HTTPValidationError" in str(answers.get("422")):
                        del answers["422"]
                    internal = documented("INTERNAL_ERROR").items()
                    answers |= {str(status): each for status, each in internal}
                    for each in answers.values():
                        each["headers"] = {**each.get("headers", {}), **described("X-Request-Id")}
        return self.openapi_schema or {}


def _describe_models(schemas: dict[str, Any]) -> None:
    # FastAPI's own error bodies, which this API does not answer with.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= {name: _without_defaults(each) for name, each in config_schemas().items()}
    schemas["Problem"] = Problem.model_json_schema(ref_template=REFERENCE, mode="serialization")
    del schemas["Problem"]["$defs"]
    for name in schemas.keys() & examples().keys():
        schemas[name]["examples"] = [examples()[name]]  # FastAPI leaves out what is null in one


def _without_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section of a config without defaults that are lists or mappings.

    Generators of clients drop what has one beside a null, and whatever refers to it; the document
    at ``/v1/config.schema.json`` has them all.
    """
    fields = {
        name: {k: v for k, v in each.items() if k != "default" or not isinstance(v, list | dict)}
        for name, each in schema.get("properties", {}).items()
    }
    return {**schema, "properties": fields} if fields else schema
