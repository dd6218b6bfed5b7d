"""The app's own OpenAPI document, made when it is first asked for.

Routes say what they read and answer; here that becomes one document with its schemas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, FastAPI

from relay_dagster.api.http.error_codes import documented
from relay_dagster.api.openapi.config_schema import REFERENCE, config_schemas
from relay_dagster.api.openapi.headers import described
from relay_dagster.wire.access import KeyOrder
from relay_dagster.wire.problems import Problem
from relay_dagster.wire.runs import ReleaseOrder, RollbackOrder, RunOrder
from relay_dagster.wire.tenants import PauseOrder, ResumeOrder, UploadOrder
from relay_dagster.wire.webhooks import WebhookOrder, WebhookPatch

_BODIES = (
    *(Problem, RunOrder, PauseOrder, ResumeOrder),
    *(ReleaseOrder, RollbackOrder, UploadOrder, KeyOrder),
    *(WebhookOrder, WebhookPatch),
)
# FastAPI's own error bodies, which this API does not answer with.
_FOREIGN = ("HTTPValidationError", "ValidationError")


class DescribedApp(FastAPI):
    """An app whose document also tells what its routes read and answer by themselves."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._included: list[Any] = []

    def include_router(self, router: APIRouter, **settings: Any) -> None:
        """Serve a router's routes, and show the examples of what they answer."""
        self._included += router.routes
        super().include_router(router, **settings)

    def openapi(self) -> dict[str, Any]:
        """Return the document."""
        if self.openapi_schema is None:
            document = super().openapi()
            _describe_models(document)
            self._show_examples(document)
            for operation in _operations(document):
                _describe_answers(operation)
        return self.openapi_schema or {}

    def _show_examples(self, document: dict[str, Any]) -> None:
        """Put the models' examples back whole; FastAPI has left out what is null in them."""
        schemas = document["components"]["schemas"]
        for model in (getattr(route, "response_model", None) for route in self._included):
            name = getattr(model, "__name__", None)
            if name in schemas:
                schemas[name] |= getattr(model, "model_config", {}).get("json_schema_extra", {})


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _describe_models(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in _BODIES:
        schema = model.model_json_schema(ref_template=REFERENCE)
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    schemas |= config_schemas()
    for name in _FOREIGN:
        schemas.pop(name, None)


def _describe_answers(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]
    answers |= {str(status): each for status, each in documented("INTERNAL_ERROR").items()}
    for each in answers.values():
        each["headers"] = {**each.get("headers", {}), **described("X-Request-Id")}
