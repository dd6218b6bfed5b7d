"""An SSH connection whose server can send no more than this process is willing to hold.

paramiko reads packets and banners of any length, and keeps all data that a server sends
beyond the window that it was given. Here a connection counts against an allowance, and
the server's part in the protocol is limited: the lengths of packets and banners, the
bytes that wait to be read, and the number of packets that carry no data.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import paramiko
from paramiko.common import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_EXT_INFO,
    MSG_IGNORE,
)
from paramiko.message import Message
from paramiko.packet import Packetizer

from relay_dagster.transfers.allowance import (
    WAIT_SECONDS,
    Allowance,
    PieceCount,
)

MAX_PACKET_BYTES = 256 << 10
"""The longest packet. The protocol asks for 35,000 bytes; servers send up to 64 KiB."""
MAX_BANNER_BYTES = 64 << 10
HANDSHAKE_SECONDS = 15.0
"""The longest that each step takes until files can be read."""
WINDOW_BYTES = 1 << 20
"""The bytes that a server may send before they are read."""
MAX_OTHER_PACKETS = 10_000
"""The most packets that carry no data, beyond one for each that does."""
_MAX_EXTENSIONS = 64
_RECEIVED_BYTES = 64 << 10
# A packet carries a checksum besides its announced length.
_CHECKSUM_BYTES = 64
# A packet of data begins with the channel's number and the length of the data.
_DATA_HEAD_BYTES = 8


class _CountedSocket:
    """A socket whose bytes count against an allowance.

    It receives as much as there is, so small pieces are those of the network, not those
    of paramiko, which asks for a packet's head, its body and its checksum one by one.
    """

    def __init__(self, connection: socket.socket, allowance: Allowance) -> None:
        self._connection = connection
        self._allowance = allowance
        self._pieces = PieceCount(allowance)
        self._unread = memoryview(b"")

    def recv(self, size: int) -> bytes:
        if not self._unread:
            data = self._connection.recv(_RECEIVED_BYTES)
            self._allowance.count_bytes(len(data))
            self._pieces.add(len(data))
            self._unread = memoryview(data)
        piece = self._unread[:size]
        self._unread = self._unread[size:]
        return bytes(piece)

    def send(self, data: bytes) -> int:
        count = self._connection.send(data)
        self._allowance.note_sent(count)
        return count

    def settimeout(self, seconds: float) -> None:
        self._connection.settimeout(seconds)

    def close(self) -> None:
        self._connection.close()

    @property
    def _closed(self) -> bool:
        # paramiko asks sockets for this attribute.
        return self._connection.fileno() < 0


class BoundedPacketizer(Packetizer):
    """Reads packets of a limited length, and a limited number of them."""

    def __init__(self, connection: Any, allowance: Allowance) -> None:
        super().__init__(connection)
        self._allowance = allowance
        self._pieces = PieceCount(allowance)
        self._banner_bytes = 0
        self._banner_until = allowance.age + HANDSHAKE_SECONDS
        self._other_packets = 0
        self._unread_bytes = 0
        self._count_lock = threading.Lock()

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Return ``n`` bytes of the connection.

        Raises:
            SSHException: They are more than a packet may have.
        """
        if n > MAX_PACKET_BYTES + _CHECKSUM_BYTES:
            raise paramiko.SSHException("a packet is too long")
        return super().read_all(n, check_rekey)

    def _read_timeout(self, timeout: float) -> bytes:
        """Return the next bytes of the banner.

        Raises:
            SSHException: The banner is too long, or takes too long.
        """
        if self._allowance.age > self._banner_until:
            raise paramiko.SSHException("the banner does not end")
        data: bytes = super()._read_timeout(timeout)  # type: ignore[misc] # the stubs leave it out
        self._banner_bytes += len(data)
        if self._banner_bytes > MAX_BANNER_BYTES:
            raise paramiko.SSHException("the banner is too long")
        return data

    def read_message(self) -> tuple[int, Message]:
        """Return the next packet's type and content.

        Raises:
            SSHException: The server sends what a server of files has no reason to send.
            CallError: The allowance is used up.
        """
        kind, message = super().read_message()
        if kind == MSG_CHANNEL_DATA:
            content_bytes = len(message.asbytes()) - _DATA_HEAD_BYTES
            self._count_data(max(0, content_bytes))
            return kind, message
        self._other_packets += 1
        if self._other_packets > self._pieces.count + MAX_OTHER_PACKETS:
            raise paramiko.SSHException("too many packets carry no data")
        if kind == MSG_CHANNEL_EXTENDED_DATA:
            # Nobody would read a server's error output, so it is not kept.
            return MSG_IGNORE, message
        if kind == MSG_EXT_INFO:
            # paramiko reads as many extensions as the packet announces.
            count = int.from_bytes(message.asbytes()[:4], "big")
            if count > _MAX_EXTENSIONS:
                raise paramiko.SSHException("too many extensions")
        return kind, message

    def note_read(self, count: int) -> None:
        """Note that bytes of a channel were read, so that more may come."""
        with self._count_lock:
            self._unread_bytes -= count

    def _count_data(self, count: int) -> None:
        self._pieces.add(count)
        with self._count_lock:
            self._unread_bytes += count
            is_over = self._unread_bytes > WINDOW_BYTES + MAX_PACKET_BYTES
        if is_over:
            raise paramiko.SSHException("the server ignores the window")


@contextmanager
def connected(
    connection: socket.socket, allowance: Allowance
) -> Iterator[paramiko.Transport]:
    """Yield the client's side of SSH over a connection, which is closed at the end.

    Whatever the server does, the connection ends when the allowance does.
    """
    transport = paramiko.Transport(
        _CountedSocket(connection, allowance),  # type: ignore[arg-type] # all of a socket that paramiko uses
        packetizer_class=partial(BoundedPacketizer, allowance=allowance),  # type: ignore[arg-type] # it is only called
    )
    transport.banner_timeout = HANDSHAKE_SECONDS
    transport.handshake_timeout = HANDSHAKE_SECONDS
    transport.auth_timeout = HANDSHAKE_SECONDS
    is_over = threading.Event()
    watch = threading.Thread(
        target=_close_in_time,
        args=(transport, allowance, is_over),
        name="ssh_watch",
        daemon=True,
    )
    watch.start()
    try:
        yield transport
    finally:
        is_over.set()
        transport.close()


def _close_in_time(
    transport: paramiko.Transport,
    allowance: Allowance,
    is_over: threading.Event,
) -> None:
    """Close a connection when its allowance ends; what waits for the server fails then."""
    while not is_over.wait(WAIT_SECONDS):
        try:
            allowance.seconds_left()
        except Exception:  # noqa: BLE001 - the code that waits for the server asks for the reason
            transport.close()
            return
