"""A text column seen as words of eight bytes, without copying it for each word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
WORD = 8
"""How many bytes a word has."""
_FIRST_BYTES = np.array(
    [(1 << 64) - (1 << 8 * (WORD - held)) & (1 << 64) - 1 for held in range(WORD + 1)], np.uint64
)
"""The mask of so many first bytes of a big-endian word."""
_ALL = slice(None)


def offsets_and_bytes(text: pa.StringArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return views of a text column's ``n + 1`` offsets and of the bytes that they point into."""
    kind = np.int64 if pa.types.is_large_string(text.type) else np.int32
    _, offsets, data = text.buffers()
    bounds = np.frombuffer(offsets, kind)[text.offset : text.offset + len(text) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


def rows_that_hold(
    text: pa.StringArray, marks: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.bool_]]
) -> npt.NDArray[np.intp]:
    """Return the rows whose text holds a byte that ``marks`` marks."""
    bounds, data = offsets_and_bytes(text)
    low, high = int(bounds[0]), int(bounds[-1])
    hits = np.flatnonzero(marks(data[low:high])) + low
    rows = np.searchsorted(bounds, hits, side="right") - 1
    return np.asarray(rows[np.diff(rows, prepend=-1) > 0])


class TextWords:
    """The bytes of each text.

    Attributes:
        lengths: how many bytes each has.
        longest: how many the longest has.
    """

    def __init__(self, text: pa.StringArray) -> None:
        bounds, data = offsets_and_bytes(text)
        low, high = int(bounds[0]), int(bounds[-1])
        self.lengths = np.diff(bounds)
        self.longest = int(self.lengths.max(initial=0))
        self._shortest = int(self.lengths.min(initial=self.longest))
        self._starts = bounds[:-1]
        if len(data) < high + WORD:  # the last text's last word would go beyond the bytes
            data = np.concatenate([data[low:high], np.zeros(WORD, np.uint8)])
            self._starts, low, high = self._starts - low, 0, high - low
        self._bytes, self._low, self._high = data, low, high
        self._words = np.lib.stride_tricks.as_strided(
            data[:WORD].view(np.uint64), shape=(high + 1,), strides=(1,)
        )

    def __len__(self) -> int:
        """Return how many texts there are."""
        return len(self.lengths)

    def little_endian(self, start: int = 0, rows: npt.NDArray[Any] | slice = _ALL) -> Words:
        """Return the eight bytes from ``start`` on; what follows a shorter text is in them too."""
        if isinstance(rows, slice) and self._shortest == self.longest and start <= self.longest:
            return self._evenly_spaced(start, rows)
        places = self._starts[rows].astype(np.int64) + start
        if self._shortest < start:
            np.minimum(places, len(self._words) - 1, out=places)
        return np.asarray(self._words[places])

    def big_endian(self, start: int, rows: npt.NDArray[Any] | slice = _ALL) -> Words:
        """Return the eight bytes from ``start`` on of the given texts, zero-padded at their end."""
        keys = self.little_endian(start, rows).byteswap(inplace=True)
        if self._shortest < start + WORD:
            keys &= _FIRST_BYTES.take(np.clip(self.lengths[rows] - start, 0, WORD))
        return np.asarray(keys)

    def _evenly_spaced(self, start: int, rows: slice) -> Words:
        """Return the words of texts of one length: a copy in strides is quicker than a gather."""
        first = self._bytes[self._low + start :][:WORD].view(np.uint64)
        spaced = np.lib.stride_tricks.as_strided(
            first, shape=(len(self.lengths),), strides=(self.longest,)
        )
        return spaced[rows].copy()

    def holds_zero_bytes(self) -> bool:
        """Return whether a text has a byte that looks like padding."""
        return not bool(self._bytes[self._low : self._high].all())
