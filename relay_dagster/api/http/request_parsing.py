"""Bodies, ids and headers of requests, read strictly; all faults of one at once.

A value's meaning is the routes' business; here is only whether it is one, and where it is not.
FastAPI reads the annotations here at run time.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Body, Depends, Path, Query, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http import error_codes
from relay_dagster.api.http.problems import ProblemError, faults_of, invalid_request
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.wire.base import RequestBody

# Printable ASCII with no space at its ends.
IDEMPOTENCY_KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
# Probes of balancers add what they like.
_ANY_QUERY = ("/v1/health", "/v1/ready")
_ENTITY_TAG = re.compile(r'"?([1-9][0-9]{0,14})"?')
_Body = TypeVar("_Body", bound=RequestBody)
ADMIN = "admin"
"""The requirement of a call for admins alone; those of others are scopes of tenants' keys."""

TenantId = Annotated[
    str,
    Path(
        description="A tenant's id.",
        examples=["acme_parts"],
        json_schema_extra={"pattern": ID_PATTERN},
    ),
]
OneTenant = Annotated[
    str | None, Query(pattern=ID_PATTERN, description="None is every one you reach.")
]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at the most.")]
WebhookId = Annotated[str, Path(description="What `POST` named it.")]
RunId = Annotated[
    str, Path(description="A run's id.", json_schema_extra={"format": "uuid"})
]


def cursor_of(**rule: Any) -> Any:
    """Return the query parameter of a list's next page, which keeps a rule."""
    return Query(**rule, description="`next_cursor` of the page before.")


def _query_names(dependant: Dependant) -> Iterator[str]:
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from _query_names(each)


def _check_of(known: frozenset[str]) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Return a dependency that refuses other query parameters with 422, naming each."""
    taken = ", ".join(sorted(known)) or "none"

    async def refuse_unknown(request: Request) -> None:
        if unknown := sorted(request.query_params.keys() - known):
            message = f"is no query parameter of this call, which takes: {taken}"
            raise invalid_request(ConfigFault(name, message) for name in unknown)

    return refuse_unknown


class StrictRoute(APIRoute):
    """A route that takes no query parameter but its own, and whose body FastAPI only describes.

    FastAPI would read a body before it is known who calls, and take a key that stands twice; bodies
    are left to `json_body` and `request_body`.
    """

    def __init__(
        self, path: str, endpoint: Callable[..., Any], **described: Any
    ) -> None:
        super().__init__(path, endpoint, **described)
        if path not in _ANY_QUERY:
            # The last, so that it is known who calls.
            check = _check_of(frozenset(_query_names(self.dependant)))
            last = Dependant(
                call=check, path=self.path_format, request_param_name="request"
            )
            self.dependant.dependencies.append(last)

    def describe(self) -> None:
        """Note the errors and headers of the answers for the OpenAPI document."""
        own, headers = error_codes.NOTED.get(self.endpoint, ((), ()))
        has_query = any(_query_names(self.dependant))
        self.responses = {
            **(
                error_codes.carrying(self.status_code or 200, *headers)
                if headers
                else {}
            ),
            **self.responses,
            **error_codes.documented(
                *own, *self._usual_errors(own, has_query=has_query)
            ),
        }

    def _usual_errors(self, own: Sequence[str], *, has_query: bool) -> Iterator[str]:
        """Yield the errors that follow from the key, the path, the query and an order."""
        scopes = {
            one
            for each in self.dependant.dependencies
            for one in each.own_oauth_scopes or ()
        }
        if not scopes:
            return
        yield from error_codes.OF_ALL_WITH_KEYS
        yield "FORBIDDEN" if ADMIN in scopes else "SCOPE_MISSING"
        if "DELETION_NOT_FOUND" not in own:  # of a tenant that may be gone
            yield from (
                code for name, code in error_codes.OF_PATHS.items() if name in self.path
            )
        if has_query:
            yield error_codes.INVALID_REQUEST
        if (kind := self._body_model) is not None and issubclass(kind, RequestBody):
            yield from error_codes.OF_BODIES

    @property
    def _body_model(self) -> type[BaseModel] | None:
        kind: Any = self.body_field and self.body_field.field_info.annotation
        return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, which is shown a body that fits whatever was sent."""
        handle, kind = super().get_route_handler(), self._body_model
        fitting: Any = {"unread": None} if kind is None else kind.model_construct()

        async def handle_unread(request: Request) -> Response:
            return await handle(_UnreadRequest(request, fitting))

        return handle_unread


