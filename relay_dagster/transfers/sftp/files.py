"""Files by SFTP: the newest one or all of a pattern, from a server with a known host key."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from posixpath import join, split
from urllib.parse import unquote

from relay_core.domain.destination import Destination
from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    UnfitFileError,
)
from relay_dagster.transfers.call_errors import as_call_error
from relay_dagster.transfers.sftp.login import NO_SFTP, REJECTED, logged_in
from relay_dagster.transfers.sftp.session import MAX_READ_BYTES, SftpSession
from relay_dagster.triggers.pulled_files import Download, FileMark

MAX_FILES = 100_000
"""The most files of a folder that is searched."""
NO_MATCH = "no file in the folder matches the name"
_SENTENCES = (
    REJECTED,
    (FileNotFoundError, "the server does not have this folder or file"),
    (
        PermissionError,
        "the user has no permission to read the folder or file",
    ),
    (UnicodeDecodeError, "the folder contains a name that is not UTF-8"),
)


@contextmanager
def open_sftp(
    destination: Destination,
    last_mark: FileMark,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
    *,
    host_key: str,
) -> Iterator[Download | None]:
    """Open the newest file of a pattern; yield None if it is the one with the last mark.

    Of equally new files, the last by name is the newest.

    Raises:
        CallError: The file cannot be fetched.
    """
    with open_folder(
        destination, secret, allowance, max_bytes, host_key=host_key
    ) as folder:
        marks = folder.files()
        newest = max(marks, key=lambda mark: mark.order, default=None)
        if newest is None:
            raise CallError(NO_MATCH)
        yield None if newest == last_mark else folder.download(newest)


@contextmanager
def open_folder(
    destination: Destination,
    secret: str | None,
    allowance: Allowance,
    max_bytes: int,
    *,
    host_key: str,
) -> Iterator["SftpFolder"]:
    """Open a folder with the files of a pattern.

    The last part of the path may have ``*`` and ``?``. A file that has more than
    ``max_bytes`` is not read. See `logged_in` for the secret and the host key.

    Raises:
        CallError: The folder cannot be opened.
    """
    with logged_in(
        destination, secret, allowance, _SENTENCES, host_key=host_key
    ) as session:
        folder, pattern = split(unquote(destination.target))
        yield SftpFolder(session, folder, pattern, allowance, max_bytes)


@dataclass(frozen=True, slots=True)
class SftpFolder:
    """An open folder of a server, and the pattern of the files that are read there."""

    session: SftpSession
    path: str
    pattern: str  # of the files' names, with ``*`` and ``?``
    allowance: Allowance
    max_bytes: int  # the size of the largest file that is read

    def files(self) -> Iterator[FileMark]:
        """Yield the marks of the files of the pattern, in any order.

        Raises:
            CallError: The folder cannot be listed, or has too many files.
        """
        # A bracket is a character like any other.
        pattern = self.pattern.replace("[", "[[]")
        with as_call_error(NO_SFTP, self.allowance, _SENTENCES):
            entries = self.session.entries(self.path)
            for count, (name, facts) in enumerate(entries):
                if count == MAX_FILES:
                    raise CallError(
                        f"the folder has more than {MAX_FILES:,} files"
                    )
                is_file = stat.S_ISREG(facts.mode) and _is_name(name)
                if is_file and fnmatchcase(name, pattern):
                    path = join(self.path, name)
                    yield FileMark(
                        path=path, size=facts.size, mtime=facts.mtime
                    )

    def download(self, mark: FileMark) -> Download:
        """Return a file of the folder, which is opened when it is read."""
        _, name = split(str(mark.path))
        chunks = _chunks(self.session, mark, self.allowance, self.max_bytes)
        return Download(name, mark, chunks)


def _is_name(text: str) -> bool:
    """Return False for a text that leads to another folder."""
    return "/" not in text and text not in {".", ".."}


def _chunks(
    session: SftpSession,
    mark: FileMark,
    allowance: Allowance,
    max_bytes: int,
) -> Iterator[bytes]:
    """Yield the bytes of a file.

    Raises:
        CallError: The file is too large, or changes while it is read.
    """
    size = mark.size or 0
    if size > max_bytes:
        raise UnfitFileError(
            f"the file has more than {max_bytes:,} bytes, which is the limit"
        )
    with as_call_error(NO_SFTP, allowance, _SENTENCES):
        handle = session.open_file(str(mark.path))
        offset = 0
        while offset < size:
            piece_bytes = min(size - offset, MAX_READ_BYTES)
            piece = session.read(handle, offset, piece_bytes)
            if not piece:
                break
            offset += len(piece)
            yield piece
        after = session.facts(handle)
        is_same = (after.size, after.mtime) == (mark.size, mark.mtime)
        if offset < size or not is_same:
            raise CallError("the file changed while it was read")
