"""Sort a text column by code point, stably, and find where each distinct text starts.

UTF-8's byte order is the order of code points, so the texts are compared as big-endian words of
eight bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.columns import Bools
from relay_core.columnar.text_words import WORD, TextWords, Words
from relay_core.columnar.threads import ordered_map

Rows = npt.NDArray[np.int64]
_BLOCK = 1 << 17
_SHIFTS = np.arange(8 * (WORD - 1), -1, -8).astype(np.uint64)
"""By how many bits each byte of a big-endian word moves to stand alone."""


def order_by_text(text: pa.StringArray) -> tuple[Rows, Rows]:
    """Return the stable order of ``text`` and, within it, the position of each distinct text."""
    if not len(text):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    words = TextWords(text)
    packed, covered = _packed(words)
    packed.sort()
    return _refined(words, packed, covered)


def rows_in_order(text: pa.StringArray, kept: Bools) -> Rows:
    """Return the rows of ``kept`` in the stable order of their texts."""
    if not kept.any():
        return np.empty(0, np.int64)
    words = TextWords(text)
    packed, covered = _packed(words)
    packed = packed if kept.all() else packed[kept]
    packed.sort()
    if covered < words.longest or words.holds_zero_bytes():
        return _refined(words, packed, covered)[0]
    return _rows(words, packed)


def _refined(words: TextWords, packed: Words, covered: int) -> tuple[Rows, Rows]:
    """Put texts in order that ``covered`` bytes do not tell apart; return what a sort returns."""
    starts_new = np.ones(len(packed), np.bool_)
    for rows in _blocks(len(packed)):
        keys = packed[rows.start : rows.stop + 1] >> _row_bits(words)
        starts_new[rows.start + 1 : rows.stop + 1] = keys[1:] != keys[:-1]
    order = _rows(words, packed)
    for start in range(covered, words.longest, WORD):
        tied = _tied(starts_new)
        if not tied.any():
            break
        _refine(order, starts_new, tied, words.big_endian(start, order[tied]))
    if words.holds_zero_bytes() and (tied := _tied(starts_new)).any():
        # zero bytes at the end of a text look like its padding: the shorter goes first
        _refine(order, starts_new, tied, words.lengths[order[tied]])
    return order, np.flatnonzero(starts_new)


def _rows(words: TextWords, packed: Words) -> Rows:
    """Return the rows that the numbers end with, in their place."""
    packed &= (np.uint64(1) << _row_bits(words)) - np.uint64(1)
    return packed.view(np.int64)


def _row_bits(words: TextWords) -> np.uint64:
    return np.uint64(len(words).bit_length())


def common_ranges(columns: Sequence[pa.StringArray], most_rows: int) -> list[list[slice]]:
    """Cut sorted columns at the same texts: each range has the rows of some texts in every column.

    A range has at most ``most_rows`` rows in all, but for a text that stands there more often.
    """
    step = max(1, most_rows // (2 * len(columns)))
    cuts = {text[place].as_py() for text in columns for place in range(0, len(text), step)}
    bounds = [[_first_not_before(text, cut) for text in columns] for cut in sorted(cuts)]
    bounds.append([len(text) for text in columns])
    chosen = bounds[:1]
    for bound, following in pairwise(bounds):
        if sum(following) - sum(chosen[-1]) > most_rows and bound != chosen[-1]:
            chosen.append(bound)
    chosen.append(bounds[-1])
    return [list(map(slice, low, high)) for low, high in pairwise(chosen)]


def _first_not_before(text: pa.StringArray, bound: str) -> int:
    return bisect_left(range(len(text)), bound, key=lambda place: str(text[place].as_py()))


class _Place(NamedTuple):
    """A byte of words that is not the same in all: where it is, and a code for each it can be."""

    shift: np.uint64
    codes: Words
    bits: np.uint64


def _packed(words: TextWords) -> tuple[Words, int]:
    """Return for each text as many leading bytes as fit into 64 bits before the text's row.

    A byte takes as many bits as tell those apart that stand at its place: a prefix that all texts
    share costs nothing, and a digit four. The numbers are in the same order as the texts. How many
    bytes went in is returned, too.
    """
    blocks = _blocks(len(words))
    packed = np.zeros(len(words), np.uint64)
    room, covered = 64 - int(_row_bits(words)), 0
    for start in range(0, words.longest, WORD):
        read = list(ordered_map(partial(words.big_endian, start), blocks))
        seen = np.logical_or.reduce(list(ordered_map(_bytes_seen, read)))
        places, fitting = _places(seen, room)
        parts = [(packed[rows], word) for rows, word in zip(blocks, read, strict=True)]
        for _ in ordered_map(partial(_pack, places), parts):
            pass
        del read, parts  # as large as all that is packed: held once
        room -= sum(int(place.bits) for place in places)
        covered = start + fitting
        if fitting < WORD:
            break
    for rows in blocks:
        packed[rows] <<= _row_bits(words)
        packed[rows] |= np.arange(rows.start, rows.stop, dtype=np.uint64)
    return packed, min(covered, words.longest)


def _pack(places: Sequence[_Place], part: tuple[Words, Words]) -> None:
    """Put the codes of some bytes of words behind the numbers that are there, in place."""
    numbers, words = part
    for place in places:
        numbers <<= place.bits
        numbers |= place.codes.take(((words >> place.shift) & np.uint64(255)).view(np.int64))


def _places(seen: Bools, room: int) -> tuple[list[_Place], int]:
    """Return the bytes of a word that fit into so many bits, and how many leading ones do."""
    places: list[_Place] = []
    for byte, values in enumerate(seen):
        bits = int(values.sum() - 1).bit_length()
        if bits > room:
            return places, byte
        if bits:
            codes = np.cumsum(values, dtype=np.uint64) - np.uint64(1)
            places.append(_Place(_SHIFTS[byte], codes, np.uint64(bits)))
            room -= bits
    return places, WORD


def _bytes_seen(word: Words) -> Bools:
    """Return for each byte of big-endian words which of the 256 values it has."""
    seen = np.zeros((WORD, 256), np.bool_)
    differing = np.bitwise_or.reduce(word ^ word[0])
    columns = word.view(np.uint8).reshape(-1, WORD)
    for byte, differs in enumerate(np.array([differing]).view(np.uint8)):
        some = columns[:, byte] if differs else columns[:1, byte]
        seen[byte, pc.unique(pa.array(np.ascontiguousarray(some))).to_numpy()] = True
    return seen[::-1]  # in memory the first byte is the last


def _blocks(rows: int) -> list[slice]:
    """Cut so many rows into blocks that are some work each."""
    return [slice(start, min(start + _BLOCK, rows)) for start in range(0, rows, _BLOCK)]


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
