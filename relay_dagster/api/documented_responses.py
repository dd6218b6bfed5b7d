"""The responses of the API as the OpenAPI document describes them.

A route declares with `responds_with` the error codes that only it answers, and the
headers of its response. `HEADERS` describes each header once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from relay_dagster.http.error_codes import (
    CODES,
    DEPENDENCY_UNAVAILABLE,
    INVALID_REQUEST,
    PROBLEM_TYPE,
    problem_body,
)

_EXAMPLE_REQUEST_ID = "0f8f7d0e-58a1-4a8e-8f5b-3f1c2f1f7c55"
_EXAMPLE_RUN_ID = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
_EXAMPLE_FAULT = {
    "path": "vendors.0.parser.delimiter",
    "message": "must be one character",
}
OF_ALL_WITH_KEYS = ("UNAUTHENTICATED", "RATE_LIMITED", DEPENDENCY_UNAVAILABLE)
"""The codes of every call that needs a key."""
OF_BODIES = (
    "REQUEST_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    INVALID_REQUEST,
)
"""The codes of every call that has a body."""
OF_PATHS = {
    "{tenant_id}": "TENANT_NOT_FOUND",
    "{run_id}": "RUN_NOT_FOUND",
    "{webhook_id}": "WEBHOOK_NOT_FOUND",
    "{delivery_id}": "DELIVERY_NOT_FOUND",
}
"""The code of every call whose path has a parameter, keyed by the parameter."""
STORED_CONFIG = ("invalid_config", "unsupported_schema_version")
"""The codes of calls that read a tenant's latest config."""
CONFIG_BODY = (*OF_BODIES, "CONFIG_TOO_LARGE", *STORED_CONFIG)
"""The codes of calls whose body is a config."""
_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


class Declaration(NamedTuple):
    """The error codes that only one route answers, and its response headers."""

    codes: Sequence[str] = ()
    headers: Sequence[str] = ()


DECLARATIONS: dict[Callable[..., Any], Declaration] = {}
"""The declarations of `responds_with`, keyed by route function."""


def responds_with(
    *codes: str, headers: Sequence[str] = ()
) -> Callable[[_Endpoint], _Endpoint]:
    """Declare the error codes that only this route answers, and its response headers.

    It goes below the route's own decorator. The codes that follow from the path, the
    key and the body are added by `StrictRoute`.
    """

    def declare(endpoint: _Endpoint) -> _Endpoint:
        DECLARATIONS[endpoint] = Declaration(codes, headers)
        return endpoint

    return declare


def problem_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of some error codes, keyed by status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status in sorted({CODES[name].status for name in codes}):
        codes_of_status = {
            name: code
            for name, code in CODES.items()
            if name in codes and code.status == status
        }
        meanings = [
            f"`{name}`: {code.meaning}"
            for name, code in codes_of_status.items()
        ]
        examples = {
            name: {"summary": code.meaning, "value": _example_problem(name)}
            for name, code in codes_of_status.items()
        }
        schema = {"$ref": "#/components/schemas/Problem"}
        responses[status] = {
            "description": "; ".join(meanings),
            "content": {PROBLEM_TYPE: {"schema": schema, "examples": examples}},
            "headers": header_objects(*_HEADERS_OF_STATUS.get(status, ())),
        }
    return responses


def _example_problem(error_code: str) -> dict[str, Any]:
    """Return an example of the problem document of an error code."""
    code = CODES[error_code]
    members = {}
    if error_code == "TENANT_ALREADY_RUNNING":
        members["active_run_id"] = _EXAMPLE_RUN_ID
    return problem_body(
        error_code,
        code.meaning,
        request_id=_EXAMPLE_REQUEST_ID,
        errors=[_EXAMPLE_FAULT] if code.status == 422 else [],
        members=members,
    )


_HEADERS_OF_STATUS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_WHOLE_NUMBER = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
HEADERS: Mapping[str, dict[str, Any]] = {
    "Cache-Control": {
        "description": "Whether the response may be cached.",
        "schema": _TEXT,
    },
    "ETag": {
        "description": "The version to send in `If-Match` or `If-None-Match`.",
        "schema": _TEXT,
    },
    "Link": {
        "description": 'The URL of the next page, `rel="next"`.',
        "schema": _TEXT,
    },
    "Location": {
        "description": "The URL of the resource that the response refers to.",
        "schema": _TEXT,
    },
    "Retry-After": {
        "description": "Seconds to wait before the next request.",
        "schema": _WHOLE_NUMBER,
    },
    "WWW-Authenticate": {
        "description": "The authentication scheme that the call requires.",
        "schema": _TEXT,
    },
    "X-Request-Id": {
        "description": "The request's ID: the one that the client sent, or a new one. "
        "Every log line of the request includes it.",
        "schema": _TEXT,
    },
    "X-Run-Id": {"description": "The run that made the feed.", "schema": _TEXT},
}


def response_with_headers(
    status: int, *names: str, **fields: Any
) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI response of a status, with its headers and further fields."""
    return {status: {"headers": header_objects(*names), **fields}}


def header_objects(*names: str) -> dict[str, dict[str, Any]]:
    """Return the OpenAPI header objects of some headers, keyed by name."""
    return {name: HEADERS[name] for name in names}
