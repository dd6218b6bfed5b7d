"""The layer of compression that an upload may have: gzip, or a zip archive with one file in it.

What comes out is counted while it is unpacked. Names in an archive say nothing but what is a file.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

from relay_core.columnar.growable import GrowingArray
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.decoding import Buffer

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
_PIECE = 1 << 20
_LEAST = 1 << 12
"""How much of a member is tried first: there may be many, and small ones."""
_LARGEST_READ = 16 << 20
"""No read of an archive is larger, but that of a list of some hundred thousand files."""
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
"""What an archive that is damaged, or none, raises."""


def compression_of(data: Buffer, configured: str) -> str:
    """Return ``gzip``, ``zip`` or ``none``: what is configured, or what the first bytes say."""
    if configured != "auto":
        return configured
    start = bytes(memoryview(data)[:4])
    return "gzip" if start.startswith(GZIP) else "zip" if start == ZIP else "none"


def unpack(data: Buffer, compression: str, limits: Limits) -> Buffer:
    """Return an upload without its layer of compression; ``auto`` goes by its first bytes.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR``: it is damaged, or something else; ``invalid_input``:
            an archive of no file or of several, of an encrypted one, or packed in an unknown way;
            ``feed_too_large``: it unpacks to more than a feed may have.
    """
    kind = compression_of(data, compression)
    if kind == "none" or not len(data):
        return data
    unpacked = GrowingArray(np.uint8)
    for piece in _gzip_pieces(data) if kind == "gzip" else _zip_pieces(data):
        if len(unpacked) + len(piece) > limits.feed_bytes:
            raise too_much(limits)
        unpacked.append(np.frombuffer(piece, np.uint8))
    return memoryview(unpacked.array().data)


def unpack_head(data: Buffer, compression: str, most: int) -> tuple[bytes, bool]:
    """Return the first bytes of what is in a layer of compression, and whether they are all.

    Raises:
        FeedUnreadableError: as from `unpack`, as far as it is unpacked.
    """
    head = bytearray()
    for piece in _gzip_pieces(data) if compression == "gzip" else _zip_pieces(data):
        head += piece
        if len(head) > most:
            return bytes(head[:most]), False
    return bytes(head), True


def too_much(limits: Limits) -> FeedUnreadableError:
    """Return what is wrong with a feed that unpacks to more than it may."""
    return FeedUnreadableError(
        FailureCode.FEED_TOO_LARGE,
        f"it unpacks to more than {limits.feed_bytes} bytes, which are the most; upload a smaller "
        "one, without columns and rows that nobody needs",
    )


def _gzip_pieces(data: Buffer) -> Iterator[bytes]:
    """Yield what each member holds, one after another; zero bytes may stand behind the last."""
    view, position = memoryview(data), 0
    while position < len(view):
        if position and not view[position]:
            _refuse_all_but_zeros(view[position:])
            return
        member, size = zlib.decompressobj(wbits=31), _LEAST
        while not member.eof:
            start = bytes(view[position : position + size])
            if not start:
                raise _damaged("gzip", "it is cut short")
            try:
                piece = member.decompress(start, _PIECE)
            except zlib.error as error:
                raise _damaged("gzip", str(error)) from error
            left = member.unused_data if member.eof else member.unconsumed_tail
            position += len(start) - len(left)
            size = min(8 * size, _PIECE)
            yield piece


def _refuse_all_but_zeros(rest: memoryview) -> None:
    pieces = (bytes(rest[start : start + _PIECE]) for start in range(0, len(rest), _PIECE))
    if any(piece.strip(b"\0") for piece in pieces):
        raise _damaged("gzip", "something else stands behind its end")


def _zip_pieces(data: Buffer) -> Iterator[bytes]:
    """Yield the one file of an archive."""
    try:
        with open_archive(data) as archive, _open_only_file(archive) as file:
            while piece := file.read(_PIECE):
                yield piece
    except NotImplementedError as error:
        raise _unusable(f"its file is packed in a way that is not known ({error})") from error
    except BROKEN as error:
        raise _damaged("zip", str(error) or "it is cut short") from error


def open_archive(data: Buffer) -> zipfile.ZipFile:
    """Open a zip archive; no file of it is read.

    Raises:
        zipfile.BadZipFile: it is none, or has far too many files.
    """
    return zipfile.ZipFile(io.BufferedReader(_Bytes(data), 1 << 16))


def _open_only_file(archive: zipfile.ZipFile) -> IO[bytes]:
    files = [each for each in archive.infolist() if _is_file(each)]
    if len(files) != 1:
        names = listed((shorten(each.filename) for each in files), ", ", len(files))
        found = f"holds {len(files)} files ({names})" if files else "holds no file"
        raise _unusable(f"it {found}, and one is wanted")
    if files[0].flag_bits & 1:
        raise _unusable("its file is encrypted")
    return archive.open(files[0])


def _is_file(entry: zipfile.ZipInfo) -> bool:
    name = entry.filename
    hidden = name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")
    return not entry.is_dir() and not hidden


def _damaged(kind: str, why: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.DECODE_ERROR,
        f"the file cannot be unpacked as {kind}: {why}; upload it again, or set "
        "parser.compression to what it is",
    )


def _unusable(why: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"the zip archive cannot be used: {why}; pack one file, without a password, with deflate",
    )


class _Bytes(io.RawIOBase):
    """Bytes as a file, without a copy of them."""

    def __init__(self, data: Buffer) -> None:
        self._data, self._position = memoryview(data), 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to an offset; beyond the end nothing is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}
        self._position = base[whence] + offset
        if self._position < 0:
            raise OSError("an offset lies before the file")
        return self._position

    def tell(self) -> int:
        """Return the offset."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as there are bytes."""
        if len(buffer) > _LARGEST_READ:
            raise zipfile.BadZipFile("it lists far too many files")
        part = self._data[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)
