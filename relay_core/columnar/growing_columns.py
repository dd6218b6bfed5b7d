"""Columns of numbers and of texts that grow batch by batch, with no second copy in the end.

Each lies in pages that the system gives as they are filled, and that grow where they are. What is
appended can be let go, and what is held at the end is one array that nothing has to be joined for.
"""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import MAX_SHORT_BYTES, WORD, Bools, offsets_and_bytes

_LEAST_BYTES = 1 << 16
_HUGE_PAGES = 4 << 20
"""From so many bytes on, pages are asked for by 2 MB: there are 512 times fewer to ask for."""


class GrowingArray:
    """A column of one numpy type; while its view ``array`` is in use, nothing can be appended.

    ``size`` is how many values there are.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._pages = _pages(_LEAST_BYTES)
        self.size = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        """Append values; what does not fit the type is cut to it."""
        start = self.size
        self.skip(len(values))
        self.array()[start:] = values

    def array(self) -> npt.NDArray[Any]:
        """Return all that was appended."""
        return np.frombuffer(self._pages, self._dtype, self.size)

    def skip(self, count: int) -> None:
        """Append so many zeros, which take no memory while nothing else is on their pages."""
        self.size += count
        end = self.size * self._dtype.itemsize
        if end <= len(self._pages):
            return
        size = max(end, 2 * len(self._pages))
        size = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            self._pages.resize(size)  # without a copy where the system can
        except SystemError:  # only Linux can
            smaller, self._pages = self._pages, _pages(size)
            with memoryview(smaller) as held:
                self._pages[: len(held)] = held
        if size >= _HUGE_PAGES and hasattr(mmap, "MADV_HUGEPAGE"):
            self._pages.madvise(mmap.MADV_HUGEPAGE)


class GrowingNumbers:
    """A column of whole numbers, of which some are null."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values = GrowingArray(dtype)
        self._nulls = GrowingArray(np.bool_)

    def append(self, values: npt.NDArray[np.int64], nulls: Bools) -> None:
        """Append values, and which of them are null."""
        self._values.append(values)
        if nulls.any():
            self._nulls.skip(self._values.size - len(nulls) - self._nulls.size)
            self._nulls.append(nulls)

    def consume(self) -> tuple[npt.NDArray[Any], Bools]:
        """Return all values, and which of them are null; nothing can be appended from then on."""
        self._nulls.skip(self._values.size - self._nulls.size)
        return self._values.array(), self._nulls.array()


class GrowingTexts:
    """A column of texts."""

    def __init__(self) -> None:
        self._lengths = GrowingArray(np.int32)
        self._bytes = GrowingArray(np.uint8)

    def append(self, text: pa.StringArray) -> None:
        """Append texts."""
        bounds, data = offsets_and_bytes(text)
        self._lengths.append(np.diff(bounds))
        self._bytes.append(data[bounds[0] : bounds[-1]])

    def consume(self) -> pa.StringArray | pa.LargeStringArray:
        """Return all texts, with long offsets where short ones do not reach; the column is empty.

        No text is copied. After the last come eight bytes that are nobody's, so that words can be
        read of it.
        """
        lengths, self._lengths = self._lengths.array(), GrowingArray(np.int32)
        wide = self._bytes.size > MAX_SHORT_BYTES
        bounds: npt.NDArray[Any] = np.zeros(
            len(lengths) + 1, np.int64 if wide else np.int32
        )
        np.cumsum(lengths, out=bounds[1:])
        self._bytes.skip(WORD)
        data, self._bytes = self._bytes.array(), GrowingArray(np.uint8)
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
        kind = pa.large_string() if wide else pa.string()
        return pa.Array.from_buffers(kind, len(lengths), buffers)


def _pages(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
