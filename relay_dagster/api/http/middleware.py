"""The ASGI middleware around every request: its id, its bounds, its line in the log."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from relay_dagster.api.http.error_codes import (
    CODES,
    INTERNAL_ERROR,
    PROBLEM_TYPE,
    problem_body,
)
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.logs import event_log, logging_with

HEAR_OUT_SECONDS = 5
REQUEST_ID_HEADER = b"x-request-id"
LINK_PATHS = ("/f/", "/s/")
"""The beginnings of paths that end in a token."""

# Answers are data, and pages show what this server has; neither is anybody's frame. Addresses hold
# tokens of links and names of SKUs; a browser sends them to no other site.
_ALWAYS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"strict-transport-security",
        b"max-age=31536000",
    ),  # browsers heed it over TLS alone
)
_CSP = b"content-security-policy"
_DATA_ALONE = b"default-src 'none'; frame-ancestors 'none'"
_PAGES = {
    "/docs": b"default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
}

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# No spaces, quotes or control characters: the id goes into headers, logs, message attributes, tags.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_log = event_log()


class BodyRefusedError(Exception):
    """More bytes came than a body may have, or it was not there in time."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the id of the request that is being served."""
    return str(scope["state"]["request_id"])


def address_of(scope: Mapping[str, Any]) -> str | None:
    """Return the address of the caller; behind trusted proxies the one that they report."""
    client = scope.get("client")
    return client[0] if client else None


def log_context(scope: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the facts in each log line of the request; whoever learns more adds to them."""
    context: dict[str, str | None] = scope["state"]["log_context"]
    return context


def at_end(scope: Mapping[str, Any]) -> ExitStack:
    """Return the callbacks that run once the request is answered; handlers add their own."""
    stack: ExitStack = scope["state"]["at_end"]
    return stack


def path_to_log(scope: Mapping[str, Any]) -> str:
    """Return a request's path for the log: of a link without its token."""
    path = str(scope["path"])
    return next(
        (f"{prefix}..." for prefix in LINK_PATHS if path.startswith(prefix)), path
    )


def _facts(scope: Mapping[str, Any]) -> dict[str, str]:
    facts = {"request_id": request_id_of(scope), "method": scope["method"]}
    return {**facts, "path": path_to_log(scope)}


def internal_error(scope: Mapping[str, Any], error: BaseException) -> None:
    """Log an error that nobody expected, with its stack trace."""
    _log.error("request_failed", **_facts(scope), exc_info=error)


@dataclass(frozen=True, slots=True)
class RequestFrame:
    """Middleware: gives each request an id, bounds it (413), logs it and catches what is left."""

    app: App
    max_body_bytes: int
    limits: ApiLimits = DEFAULT_API_LIMITS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; those that are not HTTP pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        given = headers.get(REQUEST_ID_HEADER, b"").decode("latin-1").strip()
        scope["state"] = {
            **scope.get("state", {}),
            "request_id": (
                given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())
            ),
            "log_context": {"caller": None, "address": address_of(scope)},
            "at_end": ExitStack(),
        }
        with at_end(scope), logging_with(log_context(scope)):
            exchange = _Exchange(scope, receive, send, self.max_body_bytes, self.limits)
            announced = headers.get(b"content-length", b"")
            # How long the head was, as far as what became of it tells.
            head = len(scope.get("raw_path") or scope["path"]) + len(
                scope["query_string"]
            )
            head += sum(
                len(name) + len(value) + len(": \r\n")
                for name, value in scope["headers"]
            )
            if head > self.limits.head_bytes:
                detail = f"a head has at most {self.limits.head_bytes:,} bytes"
                await exchange.refuse("HEAD_TOO_LARGE", detail, close=True)
            elif announced.isdigit() and int(announced) > self.max_body_bytes:
                too_large = exchange.too_large
                await exchange.refuse(too_large.code, str(too_large), close=True)
            else:
                await self._serve(exchange)
            exchange.log()

    async def _serve(self, exchange: "_Exchange") -> None:
        try:
            await self.app(exchange.scope, exchange.receive, exchange.send)
        except BodyRefusedError as refused:
            is_slow = refused.code == "REQUEST_TIMEOUT"
            await exchange.refuse(
                refused.code, str(refused), close=True, hear_out=not is_slow
            )
        except Exception as error:  # noqa: BLE001 - the last place where it can become an answer
            if exchange.disconnected:
                return
            internal_error(exchange.scope, error)
            detail = "an unexpected error; it is in the log under this request_id"
            await exchange.refuse(INTERNAL_ERROR, detail)


class _Exchange:
    """One request and its answer as they pass."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        max_body_bytes: int,
        limits: ApiLimits,
    ) -> None:
        self.scope = scope
        self.disconnected = False
        self._receive = receive
        self._send = send
        self._left = max_body_bytes
        self._body_seconds = limits.body_seconds
        self._body_until = asyncio.get_running_loop().time() + limits.body_seconds
        detail = f"a body has at most {max_body_bytes:,} bytes"
        self.too_large = BodyRefusedError("PAYLOAD_TOO_LARGE", detail)
        self._is_being_sent = True
        self._status: int | None = None
        self._started = time.perf_counter()

    async def receive(self) -> Message:
        # Once the body is there, what comes next may take as long as it will.
        until = self._body_until if self._is_being_sent else None
        try:
            async with asyncio.timeout_at(until):
                message = await self._receive()
        except TimeoutError:
            detail = f"a body has {self._body_seconds:g} seconds to come"
            raise BodyRefusedError("REQUEST_TIMEOUT", detail) from None
        self.disconnected = self.disconnected or message["type"] == "http.disconnect"
        self._is_being_sent = bool(message.get("more_body"))
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise self.too_large
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = [*message.get("headers", [])]
            headers += [
                (REQUEST_ID_HEADER, request_id_of(self.scope).encode()),
                *_ALWAYS,
            ]
            if not any(name.lower() == _CSP for name, _ in headers):
                headers.append((_CSP, _PAGES.get(self.scope["path"], _DATA_ALONE)))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(
        self, code: str, detail: str, *, close: bool = False, hear_out: bool = True
    ) -> None:
        """Answer with a problem, unless an answer is on its way; ``close`` ends the connection."""
        if self._status is not None:
            return
        document = problem_body(code, detail, request_id=request_id_of(self.scope))
        body = json.dumps(document).encode()
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        # The rest of a body that nobody will read must not be taken for the next request.
        headers += [(b"connection", b"close")] if close else []
        await self.send(
            {
                "type": "http.response.start",
                "status": CODES[code].status,
                "headers": headers,
            }
        )
        await self.send(
            {"type": "http.response.body", "body": body, "more_body": close}
        )
        if close:
            # Who is cut off while sending never reads the answer: the rest of the body may come.
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAR_OUT_SECONDS if hear_out else 0):
                    while self._is_being_sent:
                        more = await self._receive()
                        self._is_being_sent = bool(more.get("more_body"))
            await self.send({"type": "http.response.body", "body": b""})

    def log(self) -> None:
        names = self.scope.get("path_params") or {}
        known = {name: names[name] for name in ("run_id", "tenant_id") if name in names}
        milliseconds = round((time.perf_counter() - self._started) * 1000, 1)
        facts = {
            **_facts(self.scope),
            "status": self._status,
            "milliseconds": milliseconds,
        }
        _log.info("request", **facts, **known)
