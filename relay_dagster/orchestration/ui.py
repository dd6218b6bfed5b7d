"""``relay ui``: Dagster's own webserver application, behind a guard.

``dagster-webserver`` has no place for middleware; what that command puts together is put together
here. The pages have no login and no tokens; whoever's browser can reach them can be used against
them by any other page that it has open. What a browser says of itself (``Host``, ``Origin``,
``Sec-Fetch-Site``) a foreign page cannot change. A program that is no browser says none of it.

Lists of runs show few of our tags. Dagster's pages keep in the browser which are not shown; where
nothing is kept yet, a line of script does so. Whoever pins a tag in *View all tags* sees it again.
"""

import json
import re
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import uvicorn
from dagster_webserver import __version__ as dagster_version
from dagster_webserver.cli import (
    WorkspaceOpts,
    WorkspaceProcessContext,
    workspace_opts_to_load_target,
)
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay_core.domain.cell_rules import cut
from relay_core.domain.destination import is_loopback
from relay_core.publish.keys import ArtifactKeys
from relay_dagster import tags
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.logs import event_log, log_libraries
from relay_dagster.orchestration.jobs import REPORT_PATH
from relay_dagster.runs.job_message import is_id, is_run_id
from relay_dagster.settings import SettingsError, UiSettings

UPGRADE = "WEBSOCKET"
"""Stands for the method of a request that opens a WebSocket."""
GRAPHQL_PATH = "/graphql"
JSON_TYPE = "application/json"

_READING = ("GET", "HEAD", "OPTIONS")
_OWN_SITES = ("same-origin", "none")
_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s\[\]:/?#@,]+))(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")
# No foreign page shows these pages in a frame of its own, or loads what they read as a script.
OWN_PAGES_ONLY = {
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_MAX_LOGGED = 200
_STARTS = ("http.response.start", "websocket.http.response.start")
OUT_OF_SIGHT = [
    tags.ATTEMPT,
    tags.CONFIG_VERSION,
    tags.REQUEST_ID,
    tags.TENANT_ID,
    tags.TRIGGER,
]
"""The partition shows the tenant; ``relay/run_id`` stays."""
_KEPT = f"'unpinned-tags', '{json.dumps(OUT_OF_SIGHT)}'"
_SCRIPT = f"'unpinned-tags' in localStorage || localStorage.setItem({_KEPT})"
# Each script of a page has the nonce that the page's policy asks for.
_FIRST = re.compile(r'<script nonce="[^"]*">')
_PATH = re.compile(rf"{REPORT_PATH}/([^/]+)/([^/]+)")
_GRACEFUL_SECONDS = 10
_log = event_log()


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
    421,
    "relay ui does not answer to this host name; RELAY_UI_HOSTS lists those it answers to",
)
MUTATION_BY_GET = Refusal(405, "a GraphQL operation that is no query is sent with POST")
NOT_JSON = Refusal(
    403, f"a request that changes something has Content-Type: {JSON_TYPE}"
)
FOREIGN_PAGE = Refusal(403, "the request comes from a page of another origin")


def refusal(head: Head, hosts: Collection[str]) -> Refusal | None:
    """Return why a request is refused, or None; hosts, in small letters, are beside loopback's."""
    given = head.headers.get("host", ())
    host = _authority(given[0]) if len(given) == 1 else None
    if host is None or not (host.host in hosts or is_loopback(host.host)):
        return NOT_OUR_HOST
    if head.method in _READING:
        runs_more = head.path == GRAPHQL_PATH and not all(
            map(_only_queries, head.queries)
        )
        return MUTATION_BY_GET if runs_more else None
    types = [
        one.partition(";")[0].strip().lower()
        for one in head.headers.get("content-type", ())
    ]
    if head.method != UPGRADE and types != [JSON_TYPE]:
        return NOT_JSON
    return None if _is_own_page(head.headers, host) else FOREIGN_PAGE


