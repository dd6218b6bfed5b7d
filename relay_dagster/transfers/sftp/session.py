"""SFTP version 3 over one SSH channel, one request at a time.

paramiko's own client trusts the server: a list of names may announce four billion of
them, and a message may have 16 MiB. This one reads nothing beyond a message's end and no
message that is longer than a mebibyte, so each answer costs what its bytes cost.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import paramiko

from relay_dagster.transfers.allowance import (
    WAIT_SECONDS,
    Allowance,
    CallError,
)
from relay_dagster.transfers.sftp.ssh_connection import (
    HANDSHAKE_SECONDS,
    WINDOW_BYTES,
    BoundedPacketizer,
)

MAX_MESSAGE_BYTES = 1 << 20
MAX_READ_BYTES = 255 << 10
"""The bytes of one read; a server that knows smaller ones only answers with less."""
MAX_WRITE_BYTES = 32 << 10
"""The bytes of one write; every server takes a message of that size."""
MAX_OPEN_WRITES = 64
"""The most writes that wait for their answers, so that a distant server is not slow."""
_VERSION = 3
_MAX_PACKET_BYTES = 1 << 15

_INIT = 1
_VERSION_ANSWER = 2
_OPEN = 3
_CLOSE = 4
_READ = 5
_WRITE = 6
_FSTAT = 8
_OPENDIR = 11
_READDIR = 12
_REMOVE = 13
_RENAME = 18
_STATUS = 101
_HANDLE = 102
_DATA = 103
_NAME = 104
_ATTRIBUTES = 105
_EXTENDED = 200

_FOR_READING = 1
# For writing, created if it is not there, and emptied
_FOR_A_NEW_FILE = 2 | 8 | 16
_DONE = 0
_AT_END = 1
_NOT_THERE = 2
_NOT_PERMITTED = 3
_POSIX_RENAME = b"posix-rename@openssh.com"

_HAS_SIZE = 1
_HAS_OWNER = 2
_HAS_MODE = 4
_HAS_TIMES = 8
_HAS_EXTENSIONS = 1 << 31


class SftpGarbledError(Exception):
    """The server's answer is not SFTP."""


class SftpRefusedError(Exception):
    """The server refuses a request, for a reason of its own."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The facts that a server tells of a file; 0 if it does not tell one."""

    size: int  # in bytes
    mode: int  # its kind and permissions, as of `stat`
    mtime: int  # in seconds since 1970