def router(tag: str) -> APIRouter:
    """Return a router of strict routes, which an app takes over as they are.

    FastAPI would build those of an included router once more at the first requests.
    """
    return APIRouter(
        tags=[tag],
        route_class=StrictRoute,
        generate_unique_id_function=lambda route: route.name,
    )


class _UnreadRequest(Request):
    """A request whose body is read by `sent` alone."""

    def __init__(self, request: Request, fitting: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._fitting = fitting

    async def body(self) -> Any:
        return self._fitting

    async def json(self) -> Any:
        return self._fitting

    async def sent(self) -> bytes:
        return await super().body()


async def _sent(request: Request) -> bytes:
    """Return the bytes of a JSON body; 415: another content type; `BodyRefusedError`: too long."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json" and not re.fullmatch(
        r"application/[\w.-]+\+json", given
    ):
        message = "the body must be JSON, sent with Content-Type: application/json"
        headers = {"Accept": "application/json"}
        raise ProblemError("UNSUPPORTED_MEDIA_TYPE", message, headers=headers)
    return await _raw(request)


async def _sent_or_empty(request: Request) -> bytes:
    """Return the bytes of a JSON body, empty where none was sent."""
    return await _sent(request) if await _raw(request) else b""


async def _raw(request: Request) -> bytes:
    assert isinstance(request, _UnreadRequest)  # noqa: S101 - a body stands in a `StrictRoute`
    return await request.sent()


def json_body(schema: Any, **described: Any) -> Any:
    """Return the dependency of a route that reads its JSON body by itself: its bytes."""
    shown = Body(**described)

    def read(data: Annotated[bytes, Depends(_sent)], body: schema = shown) -> bytes:
        return data

    return Depends(read)


def request_body(model: type[_Body], *, optional: bool = False) -> Any:
    """Return the dependency of a route that takes an order, or none; 422 with all faults."""
    shown = Body(None if optional else ...)

    def read(
        data: Annotated[bytes, Depends(_sent_or_empty if optional else _sent)],
        body: model = shown,  # type: ignore[valid-type]
    ) -> _Body:
        return parsed_request(model, data) if data or not optional else model()

    return Depends(read)


def parsed_request(model: type[_Body], body: bytes) -> _Body:
    """Return a body as an order; `ProblemError` 422 with the faults and their paths."""
    # Each value may have a fault, and all faults are held in memory at once.
    if body.count(b",") >= DEFAULT_API_LIMITS.body_values:
        message = f"the body holds more than {DEFAULT_API_LIMITS.body_values:,} values"
        raise invalid_request([ConfigFault("", message)])
    repeated = _repeated_keys(body)
    if repeated:
        message = "stands more than once; keep one of them"
        raise invalid_request(ConfigFault(key, message) for key in repeated)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        listed = error.errors(
            include_url=False, include_context=False, include_input=False
        )
        raise invalid_request(faults_of(map(dict, listed))) from error


def _repeated_keys(body: bytes) -> list[str]:
    """Return the keys that stand twice in an object; readers differ in which of them counts."""
    repeated: list[str] = []

    def take(pairs: list[tuple[str, Any]]) -> None:
        counts = Counter(key for key, _ in pairs)
        repeated.extend(key for key, count in counts.items() if count > 1)

    try:
        json.loads(body, object_pairs_hook=take)
    except (ValueError, RecursionError):
        return []  # the model's own reader says what is wrong with it
    return repeated


def names_version(if_match: str, config_version: int) -> bool:
    """Return whether an ``If-Match`` header names a config version; a weak tag names none."""
    tags = (_ENTITY_TAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return any(tag is not None and int(tag.group(1)) == config_version for tag in tags)


def entity_tag(config_version: int) -> str:
    """Return the ``ETag`` of a config version."""
    return f'"{config_version}"'