def _is_own_page(headers: Mapping[str, Sequence[str]], host: _Authority) -> bool:
    """Return whether a request comes from one of these pages, or from no page at all.

    Host and port are compared; one that is not written is the default of the origin's scheme.
    """
    origins = headers.get("origin", ())
    if not origins:
        return all(site in _OWN_SITES for site in headers.get("sec-fetch-site", ()))
    found = _ORIGIN.fullmatch(origins[0].lower()) if len(origins) == 1 else None
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
    """Return whether no operation in a document is a mutation or a subscription."""
    try:
        document = parse(text)
    except GraphQLError:
        return True  # Dagster parses it in the same way, and says what is wrong.
    operations = (
        n for n in document.definitions if isinstance(n, OperationDefinitionNode)
    )
    return all(each.operation is OperationType.QUERY for each in operations)


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets through to an application what the rules let through; hosts are beside loopback's."""

    app: ASGIApp
    hosts: Collection[str]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        head = _head(scope)
        refused = refusal(head, self.hosts)
        app = (
            self.app
            if refused is None
            else PlainTextResponse(refused.reason, refused.status)
        )
        if refused is not None:
            facts = {
                name.replace("-", "_"): cut(
                    ", ".join(head.headers.get(name, ())), _MAX_LOGGED
                )
                for name in ("host", "origin", "sec-fetch-site", "content-type")
            }
            facts |= {"method": head.method, "path": cut(head.path, _MAX_LOGGED)}
            _log.warning("ui_request_refused", **refused._asdict(), **facts)

        async def send_marked(message: Message) -> None:
            if message["type"] in _STARTS:
                MutableHeaders(scope=message).update(OWN_PAGES_ONLY)
            await send(message)

        await app(scope, receive, send_marked)


def _head(scope: Scope) -> Head:
    given = Headers(scope=scope)
    headers = {name: given.getlist(name) for name in given}
    method = UPGRADE if scope["type"] == "websocket" else scope["method"]
    queries = QueryParams(scope["query_string"]).getlist("query")
    return Head(method, scope["path"], headers, queries)


class DagsterPages(DagsterWebserver):
    """Dagster's application."""

    def index_html_endpoint(self, request: Request) -> HTMLResponse:
        """Return the page with the line of script before its own."""
        page: Any = super().index_html_endpoint(request)
        html = _FIRST.sub(
            lambda tag: f"{tag[0]}{_SCRIPT}</script>{tag[0]}", page.body.decode(), 1
        )
        headers = {
            name: text
            for name, text in page.headers.items()
            if name != "content-length"
        }
        return HTMLResponse(html, headers=headers)


@dataclass(frozen=True, slots=True)
class Reports:
    """Leads from a report's address to its file; an application has all other addresses."""

    app: ASGIApp
    sign: (
        Callable[[str], str] | None
    )  # a link to the page of a key; None: no bucket is known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        found = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        app = self.app
        if found is not None and is_id(found[1]) and is_run_id(found[2]):
            key = ArtifactKeys(found[2], found[1]).report
            unknown = PlainTextResponse("ARTIFACT_BUCKET is not set here", 503)
            to_file = {"Cache-Control": "no-store"}
            app = (
                RedirectResponse(self.sign(key), headers=to_file)
                if self.sign
                else unknown
            )
        await app(scope, receive, send)


def serve(
    host: str, port: int, workspace: Sequence[Path], *, read_only: bool = False
) -> None:
    """Serve Dagster's pages until a signal ends it; read-only ones disable every button.

    `SettingsError`: a variable is missing or bad, or does not allow to listen on that address.
    """
    settings = UiSettings.from_env()
    if not settings.dagster_home:
        raise SettingsError(
            "DAGSTER_HOME", "is not set; it is the folder with dagster.yaml"
        )
    if not (settings.ui_behind_proxy or is_loopback(host)):
        problem = f"must be true to listen on {host}, which is off loopback: relay ui asks nobody"
        why = "to log in, so a proxy that does must stand before it"
        raise SettingsError("RELAY_UI_BEHIND_PROXY", f"{problem} {why}")
    sign = None
    if settings.artifact_bucket is not None:
        clients = Clients(
            settings.region, public_s3_endpoint_url=settings.public_s3_endpoint_url
        )
        sign = partial(
            ObjectStore(clients, settings.artifact_bucket).presign, is_page=True
        )
    log_libraries()
    # Ends as Ctrl-C does: code servers of a workspace on this machine are ended, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    target = workspace_opts_to_load_target(
        WorkspaceOpts(workspace=[str(p) for p in workspace])
    )
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance, target, dagster_version, read_only
        ) as context,
    ):
        pages = Reports(DagsterPages(context).create_asgi_app(), sign)
        guarded = Guard(pages, settings.hosts_of_ui)
        event_log().info("ui_started", host=host, port=port, read_only=read_only)
        uvicorn.run(
            guarded,
            host=host,
            port=port,
            http="h11",  # httptools takes heads without an end; this one 64 KiB
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        )
