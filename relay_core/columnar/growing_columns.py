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
    """A column of one numpy type; while its view ``array`` is in use, nothing can be appended."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._pages = _pages(_LEAST_BYTES)
        self._filled = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        """Append values; what does not fit the type is cut to it."""
        start = self._filled
        self.skip(len(values))
        self._view(start, len(values))[:] = values

    def skip(self, count: int) -> None:
        """Append so many zeros, which take no memory while nothing else is on their pages."""
        self._make_room(count)
        self._filled += count

    def array(self, beyond: int = 0) -> npt.NDArray[Any]:
        """Return all that was appended, and so many values that were not."""
        self._make_room(beyond)
        return self._view(0, self._filled + beyond)

    def __len__(self) -> int:
        """Return how many values there are."""
        return self._filled

    def _make_room(self, count: int) -> None:
        end = (self._filled + count) * self._dtype.itemsize
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

    def _view(self, start: int, count: int) -> npt.NDArray[Any]:
        return np.frombuffer(self._pages, self._dtype, count, start * self._dtype.itemsize)


class GrowingNumbers:
    """A column of whole numbers, of which some are null."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values = GrowingArray(dtype)
        self._nulls = GrowingArray(np.bool_)

    def append(self, values: npt.NDArray[np.int64], nulls: Bools) -> None:
        """Append values, and which of them are null."""
        self._values.append(values)
        if nulls.any():
            self._nulls.skip(len(self._values) - len(nulls) - len(self._nulls))
            self._nulls.append(nulls)

    def consume(self) -> tuple[npt.NDArray[Any], Bools]:
        """Return all values, and which of them are null; nothing can be appended from then on."""
        self._nulls.skip(len(self._values) - len(self._nulls))
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
        wide = len(self._bytes) > MAX_SHORT_BYTES
        bounds: npt.NDArray[Any] = np.zeros(len(lengths) + 1, np.int64 if wide else np.int32)
        np.cumsum(lengths, out=bounds[1:])
        data, self._bytes = self._bytes.array(WORD), GrowingArray(np.uint8)
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
        kind = pa.large_string() if wide else pa.string()
        return pa.Array.from_buffers(kind, len(lengths), buffers)


def _pages(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
