"""The layer of compression that an upload may have: gzip, or a zip archive with one file in it.

What comes out is counted while it is unpacked. Names in an archive say nothing but what is a file.
"""

from __future__ import annotations

import io
import lzma
import zipfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO

import numpy as np
import pyarrow as pa

from relay_core.columnar.growable import GrowingArray
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.decoding import Buffer

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
_PIECE = 1 << 20
_MOST_OWN_ZEROS = 9
"""With so many zero bytes a member of gzip may end: an empty one has no more."""
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
    """Yield what the members hold, one after another; zero bytes may stand behind the last."""
    view, given = memoryview(data), 0
    if bytes(view[: len(GZIP)]) != GZIP:
        raise _damaged("gzip", "it does not begin as gzip's files do")
    try:
        for piece in _inflated(view):
            yield piece
            given += len(piece)
    except OSError as error:
        end = _end_before_zeros(view)
        if end is None:
            why = "it is cut short" if _is_cut(error) else str(error).rpartition(": ")[2]
            raise _damaged("gzip", why) from error
        for piece in _inflated(view[:end]):
            yield piece[given:]
            given = max(0, given - len(piece))


def _inflated(view: memoryview) -> Iterator[bytes]:
    """Yield what members hold that fill all of these bytes.

    Raises:
        OSError: they do not.
    """
    stream = pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(view)), "gzip")
    while piece := stream.read(_PIECE):
        yield piece


def _end_before_zeros(view: memoryview) -> int | None:
    """Return where the last member ends, if nothing but zero bytes stand behind it.

    Its own last bytes may be zeros. Cut before its end, or a byte behind it, members are cut short;
    with two zero bytes more behind it there is something that is none.
    """
    start = _filled(view)
    most = min(len(view) - start, _MOST_OWN_ZEROS + 2)
    fault = bisect_left(
        range(most + 1), True, key=lambda zeros: not _is_cut(_fault_of(view[: start + zeros]))
    )
    end = start + fault - 2
    return end if end >= start and _fault_of(view[:end]) is None else None


def _filled(view: memoryview) -> int:
    """Return how many bytes there are up to the last that is not zero."""
    for start in range((len(view) - 1) // _PIECE * _PIECE, -1, -_PIECE):
        if filled := len(bytes(view[start : start + _PIECE]).rstrip(b"\0")):
            return start + filled
    return 0


def _fault_of(view: memoryview) -> OSError | None:
    """Return why bytes are not members of gzip, None where they are."""
    try:
        for _ in _inflated(view):
            pass
    except OSError as error:
        return error
    return None


def _is_cut(fault: OSError | None) -> bool:
    """Tell whether members are whole, or only cut short."""
    return fault is None or "Truncated" in str(fault)


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
