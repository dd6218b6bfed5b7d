"""Rules of the guard before Dagster's pages: which requests are refused, and why.

The pages have no login and no tokens. Any other page that is open in a browser could use that
browser against them. A foreign page cannot change what the browser says of itself (``Host``,
``Origin``, ``Sec-Fetch-Site``), and a program that is no browser sends none of these headers.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from relay_core.domain.destination import is_loopback

UPGRADE = "WEBSOCKET"
"""The method of a request that opens a WebSocket."""
GRAPHQL_PATH = "/graphql"
JSON_TYPE = "application/json"

_READING_METHODS = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("same-origin", "none")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(
    r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:/?#@,]+))(?::([0-9]{1,5}))?",
)
_ORIGIN = re.compile(r"(https?)://(.+)")


@dataclass(frozen=True, slots=True)
class Head:
    """The parts of a request that the rules judge."""

    method: str  # in capitals, or `UPGRADE`
    path: str = "/"  # without the query
    # The values of each header, by its name in lower case
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queries: Sequence[str] = ()  # the values of the parameter ``query``


class Refusal(NamedTuple):
    """The status and the text of the response to a refused request."""

    status: int
    reason: str


class _Authority(NamedTuple):
    host: str
    port: int | None


NOT_OUR_HOST = Refusal(
    421,
    "relay server ui does not answer to this host name; "
    "RELAY_UI_HOSTS lists those it answers to",
)
MUTATION_BY_GET = Refusal(
    405,
    "a GraphQL operation that is no query is sent with POST",
)
NOT_JSON = Refusal(
    403,
    f"a request that changes something has Content-Type: {JSON_TYPE}",
)
FOREIGN_PAGE = Refusal(403, "the request comes from a page of another origin")


def refusal(head: Head, hosts: Collection[str]) -> Refusal | None:
    """Return why a request is refused, or None if it may pass.

    Args:
        head: The request.
        hosts: The host names to answer to besides loopback's, in lower case.
    """
    host_values = head.headers.get("host", ())
    host = _authority(host_values[0]) if len(host_values) == 1 else None
    if host is None or not (host.host in hosts or is_loopback(host.host)):
        return NOT_OUR_HOST
    if head.method in _READING_METHODS:
        return _refusal_of_reading(head)
    if head.method != UPGRADE and _media_types(head) != [JSON_TYPE]:
        return NOT_JSON
    return None if _is_own_page(head.headers, host) else FOREIGN_PAGE


def _refusal_of_reading(head: Head) -> Refusal | None:
    if head.path != GRAPHQL_PATH or all(map(_has_only_queries, head.queries)):
        return None
    return MUTATION_BY_GET


def _media_types(head: Head) -> list[str]:
    content_types = head.headers.get("content-type", ())
    return [value.partition(";")[0].strip().lower() for value in content_types]


def _is_own_page(
    headers: Mapping[str, Sequence[str]],
    host: _Authority,
) -> bool:
    """Return True if a request comes from one of these pages, or from no page at all.

    Host and port are compared. A port that is not written is the default of the scheme.
    """
    origins = headers.get("origin", ())
    if not origins:
        return all(
            site in _OWN_SITES for site in headers.get("sec-fetch-site", ())
        )
    match = _ORIGIN.fullmatch(origins[0].lower()) if len(origins) == 1 else None
    if match is None:
        return False
    origin = _authority(match[2])
    if origin is None:
        return False
    default_port = _DEFAULT_PORTS[match[1]]
    origin_port = origin.port or default_port
    host_port = host.port or default_port
    return (origin.host, origin_port) == (host.host, host_port)


def _authority(text: str) -> _Authority | None:
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        return None
    port = int(match[3]) if match[3] else None
    return _Authority(match[1] or match[2], port)


def _has_only_queries(text: str) -> bool:
    """Return True if a GraphQL document has no mutation and no subscription."""
    try:
        document = parse(text)
    except GraphQLError:
        return True  # Dagster parses the document the same way and reports the error.
    return all(
        definition.operation is OperationType.QUERY
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    )
