"""Short plain numbers straight from the bytes of a column, eight at a time in one word.

A cell of up to eight characters is one 64-bit word; a number is read with a few operations on all
words at once. What is longer, or not plain digits with at most one point, is left to others.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.text_words import TextWords, Words

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_WIDTH = 8
_ZEROS = np.uint64(0x3030303030303030)
_HIGH_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)
_SIXES = np.uint64(0x0606060606060606)
_POINT = ord(".")
_PLACES = 4


def read_short_wholes(text: pa.StringArray) -> tuple[Ints, Bools]:
    """Read cells of one to eight digits; return the values and which cells were read."""
    words, lengths = _aligned(text)
    values, plain = _eight_digits(words)
    done = plain & (lengths > 0)
    return np.where(done, values, 0), done


def read_short_money(text: pa.StringArray) -> tuple[Ints, Bools]:
    """Read digits with at most four decimals, eight characters in all, as ten-thousandths.

    A point has a digit on either side.
    """
    words, lengths = _aligned(text)
    values, done = _eight_digits(words)
    values *= 10**_PLACES
    for places in range(1, _PLACES + 1):
        rows = np.flatnonzero(_byte(words, _WIDTH - 1 - places) == _POINT)
        if len(rows):
            values[rows], done[rows] = _eight_digits(_without_point(words[rows], places))
            values[rows] *= 10 ** (_PLACES - places)
            done[rows] &= lengths[rows] > places + 1
    done &= lengths > 0
    return np.where(done, values, 0), done


def _aligned(text: pa.StringArray) -> tuple[Words, Ints]:
    """Return each cell as a word, right-aligned behind zeros, and its length, 0 if too long."""
    cells = TextWords(text)
    short = (cells.lengths > 0) & (cells.lengths <= _WIDTH)
    shift = (8 * (_WIDTH - np.clip(cells.lengths, 1, _WIDTH))).astype(np.uint64)
    filler = _ZEROS & ((np.uint64(1) << shift) - np.uint64(1))
    return (cells.little_endian() << shift) | filler, np.where(short, cells.lengths, 0)


def _byte(words: Words, place: int) -> Words:
    return np.asarray((words >> np.uint64(8 * place)) & np.uint64(255))


def _without_point(words: Words, places: int) -> Words:
    """Move the bytes before the point one place on, over the point, and put a zero in front."""
    before = np.uint64((1 << (8 * (_WIDTH - 1 - places))) - 1)
    after = ~np.uint64((1 << (8 * (_WIDTH - places))) - 1)
    return np.asarray(((words & before) << np.uint64(8)) | (words & after) | np.uint64(ord("0")))


def _eight_digits(words: Words) -> tuple[Ints, Bools]:
    """Return what eight ASCII digits say, most significant first, and which words are digits."""
    plain = ((words & _HIGH_HALVES) == _ZEROS) & (((words + _SIXES) & _HIGH_HALVES) == _ZEROS)
    value = words - _ZEROS
    value = (value * np.uint64(10) + (value >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value * np.uint64(100) + (value >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    value = (value * np.uint64(10_000) + (value >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    return value.astype(np.int64), np.asarray(plain)
