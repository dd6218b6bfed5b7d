"""Every ``error_code`` that the API answers with: status, meaning, and when to ask again.

The answers themselves, the OpenAPI document and docs/API.md come from this table; a route names the
codes that it alone may answer, and the headers of its answers. What each header means stands once.
"""

import http
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

PROBLEM_TYPE = "application/problem+json"
INVALID_REQUEST = "INVALID_REQUEST"
INTERNAL_ERROR = "INTERNAL_ERROR"
DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
_EXAMPLE_REQUEST = "0f8f7d0e-58a1-4a8e-8f5b-3f1c2f1f7c55"
_EXAMPLE_FAULT = {
    "path": "vendors.0.parser.delimiter",
    "message": "must be one character",
}


@dataclass(frozen=True, slots=True)
class Code:
    """One error."""

    status: int  # of the answer
    meaning: str  # for people
    # Seconds until the same request may succeed; None where it will not, and where the answer alone
    # knows, as of a quota
    retry_after: int | None = None


CODES: Mapping[str, Code] = {
    "UNAUTHENTICATED": Code(
        401,
        "the key in X-API-Key is missing, nobody's, has expired, or its tenant is being deleted",
    ),
    "FORBIDDEN": Code(403, "the call needs an admin key"),
    "SCOPE_MISSING": Code(
        403, "the key lacks a scope that the call needs; detail names it"
    ),
    "NOT_FOUND": Code(404, "there is nothing at this path"),
    "TENANT_NOT_FOUND": Code(
        404, "the tenant has no config, or the key does not reach it"
    ),
    "CONFIG_VERSION_NOT_FOUND": Code(404, "the tenant has no such config version"),
    "RUN_NOT_FOUND": Code(404, "there is no such run, or the key does not reach it"),
    "SKU_NOT_FOUND": Code(404, "no row of the run has the SKU"),
    "SKU_NOT_QUARANTINED": Code(
        404, "the run has not kept the published price of such a SKU"
    ),
    "DELETION_NOT_FOUND": Code(404, "nobody deletes the tenant, or has deleted it"),
    "FEED_NOT_FOUND": Code(404, "no run of all vendors has succeeded yet"),
    "API_KEY_NOT_FOUND": Code(404, "the tenant has no such key"),
    "SECRET_NOT_FOUND": Code(404, "the tenant has no such secret"),
    "LINK_NOT_FOUND": Code(404, "the tenant has no such link"),
    "WEBHOOK_NOT_FOUND": Code(404, "the tenant has no such webhook"),
    "METHOD_NOT_ALLOWED": Code(405, "the path takes other methods; Allow names them"),
    "REQUEST_TIMEOUT": Code(
        408, "the request did not come in time; the connection is closed"
    ),
    "TENANT_EXISTS": Code(
        409,
        "the tenant, or one whose id differs in case alone, has a config; put the next version",
    ),
    "TENANT_ALREADY_RUNNING": Code(
        409, "the tenant has an unfinished run, active_run_id"
    ),
    "TENANT_CLOSING": Code(
        409, "the tenant is being deleted; restore it, or wait until it is gone"
    ),
    "RESTORE_TOO_LATE": Code(409, "the time to restore the tenant is over"),
    "RUN_ALREADY_FINISHED": Code(409, "the run is final"),
    "RUN_NOT_HELD": Code(409, "nothing of the run is held back"),
    "FEED_NOT_KEPT": Code(
        409, "the feed is none of the tenant's last publications, or is gone"
    ),
    "RUN_NOT_MERGED": Code(
        409, "the run has neither published its feed nor held it back"
    ),
    "NO_PULL": Code(
        409, "the config has no such vendor, or its file is pulled from nowhere"
    ),
    "SECRET_QUOTA_EXCEEDED": Code(
        409, "the tenant has 50 secrets, the most it may have"
    ),
    "LINK_QUOTA_EXCEEDED": Code(
        409, "20 links to the feed, or for a vendor, are the most"
    ),
    "OVERRIDE_QUOTA_EXCEEDED": Code(
        409, "the tenant would have more than 10,000 overrides, the most it may have"
    ),
    "PUBLIC_URL_MISSING": Code(
        409, "links need RELAY_PUBLIC_URL in the API's environment"
    ),
    "WEBHOOK_QUOTA_EXCEEDED": Code(
        409, "the tenant has 10 webhooks, the most it may have"
    ),
    "KEY_QUOTA_EXCEEDED": Code(409, "the tenant has 50 keys, the most it may have"),
    "WEBHOOK_DISABLED": Code(409, "the webhook is disabled; enable it first"),
    "ARTIFACTS_EXPIRED": Code(
        410, "files of the run are gone, and what they tell with them"
    ),
    "HOLD_MISMATCH": Code(
        412, "hash or guards are not those of the hold; read the run again"
    ),
    "CONFIG_VERSION_MISMATCH": Code(
        412, "If-Match does not name the latest version; read again"
    ),
    "PAYLOAD_TOO_LARGE": Code(413, "the body is over RELAY_MAX_BODY_BYTES"),
    "CONFIG_TOO_LARGE": Code(413, "the config is too long to be stored"),
    "UNSUPPORTED_MEDIA_TYPE": Code(
        415, "the body must be JSON, and its Content-Type say so"
    ),
    INVALID_REQUEST: Code(
        422, "errors lists every fault of what was sent, with its path"
    ),
    "invalid_config": Code(
        422, "errors lists every fault of the config, with its path"
    ),
    "unsupported_schema_version": Code(422, "schema_version must be 1"),
    "UNKNOWN_VENDOR": Code(422, "the config lacks a vendor that is named"),
    "CHECK_TOO_SLOW": Code(
        422, "the uploads take too long or too much memory; check fewer vendors at once"
    ),
    "EXPLAIN_TOO_SLOW": Code(422, "the SKU has too many rows to be explained"),
    "IDEMPOTENCY_KEY_REUSED": Code(
        422, "the Idempotency-Key came with another body before"
    ),
    "RUN_QUOTA_EXCEEDED": Code(429, "the tenant has had its runs of this hour (UTC)"),
    "UPLOAD_QUOTA_EXCEEDED": Code(
        429, "the tenant has had its upload links of today (UTC)"
    ),
    "CONFIG_QUOTA_EXCEEDED": Code(
        429, "the tenant has had its config versions of today (UTC)"
    ),
    "RATE_LIMITED": Code(
        429, "too many requests, or wrong keys; Retry-After says when to go on"
    ),
    "HEAD_TOO_LARGE": Code(
        431, "path and headers are over 64 KiB; the connection is closed"
    ),
    INTERNAL_ERROR: Code(500, "an unexpected error; it is in the log under request_id"),
    DEPENDENCY_UNAVAILABLE: Code(
        503, "a service that this one needs does not answer", 5
    ),
    "QUEUE_UNAVAILABLE": Code(503, "the queue does not answer; no run was started", 5),
    "RUN_CREATION_PAUSED": Code(
        503, "run creation is paused; Retry-After says when to ask again", 60
    ),
    "CHECKS_BUSY": Code(
        503, "other configs are being checked; Retry-After says when to go on", 5
    ),
    "EXPLANATIONS_BUSY": Code(
        503, "others are being explained; Retry-After says when to go on", 5
    ),
    "SECRETS_UNAVAILABLE": Code(503, "Secrets Manager does not answer, or refuses", 5),
    "FEED_LINKS_BUSY": Code(
        503, "too many readers at once; Retry-After says when to go on", 5
    ),
    "TOO_MANY_CONNECTIONS": Code(
        503, "too many connections are open; this one is closed", 5
    ),
    "NOT_READY": Code(503, "dependencies says which of them is not as it must be", 5),
}

