"""Connections for one call to a host outside: to a judged address, for a limited time.

The host's name is looked up once a call, and all its addresses are judged before any is
connected to, so a name that leads elsewhere a moment later leads nowhere. No proxy of
the environment comes between. The bytes that are read of a response are limited too.
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
"""Returns the addresses of a name, as text; raises `OSError` if it has none."""


class CallError(Exception):
    """The host was not reached, or gave no answer. The message is a sentence of ours."""


def system_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name, each once, as this machine knows them."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(socket_address[0]) for *_, socket_address in entries]
    return list(dict.fromkeys(addresses))


@dataclass
class Allowance:
    """The time that a call may still take, and the bytes that it may still read."""

    seconds: float  # the longest that the call may take
    response_bytes: float = math.inf  # the bytes that may still be read

    def __post_init__(self) -> None:
        """Begin to count."""
        self._limit_seconds = self.seconds
        self._until = time.monotonic() + self.seconds

    def seconds_left(self) -> float:
        """Return the time that is left, in seconds.

        Raises:
            CallError: The time is up.
        """
        seconds = self._until - time.monotonic()
        if seconds <= 0:
            raise self.timeout_error()
        return seconds

    def timeout_error(self) -> CallError:
        """Return the error of a call whose time is up."""
        return CallError(
            f"the server did not respond within {self._limit_seconds:g} s"
        )

    def shorten(self, seconds: float) -> None:
        """Let the call take at most a number of seconds from now."""
        self._until = min(self._until, time.monotonic() + seconds)

    def count_bytes(self, count: int) -> None:
        """Count bytes that were read.

        Raises:
            CallError: They are more than the call may read.
        """
        self.response_bytes -= count
        if self.response_bytes < 0:
            raise CallError("the headers of the response are too large")


class JudgedBackend(httpcore.NetworkBackend):
    """Connects to a destination, unless one of its addresses is refused."""

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
        """Return the connection of `dial`, in the form that httpcore needs."""
        return _Stream(self.dial(host, port), self._allowance)

    def dial(self, host: str, port: int) -> socket.socket:
        """Connect to the first address that answers.

        Raises:
            CallError: An address is refused, or none answers.
        """
        addresses = self._addresses(host, port)
        for address in addresses:
            if not self.destination.accepts(ip_address(address)):
                raise CallError(
                    "the URL's host has an address that is not public"
                )
        for number, address in enumerate(addresses):
            # A dead address leaves the others their share of the time.
            seconds = self._allowance.seconds_left() / (len(addresses) - number)
            try:
                connection = socket.create_connection((address, port), seconds)
            except OSError:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        self._allowance.seconds_left()
        raise CallError("the server cannot be reached")

    def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            return [str(ip_address(host))]
        except ValueError:
            return self._look_up(host, port)

    def _look_up(self, host: str, port: int) -> Sequence[str]:
        lookups: list[Sequence[str]] = []

        def resolve() -> None:
            try:
                lookups.append(self._resolve(host, port))
            except (OSError, UnicodeError):
                # The name has no address, or no resolver can make anything of it.
                lookups.append(())

        # Nothing can break off a look-up, so one that takes too long is abandoned.
        thread = threading.Thread(target=resolve, name="host_name", daemon=True)
        thread.start()
        thread.join(self._allowance.seconds_left())
        if not lookups:
            raise self._allowance.timeout_error()
        (addresses,) = lookups
        if not addresses:
            raise CallError("the URL's host has no address")
        return addresses


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation counts against the call's allowance."""

    def __init__(self, connection: socket.socket, allowance: Allowance) -> None:
        self._socket = connection
        self._allowance = allowance

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._in_time(httpcore.ReadError):
            data = self._socket.recv(max_bytes)
        self._allowance.count_bytes(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        unsent = memoryview(buffer)
        while unsent:
            with self._in_time(httpcore.WriteError):
                sent_count = self._socket.send(unsent)
            unsent = unsent[sent_count:]

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
                reason = error.verify_message
                message = f"the server's certificate was refused: {reason}"
                raise CallError(message) from error
            except (ssl.SSLError, ValueError) as error:
                raise CallError("no TLS connection can be made") from error
            finally:
                # The encrypted socket has taken the connection over.
                self._socket.close()
        return _Stream(encrypted, self._allowance)

    def close(self) -> None:
        self._socket.close()

    def get_extra_info(self, info: str) -> Any:
        return None

    @contextmanager
    def _in_time(self, error_type: type[Exception]) -> Iterator[None]:
        self._socket.settimeout(self._allowance.seconds_left())
        try:
            yield
        except TimeoutError as error:
            raise self._allowance.timeout_error() from error
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
    """Send a request to the destination of a backend; yield the response as it comes.

    Raises:
        CallError: There is no response.
    """
    destination = backend.destination
    scheme = destination.scheme.encode()
    host = destination.host.encode()
    url = httpcore.URL(
        scheme=scheme,
        host=host,
        port=destination.port,
        target=destination.target.encode(),
    )
    all_headers = [
        *headers.items(),
        ("host", destination.host_header),
        ("connection", "close"),
    ]
    connection = httpcore.HTTPConnection(
        httpcore.Origin(scheme, host, destination.port),
        ssl_context=ssl_context,
        network_backend=backend,
    )
    with ExitStack() as stack:
        with _as_call_error():
            stack.enter_context(connection)
            stream = connection.stream(
                method, url, headers=all_headers, content=body
            )
            response = stack.enter_context(stream)
        yield response


def read_response(response: httpcore.Response) -> Iterator[bytes]:
    """Yield the bytes of a response as they come.

    Raises:
        CallError: The response broke off.
    """
    with _as_call_error():
        yield from response.iter_stream()


@contextmanager
def _as_call_error() -> Iterator[None]:
    try:
        yield
    except (httpcore.ProtocolError, httpcore.NetworkError, OSError) as error:
        message = "the server closed the connection, or its answer was not HTTP"
        raise CallError(message) from error
