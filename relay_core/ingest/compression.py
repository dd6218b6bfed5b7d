"""Unpack an upload that is gzip, or a zip archive of one file, within the limits."""

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
from relay_core.domain.formats import ZIP
from relay_core.domain.limits import Limits
from relay_core.domain.run_faults import listed
from relay_core.ingest.feed import Buffer

GZIP = b"\x1f\x8b"
ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    ValueError,
)
"""The errors that Python raises for a damaged archive, or for a file that is none."""
_PIECE_BYTES = 1 << 20
_MAX_READ = 16 << 20
"""The largest read from an archive; a directory of 100,000 files would be larger."""
_ENCRYPTED = 1
"""The flag of an encrypted file in a zip archive."""


class TooManyFilesError(zipfile.BadZipFile):
    """An archive lists too many files to read even their list."""


def compression_of(data: Buffer) -> str:
    """Return ``gzip``, ``zip`` or ``none``, depending on the first bytes."""
    start = bytes(memoryview(data)[:4])
    if start.startswith(GZIP):
        return "gzip"
    return "zip" if start == ZIP else "none"


def unpack(data: Buffer, compression: str, limits: Limits) -> Buffer:
    """Return an upload without its compression; ``auto`` goes by the first bytes.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` if the file is damaged or is not of the
            compression. ``invalid_input`` if an archive has no file or several files,
            or if its file is encrypted or packed by an unknown method.
            ``feed_too_large`` if it unpacks to more bytes than a feed may have.
    """
    kind = compression_of(data) if compression == "auto" else compression
    if kind == "none" or not len(data):
        return data
    unpacked = GrowingArray(np.uint8)
    for piece in pieces(data, kind):
        if unpacked.size + len(piece) > limits.feed_bytes:
            raise feed_too_large(limits)
        unpacked.append(np.frombuffer(piece, np.uint8))
    return memoryview(unpacked.array().data)


def feed_too_large(limits: Limits) -> FeedUnreadableError:
    """Return the error of a feed that unpacks to more bytes than it may have."""
    return FeedUnreadableError(
        FailureCode.FEED_TOO_LARGE,
        f"the unpacked file has more than {limits.feed_bytes} bytes, which is the limit. "
        "Upload a smaller file with only the columns and rows that are needed.",
    )


def pieces(data: Buffer, kind: str) -> Iterator[bytes]:
    """Yield the content of a gzip file, or of the one file of a zip archive.

    All pieces but the last have a megabyte. A gzip file may have several members, and
    zero bytes behind them.

    Raises:
        FeedUnreadableError: ``DECODE_ERROR`` or ``invalid_input``, as for `unpack`.
    """
    try:
        with ExitStack() as stack:
            file: Any
            if kind == "gzip":
                source = _Source(pa.py_buffer(memoryview(data)))
                file = gzip.GzipFile(fileobj=source)
            else:
                archive = stack.enter_context(open_archive(data))
                file = _open_only_file(archive)
            stack.enter_context(file)
            while piece := file.read(_PIECE_BYTES):
                yield piece
    except TooManyFilesError as error:
        raise _unusable_archive(
            "it lists too many files, but must contain exactly one",
        ) from error
    except NotImplementedError as error:
        raise _unusable_archive(
            f"its file is compressed by an unknown method ({error})",
        ) from error
    except ARCHIVE_ERRORS as error:
        raise FeedUnreadableError(
            FailureCode.DECODE_ERROR,
            f"the file cannot be unpacked as {kind}: {error or 'the file is incomplete'}. "
            "Upload the file again, or set parser.compression to match it.",
        ) from error


def open_archive(data: Buffer) -> zipfile.ZipFile:
    """Open a zip archive.

    Raises:
        zipfile.BadZipFile: The data is no archive.
        TooManyFilesError: The archive lists far too many files.
    """
    return zipfile.ZipFile(_Source(pa.py_buffer(memoryview(data))))


def _open_only_file(archive: zipfile.ZipFile) -> IO[bytes]:
    files = [member for member in archive.infolist() if _is_feed_file(member)]
    if len(files) != 1:
        names = listed(
            (shorten(file.filename) for file in files),
            ", ",
            len(files),
        )
        content = f"{len(files)} files ({names})" if files else "no file"
        raise _unusable_archive(
            f"it contains {content}, but must contain exactly one",
        )
    (file,) = files
    if file.flag_bits & _ENCRYPTED:
        raise _unusable_archive("its file is encrypted")
    return archive.open(file)


def _is_feed_file(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a file of the vendor's, not of the system's."""
    name = member.filename.rpartition("/")[2]
    is_of_macos = member.filename.startswith("__MACOSX/")
    return not (member.is_dir() or is_of_macos or name.startswith("."))


def _unusable_archive(reason: str) -> FeedUnreadableError:
    return FeedUnreadableError(
        FailureCode.INVALID_INPUT,
        f"the zip archive cannot be used: {reason}. "
        "Compress one file with deflate and without a password.",
    )


class _Source(pa.BufferReader):  # type: ignore[misc]  # pyarrow has no types
    """Bytes as a file, without a copy of them."""

    def read(self, size: int | None = None) -> bytes:
        """Read ``size`` bytes.

        Only the directory of an archive is read at once, whatever its size.
        """
        if size is not None and size > _MAX_READ:
            raise TooManyFilesError("it lists too many files")
        data: bytes = super().read(size)
        return data
