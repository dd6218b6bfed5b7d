"""Sort a text column by code point, stably, and find where each distinct text starts.

The byte order of UTF-8 is the order of code points. Most texts differ in few bits:
these bits, followed by the row number, make one integer a text, and sorting integers is
fast. Arrow ranks the texts that the bits do not tell apart.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.arrays import RowIndex, RowMask, Words
from relay_core.columnar.text import WORD, TextWords, flags_of
from relay_core.columnar.threads import ordered_map

_BLOCK = 1 << 17
"""The number of rows that a thread reads at once."""
_RANKED_ROWS = 1 << 15
"""The number of rows of a block of texts that are ranked at once, in whole groups."""
_SEARCHED_ROWS = 1 << 8
"""The number of rows of a sorted column that are read to find the row of a text."""
_MAX_BYTES = 256
"""Texts are ranked if this number of their first bytes is equal."""


class TextOrder(NamedTuple):
    """The rows of a column in the order of their texts."""

    rows: RowIndex  # the row numbers, in order
    # The indices in ``rows`` at which the distinct texts start.
    starts: RowIndex


def order_by_text(
    text: pa.StringArray,
    mask: RowMask | None = None,
) -> TextOrder:
    """Return the stable order of a column's rows, or of the rows in ``mask``."""
    size = len(text) if mask is None else int(np.count_nonzero(mask))
    if not size:
        no_rows = np.empty(0, np.int64)
        return TextOrder(no_rows, no_rows)
    if size == len(text):
        mask = None
    words = TextWords(text)
    row_bits = len(text).bit_length()
    keys, are_complete = _keys(words, row_bits, mask)
    keys.sort()
    row_mask = np.uint64((1 << row_bits) - 1)
    rows = (keys & row_mask).view(np.int64)
    keys >>= np.uint64(row_bits)
    is_start = np.ones(size, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_start[1:])
    # A zero byte at the end of a text looks like padding, so that keys cannot tell.
    if not (are_complete and words.data.all()):
        _rank_ties(text, rows, is_start)
    return TextOrder(rows, np.flatnonzero(is_start))


def _keys(
    words: TextWords,
    row_bits: int,
    mask: RowMask | None,
) -> tuple[Words, bool]:
    """Return a sort key for each row, and whether keys of unequal texts differ.

    The low ``row_bits`` of a key are the row number. Above them are the bits in which
    the texts differ, word by word, as many as fit. A prefix that all texts share takes
    no bits, and a digit takes four.
    """
    row_count = len(words.lengths)
    block_starts = range(0, row_count, _BLOCK)
    blocks = [
        slice(start, min(start + _BLOCK, row_count)) for start in block_starts
    ]
    row_numbers = [
        np.arange(block.start, block.stop, dtype=np.uint64) for block in blocks
    ]
    if mask is not None:
        row_numbers = _masked(row_numbers, blocks, mask)
    keys = [np.zeros_like(numbers) for numbers in row_numbers]
    free_bits = 64 - row_bits
    are_complete = words.longest <= _MAX_BYTES
    for start in range(0, min(words.longest, _MAX_BYTES), WORD):
        text_words = list(ordered_map(partial(words.big_endian, start), blocks))
        if mask is not None:
            text_words = _masked(text_words, blocks, mask)
        for width, shift in _runs_of_ones(_varying_bits(text_words)):
            bits = min(width, free_bits)
            bit_mask = np.uint64((1 << bits) - 1)
            for key, word in zip(keys, text_words, strict=True):
                key <<= np.uint64(bits)
                key |= (word >> np.uint64(shift + width - bits)) & bit_mask
            free_bits -= bits
            are_complete &= bits == width
        if not are_complete and not free_bits:
            break
    for key, numbers in zip(keys, row_numbers, strict=True):
        key <<= np.uint64(row_bits)
        key |= numbers
    return np.concatenate(keys), are_complete


def _masked(
    values: list[Words],
    blocks: list[slice],
    mask: RowMask,
) -> list[Words]:
    return [
        part[mask[block]] for part, block in zip(values, blocks, strict=True)
    ]


def _varying_bits(text_words: Sequence[Words]) -> int:
    """Return a number whose ones are the bits in which the words differ."""
    filled = [words for words in text_words if len(words)]
    first_word = filled[0][0]
    varying = [np.bitwise_or.reduce(words ^ first_word) for words in filled]
    return int(np.bitwise_or.reduce(varying))


