"""Columns of numbers and of texts that grow batch by batch, without a copy at the end.

The values of a column are in pages that the system provides as they are filled and that
grow in place. Callers can let go of each batch once it is appended, and the column is
one array at the end.
"""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.arrays import RowMask, WholeNumbers
from relay_core.columnar.text import (
    MAX_SHORT_BYTES,
    WORD,
    byte_array_of,
    lengths_of,
)

_MIN_BYTES = 1 << 16
_HUGE_PAGES = 4 << 20
"""From this size on, ask for pages of 2 MB: that is 512 times fewer page faults."""
_HUGE_PAGE = 2 << 20


class GrowingArray:
    """A column of one numpy type.

    Nothing can be appended while a view that `array` returned is in use.

    Attributes:
        size: The number of values; the first ones are zeros.
    """

    def __init__(self, dtype: npt.DTypeLike, size: int = 0) -> None:
        self._dtype = np.dtype(dtype)
        self._pages = _new_pages(max(size * self._dtype.itemsize, _MIN_BYTES))
        self.size = size

    def append(self, values: npt.NDArray[Any]) -> None:
        """Append values; numpy casts them to the column's type."""
        start = self.size
        self.skip(len(values))
        self.array()[start:] = values

    def array(self) -> npt.NDArray[Any]:
        """Return a view of all values."""
        return np.frombuffer(self._pages, self._dtype, self.size)

    def skip(self, count: int) -> None:
        """Append ``count`` zeros; pages with nothing but zeros take no memory."""
        self.size += count
        size_in_bytes = self.size * self._dtype.itemsize
        if size_in_bytes <= len(self._pages):
            return
        self._resize(max(size_in_bytes, 2 * len(self._pages)))

    def cut(self, size: int) -> None:
        """Remove all values but the first ``size``, and release their pages.

        Nothing can be appended later.
        """
        self.size = size
        self._resize(max(size * self._dtype.itemsize, 1))

    def _resize(self, size_in_bytes: int) -> None:
        new_size = -(-size_in_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            self._pages.resize(new_size)
        except SystemError:  # only Linux can move pages without a copy
            old_pages = self._pages
            self._pages = _new_pages(new_size)
            with memoryview(old_pages) as view:
                copied = min(len(view), new_size)
                self._pages[:copied] = view[:copied]
        if new_size >= _HUGE_PAGES and hasattr(mmap, "MADV_HUGEPAGE"):
            self._pages.madvise(mmap.MADV_HUGEPAGE)


class GrowingNumbers:
    """A column of whole numbers with nulls."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values = GrowingArray(dtype)
        self._nulls = GrowingArray(np.bool_)

    def append(self, values: WholeNumbers, nulls: RowMask) -> None:
        """Append values, and which of them are null."""
        self._values.append(values)
        if nulls.any():
            rows_before = self._values.size - len(nulls)
            self._nulls.skip(rows_before - self._nulls.size)
            self._nulls.append(nulls)

    def consume(self) -> tuple[npt.NDArray[Any], RowMask]:
        """Return all values, and which are null; nothing can be appended later."""
        self._nulls.skip(self._values.size - self._nulls.size)
        return self._values.array(), self._nulls.array()


class GrowingTexts:
    """A column of texts."""

    def __init__(self) -> None:
        self._lengths = GrowingArray(np.int32)
        self._bytes = GrowingArray(np.uint8)

    def append(self, text: pa.StringArray) -> None:
        """Append texts."""
        self._lengths.append(lengths_of(text))
        self._bytes.append(byte_array_of(text))

    def consume(self) -> pa.StringArray | pa.LargeStringArray:
        """Return all texts without a copy, and leave the column empty.

        The array has long offsets if short ones cannot reach all  Eight spare
        bytes follow the last text, so that its last word can be read.
        """
        lengths = self._lengths.array()
        self._lengths = GrowingArray(np.int32)
        is_large = self._bytes.size > MAX_SHORT_BYTES
        offset_type = np.int64 if is_large else np.int32
        bounds: npt.NDArray[Any] = np.zeros(len(lengths) + 1, offset_type)
        np.cumsum(lengths, out=bounds[1:])
        self._bytes.skip(WORD)
        data = self._bytes.array()
        self._bytes = GrowingArray(np.uint8)
        text_type = pa.large_string() if is_large else pa.string()
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
        return pa.Array.from_buffers(text_type, len(lengths), buffers)


def _new_pages(size: int) -> mmap.mmap:
    is_large = size >= _HUGE_PAGES
    # The system aligns large pages only in what consists of them alone.
    unit = _HUGE_PAGE if is_large else mmap.PAGESIZE
    whole_size = -(-size // unit) * unit
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    pages = mmap.mmap(-1, whole_size, flags=flags)
    if is_large and hasattr(mmap, "MADV_HUGEPAGE"):
        pages.madvise(mmap.MADV_HUGEPAGE)
    return pages