class _Fields:
    """The fields of a message, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise SftpGarbledError("a message ends too early")
        piece = bytes(self._data[:size])
        self._data = self._data[size:]
        return piece

    @property
    def is_read(self) -> bool:
        """True if nothing is left of the message."""
        return not self._data

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def text(self) -> bytes:
        return self.take(self.number())

    def facts(self) -> FileFacts:
        flags = self.number()
        size = 0
        mode = 0
        mtime = 0
        if flags & _HAS_SIZE:
            size = int.from_bytes(self.take(8), "big")
        if flags & _HAS_OWNER:
            self.take(8)
        if flags & _HAS_MODE:
            mode = self.number()
        if flags & _HAS_TIMES:
            self.take(4)
            mtime = self.number()
        if flags & _HAS_EXTENSIONS:
            for _ in range(self.number()):
                self.text()
                self.text()
        return FileFacts(size, mode, mtime)


class SftpSession:
    """The client's side of a session. Every method may raise whatever garbles it."""

    def __init__(
        self, transport: paramiko.Transport, allowance: Allowance
    ) -> None:
        self._transport = transport
        self._allowance = allowance
        self._request_number = 0
        self._channel: paramiko.Channel | None = None
        self._file: bytes | None = None  # the handle of the open file
        self._open_writes: set[int] = set()
        self.replaces_on_rename = False  # whether it announces to do so

    def begin(self) -> None:
        """Open the channel and agree on the version."""
        self._channel = self._transport.open_session(
            window_size=WINDOW_BYTES,
            max_packet_size=_MAX_PACKET_BYTES,
            timeout=HANDSHAKE_SECONDS,
        )
        self._channel.settimeout(WAIT_SECONDS)
        self._channel.invoke_subsystem("sftp")
        self._send(_INIT, struct.pack(">I", _VERSION))
        kind, fields = self._answer()
        if kind != _VERSION_ANSWER or fields.number() < _VERSION:
            raise SftpGarbledError("the server has another version")
        # Files can be read from a server whose extensions are garbled.
        with suppress(SftpGarbledError):
            while not fields.is_read:
                extension = fields.text()
                fields.text()  # its version
                if extension == _POSIX_RENAME:
                    self.replaces_on_rename = True

    def entries(self, folder: str) -> Iterator[tuple[str, FileFacts]]:
        """Yield the name and the facts of each entry of a folder."""
        handle = self._open(_OPENDIR, _text(folder.encode()))
        while True:
            kind, fields = self._request(_READDIR, _text(handle))
            if kind == _STATUS and _is_at_end(fields):
                break
            if kind != _NAME:
                raise SftpGarbledError("an answer is of another kind")
            for _ in range(fields.number()):
                name = fields.text().decode()
                fields.text()  # the same for people
                yield name, fields.facts()
        # A file's handle ends with the connection, but some servers allow only one.
        self._request(_CLOSE, _text(handle))

    def open_file(self, path: str) -> bytes:
        """Return the handle of a file, opened for reading; the one before is closed."""
        if self._file is not None:
            self._request(_CLOSE, _text(self._file))
        self._file = None
        self._file = self._open(
            _OPEN, _text(path.encode()) + struct.pack(">II", _FOR_READING, 0)
        )
        return self._file

    def read(self, handle: bytes, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes of a file; return none at its end."""
        content = _text(handle) + struct.pack(">QI", offset, size)
        kind, fields = self._request(_READ, content)
        if kind == _STATUS and _is_at_end(fields):
            return b""
        if kind != _DATA:
            raise SftpGarbledError("an answer is of another kind")
        data = fields.text()
        if not 0 < len(data) <= size:
            raise SftpGarbledError("an answer has another size")
        return data

    def facts(self, handle: bytes) -> FileFacts:
        """Return the facts of an open file."""
        kind, fields = self._request(_FSTAT, _text(handle))
        if kind == _STATUS:
            _refuse(fields)
        if kind != _ATTRIBUTES:
            raise SftpGarbledError("an answer is of another kind")
        return fields.facts()

    # --- files that are written ---------------------------------------------------------

    def create_file(self, path: str) -> bytes:
        """Return the handle of an empty file, opened for writing."""
        return self._open(
            _OPEN,
            _text(path.encode()) + struct.pack(">II", _FOR_A_NEW_FILE, 0),
        )

    def write(self, handle: bytes, offset: int, data: bytes) -> None:
        """Write bytes of a file at an offset.

        The answers of the last writes are open until `settle_writes` has read them.
        """
        for start in range(0, len(data), MAX_WRITE_BYTES):
            piece = data[start : start + MAX_WRITE_BYTES]
            place = struct.pack(">Q", offset + start)
            number = self._ask(_WRITE, _text(handle) + place + _text(piece))
            self._open_writes.add(number)
            if len(self._open_writes) >= MAX_OPEN_WRITES:
                self._settle_write()

    def settle_writes(self) -> None:
        """Wait until the server has answered all writes."""
        while self._open_writes:
            self._settle_write()

    def close_file(self, handle: bytes) -> None:
        """Close a file; its bytes are complete then."""
        self._act(_CLOSE, _text(handle))

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._act(_REMOVE, _text(path.encode()))

    def rename(self, path: str, new_path: str) -> None:
        """Rename a file; a server may refuse that if the new path has one."""
        self._act(_RENAME, _text(path.encode()) + _text(new_path.encode()))

    def replace(self, path: str, new_path: str) -> None:
        """Rename a file over whatever the new path has."""
        paths = _text(path.encode()) + _text(new_path.encode())
        self._act(_EXTENDED, _text(_POSIX_RENAME) + paths)

    def _act(self, kind: int, content: bytes) -> None:
        """Make a request whose answer is only that it was done."""
        answer_kind, fields = self._request(kind, content)
        _check_done(answer_kind, fields)

    def _settle_write(self) -> None:
        """Read the answer of one of the open writes, in whatever order they come."""
        kind, fields = self._answer()
        number = fields.number()
        if number not in self._open_writes:
            raise SftpGarbledError("an answer is to another request")
        self._open_writes.remove(number)
        _check_done(kind, fields)

    # --- requests and answers -----------------------------------------------------------

    def _open(self, kind: int, content: bytes) -> bytes:
        answer_kind, fields = self._request(kind, content)
        if answer_kind == _STATUS:
            _refuse(fields)
        if answer_kind != _HANDLE:
            raise SftpGarbledError("an answer is of another kind")
        return fields.text()

    def _request(self, kind: int, content: bytes) -> tuple[int, _Fields]:
        """Send a request, and return its answer's kind and fields."""
        number = self._ask(kind, content)
        answer_kind, fields = self._answer()
        if fields.number() != number:
            raise SftpGarbledError("an answer is to another request")
        return answer_kind, fields

    def _ask(self, kind: int, content: bytes) -> int:
        """Send a request, and return its number."""
        self._request_number += 1
        self._send(kind, struct.pack(">I", self._request_number) + content)
        return self._request_number

    def _send(self, kind: int, content: bytes) -> None:
        unsent = struct.pack(">IB", len(content) + 1, kind) + content
        while unsent:
            self._allowance.seconds_left()
            try:
                sent_count = self._open_channel.send(unsent)
            except TimeoutError:
                continue
            if not sent_count:
                raise EOFError
            unsent = unsent[sent_count:]

    def _answer(self) -> tuple[int, _Fields]:
        size = int.from_bytes(self._receive(4), "big")
        if not 0 < size <= MAX_MESSAGE_BYTES:
            raise SftpGarbledError("a message has an impossible length")
        message = _Fields(self._receive(size))
        return message.take(1)[0], message

    def _receive(self, size: int) -> bytes:
        """Return ``size`` bytes of the channel."""
        data = bytearray()
        packetizer = self._transport.packetizer
        while len(data) < size:
            self._allowance.seconds_left()
            try:
                piece = self._open_channel.recv(size - len(data))
            except TimeoutError:
                continue
            if not piece:
                raise EOFError
            if isinstance(packetizer, BoundedPacketizer):
                packetizer.note_read(len(piece))
            data += piece
        return bytes(data)

    @property
    def _open_channel(self) -> paramiko.Channel:
        if self._channel is None:
            raise CallError("the server does not support SFTP")
        return self._channel


def _text(data: bytes) -> bytes:
    """Return bytes as a field of a message."""
    return struct.pack(">I", len(data)) + data


def _is_at_end(fields: _Fields) -> bool:
    """Return True for the end of a file or folder; raise any other status."""
    code = fields.number()
    if code != _AT_END:
        _refuse_code(code)
    return True


def _check_done(kind: int, fields: _Fields) -> None:
    """Raise the status of a request that was not done."""
    if kind != _STATUS:
        raise SftpGarbledError("an answer is of another kind")
    code = fields.number()
    if code != _DONE:
        _refuse_code(code)


def _refuse(fields: _Fields) -> NoReturn:
    _refuse_code(fields.number())


def _refuse_code(code: int) -> NoReturn:
    if code == _NOT_THERE:
        raise FileNotFoundError
    if code == _NOT_PERMITTED:
        raise PermissionError
    raise SftpRefusedError(code)
