"""The ASGI middleware around every request: its ID, its limits, its line in the log."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from relay_dagster.http import error_codes
from relay_dagster.http.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.logs import event_log, logging_with

DRAIN_SECONDS = 5
"""The seconds for which the rest of a rejected body is read and discarded."""
REQUEST_ID_HEADER = b"x-request-id"
LINK_PATHS = ("/f/", "/s/")
"""The prefixes of paths that end in a token."""

# Responses are data, and pages show only what this server has; nobody may frame either.
# URLs contain tokens of links and names of SKUs, so browsers must not send them to
# other sites. Browsers apply the last header over TLS only.
_SECURITY_HEADERS = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_CSP = b"content-security-policy"
_CSP_OF_DATA = b"default-src 'none'; frame-ancestors 'none'"
# A shared cache may store any response to a request without an Authorization header,
# and a key may be in another header.
_CACHE_CONTROL = b"cache-control"
_NO_STORE = b"no-store"
_UNCACHED_PATHS = "/v1/"

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# An ID goes into headers, logs, message attributes and tags, so it has no spaces,
# quotes or control characters.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")
_log = event_log()


class BodyRefusedError(Exception):
    """The body of a request is too large, or did not arrive in time."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


# --- what the handlers of a request need --------------------------------------------


def request_id_of(scope: Mapping[str, Any]) -> str:
    """Return the ID of the request."""
    return str(scope["state"]["request_id"])


def address_of(scope: Mapping[str, Any]) -> str | None:
    """Return the caller's IP address, which trusted proxies report."""
    client = scope.get("client")
    return client[0] if client else None


def log_context(scope: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the fields of every log line of the request. Handlers may add fields."""
    context: dict[str, str | None] = scope["state"]["log_context"]
    return context


def at_end(scope: Mapping[str, Any]) -> ExitStack:
    """Return the callbacks that run after the response is sent; handlers may add some."""
    stack: ExitStack = scope["state"]["at_end"]
    return stack


def internal_error(scope: Mapping[str, Any], error: BaseException) -> None:
    """Log an unexpected error with its stack trace."""
    _log.error("request_failed", **_request_facts(scope), exc_info=error)


def _request_facts(scope: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts of a request for the log, its path without a link's token."""
    path = str(scope["path"])
    for prefix in LINK_PATHS:
        if path.startswith(prefix):
            path = f"{prefix}..."
    return {
        "request_id": request_id_of(scope),
        "method": scope["method"],
        "path": path,
    }


# --- the middleware -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestFrame:
    """Middleware that identifies, limits and logs requests, and catches all errors."""

    app: App
    max_body_bytes: int
    limits: ApiLimits = DEFAULT_API_LIMITS

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve one request. Everything else than HTTP passes through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        request_id = (
            headers.get(REQUEST_ID_HEADER, b"").decode("latin-1").strip()
        )
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = str(uuid.uuid4())
        scope["state"] = {
            **scope.get("state", {}),
            "request_id": request_id,
            "log_context": {"caller": None, "address": address_of(scope)},
            "at_end": ExitStack(),
        }
        with at_end(scope), logging_with(log_context(scope)):
            exchange = _Exchange(
                scope, receive, send, self.max_body_bytes, self.limits
            )
            content_length = headers.get(b"content-length", b"")
            if _head_size(scope) > self.limits.head_bytes:
                detail = (
                    f"the head has more than {self.limits.head_bytes:,} bytes"
                )
                await exchange.refuse("HEAD_TOO_LARGE", detail, close=True)
            elif scope["query_string"].count(b"&") >= self.limits.query_fields:
                # FastAPI parses the query on the event loop, before it knows the caller.
                detail = f"the query has more than {self.limits.query_fields:,} fields"
                await exchange.refuse("HEAD_TOO_LARGE", detail, close=True)
            elif (
                content_length.isdigit()
                and int(content_length) > self.max_body_bytes
            ):
                await exchange.refuse(
                    "PAYLOAD_TOO_LARGE", exchange.body_limit, close=True
                )
            else:
                await self._serve(exchange)
            exchange.log()

    async def _serve(self, exchange: "_Exchange") -> None:
        try:
            await self.app(exchange.scope, exchange.receive, exchange.send)
        except BodyRefusedError as error:
            # A client that is too slow has had its time: the rest is not waited for.
            is_slow = error.code == "REQUEST_TIMEOUT"
            await exchange.refuse(
                error.code, str(error), close=True, drain=not is_slow
            )
        except Exception as error:  # noqa: BLE001 - the last chance to respond
            if exchange.disconnected:
                return
            internal_error(exchange.scope, error)
            detail = "an unexpected error occurred; search the log for the request_id"
            await exchange.refuse(error_codes.INTERNAL_ERROR, detail)


def _head_size(scope: Scope) -> int:
    """Return the number of bytes of the request's line and headers, nearly exactly."""
    path = scope.get("raw_path") or scope["path"]
    size = len(path) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value) + len(": \r\n")
    return size


