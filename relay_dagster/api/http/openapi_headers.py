"""The headers that answers carry, as the OpenAPI document names them.

A route names the headers of its answers; what each means stands once, in this table.
"""

from collections.abc import Mapping
from typing import Any

_WHOLE = {"type": "integer", "minimum": 0}
_TEXT = {"type": "string"}
HEADERS: Mapping[str, dict[str, Any]] = {
    "Cache-Control": {"description": "Whether the answer may be kept.", "schema": _TEXT},
    "ETag": {"description": "What `If-Match` or `If-None-Match` is to name.", "schema": _TEXT},
    "Link": {"description": 'The next page, `rel="next"`.', "schema": _TEXT},
    "Location": {"description": "Where to go on.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait before asking again.", "schema": _WHOLE},
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
