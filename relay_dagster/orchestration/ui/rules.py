"""Which requests reach Dagster's pages: a pure decision on a request's head.

The pages have no login and no tokens; whoever's browser can reach them can be used against them by
any other page that it has open. What a browser says of itself (``Host``, ``Origin``,
``Sec-Fetch-Site``) a foreign page cannot change. A program that is no browser says none of it.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

from relay_core.domain.destination import is_loopback

UPGRADE = "WEBSOCKET"
"""Stands for the method of a request that opens a WebSocket."""
GRAPHQL_PATH = "/graphql"
JSON_TYPE = "application/json"

_READING = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("same-origin", "none")
_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:/?#@,]+))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")


@dataclass(frozen=True, slots=True)
class Head:
    """What is judged of a request."""

    method: str  # in capitals, or `UPGRADE`
    path: str = "/"  # without the query
    # Each one's values by its name in small letters
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    queries: Sequence[str] = ()  # the values of the parameter ``query``


class Refusal(NamedTuple):
    """The status of the answer, and its words."""

    status: int
    reason: str


class _Authority(NamedTuple):
    host: str
    port: int | None


NOT_OUR_HOST = Refusal(
    421, "relay ui does not answer to this host name; RELAY_UI_HOSTS lists those it answers to"
)
MUTATION_BY_GET = Refusal(405, "a GraphQL operation that is no query is sent with POST")
NOT_JSON = Refusal(403, f"a request that changes something has Content-Type: {JSON_TYPE}")
FOREIGN_PAGE = Refusal(403, "the request comes from a page of another origin")


def refusal(head: Head, hosts: Collection[str]) -> Refusal | None:
    """Return why a request is refused, or None; hosts, in small letters, are beside loopback's."""
    given = head.headers.get("host", ())
    host = _authority(given[0]) if len(given) == 1 else None
    if host is None or not (host.host in hosts or is_loopback(host.host)):
        return NOT_OUR_HOST
    if head.method in _READING:
        runs_more = head.path == GRAPHQL_PATH and not all(map(_only_queries, head.queries))
        return MUTATION_BY_GET if runs_more else None
    if head.method != UPGRADE and not _is_json(head.headers.get("content-type", ())):
        return NOT_JSON
    return None if _is_own_page(head.headers, host) else FOREIGN_PAGE


def _is_json(types: Sequence[str]) -> bool:
    return [each.partition(";")[0].strip().lower() for each in types] == [JSON_TYPE]


def _is_own_page(headers: Mapping[str, Sequence[str]], host: _Authority) -> bool:
    """Tell whether a request comes from one of these pages, or from no page at all."""
    origins = headers.get("origin", ())
    if origins:
        return len(origins) == 1 and _is_origin_of(origins[0], host)
    return all(site in _OWN_SITES for site in headers.get("sec-fetch-site", ()))


def _is_origin_of(origin: str, host: _Authority) -> bool:
    """Compare host and port; one that is not written is the default of the origin's scheme."""
    found = _ORIGIN.fullmatch(origin.lower())
    other = _authority(found[2]) if found else None
    if found is None or other is None:
        return False
    default = _PORTS[found[1]]
    return (other.host, other.port or default) == (host.host, host.port or default)


def _authority(text: str) -> _Authority | None:
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    return _Authority(found[1] or found[2], int(found[3]) if found[3] else None)


def _only_queries(text: str) -> bool:
    """Tell whether no operation in a document is a mutation or a subscription."""
    try:
        document = parse(text)
    except GraphQLError:
        return True  # Dagster parses it in the same way, and says what is wrong.
    operations = (n for n in document.definitions if isinstance(n, OperationDefinitionNode))
    return all(each.operation is OperationType.QUERY for each in operations)
