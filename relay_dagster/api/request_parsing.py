"""Strict parsing of requests: bodies, path parameters, query parameters and headers.

This module decides whether a value is well-formed, and reports all errors of a body at
once. The routes decide what a value means. FastAPI reads the annotations here at run
time.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import ValidationError

from relay_core.domain.errors import ConfigFault
from relay_dagster.api import documented_responses
from relay_dagster.http.config_schema import REFERENCE
from relay_dagster.http.error_codes import INVALID_REQUEST
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.problems import (
    ProblemError,
    invalid_request,
)
from relay_dagster.http.request_bodies import invalid_body
from relay_dagster.http.security.auth import ADMIN
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.wire.base import RequestBody

# Printable ASCII, without a space at either end.
IDEMPOTENCY_KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
# Load balancers add query parameters of their own to their probes.
_PATHS_WITH_ANY_QUERY = ("/v1/health", "/v1/ready")
_JSON_MEDIA_TYPE = re.compile(r"application/(json|[\w.-]+\+json)")
_Body = TypeVar("_Body", bound=RequestBody)

TenantId = Annotated[
    str,
    Path(
        description="The tenant's ID.",
        examples=["acme_parts"],
        json_schema_extra={"pattern": ID_PATTERN},
    ),
]
TenantFilter = Annotated[
    str | None,
    Query(
        pattern=ID_PATTERN,
        description="Filter by tenant. The default is every tenant that the key can "
        "access.",
    ),
]
Limit = Annotated[
    int, Query(ge=1, le=100, description="Maximum number of results.")
]
WebhookId = Annotated[str, Path(description="The webhook's ID.")]
RunId = Annotated[
    str, Path(description="The run's ID.", json_schema_extra={"format": "uuid"})
]


def cursor_query(**constraints: Any) -> Any:
    """Return the `cursor` query parameter of a list, with Pydantic constraints."""
    return Query(
        **constraints,
        description="The `next_cursor` of the previous page. Omit it for the first "
        "page.",
    )


# --- routes -------------------------------------------------------------------------


class StrictRoute(APIRoute):
    """A route that rejects unknown query parameters and reads its body by itself.

    FastAPI would read a body before the caller is authenticated, and would accept a
    JSON object that has a key twice. Here `json_body` and `request_body` read it. They
    are plain dependencies, so they run after authentication, and the OpenAPI document
    gets their schema from `BodySchema`.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], **options: Any
    ) -> None:
        super().__init__(path, endpoint, **options)
        self.body_schema = _body_schema_of(self.dependant)
        if self.body_schema is not None:
            self.openapi_extra = {"requestBody": self.body_schema.to_openapi()}
        if path not in _PATHS_WITH_ANY_QUERY:
            check = _query_check(frozenset(_query_names(self.dependant)))
            dependency = Dependant(
                call=check, path=self.path_format, request_param_name="request"
            )
            # It is the last dependency, so it runs once the caller is authenticated.
            self.dependant.dependencies.append(dependency)

    def add_documentation(self) -> None:
        """Add the error responses and the response headers to the OpenAPI document."""
        declared = documented_responses.DECLARATIONS.get(
            self.endpoint, documented_responses.Declaration()
        )
        responses: dict[int | str, dict[str, Any]] = {}
        if declared.headers:
            status = self.status_code or 200
            responses |= documented_responses.response_with_headers(
                status, *declared.headers
            )
        responses |= self.responses
        codes = [*declared.codes, *self._common_errors(declared.codes)]
        responses |= documented_responses.problem_responses(*codes)
        self.responses = responses

    def _common_errors(self, declared_codes: Sequence[str]) -> Iterator[str]:
        """Yield the codes that follow from the route's scopes, path, query and body."""
        scopes = {
            scope
            for dependency in self.dependant.dependencies
            for scope in dependency.own_oauth_scopes or ()
        }
        if not scopes:
            return
        yield from documented_responses.OF_ALL_WITH_KEYS
        yield "FORBIDDEN" if ADMIN in scopes else "SCOPE_MISSING"
        # A deletion can be read when its tenant no longer exists.
        if "DELETION_NOT_FOUND" not in declared_codes:
            for parameter, code in documented_responses.OF_PATHS.items():
                if parameter in self.path:
                    yield code
        if any(_query_names(self.dependant)):
            yield INVALID_REQUEST
        if self.body_schema is not None and self.body_schema.model is not None:
            yield from documented_responses.OF_BODIES


def router(tag: str) -> APIRouter:
    """Return a router of strict routes for an app to add to its own list of routes.

    The app does not use `include_router`: it would build each route a second time.
    """
    return APIRouter(
        tags=[tag],
        route_class=StrictRoute,
        generate_unique_id_function=lambda route: route.name,
    )


