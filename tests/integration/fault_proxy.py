"""Stands between the product and the embedded AWS, and breaks what a test tells it to break.

The product's ``AWS_ENDPOINT_URL`` points here. Without rules every request passes as it is; all are
remembered, for tests that ask what was sent.
"""

from __future__ import annotations

import http.client
import math
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit

from integration.aws_requests import AwsRequest
from integration.fault_rules import (
    SLOW_SECONDS,
    Action,
    Answer,
    Rule,
    failed,
    throttled,
)

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "expect",
    "te",
}
_BEFORE = {
    Action.THROTTLE,
    Action.FAIL,
    Action.HANG,
    Action.DROP_BEFORE,
    Action.HOLD,
    Action.SLOW,
}
_POLL_SECONDS = 0.05
_FORWARD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of the proxy's log. ``outcome`` is the status, or what a rule did."""

    at: float
    request: AwsRequest
    outcome: str

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.request.service} {self.request.operation} -> {self.outcome}"


class _Dropped(Exception):  # noqa: N818 - control flow: the connection is closed without an answer
    """The request gets no answer."""


class FaultProxy:
    """A proxy on a local port, with rules that may be added and removed at any time.

    Args:
        upstream: where requests go, as ``http://host:port``.
        port: where to listen; 0 for any.
        host: the address to listen on.
    """

    def __init__(
        self, upstream: str, port: int = 0, host: str = "127.0.0.1"
    ) -> None:
        self._upstream = urlsplit(upstream)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self.slow_seconds = SLOW_SECONDS
        self.log: list[Seen] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = _Server((host, port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(0.05,),
            name="fault-proxy",
            daemon=True,
        )

    @property
    def url(self) -> str:
        """Where the proxy listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def add(
        self,
        action: Action,
        service: str = "",
        *operations: str,
        containing: str | Sequence[str] = (),
        answer_containing: str | Sequence[str] = (),
        times: int | None = None,
    ) -> Rule:
        """Strike from now on what fits; the first rule that fits a request has it."""
        rule = Rule(
            action,
            service,
            frozenset(operations),
            _texts(containing),
            _texts(answer_containing),
            times,
        )
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove every rule; what is held goes on."""
        with self._lock:
            rules = self._rules
            self._rules = []
        for rule in rules:
            rule.release()

    def seen(
        self, service: str = "", operation: str = "", containing: str = ""
    ) -> list[Seen]:
        """Return the requests so far that fit, oldest first."""
        filter_rule = Rule(
            Action.HOLD,
            service,
            frozenset({operation} if operation else ()),
            _texts(containing),
        )
        return [
            line for line in list(self.log) if filter_rule.fits(line.request)
        ]

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Let go of everything and stop listening."""
        self.clear()
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- one request ----------------------------------------------------------------------------

    def handle(
        self, request: AwsRequest, client_is_gone: Callable[[], bool]
    ) -> Answer:
        """Return the answer to a request, after whatever a rule does to it.

        Raises:
            _Dropped: there is none; the connection is to be closed.
        """
        rule = next(
            (rule for rule in self._current() if rule.take(request)), None
        )
        try:
            answer = self._struck(rule, request, client_is_gone)
        except _Dropped:
            self._note(request, rule.action.value if rule else "no upstream")
            raise
        self._note(request, str(answer.status))
        return answer

    def _struck(
        self,
        rule: Rule | None,
        request: AwsRequest,
        client_is_gone: Callable[[], bool],
    ) -> Answer:
        if rule is not None and rule.action in _BEFORE:
            if rule.action is Action.THROTTLE:
                return throttled(request)
            if rule.action is Action.FAIL:
                return failed(request)
            self._pause(rule, client_is_gone)
        answer = self._forward(request)
        if rule is None:
            rule = self._rule_for_answer(request, answer)
        if rule is not None and rule.action not in _BEFORE:
            self._pause(rule, client_is_gone)
        return answer

    def _rule_for_answer(
        self, request: AwsRequest, answer: Answer
    ) -> Rule | None:
        rules = [rule for rule in self._current() if rule.answer_containing]
        if not rules:
            return None
        text = answer.body.decode("utf-8", "replace")
        return next((rule for rule in rules if rule.take(request, text)), None)

    def _pause(self, rule: Rule, client_is_gone: Callable[[], bool]) -> None:
        """Drop the request, or wait for what is to become of it."""
        if rule.action in (Action.DROP_BEFORE, Action.DROP_AFTER):
            raise _Dropped
        until = time.monotonic() + (
            self.slow_seconds if rule.action is Action.SLOW else math.inf
        )
        while (
            not rule.wait_for_release(_POLL_SECONDS)
            and time.monotonic() < until
        ):
            if client_is_gone():
                raise _Dropped
        if rule.was_discarded or rule.action in (Action.HANG, Action.SWALLOW):
            raise _Dropped

    def _forward(self, request: AwsRequest) -> Answer:
        connection = http.client.HTTPConnection(
            str(self._upstream.hostname),
            self._upstream.port,
            timeout=_FORWARD_SECONDS,
        )
        headers = {
            name: value
            for name, value in request.headers.items()
            if name not in _HOP_BY_HOP
        }
        try:
            connection.request(
                request.method, request.path, request.body, headers
            )
            response = connection.getresponse()
            return Answer(
                response.status, response.getheaders(), response.read()
            )
        except OSError as error:
            raise _Dropped from error
        finally:
            connection.close()

    def _current(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def _note(self, request: AwsRequest, outcome: str) -> None:
        self.log.append(Seen(time.monotonic(), request, outcome))


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    # Threads that hold a request must not keep the test from ending.
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that die in the middle of a request are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    proxy: ClassVar[FaultProxy]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = b"".join(_body(self.rfile, headers))
        if len(body) < int(headers.get("content-length") or 0):
            self.close_connection = True
            return
        request = AwsRequest(self.command, self.path, headers, body)
        try:
            answer = self.proxy.handle(
                request, lambda: _is_gone(self.connection)
            )
        except _Dropped:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        lengths = [
            value
            for name, value in answer.headers
            if name.lower() == "content-length"
        ]
        for name, value in answer.headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        length = (
            lengths[0]
            if lengths and self.command == "HEAD"
            else str(len(answer.body))
        )
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet; the proxy has a log of its own."""


def _body(stream: Any, headers: dict[str, str]) -> Iterator[bytes]:
    if "chunked" not in headers.get("transfer-encoding", ""):
        yield stream.read(int(headers.get("content-length") or 0))
        return
    while size := int(stream.readline().split(b";")[0], 16):
        yield stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass


def _is_gone(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    if not readable:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,) if given else ()
    return tuple(given)
