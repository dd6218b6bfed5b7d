"""Sort a text column by code point, stably, and find where each distinct text starts.

UTF-8's byte order is the order of code points, so the texts are compared as big-endian words of
eight bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columns import Bools
from relay_core.text_words import WORD, TextWords, Words

Rows = npt.NDArray[np.int64]


def order_by_text(text: pa.StringArray) -> tuple[Rows, Rows]:
    """Return the stable order of ``text`` and, within it, the position of each distinct text."""
    if not len(text):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    words = TextWords(text)
    index_bits = np.uint64(len(text).bit_length())
    packed, covered = _packed(words, 64 - int(index_bits))
    packed <<= index_bits
    packed |= np.arange(len(text), dtype=np.uint64)
    packed.sort()
    order = (packed & ((np.uint64(1) << index_bits) - np.uint64(1))).astype(np.int64)
    packed >>= index_bits
    starts_new = np.ones(len(text), np.bool_)
    starts_new[1:] = packed[1:] != packed[:-1]
    for start in range(covered, words.longest, WORD):
        tied = _tied(starts_new)
        if not tied.any():
            break
        _refine(order, starts_new, tied, words.big_endian(start, order[tied]))
    if words.holds_zero_bytes() and (tied := _tied(starts_new)).any():
        # zero bytes at the end of a text look like its padding: the shorter goes first
        _refine(order, starts_new, tied, words.lengths[order[tied]])
    return order, np.flatnonzero(starts_new)


def common_ranges(columns: Sequence[pa.StringArray], most_rows: int) -> list[list[slice]]:
    """Cut sorted columns at the same texts: each range has the rows of some texts in every column.

    A range has at most ``most_rows`` rows of a column, but for a text that stands there more often.
    """
    cuts = {
        text[place].as_py() for text in columns for place in range(most_rows, len(text), most_rows)
    }
    bounds = [[0] * len(columns)]
    bounds += [[_first_not_before(text, cut) for text in columns] for cut in sorted(cuts)]
    bounds.append([len(text) for text in columns])
    return [list(map(slice, low, high)) for low, high in pairwise(bounds)]


def _first_not_before(text: pa.StringArray, bound: str) -> int:
    return bisect_left(range(len(text)), bound, key=lambda place: str(text[place].as_py()))


def _packed(words: TextWords, room: int) -> tuple[Words, int]:
    """Return as many leading bytes as fit ``room`` bits in one number a text, and how many.

    Bits in which no two texts differ take no room, so that a prefix that all share costs nothing
    and eight digits take 32 bits; without them the numbers are in the same order.
    """
    packed = np.zeros(len(words.starts), np.uint64)
    for start in range(0, words.longest, WORD):
        word = words.big_endian(start)
        differing = int(np.bitwise_or.reduce(word ^ word[0]))
        held = next(n for n in range(WORD, -1, -1) if _leading(differing, n).bit_count() <= room)
        differing = _leading(differing, held)
        _append_bits(packed, word, differing)
        room -= differing.bit_count()
        if held < WORD:
            return packed, start + held
    return packed, words.longest


def _leading(bits: int, count: int) -> int:
    """Return the first ``count`` bytes of a big-endian word; the others are zero."""
    return bits >> 8 * (WORD - count) << 8 * (WORD - count)


def _append_bits(packed: Words, word: Words, mask: int) -> None:
    """Append the bits of ``mask`` to each number, one run of neighbouring bits at a time."""
    part = np.empty_like(word)
    while mask:
        low = mask.bit_length() - 1
        while mask >> low & 1 and low:
            low -= 1
        low += not mask >> low & 1
        width = mask.bit_length() - low
        np.right_shift(word, np.uint64(low), out=part)
        np.bitwise_and(part, np.uint64((1 << width) - 1), out=part)
        np.left_shift(packed, np.uint64(width), out=packed)
        np.bitwise_or(packed, part, out=packed)
        mask &= (1 << low) - 1


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
