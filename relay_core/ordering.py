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

from relay_core.columns import Bools
from relay_core.text_words import WORD, TextWords, Words

Rows = npt.NDArray[np.int64]


def order_by_text(text: pa.StringArray) -> tuple[Rows, Rows]:
    """Return the stable order of ``text`` and, within it, the position of each distinct text."""
    if not len(text):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    words = TextWords(text, skip=_common_prefix(text))
    index_bits = np.uint64(len(text).bit_length())
    packed, covered = _packed(words, 64 - int(index_bits))
    packed <<= index_bits
    packed |= np.arange(len(text), dtype=np.uint64)
    packed.sort()
    order = (packed & ((np.uint64(1) << index_bits) - np.uint64(1))).astype(np.int64)
    packed >>= index_bits
    starts_new = np.ones(len(text), np.bool_)
    starts_new[1:] = packed[1:] != packed[:-1]
    for start in range(covered, int(words.lengths.max()), WORD):
        tied = _tied(starts_new)
        if not tied.any():
            break
        _refine(order, starts_new, tied, words.big_endian(start, order[tied]))
    if words.holds_zero_bytes() and (tied := _tied(starts_new)).any():
        # zero bytes at the end of a text look like its padding: the shorter goes first
        _refine(order, starts_new, tied, words.lengths[order[tied]])
    return order, np.flatnonzero(starts_new)


def group_starts(text: pa.StringArray) -> Rows:
    """Return the position of each distinct text of a column that is sorted already."""
    if not len(text):
        return np.empty(0, np.int64)
    changed = pc.not_equal(text.slice(1), text.slice(0, len(text) - 1))
    return np.flatnonzero(np.concatenate(([True], changed.to_numpy(zero_copy_only=False))))


def _packed(words: TextWords, bits: int) -> tuple[Words, int]:
    """Return as many leading bytes as fit ``bits`` in one number a text, and how many those are.

    Each byte counts in the range that it takes in its place, so that eight digits need 27 bits
    and not 64.
    """
    longest = int(words.lengths.max())
    packed, size, room = np.zeros(len(words.starts), np.uint64), 1, 1 << bits
    for place in range(longest):
        if place % WORD == 0:
            word = words.big_endian(place, slice(None))
        byte = (word >> np.uint64(56 - 8 * (place % WORD))) & np.uint64(255)
        low, high = int(byte.min()), int(byte.max())
        if size * (high - low + 1) > room:
            return packed, place
        size *= high - low + 1
        packed *= np.uint64(high - low + 1)
        packed += byte - np.uint64(low)
    return packed, longest


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
