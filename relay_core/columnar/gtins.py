"""Columns of GTINs: read, judged, and compared as whole numbers."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.domain import gtins

_WIDTH = gtins.LONGEST
_ZERO = ord("0")
_WEIGHTS = np.array([3, 1] * (_WIDTH // 2), np.uint8)
"""The weights of 14 digits in the sum that a right check digit completes."""
_POWERS = 10 ** np.arange(_WIDTH - 1, -1, -1, dtype=np.int64)
_ROWS_AT_ONCE = 1 << 14
_NO_KEY = -1


class GtinCells(NamedTuple):
    """A column of cells after reading; every array has one entry a row."""

    # GTINs as they are written; an invalid cell is unchanged, and a null is empty.
    text: pa.StringArray
    is_invalid: arrays.RowMask  # the cells that are not GTINs


def read_gtins(
    text: pa.StringArray,
    numbers: arrays.RowMask | None = None,
) -> GtinCells:
    """Read a column of trimmed cells, empty if null.

    Args:
        text: The cells.
        numbers: The mask of the cells that the file stores as numbers; None for no cell.
    """
    bare = _without_marks(text)
    lengths = texts.lengths_of(bare)
    fits = np.isin(lengths, gtins.LENGTHS)
    if numbers is not None:
        is_long = (lengths >= gtins.SHORTEST_NUMBER) & (lengths <= _WIDTH)
        fits = np.where(numbers, is_long, fits)
    keys = _keys(bare, fits)
    is_gtin = keys > 0
    written_lengths = _written_lengths(keys)
    has_marks = texts.lengths_of(text) != lengths
    is_changed = is_gtin & (has_marks | (written_lengths != lengths))
    rows = np.flatnonzero(is_changed)
    written = texts.change_rows(
        text,
        rows,
        lambda _: _written(keys[rows], written_lengths[rows]),
    )
    return GtinCells(written, ~is_gtin & ~texts.is_empty(text))


def keys_of(text: pa.StringArray) -> arrays.WholeNumbers:
    """Return GTINs as whole numbers, to be compared; -1 for a null.

    Args:
        text: GTINs as they are written, empty if null. A cell that is not a GTIN
            has any number.
    """
    try:
        numbers = pc.cast(texts.with_nulls(text), pa.int64())
    except pa.ArrowInvalid:
        return _judged_keys(text)
    return np.asarray(texts.values_of(numbers.fill_null(_NO_KEY)))


def _judged_keys(text: pa.StringArray) -> arrays.WholeNumbers:
    """Return GTINs as whole numbers; -1 for every other cell."""
    lengths = texts.lengths_of(text)
    keys = _keys(text, np.isin(lengths, gtins.LENGTHS))
    keys[keys == 0] = _NO_KEY
    return keys


def are_gtins(text: pa.StringArray) -> arrays.RowMask:
    """Return which cells have a GTIN as it is written."""
    keys = _judged_keys(text)
    is_shortest = _written_lengths(keys) == texts.lengths_of(text)
    return np.asarray((keys != _NO_KEY) & is_shortest)


def are_own(keys: arrays.WholeNumbers) -> arrays.RowMask:
    """Return which GTINs, as whole numbers, are a shop's own numbers or coupons'."""
    last_digits = keys % 10 ** (_WIDTH - 1)
    is_own = np.zeros(len(keys), np.bool_)
    for start in gtins.SHOP_STARTS:
        unit = 10 ** (_WIDTH - 1 - len(start))
        is_own |= last_digits // unit == int(start)
    short = keys < 10 ** gtins.LENGTHS[0]
    first_digits = keys // 10 ** (gtins.LENGTHS[0] - 1)
    starts_of_8 = [int(start) for start in gtins.SHOP_STARTS_OF_8]
    return np.asarray(
        np.where(short, np.isin(first_digits, starts_of_8), is_own),
    )


def _without_marks(text: pa.StringArray) -> pa.StringArray:
    """Return cells without spaces and hyphens."""
    rows = texts.rows_containing(text, _is_mark)
    if not len(rows):
        return text

    def strip(cells: pa.StringArray) -> pa.StringArray:
        cells = pc.replace_substring(cells, " ", "")
        return pc.replace_substring(cells, "-", "")

    return texts.change_rows(text, rows, strip)


def _is_mark(data: arrays.Bytes) -> arrays.ByteMask:
    return np.asarray((data == ord(" ")) | (data == ord("-")))


def _keys(text: pa.StringArray, fits: arrays.RowMask) -> arrays.WholeNumbers:
    """Return cells of up to 14 digits with a right check digit as whole numbers.

    Any other cell is -1; so is one that ``fits`` does not name. Zeros are 0.
    """
    bounds, data = texts.offsets_and_bytes(text)
    keys = np.full(len(text), _NO_KEY, np.int64)
    all_rows = np.flatnonzero(fits)
    for start in range(0, len(all_rows), _ROWS_AT_ONCE):
        rows = all_rows[start : start + _ROWS_AT_ONCE]
        digits = _digits(bounds[rows], bounds[rows + 1], data)
        weighted = (digits * _WEIGHTS).sum(axis=1, dtype=np.int64)
        is_sound = (digits <= 9).all(axis=1) & (weighted % 10 == 0)
        keys[rows[is_sound]] = digits[is_sound] @ _POWERS
    return keys


def _digits(
    starts: arrays.WholeNumbers,
    stops: arrays.WholeNumbers,
    data: arrays.Bytes,
) -> arrays.Bytes:
    """Return the last 14 bytes of cells as digits, one row a cell.

    A byte that is not a digit is above 9, and places before a cell's first byte are 0.
    """
    places = stops[:, np.newaxis].astype(np.int64) - np.arange(_WIDTH, 0, -1)
    is_before = places < starts[:, np.newaxis]
    places[is_before] = 0
    digits = data[places] - np.uint8(_ZERO)  # a byte below "0" wraps around
    digits[is_before] = 0
    return np.asarray(digits)


def _written_lengths(keys: arrays.WholeNumbers) -> arrays.WholeNumbers:
    """Return the number of digits that each GTIN is written with."""
    limits = [10**length for length in gtins.LENGTHS[:-1]]
    return np.array(gtins.LENGTHS)[np.searchsorted(limits, keys, side="right")]


def _written(
    keys: arrays.WholeNumbers,
    lengths: arrays.WholeNumbers,
) -> pa.StringArray:
    """Return whole numbers as texts of given numbers of digits."""
    digits = (keys[:, np.newaxis] // _POWERS % 10 + _ZERO).astype(np.uint8)
    is_written = np.arange(_WIDTH) >= _WIDTH - lengths[:, np.newaxis]
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(digits[is_written])]
    return pa.Array.from_buffers(pa.string(), len(keys), buffers)
