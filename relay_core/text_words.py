"""A text column seen as words of eight bytes, without copying it for each word."""

from __future__ import annotations

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


class TextWords:
    """The bytes of each text.

    Attributes:
        starts: where each text begins.
        lengths: how many bytes each has.
        longest: how many the longest has.
    """

    def __init__(self, text: pa.StringArray) -> None:
        bounds, data = offsets_and_bytes(text)
        low, high = int(bounds[0]), int(bounds[-1])
        self.starts = bounds[:-1].astype(np.int64) - low
        self.lengths = np.diff(bounds)
        self.longest = int(self.lengths.max(initial=0))
        self._shortest = int(self.lengths.min(initial=self.longest))
        self._bytes = np.concatenate([data[low:high], np.zeros(WORD, np.uint8)])
        self._words = np.lib.stride_tricks.as_strided(
            self._bytes[:WORD].view(np.uint64), shape=(high - low + 1,), strides=(1,)
        )

    def little_endian(self, start: int = 0, rows: npt.NDArray[Any] | slice = _ALL) -> Words:
        """Return the eight bytes from ``start`` on; what follows a shorter text is in them too."""
        if rows is _ALL and self._shortest == self.longest and start <= self.longest:
            return self._evenly_spaced(start)
        places = self.starts[rows] + start
        if self._shortest < start:
            np.minimum(places, len(self._words) - 1, out=places)
        return np.asarray(self._words[places])

    def big_endian(self, start: int, rows: npt.NDArray[Any] | slice = _ALL) -> Words:
        """Return the eight bytes from ``start`` on of the given texts, zero-padded at their end."""
        keys = self.little_endian(start, rows).byteswap(inplace=True)
        if self._shortest < start + WORD:
            keys &= _FIRST_BYTES.take(np.clip(self.lengths[rows] - start, 0, WORD))
        return np.asarray(keys)

    def _evenly_spaced(self, start: int) -> Words:
        """Return the words of texts of one length: a copy in strides is quicker than a gather."""
        first = self._bytes[start : start + WORD].view(np.uint64)
        spaced = np.lib.stride_tricks.as_strided(
            first, shape=(len(self.starts),), strides=(self.longest,)
        )
        return spaced.copy()

    def holds_zero_bytes(self) -> bool:
        """Return whether a text has a byte that looks like padding."""
        return not bool(self._bytes[:-WORD].all())
