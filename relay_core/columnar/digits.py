"""Short plain numbers straight from the bytes of a column, eight at a time in one word.

A cell of up to eight characters is one 64-bit word; a number is read with a few operations on all
words at once. What is longer, or not plain digits with at most one point, is left to others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text_words import TextWords, Words

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class ShortRead(NamedTuple):
    """What was read of a column: values, 0 where none was read, and in which cells one was.

    ``written`` are the cells that stand just as the engine would write their values: with no
    needless zero in front, and amounts with 2 places, or 3 or 4 of which the last is not zero.
    """

    values: Ints
    done: Bools
    written: Bools


_WIDTH = 8
_PLACES = 4
_ZEROS = np.uint64(0x3030303030303030)
_HIGH_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIXES = np.uint64(0x0606060606060606)
_POINTS = np.uint64(0x2E2E2E2E2E2E2E2E)
_LOW_BITS = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)
_SHIFTS = np.array([0, *range(8 * (_WIDTH - 1), -1, -8)], np.uint64)
"""How far a cell of so many bytes moves to end where its word ends."""
_FILLERS = _ZEROS & ((np.uint64(1) << _SHIFTS) - np.uint64(1))

# By how many bits of a word stand before its point: 64 where there is none.
_SCALES = np.zeros(65, np.int64)
_LEAST = np.full(65, _WIDTH + 1)
"""How long a cell must be for a digit to stand before its point."""
_SCALES[64], _LEAST[64] = 10**_PLACES, 1
for _places in range(1, _PLACES + 1):
    _before = 8 * (_WIDTH - 1 - _places)
    _SCALES[_before], _LEAST[_before] = 10 ** (_PLACES - _places), _places + 2


# The least value whose digits before the point start with no needless zero, by length.
_LEAST_WHOLE = np.array([0, 0, *(10**size for size in range(1, _WIDTH))], np.int64)
# The same of amounts written with 2 to 4 places, by bits before the point plus length.
_LEAST_AMOUNT = np.full(64 + _WIDTH + 1, np.iinfo(np.int64).max)
_TWO_PLACES = 8 * (_WIDTH - 1 - 2)
for _places in range(2, _PLACES + 1):
    for _length in range(_places + 2, _WIDTH + 1):
        _key = 8 * (_WIDTH - 1 - _places) + _length
        _LEAST_AMOUNT[_key] = _LEAST_WHOLE[_length - _places - 1] * 10**_PLACES


def read_short_wholes(text: pa.StringArray) -> ShortRead:
    """Read cells of one to eight digits."""
    words, lengths = _aligned(text)
    values, done = _eight_digits(words)
    done &= lengths > 0
    values *= done
    return ShortRead(values, done, done & (values >= _LEAST_WHOLE.take(lengths)))


def read_short_money(text: pa.StringArray) -> ShortRead:
    """Read digits with at most four decimals, eight characters in all, as ten-thousandths.

    A point has a digit on either side.
    """
    words, lengths = _aligned(text)
    words, before = _without_point(words)
    values, done = _eight_digits(words)
    done &= lengths >= _LEAST.take(before)
    values *= _SCALES.take(before)
    values *= done
    written = done & (values >= _LEAST_AMOUNT.take(before + lengths))
    written &= (before == _TWO_PLACES) | ((words >> np.uint64(56)) != ord("0"))
    return ShortRead(values, done, written)


def _aligned(text: pa.StringArray) -> tuple[Words, Ints]:
    """Return each cell as a word, right-aligned behind zeros, and its length, 0 if too long."""
    cells = TextWords(text)
    lengths = np.where(cells.lengths <= _WIDTH, cells.lengths, 0).astype(np.int64)
    words = cells.little_endian()
    words <<= _SHIFTS.take(lengths)
    words |= _FILLERS.take(lengths)
    return words, lengths


def _without_point(words: Words) -> tuple[Words, Ints]:
    """Take each word's first point out; return how many bits stood before it, 64 without one.

    What stood before it moves one byte on, behind a zero.
    """
    others = words ^ _POINTS
    point = (others - _LOW_BITS) & ~others & _HIGH_BITS
    point &= ~point + np.uint64(1)  # the lowest bit: the first byte that is a point
    point >>= np.uint64(7)
    before = point - np.uint64(1)
    after = ~(before | point * np.uint64(255))
    moved = ((words & before) << np.uint64(8)) | np.uint64(ord("0")) | (words & after)
    return np.where(point == 0, words, moved), np.bitwise_count(before).astype(np.int64)


def _eight_digits(words: Words) -> tuple[Ints, Bools]:
    """Return what eight ASCII digits say, most significant first, and which words are digits."""
    plain = ((words & _HIGH_HALVES) == _ZEROS) & (((words + _SIXES) & _HIGH_HALVES) == _ZEROS)
    value = words - _ZEROS
    value = (value * np.uint64(10) + (value >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value * np.uint64(100) + (value >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    value = (value * np.uint64(10_000) + (value >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    return value.view(np.int64), np.asarray(plain)
