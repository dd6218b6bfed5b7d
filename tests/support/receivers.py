"""Receivers of webhooks on this machine: real servers that answer, or misbehave, as a test says."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behavior = Callable[[socket.socket], None]
"""What a receiver does once it has read a request: it sends something, or waits, or neither."""


@dataclass(frozen=True)
class Received:
    """One request as it came in; names of headers in small letters."""

    target: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"


@dataclass
class Receiver:
    """A server on a port of its own; ``behave`` may be changed while it runs."""

    host: str
    port: int
    behave: Behavior
    requests: list[Received] = field(default_factory=list)
    _changes: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Where it is reached without TLS."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/hook"

    def wait_for(self, count: int, seconds: float = 20) -> list[Received]:
        """Wait until so many requests have come; return all."""
        with self._changes:
            assert self._changes.wait_for(
                lambda: len(self.requests) >= count, seconds
            ), f"{len(self.requests)} of {count} requests within {seconds} s"
            return list(self.requests)

    def take(self, connection: socket.socket) -> None:
        """Read a request, note it, and behave."""
        request = read_request(connection)
        assert request.method == "POST"
        with self._changes:
            self.requests.append(request)
            self._changes.notify_all()
        self.behave(connection)


class Counting:
    """A behavior that counts how many requests wait for an answer at once, before it gives one."""

    def __init__(self, behave: Behavior, seconds: float = 0.0) -> None:
        self.most = self._now = 0
        self._behave = behave
        self._seconds = seconds
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        threading.Event().wait(self._seconds)
        with self._lock:
            self._now -= 1
        self._behave(connection)


def answering(
    status: int, body: bytes = b"", headers: dict[str, str] | None = None
) -> Behavior:
    """Return what answers with a status."""
    named = {"content-length": str(len(body)), **(headers or {})}
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{name}: {text}" for name, text in named.items()),
    ]
    return sending("\r\n".join([*lines, "", ""]).encode() + body)


def sending(data: bytes) -> Behavior:
    """Return what sends bytes and closes."""
    return lambda connection: connection.sendall(data)


def waiting(until: threading.Event) -> Behavior:
    """Return what answers nothing until an event, and then closes."""

    def behave(_: socket.socket) -> None:
        until.wait(60)

    return behave


def dripping(
    first: bytes, drop: bytes, seconds: float, over: threading.Event
) -> Behavior:
    """Return what sends something, and then a drop now and again, for ever."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(first)
        while not over.wait(seconds):
            connection.sendall(drop)

    return behave


@contextmanager
def receiving(
    behave: Behavior | None = None,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Iterator[Receiver]:
    """Run a receiver; by default it answers 204."""
    receiver = Receiver(host, 0, behave or answering(204))

    def serve(connection: socket.socket) -> None:
        if tls is None:
            receiver.take(connection)
        else:
            with tls.wrap_socket(connection, server_side=True) as encrypted:
                receiver.take(encrypted)

    with listening(serve, host) as receiver.port:
        yield receiver


@contextmanager
def listening(serve: Behavior, host: str = "127.0.0.1") -> Iterator[int]:
    """Have a port of a host served, each connection by a thread of its own."""

    def serve_one(connection: socket.socket) -> None:
        # The other side may leave at any moment, or refuse the certificate.
        with suppress(OSError), connection:
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(
                    target=serve_one, args=(connection,), daemon=True
                ).start()

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server(
        (host, 0), family=family, backlog=128
    ) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            # A close alone leaves `accept` waiting.
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(5)


def read_request(connection: socket.socket) -> Received:
    """Read one request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {
        name.strip().lower(): text.strip()
        for name, _, text in (line.partition(":") for line in lines)
    }
    while len(body) < int(headers.get("content-length", 0)):
        body += _some(connection)
    method, target, _ = first.split()
    return Received(target, headers, body, method)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionResetError("the request broke off")
    return data