OF_ALL_WITH_KEYS = ("UNAUTHENTICATED", "RATE_LIMITED", DEPENDENCY_UNAVAILABLE)
OF_BODIES = (
    "REQUEST_TIMEOUT",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    INVALID_REQUEST,
)
OF_PATHS = {
    "{tenant_id}": "TENANT_NOT_FOUND",
    "{run_id}": "RUN_NOT_FOUND",
    "{webhook_id}": "WEBHOOK_NOT_FOUND",
}
STORED_CONFIG = ("invalid_config", "unsupported_schema_version")
"""Of calls that read a tenant's latest config."""
CONFIG_BODY = (*OF_BODIES, "CONFIG_TOO_LARGE", *STORED_CONFIG)
_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def problem_body(
    error_code: str,
    detail: str,
    *,
    request_id: str,
    status: int | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    members: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a problem document (RFC 9457); without faults of the input it has no ``errors``."""
    status = status or CODES[error_code].status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": http.HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "error_code": error_code,
        "request_id": request_id,
        **(members or {}),
    }
    return {**body, "errors": list(errors)} if errors else body


_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])
NOTED: dict[Callable[..., Any], tuple[Sequence[str], Sequence[str]]] = {}
"""Errors and headers of `answers`, by the function of the route."""


def answers(
    *codes: str, headers: Sequence[str] = ()
) -> Callable[[_Endpoint], _Endpoint]:
    """Note the errors that a route alone may answer, and the headers that its answer carries.

    It stands below the route's own decorator; what follows from path, key and body is not named.
    """

    def noted(endpoint: _Endpoint) -> _Endpoint:
        NOTED[endpoint] = codes, headers
        return endpoint

    return noted


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of these problems, by status."""
    described_codes: dict[int | str, dict[str, Any]] = {}
    for status in sorted({CODES[code].status for code in codes}):
        own = {
            code: one
            for code, one in CODES.items()
            if code in codes and one.status == status
        }
        shown: dict[str, Any] = {"request_id": _EXAMPLE_REQUEST}
        shown["errors"] = [_EXAMPLE_FAULT] if status == 422 else []
        busy = {
            "TENANT_ALREADY_RUNNING": {
                "active_run_id": "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
            }
        }
        examples = {
            code: {
                "summary": each.meaning,
                "value": problem_body(
                    code, each.meaning, members=busy.get(code), **shown
                ),
            }
            for code, each in own.items()
        }
        schema = {"$ref": "#/components/schemas/Problem"}
        described_codes[status] = {
            "description": "; ".join(
                f"`{code}`: {each.meaning}" for code, each in own.items()
            ),
            "content": {PROBLEM_TYPE: {"schema": schema, "examples": examples}},
            "headers": described(*_HEADERS.get(status, ())),
        }
    return described_codes


_WHOLE = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
HEADERS: Mapping[str, dict[str, Any]] = {
    "Cache-Control": {
        "description": "Whether the answer may be kept.",
        "schema": _TEXT,
    },
    "ETag": {
        "description": "What `If-Match` or `If-None-Match` is to name.",
        "schema": _TEXT,
    },
    "Link": {"description": 'The next page, `rel="next"`.', "schema": _TEXT},
    "Location": {"description": "Where to go on.", "schema": _TEXT},
    "Retry-After": {
        "description": "Seconds to wait before asking again.",
        "schema": _WHOLE,
    },
    "WWW-Authenticate": {"description": "How to show who you are.", "schema": _TEXT},
    "X-Request-Id": {
        "description": "The request's id, as it came or made here; it is in every line of the log.",
        "schema": _TEXT,
    },
    "X-Run-Id": {"description": "The run that made the feed.", "schema": _TEXT},
}


def carrying(status: int, *names: str, **more: Any) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of an answer's headers, and more of the answer."""
    return {status: {"headers": described(*names), **more}}


def described(*names: str) -> dict[str, dict[str, Any]]:
    """Return the OpenAPI document's words for these headers."""
    return {name: HEADERS[name] for name in names}
