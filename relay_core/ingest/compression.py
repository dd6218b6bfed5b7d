"""The layer of an upload, gzip, or a zip archive of one file; what comes out is counted at once."""

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Any

import numpy as np
import pyarrow as pa

from relay_core.columnar.growing_columns import GrowingArray
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import FailureCode
from relay_core.domain.errors import FeedUnreadableError
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.feed import Buffer

GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
_PIECE = 1 << 20
_MAX_READ = 16 << 20
"""The largest read of an archive; the list of some hundred thousand files would be larger."""
BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
"""What an archive that is damaged, or none, raises."""


def compression_of(data: Buffer) -> str:
    """Return ``gzip``, ``zip`` or ``none``, as the first bytes say."""
    start = bytes(memoryview(data)[:4])
    return "gzip" if start.startswith(GZIP) else "zip" if start == ZIP else "none"


def unpack(data: Buffer, compression: str, limits: Limits) -> Buffer:
    """Return an upload without its layer of compression; ``auto`` goes by its first bytes.

    `FeedUnreadableError`: ``DECODE_ERROR``: it is damaged, or something else; ``invalid_input``: an
    archive of no file or of several, of an encrypted one, or packed in an unknown way;
    ``feed_too_large``: it unpacks to more than a feed may have.
    """
    kind = compression_of(data) if compression == "auto" else compression
    if kind == "none" or not len(data):
        return data
    unpacked = GrowingArray(np.uint8)
    for piece in pieces(data, kind):
        if unpacked.size + len(piece) > limits.feed_bytes:
            raise too_much(limits)
        unpacked.append(np.frombuffer(piece, np.uint8))
    return memoryview(unpacked.array().data)


def too_much(limits: Limits) -> FeedUnreadableError:
    """Return what is wrong with a feed that unpacks to more than it may."""
    return FeedUnreadableError(
        FailureCode.FEED_TOO_LARGE,
        f"it unpacks to more than {limits.feed_bytes} bytes, which are the most; upload a smaller "
        "one, without columns and rows that nobody needs",
    )


def pieces(data: Buffer, kind: str) -> Iterator[bytes]:
    """Yield what the members of a gzip hold, zero bytes behind them aside, or a zip's one file.

    Each piece but the last has a megabyte; raises as `unpack`.
    """
    try:
        with ExitStack() as opened:
            if kind == "gzip":
                file: Any = gzip.GzipFile(
                    fileobj=_Source(pa.py_buffer(memoryview(data)))
                )
            else:
                file = _open_only_file(opened.enter_context(open_archive(data)))
            opened.enter_context(file)
            while piece := file.read(_PIECE):
                yield piece
    except NotImplementedError as error:
        raise _unusable(
            f"its file is packed in a way that is not known ({error})"
        ) from error
    except BROKEN as error:
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the file cannot be unpacked as {kind}: {error or 'it is cut short'}; upload it "
            "again, or set parser.compression to what it is",
        ) from error


def open_archive(data: Buffer) -> zipfile.ZipFile:
    """Open a zip archive; `zipfile.BadZipFile`: it is none, or has far too many files."""
    return zipfile.ZipFile(_Source(pa.py_buffer(memoryview(data))))


def _open_only_file(archive: zipfile.ZipFile) -> IO[bytes]:
    files = [
        each
        for each in archive.infolist()
        if not each.is_dir()
        and not each.filename.startswith("__MACOSX/")
        and not each.filename.rpartition("/")[2].startswith(".")
    ]
    if len(files) != 1:
        names = listed((shorten(each.filename) for each in files), ", ", len(files))
        found = f"holds {len(files)} files ({names})" if files else "holds no file"
        raise _unusable(f"it {found}, and one is wanted")
    if files[0].flag_bits & 1:
        raise _unusable("its file is encrypted")
    return archive.open(files[0])


def _unusable(why: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"the zip archive cannot be used: {why}; pack one file, without a password, with deflate",
    )


class _Source(pa.BufferReader):  # type: ignore[misc]
    """Bytes as a file, without a copy of them."""

    def read(self, size: int | None = None) -> bytes:
        """Read some bytes; a list of files is read at once, and no other read is large."""
        if size is not None and size > _MAX_READ:
            raise zipfile.BadZipFile("it lists far too many files")
        found: bytes = super().read(size)
        return found