class _Exchange:
    """One request and its response, as they pass through the middleware."""

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
        self._remaining_bytes = max_body_bytes
        self._body_seconds = limits.body_seconds
        self._body_deadline = (
            asyncio.get_running_loop().time() + limits.body_seconds
        )
        # The sentence that says how large a body may be
        self.body_limit = f"a body has at most {max_body_bytes:,} bytes"
        self._body_is_incomplete = True
        self._status: int | None = None
        self._started = time.perf_counter()

    async def receive(self) -> Message:
        """Return the next message of the request.

        Raises:
            BodyRefusedError: The body is too large, or did not arrive in time.
        """
        # After the body, the next message is a disconnect, which may take any time.
        deadline = self._body_deadline if self._body_is_incomplete else None
        try:
            async with asyncio.timeout_at(deadline):
                message = await self._receive()
        except TimeoutError:
            detail = (
                f"the body did not arrive within {self._body_seconds:g} seconds"
            )
            raise BodyRefusedError("REQUEST_TIMEOUT", detail) from None
        if message["type"] == "http.disconnect":
            self.disconnected = True
        self._body_is_incomplete = bool(message.get("more_body"))
        self._remaining_bytes -= len(message.get("body", b""))
        if self._remaining_bytes < 0:
            raise BodyRefusedError("PAYLOAD_TOO_LARGE", self.body_limit)
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the response, with the headers of every response."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            request_id = request_id_of(self.scope).encode()
            headers = [
                *message.get("headers", []),
                (REQUEST_ID_HEADER, request_id),
                *_SECURITY_HEADERS,
            ]
            names = {name.lower() for name, _ in headers}
            if _CSP not in names:
                headers.append((_CSP, _CSP_OF_DATA))
            is_uncached = str(self.scope["path"]).startswith(_UNCACHED_PATHS)
            if is_uncached and _CACHE_CONTROL not in names:
                headers.append((_CACHE_CONTROL, _NO_STORE))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(
        self, code: str, detail: str, *, close: bool = False, drain: bool = True
    ) -> None:
        """Send a problem document, unless the response has already begun.

        ``close`` closes the connection. Before that, the rest of the body is read with
        ``drain``.
        """
        if self._status is not None:
            return
        request_id = request_id_of(self.scope)
        document = error_codes.problem_body(code, detail, request_id=request_id)
        body = json.dumps(document).encode()
        headers = [
            (b"content-type", error_codes.PROBLEM_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        if close:
            # The rest of the body must not be taken for the next request.
            headers.append((b"connection", b"close"))
        await self.send(
            {
                "type": "http.response.start",
                "status": error_codes.CODES[code].status,
                "headers": headers,
            }
        )
        await self.send(
            {"type": "http.response.body", "body": body, "more_body": close}
        )
        if close:
            await self._drain_body(DRAIN_SECONDS if drain else 0)
            await self.send({"type": "http.response.body", "body": b""})

    async def _drain_body(self, seconds: float) -> None:
        """Read the rest of the body: a client that is cut off reads no response."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._body_is_incomplete:
                    message = await self._receive()
                    self._body_is_incomplete = bool(message.get("more_body"))

    def log(self) -> None:
        """Write the request's line to the log."""
        facts: dict[str, Any] = _request_facts(self.scope)
        facts["status"] = self._status
        seconds = time.perf_counter() - self._started
        facts["milliseconds"] = round(seconds * 1000, 1)
        path_parameters = self.scope.get("path_params") or {}
        for name in ("run_id", "tenant_id"):
            if name in path_parameters:
                facts[name] = path_parameters[name]
        _log.info("request", **facts)
