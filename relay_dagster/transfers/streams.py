"""Connections for one call to a host outside: to a judged address, for so long, for so many bytes.

What is known of the host's name is looked up once a call, and each address is judged before any is
connected to: a name that leads elsewhere a moment later leads nowhere. No proxy of the environment
comes between.
"""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpcore

from relay_core.domain.destination import Destination

Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name, as text; `OSError` where it has none."""


class CallError(Exception):
    """The host was not reached, or gave no answer; the message is a sentence of ours."""


def system_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as this machine knows them."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass
class Allowance:
    """What a call has left: of its time, and of the bytes that are read of the answer."""

    seconds: float
    answer_bytes: float = math.inf

    def __post_init__(self) -> None:
        """Begin to count."""
        self._limit = self.seconds
        self._until = time.monotonic() + self.seconds

    def left(self) -> float:
        """Return how many seconds are left; `CallError` where none are."""
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise self.too_slow()
        return seconds

    def too_slow(self) -> CallError:
        """Return what is said once the time is up."""
        return CallError(f"no answer within {self._limit:g} s")

    def shorten(self, seconds: float) -> None:
        """Leave the call no more than so many seconds from now."""
        self._until = min(self._until, time.monotonic() + seconds)

    def take(self, count: int) -> None:
        """Count bytes that were read; `CallError` where they are too many."""
        self.answer_bytes -= count
        if self.answer_bytes < 0:
            raise CallError("the head of the answer was too long")


class JudgedBackend(httpcore.NetworkBackend):
    """Connects to addresses that the destination accepts, and to none where it refuses one."""

    def __init__(
        self,
        destination: Destination,
        allowance: Allowance,
        resolve: Resolver = system_addresses,
    ) -> None:
        self.destination = destination
        self._allowance = allowance
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Return the connection of `dial`, as httpcore has it."""
        return _Stream(self.dial(host, port), self._allowance)

    def dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers; `CallError`: one is refused, none answers."""
        addresses = self._addresses(host, port)
        if not all(self.destination.accepts(ip_address(each)) for each in addresses):
            raise CallError("the URL's host has an address that is not public")
        for count in range(len(addresses), 0, -1):
            # One that is dead leaves the others their share of the time.
            seconds = self._allowance.left() / count
            try:
                sock = socket.create_connection((addresses[-count], port), seconds)
            except OSError:
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        self._allowance.left()
        raise CallError("no connection could be made")

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        found: list[Sequence[str]] = []

        def resolve() -> None:
            # A name without an address, or one that no resolver can make anything of.
            try:
                found.append(self._resolve(host, port))
            except (OSError, UnicodeError):
                found.append(())

        # Nothing can break off a look-up: one that takes too long is left to itself.
        resolving = threading.Thread(target=resolve, name="host_name", daemon=True)
        resolving.start()
        resolving.join(self._allowance.left())
        if not found:
            raise self._allowance.too_slow()
        if not found[0]:
            raise CallError("the URL's host has no address")
        return found[0]


class _Stream(httpcore.NetworkStream):
    """A socket whose every step counts against the call's allowance."""

    def __init__(self, sock: socket.socket, allowance: Allowance) -> None:
        self._socket = sock
        self._allowance = allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._in_time(httpcore.ReadError):
            data = self._socket.recv(max_bytes)
        self._allowance.take(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = memoryview(buffer)
        while left:
            with self._in_time(httpcore.WriteError):
                left = left[self._socket.send(left) :]

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        with self._in_time(httpcore.ConnectError):
            try:
                encrypted = ssl_context.wrap_socket(
                    self._socket, server_hostname=server_hostname
                )
            except ssl.SSLCertVerificationError as error:
                message = (
                    f"the server's certificate was refused: {error.verify_message}"
                )
                raise CallError(message) from error
            except (ssl.SSLError, ValueError) as error:
                raise CallError("no TLS connection could be made") from error
            finally:
                # What is encrypted has taken the connection over.
                self._socket.close()
        return _Stream(encrypted, self._allowance)

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return None

    @contextmanager
    def _in_time(self, error_type: type[Exception]) -> Iterator[None]:
        self._socket.settimeout(self._allowance.left())
        try:
            yield
        except TimeoutError as error:
            raise self._allowance.too_slow() from error
        except OSError as error:
            raise error_type(type(error).__name__) from error


@contextmanager
def exchange(
    method: str,
    backend: JudgedBackend,
    headers: Mapping[str, str],
    *,
    ssl_context: ssl.SSLContext,
    body: bytes | None = None,
) -> Iterator[httpcore.Response]:
    """Send a request to a backend; yield the answer while it comes; `CallError` for none."""
    destination = backend.destination
    scheme, host = destination.scheme.encode(), destination.host.encode()
    target = destination.target.encode()
    url = httpcore.URL(scheme=scheme, host=host, port=destination.port, target=target)
    named = [
        *headers.items(),
        ("host", destination.host_header),
        ("connection", "close"),
    ]
    connection = httpcore.HTTPConnection(
        httpcore.Origin(scheme, host, destination.port),
        ssl_context=ssl_context,
        network_backend=backend,
    )
    with ExitStack() as opened:
        with _as_call_error():
            opened.enter_context(connection)
            answer = connection.stream(method, url, headers=named, content=body)
            response = opened.enter_context(answer)
        yield response


def read_answer(response: httpcore.Response) -> Iterator[bytes]:
    """Yield the bytes of an answer as they come; `CallError` where it broke off."""
    with _as_call_error():
        yield from response.iter_stream()


@contextmanager
def _as_call_error() -> Iterator[None]:
    try:
        yield
    except (httpcore.ProtocolError, httpcore.NetworkError, OSError) as error:
        message = "the server closed the connection, or its answer was not HTTP"
        raise CallError(message) from error
