"""Sort a text column by code point, stably, and find where each distinct text starts.

UTF-8's byte order is the order of code points, so the texts are compared as big-endian words of
eight bytes after the prefix that they all share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columns import Bools, offsets_and_bytes

_WORD = 8
Rows = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


def order_by_text(text: pa.StringArray) -> tuple[Rows, Rows]:
    """Return the stable order of ``text`` and, within it, the position of each distinct text."""
    if not len(text):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    words = _TextWords(text)
    index_bits = np.uint64(len(text).bit_length())
    packed, covered = words.packed(64 - int(index_bits))
    packed <<= index_bits
    packed |= np.arange(len(text), dtype=np.uint64)
    packed.sort()
    order = (packed & ((np.uint64(1) << index_bits) - np.uint64(1))).astype(np.int64)
    packed >>= index_bits
    starts_new = np.ones(len(text), np.bool_)
    starts_new[1:] = packed[1:] != packed[:-1]
    for start in range(covered, words.longest, _WORD):
        tied = _tied(starts_new)
        if not tied.any():
            break
        _refine(order, starts_new, tied, words.at(start, order[tied]))
    if words.holds_zero and (tied := _tied(starts_new)).any():
        # zero bytes at the end of a text look like its padding: the shorter goes first
        _refine(order, starts_new, tied, words.lengths[order[tied]])
    return order, np.flatnonzero(starts_new)


def group_starts(text: pa.StringArray) -> Rows:
    """Return the position of each distinct text of a column that is sorted already."""
    if not len(text):
        return np.empty(0, np.int64)
    changed = pc.not_equal(text.slice(1), text.slice(0, len(text) - 1))
    return np.flatnonzero(np.concatenate(([True], changed.to_numpy(zero_copy_only=False))))


class _TextWords:
    """The bytes of each text after the common prefix, zero-padded at its end."""

    def __init__(self, text: pa.StringArray) -> None:
        bounds, data = offsets_and_bytes(text)
        skip = _common_prefix(text)
        self.starts = bounds[:-1].astype(np.int64) + skip
        self.lengths = np.diff(bounds).astype(np.int64) - skip
        self.longest = int(self.lengths.max())
        self.holds_zero = not bool(data[bounds[0] : bounds[-1]].all())
        padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
        self._words = np.lib.stride_tricks.as_strided(
            padded[:_WORD].view(np.uint64), shape=(len(padded) - _WORD + 1,), strides=(1,)
        )
        self._keep = padded

    def at(self, start: int, rows: npt.NDArray[Any] | slice) -> Words:
        """Return the eight bytes from ``start`` on of the given texts, as big-endian words."""
        places = self.starts[rows] + start
        held = np.clip(self.lengths[rows] - start, 0, _WORD)
        keys = self._words[np.minimum(places, len(self._words) - 1)].byteswap()
        if held.min() == _WORD:
            return np.asarray(keys)
        drop = ((_WORD - held) * 8).astype(np.uint64)
        shift = np.minimum(drop, np.uint64(63))
        return np.where(held == 0, np.uint64(0), (keys >> shift) << shift)

    def packed(self, bits: int) -> tuple[Words, int]:
        """Return as many leading bytes as fit ``bits`` in one number, and how many those are.

        Each byte counts in the range that it takes in its place, so that eight digits need 27
        bits and not 64.
        """
        packed, size, room = np.zeros(len(self.starts), np.uint64), 1, 1 << bits
        for place in range(self.longest):
            if place % _WORD == 0:
                word = self.at(place, slice(None))
            byte = (word >> np.uint64(56 - 8 * (place % _WORD))) & np.uint64(255)
            low, high = int(byte.min()), int(byte.max())
            if size * (high - low + 1) > room:
                return packed, place
            size *= high - low + 1
            packed *= np.uint64(high - low + 1)
            packed += byte - np.uint64(low)
        return packed, self.longest


def _common_prefix(text: pa.StringArray) -> int:
    """Return how many bytes all texts share: those that the least and the greatest share."""
    ends = pc.min_max(text)
    least, greatest = ends["min"].as_py().encode(), ends["max"].as_py().encode()
    shared = 0
    for one, other in zip(least, greatest, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def _tied(starts_new: Bools) -> Bools:
    tied = ~starts_new
    tied[:-1] |= tied[1:].copy()
    return tied


def _refine(order: Rows, starts_new: Bools, tied: Bools, keys: npt.NDArray[Any]) -> None:
    """Sort the rows of each tie by ``keys`` and mark where they differ; in place."""
    groups = np.cumsum(starts_new)[tied]
    by_key = np.lexsort((keys, groups))
    order[tied] = order[tied][by_key]
    keys = keys[by_key]
    places = np.flatnonzero(tied)
    differs = (keys[1:] != keys[:-1]) | (groups[1:] != groups[:-1])
    starts_new[places[1:][differs]] = True
