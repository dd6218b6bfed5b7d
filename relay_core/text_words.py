"""A text column seen as words of eight bytes, without copying it for each word."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Words = npt.NDArray[np.uint64]
WORD = 8
"""How many bytes a word has."""


def offsets_and_bytes(text: pa.StringArray) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
    """Return views of a text column's ``n + 1`` offsets and of the bytes that they point into."""
    kind = np.int64 if pa.types.is_large_string(text.type) else np.int32
    _, offsets, data = text.buffers()
    bounds = np.frombuffer(offsets, kind)[text.offset : text.offset + len(text) + 1]
    return bounds, np.frombuffer(data or b"", np.uint8)


class TextWords:
    """The bytes of each text from ``skip`` on.

    Attributes:
        starts: where each text begins, after ``skip`` bytes.
        lengths: how many bytes each has from there.
    """

    def __init__(self, text: pa.StringArray, skip: int = 0) -> None:
        bounds, data = offsets_and_bytes(text)
        self.starts = bounds[:-1].astype(np.int64) + skip
        self.lengths = np.diff(bounds).astype(np.int64) - skip
        low, high = int(bounds[0]), int(bounds[-1])
        self.starts -= low
        self._bytes = np.concatenate([data[low:high], np.zeros(WORD, np.uint8)])
        self._words = np.lib.stride_tricks.as_strided(
            self._bytes[:WORD].view(np.uint64), shape=(high - low + 1,), strides=(1,)
        )

    def little_endian(self) -> Words:
        """Return the first eight bytes of each text; what follows a shorter one is in them too."""
        return np.asarray(self._words[self.starts])

    def big_endian(self, start: int, rows: npt.NDArray[Any] | slice) -> Words:
        """Return the eight bytes from ``start`` on of the given texts, zero-padded at their end."""
        places = np.minimum(self.starts[rows] + start, len(self._words) - 1)
        held = np.clip(self.lengths[rows] - start, 0, WORD)
        keys = self._words[places].byteswap()
        if not len(held) or held.min() == WORD:
            return np.asarray(keys)
        drop = ((WORD - held) * 8).astype(np.uint64)
        shift = np.minimum(drop, np.uint64(63))
        return np.where(held == 0, np.uint64(0), (keys >> shift) << shift)

    def holds_zero_bytes(self) -> bool:
        """Return whether a text has a byte that looks like padding."""
        return not bool(self._bytes[:-WORD].all())
