"""Files of vendors' servers: their marks, and their ways to become uploads. Pure."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_MAX_NAME = 100
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
    """Return the key of a pulled file with a name, under a vendor's prefix."""
    safe_name = _UNSAFE_CHARACTERS.sub("_", name)[-_MAX_NAME:] or "feed"
    return f"{prefix}pulled/{now:%Y%m%dT%H%M%SZ}-{safe_name}"
