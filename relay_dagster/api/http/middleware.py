"""What is done around every request: its id, the bound on its body, its line in the log.

Plain ASGI, so that nothing that happens inside can get past it.
"""

from __future__ import annotations

import asyncio
import http
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from relay_dagster.logs import event_log

PROBLEM_TYPE = "application/problem+json"
MAX_BODY_BYTES = 1024 * 1024
HEAR_OUT_SECONDS = 5
REQUEST_ID_HEADER = b"x-request-id"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# No spaces, quotes or control characters: the id goes into headers, logs, message attributes, tags.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_log = event_log()


class BodyTooLargeError(Exception):
    """More bytes came than a body may have."""


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id of the request that is being served."""
    return str(scope["state"]["request_id"])


def problem_body(
    status: int,
    error_code: str,
    detail: str,
    *,
    request_id: str,
    errors: Sequence[Mapping[str, str]] = (),
    members: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a problem document; ``errors`` stands in it for bad input only."""
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


def internal_error(scope: Mapping[str, Any], error: BaseException) -> None:
    """Log an error that nobody expected, with its stack trace."""
    _log.error(
        "request_failed",
        request_id=request_id_of(scope),
        method=scope["method"],
        path=scope["path"],
        exc_info=error,
    )


class RequestFrame:
    """Middleware that gives each request an id, bounds its body, logs it and catches what is left.

    Args:
        app: what is called inside.
        max_body_bytes: longer bodies are refused with 413.
    """

    def __init__(self, app: App, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; those that are not HTTP pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        scope["state"] = {**scope.get("state", {}), "request_id": _request_id(headers)}
        exchange = _Exchange(scope, receive, send, self._max_body_bytes)
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._max_body_bytes:
            await exchange.refuse_size()
        else:
            await self._serve(exchange)
        exchange.log()

    async def _serve(self, exchange: _Exchange) -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except BodyTooLargeError:
            await exchange.refuse_size()
        except Exception as error:  # noqa: BLE001 - the last place where it can become an answer
            if exchange.disconnected:
                return
            internal_error(exchange.scope, error)
            detail = "an unexpected error; it is in the log under this request_id"
            await exchange.refuse(500, "INTERNAL_ERROR", detail)


class _Exchange:
    """One request and its answer as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body_bytes: int) -> None:
        self.scope = scope
        self.disconnected = False
        self._receive = receive
        self._send = send
        self._left = max_body_bytes
        self._is_being_sent = True
        self._status: int | None = None
        self._started = time.perf_counter()

    async def receive(self) -> Message:
        message = await self._receive()
        self.disconnected = self.disconnected or message["type"] == "http.disconnect"
        self._is_being_sent = bool(message.get("more_body"))
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLargeError
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            own = (REQUEST_ID_HEADER, request_id_of(self.scope).encode())
            message = {**message, "headers": [*message.get("headers", []), own]}
        await self._send(message)

    async def refuse_size(self) -> None:
        detail = f"a body has at most {MAX_BODY_BYTES:,} bytes"
        await self.refuse(413, "PAYLOAD_TOO_LARGE", detail, close=True)

    async def refuse(self, status: int, code: str, detail: str, *, close: bool = False) -> None:
        """Answer with a problem, unless an answer is on its way; ``close`` ends the connection."""
        if self._status is not None:
            return
        document = problem_body(status, code, detail, request_id=request_id_of(self.scope))
        body = json.dumps(document).encode()
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        # The rest of a body that nobody will read must not be taken for the next request.
        headers += [(b"connection", b"close")] if close else []
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": close})
        if close:
            await self._hear_out()
            await self.send({"type": "http.response.body", "body": b""})

    async def _hear_out(self) -> None:
        """Let the rest of the body come: who is cut off while sending never reads the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HEAR_OUT_SECONDS):
                while self._is_being_sent:
                    message = await self._receive()
                    self._is_being_sent = bool(message.get("more_body"))

    def log(self) -> None:
        names = self.scope.get("path_params") or {}
        known = {name: names[name] for name in ("run_id", "tenant_id") if name in names}
        _log.info(
            "request",
            request_id=request_id_of(self.scope),
            method=self.scope["method"],
            path=self.scope["path"],
            status=self._status,
            milliseconds=round((time.perf_counter() - self._started) * 1000, 1),
            **known,
        )


def _request_id(headers: Mapping[bytes, bytes]) -> str:
    given = headers.get(REQUEST_ID_HEADER, b"").decode("latin-1").strip()
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
