"""Servers that try to exhaust a client that moves files; each of them does one thing wrong.

Those of HTTP are answers for `support.pulls_world.file_server`. Those of SSH come in two kinds:
some never get as far as a login and need no key, the others let the user in, and garble SFTP.
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import struct
import threading
from collections.abc import Iterable
from itertools import repeat

import asyncssh

from support.pulls_world import Answering
from support.receivers import Behavior, Received
from support.sftp_servers import Garbling

HUGE_BYTES = 1_400_000_000
_OK = b"HTTP/1.1 200 OK\r\n"


# --- HTTP -----------------------------------------------------------------------------------------


def _without_end(head: bytes, piece: bytes) -> Answering:
    def answer(connection: socket.socket, _: Received) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return answer


one_byte_chunks = _without_end(
    _OK + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000
)
one_byte_members = _without_end(
    _OK + b"content-encoding: gzip\r\n\r\n", gzip.compress(b"x") * 4_000
)
empty_members = _without_end(
    _OK + b"content-encoding: gzip\r\n\r\n", gzip.compress(b"") * 4_000
)
endless_file = _without_end(_OK + b"\r\n", b"sku-0001,5,10.00\n" * 4_000)
endless_header = _without_end(_OK + b"x: ", b"x" * 65_536)
endless_interim_answers = _without_end(
    b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 1_000
)


def dripping_file(seconds: float, over: threading.Event) -> Answering:
    """Return what sends a byte of a file now and again, for ever."""

    def answer(connection: socket.socket, _: Received) -> None:
        connection.sendall(_OK + b"\r\n")
        while not over.wait(seconds):
            connection.sendall(b"x")

    return answer


HTTP_FLOODS: dict[str, Answering] = {
    "chunks of one byte": one_byte_chunks,
    "gzip members of one byte": one_byte_members,
    "empty gzip members": empty_members,
    "a file without an end": endless_file,
    "a header without an end": endless_header,
    "interim answers without an end": endless_interim_answers,
}


# --- SSH before the login -------------------------------------------------------------------------


def _ssh(head: bytes, piece: bytes) -> Behavior:
    def behave(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return behave


def dripping_banner(over: threading.Event) -> Behavior:
    """Return what sends a character of its banner ten times a second, for ever."""

    def behave(connection: socket.socket) -> None:
        while not over.wait(0.1):
            connection.sendall(b"S")

    return behave


_BANNER = b"SSH-2.0-hostile\r\n"
_IGNORED = struct.pack(">IBBI", 12, 5, 2, 0) + bytes(6)
BANNERS_AND_PACKETS: dict[str, Behavior] = {
    "a banner without an end": _ssh(b"", b"x" * 65_536),
    "banner lines without an end": _ssh(b"", b"hello\r\n" * 8_000),
    "a packet without an end": _ssh(
        _BANNER + struct.pack(">I", HUGE_BYTES), b"x" * 65_536
    ),
    "packets without an end": _ssh(_BANNER, _IGNORED * 4_000),
    "another protocol": _ssh(b"", b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100),
}


# --- SFTP behind the login ------------------------------------------------------------------------


def message(kind: int, content: bytes = b"") -> bytes:
    """Return a message of SFTP."""
    return struct.pack(">IB", len(content) + 1, kind) + content


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _first(data: bytes) -> Garbling:
    """Return what answers the first message, the client's version, with some bytes."""

    async def garble(process: asyncssh.SSHServerProcess[bytes]) -> None:
        await _request(process)
        process.stdout.write(data)
        await process.stdin.read()

    return garble


def _to_folder(kind: int, content: bytes) -> Garbling:
    """Return what opens any folder, and answers the request for its names with a message."""

    async def garble(process: asyncssh.SSHServerProcess[bytes]) -> None:
        await _request(process)
        process.stdout.write(message(2, struct.pack(">I", 3)))
        number = await _request(process)
        process.stdout.write(message(102, number + _text(b"handle")))
        number = await _request(process)
        process.stdout.write(message(kind, number + content))
        await process.stdin.read()

    return garble


async def _request(process: asyncssh.SSHServerProcess[bytes]) -> bytes:
    """Read a message, and return the number of the request."""
    size = int.from_bytes(await process.stdin.readexactly(4), "big")
    content = await process.stdin.readexactly(size)
    return content[1:5]


async def _close(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit(0)


async def _error_output(process: asyncssh.SSHServerProcess[bytes]) -> None:
    while True:
        process.stderr.write(b"x" * 32_768)
        await process.stderr.drain()


def _flooding(head: bytes, pieces: Iterable[bytes]) -> Garbling:
    """Return what writes bytes below the protocol, as fast as they are read."""

    async def garble(process: asyncssh.SSHServerProcess[bytes]) -> None:
        connection = process.channel.get_connection()
        transport = connection._transport
        assert transport is not None
        transport.write(head)
        for piece in pieces:
            if transport.is_closing():
                return
            transport.write(piece)
            while transport.get_write_buffer_size() > 1 << 20:
                await asyncio.sleep(0.01)

    return garble


def _packets(data: bytes, count: int) -> Garbling:
    """Return what sends packets of data, whatever the window is."""

    async def garble(process: asyncssh.SSHServerProcess[bytes]) -> None:
        for _ in range(count):
            process.channel.send_packet(94, _text(data))
        await process.stdin.read()

    return garble


async def _another_request(process: asyncssh.SSHServerProcess[bytes]) -> None:
    await _request(process)
    process.stdout.write(message(2, struct.pack(">I", 3)))
    await _request(process)
    process.stdout.write(message(102, struct.pack(">I", 999) + _text(b"h")))
    await process.stdin.read()


_COUNT = 0xFFFF_FFFF
_MANY = struct.pack(">I", _COUNT)
SFTP_GARBAGE: dict[str, Garbling] = {
    "a message of an impossible length": _first(b"\xff" * 64),
    "a message without an end": _first(
        struct.pack(">I", 16_000_000) + bytes(65_536)
    ),
    "an empty message": _first(bytes(4)),
    "half a version": _first(message(2, b"\0\0")),
    "an older version": _first(message(2, struct.pack(">I", 2))),
    "an unknown kind of message": _first(message(250, b"\0" * 8)),
    "nothing but the end": _close,
    "an answer to another request": _another_request,
    "four billion names": _to_folder(104, _MANY),
    "four billion facts of a file": _to_folder(
        104,
        struct.pack(">I", 1)
        + _text(b"stock-1.csv") * 2
        + struct.pack(">I", 1 << 31)
        + _MANY,
    ),
    "a name that is not UTF-8": _to_folder(
        104, struct.pack(">I", 1) + _text(b"\xff.csv") * 2 + bytes(4)
    ),
    "a handle in place of names": _to_folder(102, _text(b"handle")),
    "a status without a code": _to_folder(101, b""),
    "a status that nobody knows": _to_folder(101, struct.pack(">I", 77)),
}
"""What garbles SFTP, each in a way of its own."""
SFTP_FLOODS: dict[str, Garbling] = {
    "a packet without an end": _flooding(
        struct.pack(">I", HUGE_BYTES), repeat(bytes(65_536))
    ),
    "data beyond the window": _packets(bytes(32_768), 1_000),
    "packets of no data": _packets(b"", 70_000),
    "error output without an end": _error_output,
}
"""What sends more than a server of files has to say."""
