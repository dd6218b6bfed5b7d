"""Sort a text column by code point, stably, and find where each distinct text starts.

UTF-8's byte order is the order of code points. Most texts are told apart by the few bits that are
not the same in all of them: these, followed by the row, make one number a text. What they do not
tell apart, Arrow ranks.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import Words
from relay_core.columnar.text import WORD, Bools, Rows, TextWords, flags_of
from relay_core.columnar.threads import ordered_map

_BLOCK = 1 << 17
_MAX_BYTES = 256  # texts that begin alike for longer are ranked


class TextOrder(NamedTuple):
    """The rows in the order of their texts, and where in it each distinct text starts."""

    rows: Rows
    starts: Rows


def order_by_text(text: pa.StringArray, kept: Bools | None = None) -> TextOrder:
    """Return the stable order of a column's rows, of those in ``kept`` where it is given."""
    size = len(text) if kept is None else int(np.count_nonzero(kept))
    if not size:
        return TextOrder(np.empty(0, np.int64), np.empty(0, np.int64))
    words = TextWords(text)
    row_bits = len(text).bit_length()
    keys, is_whole = _keys(words, row_bits, kept if size < len(text) else None)
    keys.sort()
    rows = (keys & np.uint64((1 << row_bits) - 1)).view(np.int64)
    keys >>= np.uint64(row_bits)
    starts_new = np.ones(size, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=starts_new[1:])
    # Zero bytes at the end of a text look like its padding.
    if not (is_whole and words.held.all()):
        _rank_ties(text, rows, starts_new)
    return TextOrder(rows, np.flatnonzero(starts_new))


def common_ranges(
    columns: Sequence[pa.StringArray], max_rows: int
) -> list[list[slice]]:
    """Cut sorted columns at the same texts: each range has the rows of some texts in every column.

    A range has at most ``max_rows`` rows in all, but for a text that stands there more often.
    """
    step = max(1, max_rows // (2 * len(columns)))
    places = ((text, place) for text in columns for place in range(0, len(text), step))
    samples = sorted(str(text[place].as_py()) for text, place in places)
    # As few as keep ranges apart: each is looked for in every column.
    cuts = set(samples[:: max(1, max_rows // (2 * step))])
    # One that stands there often may fill a range by itself, which ends with it.
    often = [
        cut
        for cut in cuts
        if bisect_right(samples, cut) - bisect_left(samples, cut) > 1
    ]
    bounds = [[_place(bisect_left, text, cut) for text in columns] for cut in cuts]
    bounds += [[_place(bisect_right, text, cut) for text in columns] for cut in often]
    bounds = [*sorted(bounds), [len(text) for text in columns]]
    chosen = bounds[:1]
    for bound, following in pairwise(bounds):
        if sum(following) - sum(chosen[-1]) > max_rows and bound not in (
            chosen[-1],
            bounds[-1],
        ):
            chosen.append(bound)
    chosen.append(bounds[-1])
    return [list(map(slice, low, high)) for low, high in pairwise(chosen)]


def _keys(words: TextWords, row_bits: int, kept: Bools | None) -> tuple[Words, bool]:
    """Return a number a kept text, in the texts' order, its row behind; and if it tells all apart.

    The bits that vary go in, word by word, as many as fit: a prefix that all texts share costs
    nothing, and a digit four.
    """
    size = len(words.lengths)
    blocks = [slice(at, min(at + _BLOCK, size)) for at in range(0, size, _BLOCK)]
    rows = [np.arange(block.start, block.stop, dtype=np.uint64) for block in blocks]
    if kept is not None:
        rows = [
            numbers[kept[block]] for numbers, block in zip(rows, blocks, strict=True)
        ]
    keys, room = [np.zeros_like(numbers) for numbers in rows], 64 - row_bits
    is_whole = words.longest <= _MAX_BYTES
    for start in range(0, min(words.longest, _MAX_BYTES), WORD):
        read = list(ordered_map(partial(words.big_endian, start), blocks))
        if kept is not None:
            read = [word[kept[block]] for word, block in zip(read, blocks, strict=True)]
        first = next(word[0] for word in read if len(word))
        varying = [np.bitwise_or.reduce(word ^ first) for word in read if len(word)]
        for size, shift in _runs(int(np.bitwise_or.reduce(varying))):
            taken = min(size, room)
            ones = np.uint64((1 << taken) - 1)
            for key, word in zip(keys, read, strict=True):
                key <<= np.uint64(taken)
                key |= (word >> np.uint64(shift + size - taken)) & ones
            room -= taken
            is_whole &= taken == size
        if not is_whole and not room:
            break
    for key, numbers in zip(keys, rows, strict=True):
        key <<= np.uint64(row_bits)
        key |= numbers
    return np.concatenate(keys), is_whole


def _runs(bits: int) -> list[tuple[int, int]]:
    """Return the runs of ones in a number, the highest first: how many, and how far up."""
    runs = []
    while bits:
        zeros = ~bits & ((1 << bits.bit_length()) - 1)
        shift = zeros.bit_length()
        runs.append((bits.bit_length() - shift, shift))
        bits &= (1 << shift) - 1
    return runs


def _rank_ties(text: pa.StringArray, rows: Rows, starts_new: Bools) -> None:
    """Put rows that lie in ties in the order of their whole texts, and mark new ones; in place."""
    tied = ~starts_new
    tied[:-1] |= tied[1:].copy()
    places = np.flatnonzero(tied)
    if not len(places):
        return
    # Ties follow one another in order, so that ranking all of them at once ranks each.
    ranks = pc.rank(text.take(pa.array(rows[places])), tiebreaker="first").to_numpy()
    ordered = np.empty(len(places), np.int64)
    ordered[ranks.view(np.int64) - 1] = rows[places]
    rows[places] = ordered
    texts = text.take(pa.array(ordered))
    starts_new[places[1:]] = flags_of(pc.not_equal(texts[1:], texts[:-1]))


def _place(bisect: Callable[..., int], text: pa.StringArray, bound: str) -> int:
    return bisect(range(len(text)), bound, key=lambda place: str(text[place].as_py()))