def _runs_of_ones(bits: int) -> list[tuple[int, int]]:
    """Return the width and lowest bit of each run of ones in a number, top first."""
    runs = []
    while bits:
        zeros = ~bits & ((1 << bits.bit_length()) - 1)
        shift = zeros.bit_length()
        runs.append((bits.bit_length() - shift, shift))
        bits &= (1 << shift) - 1
    return runs


def _rank_ties(text: pa.StringArray, rows: RowIndex, is_start: RowMask) -> None:
    """Order rows with equal keys by their texts and mark their starts, in place."""
    is_tied = ~is_start
    is_tied[:-1] |= is_tied[1:].copy()
    tied = np.flatnonzero(is_tied)
    group_bounds = np.append(np.flatnonzero(is_start[tied]), len(tied))
    # The texts of a block fit in the cache, so that it is ranked in half the time.
    places = np.append(np.arange(0, len(tied), _RANKED_ROWS), len(tied))
    bounds = np.unique(group_bounds[np.searchsorted(group_bounds, places)])
    blocks = [tied[start:stop] for start, stop in pairwise(bounds.tolist())]
    for _ in ordered_map(partial(_rank_block, text, rows, is_start), blocks):
        pass


def _rank_block(
    text: pa.StringArray,
    rows: RowIndex,
    is_start: RowMask,
    tied: RowIndex,
) -> None:
    """Order some groups of rows with equal keys and mark their starts, in place."""
    # Groups of ties are in order already: ranking all at once ranks each group.
    tied_rows = rows[tied]
    tied_texts = text.take(pa.array(tied_rows))
    ranks = pc.rank(tied_texts, tiebreaker="first").to_numpy()
    order = np.empty(len(tied), np.int64)
    order[ranks.view(np.int64) - 1] = np.arange(len(tied))
    rows[tied] = tied_rows[order]
    texts = tied_texts.take(pa.array(order))
    differs = flags_of(pc.not_equal(texts[1:], texts[:-1]))
    is_start[tied[1:]] = differs


class SortedTexts(Protocol):
    """A sorted column of texts."""

    def __len__(self) -> int:
        """Return the number of texts."""

    def __getitem__(self, rows: slice) -> pa.StringArray:
        """Return the texts of a range of rows."""


def common_ranges(
    columns: Sequence[SortedTexts],
    max_rows: int,
) -> list[list[slice]]:
    """Cut sorted columns at the same texts into ranges: a list of slices, one a column.

    A range has all rows of its texts in every column, and at most ``max_rows`` rows in
    all unless one text has more.
    """
    step = max(1, max_rows // (2 * len(columns)))
    block_rows = min(step, _SEARCHED_ROWS)
    blocks_a_step = step // block_rows
    indexes = [_TextIndex.of(text, block_rows) for text in columns]
    samples: list[str] = []
    for index in indexes:
        samples += index.first_texts[::blocks_a_step]
    samples.sort()
    # Each cut is searched in every column, so take only as many as keep ranges apart.
    cuts = set(samples[:: max(1, max_rows // (2 * step))])
    bounds = [
        [index.row_of(cut, bisect_left) for index in indexes] for cut in cuts
    ]
    # A frequent text may fill a range of its own, which ends behind the text.
    sample_counts = Counter(samples)
    for cut in cuts:
        if sample_counts[cut] > 1:
            bounds.append(
                [index.row_of(cut, bisect_right) for index in indexes]
            )
    bounds.sort()
    ends = [len(text) for text in columns]
    bounds.append(ends)
    chosen = bounds[:1]
    for bound, next_bound in pairwise(bounds):
        is_full = sum(next_bound) - sum(chosen[-1]) > max_rows
        if is_full and bound not in (chosen[-1], ends):
            chosen.append(bound)
    chosen.append(ends)
    return [list(map(slice, start, stop)) for start, stop in pairwise(chosen)]


class _TextIndex(NamedTuple):
    """A sorted column, and the first text of each of its blocks."""

    texts: SortedTexts
    block_rows: int  # the number of rows in a block
    first_texts: Sequence[str]

    @classmethod
    def of(cls, texts: SortedTexts, block_rows: int) -> "_TextIndex":
        """Return the index of a column."""
        return cls(texts, block_rows, texts[::block_rows].to_pylist())

    def row_of(self, bound: str, bisect: Callable[..., int]) -> int:
        """Return the row before which a text is inserted; one block is read."""
        block = bisect(self.first_texts, bound)
        start = max(block - 1, 0) * self.block_rows
        block_texts = self.texts[start : block * self.block_rows].to_pylist()
        return start + bisect(block_texts, bound)
