"""The guard as ASGI middleware: asks the rules, and answers what they refuse itself."""

from collections import defaultdict
from collections.abc import Collection

from starlette.datastructures import MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay_core.domain.cell_rules import cut
from relay_dagster.logs import event_log
from relay_dagster.orchestration.ui.rules import UPGRADE, Head, refusal

# No foreign page shows these pages in a frame of its own, or loads what they read as a script.
OWN_PAGES_ONLY = {"X-Frame-Options": "SAMEORIGIN", "Cross-Origin-Resource-Policy": "same-origin"}
_MAX_LOGGED = 200
_STARTS = ("http.response.start", "websocket.http.response.start")
_log = event_log()


class Guard:
    """Lets through to an application what the rules let through; hosts are beside loopback's."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        head = _head(scope)
        refused = refusal(head, self._hosts)
        app = self._app if refused is None else PlainTextResponse(refused.reason, refused.status)
        if refused is not None:
            _log_rejection(head, refused.status, refused.reason)

        async def send_marked(message: Message) -> None:
            if message["type"] in _STARTS:
                MutableHeaders(scope=message).update(OWN_PAGES_ONLY)
            await send(message)

        await app(scope, receive, send_marked)


def _head(scope: Scope) -> Head:
    headers: dict[str, list[str]] = defaultdict(list)
    for name, value in scope["headers"]:
        headers[name.decode("latin-1").lower()].append(value.decode("latin-1"))
    method = UPGRADE if scope["type"] == "websocket" else scope["method"]
    queries = QueryParams(scope["query_string"]).getlist("query")
    return Head(method, scope["path"], headers, queries)


def _log_rejection(head: Head, status: int, reason: str) -> None:
    facts = {
        name.replace("-", "_"): cut(", ".join(head.headers.get(name, ())), _MAX_LOGGED)
        for name in ("host", "origin", "sec-fetch-site", "content-type")
    }
    path = cut(head.path, _MAX_LOGGED)
    _log.warning(
        "ui_request_refused", status=status, reason=reason, method=head.method, path=path, **facts
    )
