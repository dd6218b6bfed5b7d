"""Connections for one call to a host outside: to a judged address, for a limited time.

The host's name is looked up once a call, and all its addresses are judged before any is
connected to, so a name that leads elsewhere a moment later leads nowhere. No proxy of
the environment comes between. The bytes that are read of a response are limited too.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import Any

import httpcore

from relay_core.domain.destination import Destination
from relay_dagster.transfers.allowance import Allowance, CallError
from relay_dagster.transfers.call_errors import as_call_error

CONNECT_SECONDS = 30.0
"""The longest that looking a name up, connecting, or TLS's handshake may take."""
NO_HTTP = "the server closed the connection, or its answer was not HTTP"
Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name, as text; raises `OSError` if it has none."""


def system_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name, each once, as this machine knows them."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(socket_address[0]) for *_, socket_address in entries]
    return list(dict.fromkeys(addresses))


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
            seconds = self._connect_seconds() / (len(addresses) - number)
            try:
                connection = socket.create_connection((address, port), seconds)
            except OSError:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        self._allowance.seconds_left()
        raise CallError("the server cannot be reached")

    def _connect_seconds(self) -> float:
        return min(self._allowance.seconds_left(), CONNECT_SECONDS)

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
        thread.join(self._connect_seconds())
        if not lookups:
            self._allowance.seconds_left()
            raise CallError("the URL's host could not be looked up in time")
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
        data = None
        while data is None:
            data = self._read_within(self._allowance.wait_seconds(), max_bytes)
        self._allowance.count_bytes(len(data))
        return data

    def _read_within(self, seconds: float, max_bytes: int) -> bytes | None:
        """Return bytes that have come; return None if none come in time."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(max_bytes)
        except TimeoutError:
            return None
        except OSError as error:
            raise httpcore.ReadError(type(error).__name__) from error

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
        seconds = min(self._allowance.seconds_left(), CONNECT_SECONDS)
        self._socket.settimeout(seconds)
        try:
            yield
        except TimeoutError as error:
            if seconds < CONNECT_SECONDS:
                raise self._allowance.timeout_error() from error
            raise CallError("the server did not respond in time") from error
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
        with as_call_error(NO_HTTP):
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
    with as_call_error(NO_HTTP):
        yield from response.iter_stream()
