"""``relay server ui``: Dagster's own webserver application behind a guard.

``dagster-webserver`` has no place for middleware, so this module assembles the application as
that command does. ``ui_rules.py`` has the rules of the guard.

Lists of runs show few of our tags. Dagster's pages store in the browser which tags are hidden;
if nothing is stored yet, a line of script hides ours. *View all tags* pins a tag again.
"""

import json
import re
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import uvicorn
from dagster_webserver import __version__ as dagster_version
from dagster_webserver.cli import (
    WorkspaceOpts,
    WorkspaceProcessContext,
    workspace_opts_to_load_target,
)
from dagster_webserver.webserver import DagsterWebserver
from starlette import types
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
)

from relay_core.domain.cell_rules import cut
from relay_core.domain.destination import is_loopback
from relay_core.publish.keys import ArtifactKeys
from relay_dagster import tags
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.logs import event_log, log_libraries
from relay_dagster.orchestration.jobs import REPORT_PATH
from relay_dagster.orchestration.ui_rules import UPGRADE, Head, Refusal, refusal
from relay_dagster.runs.job_message import is_id, is_run_id
from relay_dagster.settings import SettingsError, UiSettings

OWN_PAGES_ONLY = {
    "X-Frame-Options": "SAMEORIGIN",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""No foreign page may frame these pages, or load their data as a script."""
HIDDEN_TAGS = [
    tags.ATTEMPT,
    tags.CONFIG_VERSION,
    tags.REQUEST_ID,
    tags.TENANT_ID,
    tags.TRIGGER,
]
"""The partition shows the tenant, and ``relay/run_id`` stays visible."""

_MAX_LOGGED = 200
_LOGGED_HEADERS = ("host", "origin", "sec-fetch-site", "content-type")
_RESPONSE_STARTS = ("http.response.start", "websocket.http.response.start")
_STORED_TAGS = f"'unpinned-tags', '{json.dumps(HIDDEN_TAGS)}'"
_SCRIPT = (
    f"'unpinned-tags' in localStorage || localStorage.setItem({_STORED_TAGS})"
)
# Each script of a page has the nonce that the page's policy asks for.
_FIRST_SCRIPT = re.compile(r'<script nonce="[^"]*">')
_REPORT = re.compile(rf"{REPORT_PATH}/([^/]+)/([^/]+)")
_GRACEFUL_SECONDS = 10
_log = event_log()


@dataclass(frozen=True, slots=True)
class Guard:
    """Passes the requests that the rules allow on to an application."""

    app: types.ASGIApp
    hosts: Collection[str]  # host names to answer to, besides loopback's

    async def __call__(
        self,
        scope: types.Scope,
        receive: types.Receive,
        send: types.Send,
    ) -> None:
        """Serve one request or one WebSocket, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        head = _head(scope)
        refused = refusal(head, self.hosts)
        app = self.app
        if refused is not None:
            app = PlainTextResponse(refused.reason, refused.status)
            _log_refusal(head, refused)

        async def send_marked(message: types.Message) -> None:
            if message["type"] in _RESPONSE_STARTS:
                MutableHeaders(scope=message).update(OWN_PAGES_ONLY)
            await send(message)

        await app(scope, receive, send_marked)


def _head(scope: types.Scope) -> Head:
    scope_headers = Headers(scope=scope)
    headers = {name: scope_headers.getlist(name) for name in scope_headers}
    method = UPGRADE if scope["type"] == "websocket" else scope["method"]
    queries = QueryParams(scope["query_string"]).getlist("query")
    return Head(method, scope["path"], headers, queries)


def _log_refusal(head: Head, refused: Refusal) -> None:
    facts = {}
    for name in _LOGGED_HEADERS:
        values = ", ".join(head.headers.get(name, ()))
        facts[name.replace("-", "_")] = cut(values, _MAX_LOGGED)
    _log.warning(
        "ui_request_refused",
        **refused._asdict(),
        **facts,
        method=head.method,
        path=cut(head.path, _MAX_LOGGED),
    )


class DagsterPages(DagsterWebserver):
    """Dagster's application."""

    def index_html_endpoint(self, request: Request) -> HTMLResponse:
        """Return the page with our line of script before its own scripts."""
        page: Any = super().index_html_endpoint(request)

        def with_our_script(first_tag: re.Match[str]) -> str:
            return f"{first_tag[0]}{_SCRIPT}</script>{first_tag[0]}"

        html = _FIRST_SCRIPT.sub(with_our_script, page.body.decode(), count=1)
        headers = dict(page.headers)
        headers.pop("content-length", None)
        return HTMLResponse(html, headers=headers)


@dataclass(frozen=True, slots=True)
class Reports:
    """Redirects a report's address to its file; an application serves all other addresses."""

    app: types.ASGIApp
    # Signs a link to the page under a key; None if no bucket is known
    sign: Callable[[str], str] | None

    async def __call__(
        self,
        scope: types.Scope,
        receive: types.Receive,
        send: types.Send,
    ) -> None:
        """Serve one request."""
        is_request = scope["type"] == "http"
        address = _REPORT.fullmatch(scope["path"]) if is_request else None
        app = self.app
        if address is not None and is_id(address[1]) and is_run_id(address[2]):
            app = self._to_file(ArtifactKeys(address[2], address[1]).report)
        await app(scope, receive, send)

    def _to_file(self, key: str) -> types.ASGIApp:
        if self.sign is None:
            return PlainTextResponse("ARTIFACT_BUCKET is not set here", 503)
        return RedirectResponse(
            self.sign(key),
            headers={"Cache-Control": "no-store"},
        )


def serve(
    host: str,
    port: int,
    workspace: Sequence[Path],
    *,
    read_only: bool = False,
) -> None:
    """Serve Dagster's pages until a signal ends the process.

    Args:
        host: The address to listen on.
        port: The port to listen on.
        workspace: Workspace files, as `dagster-webserver` reads them.
        read_only: Disable every button.

    Raises:
        SettingsError: A variable is missing, not valid, or forbids that address.
    """
    settings = UiSettings.from_env()
    _check_settings(settings, host)
    sign = _signer(settings)
    log_libraries()
    # SIGTERM ends the process as Ctrl-C does, which ends the workspace's code servers too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = WorkspaceOpts(workspace=[str(path) for path in workspace])
    target = workspace_opts_to_load_target(options)
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(
            instance,
            target,
            dagster_version,
            read_only,
        ) as context,
    ):
        pages = Reports(DagsterPages(context).create_asgi_app(), sign)
        _log.info("ui_started", host=host, port=port, read_only=read_only)
        uvicorn.run(
            Guard(pages, settings.hosts_of_ui),
            host=host,
            port=port,
            http="h11",  # limits a request's head to 64 KiB; httptools has no limit
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACEFUL_SECONDS,
        )


def _check_settings(settings: UiSettings, host: str) -> None:
    if not settings.dagster_home:
        raise SettingsError(
            "DAGSTER_HOME",
            "is not set; it is the folder with dagster.yaml",
        )
    if not settings.ui_behind_proxy and not is_loopback(host):
        problem = (
            f"must be true to listen on {host}, which is off loopback: "
            "relay server ui has no login of its own, so put a proxy with a login in front of it"
        )
        raise SettingsError("RELAY_UI_BEHIND_PROXY", problem)


def _signer(settings: UiSettings) -> Callable[[str], str] | None:
    """Return a function that signs links to pages, or None if no bucket is set."""
    if settings.artifact_bucket is None:
        return None
    clients = Clients(
        settings.region,
        public_s3_endpoint_url=settings.public_s3_endpoint_url,
    )
    objects = ObjectStore(clients, settings.artifact_bucket)
    return partial(objects.presign, is_page=True)
