"""Files of vendors' servers: their marks, and their ways to become uploads. Pure."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_MAX_NAME = 100
_DIGEST_LENGTH = 16
_INSTANT_FORMAT = "%Y%m%dT%H%M%SZ"
_UNSAFE_CHARACTERS = re.compile("[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMark:
    """The marks that tell a file from a later one without reading it.

    ``etag`` and ``last_modified`` are of an HTTPS server, as it wrote them. ``path``,
    ``size`` in bytes and ``mtime``, in seconds since 1970 by the server's clock, are of
    an SFTP server.
    """

    etag: str | None = None
    last_modified: str | None = None
    path: str | None = None
    size: int | None = None
    mtime: int | None = None

    @property
    def order(self) -> tuple[int, str]:
        """A sort key of an SFTP server's files: the time of change, then the path."""
        return self.mtime or 0, self.path or ""

    @property
    def digest(self) -> str:
        """A text that tells an SFTP server's file from others, and from a later one."""
        text = f"{self.mtime} {self.size} {self.path}"
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


NO_MARK = FileMark()
"""The mark of an unknown file."""


@dataclass(frozen=True, slots=True)
class Download:
    """An open file at a host outside, which can be read once."""

    name: str  # the last part of its path, decoded
    mark: FileMark  # the marks that may spare the next transfer
    chunks: Iterator[bytes]  # its bytes; raises `CallError` if they break off


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedFile:
    """A new file that is complete under a key of its own, and is to be an upload."""

    key: str  # where it was staged
    source: str  # the digest of the pull that it came by
    target: str  # the key of the upload that it becomes
    sha256: str
    mark: FileMark


def target_key(prefix: str, name: str, now: datetime) -> str:
    """Return the key of a pulled file with a name, under an input's prefix."""
    safe_name = _UNSAFE_CHARACTERS.sub("_", name)[-_MAX_NAME:] or "feed"
    return f"{prefix}pulled/{now.strftime(_INSTANT_FORMAT)}-{safe_name}"


def pulled_at(key: str) -> datetime | None:
    """Return the time in the key of a pulled file; None if the key has none."""
    text, _, _ = key.rpartition("/")[2].partition("-")
    try:
        return datetime.strptime(text, _INSTANT_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None