def _query_names(dependant: Dependant) -> Iterator[str]:
    """Yield the query parameters of a route and of its dependencies."""
    for parameter in dependant.query_params:
        yield parameter.alias
    for dependency in dependant.dependencies:
        yield from _query_names(dependency)


def _query_check(
    allowed: frozenset[str],
) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Return a dependency that rejects all query parameters but the allowed ones."""
    allowed_names = ", ".join(sorted(allowed)) or "none"
    message = f"is not a query parameter of this call; the parameters are: {allowed_names}"

    async def reject_unknown_parameters(request: Request) -> None:
        unknown_names = sorted(request.query_params.keys() - allowed)
        if unknown_names:
            raise invalid_request(
                ConfigFault(name, message) for name in unknown_names
            )

    return reject_unknown_parameters


# --- bodies -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BodySchema:
    """The JSON body of a route, as the OpenAPI document describes it."""

    # The JSON Schema of the body, or a reference to it.
    schema: Mapping[str, Any]
    is_required: bool = True
    # The model that the schema refers to.
    model: type[RequestBody] | None = None

    def to_openapi(self) -> dict[str, Any]:
        """Return the ``requestBody`` of the route's operation."""
        body: dict[str, Any] = {"required": True} if self.is_required else {}
        body["content"] = {"application/json": {"schema": dict(self.schema)}}
        return body


_BODY_SCHEMAS: dict[Callable[..., Any], BodySchema] = {}
"""The body that each dependency of `json_body` and `request_body` reads."""


def _body_schema_of(dependant: Dependant) -> BodySchema | None:
    """Return the schema of the body that a route's dependencies read, or None."""
    for dependency in dependant.dependencies:
        if dependency.call in _BODY_SCHEMAS:
            return _BODY_SCHEMAS[dependency.call]
    return None


def json_body(schema: Mapping[str, Any]) -> Any:
    """Return the dependency of a route that parses its JSON body from its bytes."""

    def read_json(body: Annotated[bytes, Depends(_json_bytes)]) -> bytes:
        return body

    _BODY_SCHEMAS[read_json] = BodySchema(schema)
    return Depends(read_json)


def request_body(model: type[_Body], *, optional: bool = False) -> Any:
    """Return the dependency of a route that takes a JSON body: the body as its model.

    An optional body that is absent is the model with its defaults. A body that is not
    valid is answered with 422 and all of its errors.
    """
    read_bytes = _optional_json_bytes if optional else _json_bytes

    def read_model(body: Annotated[bytes, Depends(read_bytes)]) -> _Body:
        if optional and not body:
            return model()
        # Each value may have an error, and all errors are in memory at the same time.
        limit = DEFAULT_API_LIMITS.body_values
        if body.count(b",") >= limit:
            message = (
                f"the body has more than {limit:,} values; send fewer values"
            )
            raise invalid_request([ConfigFault("", message)])
        repeated_keys = _repeated_keys(body)
        if repeated_keys:
            message = "appears more than once; keep only one"
            raise invalid_request(
                ConfigFault(key, message) for key in repeated_keys
            )
        try:
            return model.model_validate_json(body)
        except ValidationError as error:
            raise invalid_body(error) from error

    reference = {"$ref": REFERENCE.format(model=model.__name__)}
    _BODY_SCHEMAS[read_model] = BodySchema(reference, not optional, model)
    return Depends(read_model)


async def _json_bytes(request: Request) -> bytes:
    """Return the bytes of a JSON body.

    Raises:
        ProblemError: The content type is not JSON (415).
        BodyRefusedError: The body is too large, or did not arrive in time.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if not _JSON_MEDIA_TYPE.fullmatch(media_type):
        message = (
            "the body must be JSON; send it with Content-Type: application/json"
        )
        headers = {"Accept": "application/json"}
        raise ProblemError("UNSUPPORTED_MEDIA_TYPE", message, headers=headers)
    return await request.body()


async def _optional_json_bytes(request: Request) -> bytes:
    """Return the bytes of a JSON body, or no bytes if the request has no body."""
    if await request.body():
        return await _json_bytes(request)
    return b""


def _repeated_keys(body: bytes) -> list[str]:
    """Return the keys that an object repeats; JSON readers differ in which they use."""
    repeated: list[str] = []

    def note_repeated_keys(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)

    try:
        json.loads(body, object_pairs_hook=note_repeated_keys)
    except (ValueError, RecursionError):
        # The model reports why the body is not JSON.
        return []
    return repeated


# --- entity tags --------------------------------------------------------------------
