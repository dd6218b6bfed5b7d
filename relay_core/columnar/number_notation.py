"""The vendor's notation of numbers, for whole columns: separators and symbols.

The functions rewrite cells to plain digits. A cell whose notation is wrong becomes
``?``, which no reader takes for a number.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.text import (
    change_rows,
    fill,
    flags_of,
    is_empty,
    lower_ascii,
    offsets_and_bytes,
    trim,
)
from relay_core.domain.cell_rules import CellOptions, strip_symbols

_TWINS = {" ": ("\u00a0", "\u202f"), "'": ("\u2019",)}
"""Characters that are read as a thousands separator, by the separator."""


def plain_numbers(text: pa.StringArray, options: CellOptions) -> pa.StringArray:
    """Rewrite numbers with the vendor's separators to digits with ``.``."""
    thousands = options.thousands_separator
    if thousands is not None:
        text = _without_thousands(text, options.decimal_separator, thousands)
    if options.decimal_separator == ",":
        has_point = flags_of(pc.match_substring(text, "."))
        text = change_rows(text, np.flatnonzero(has_point), _question_marks)
        text = pc.replace_substring(text, ",", ".")
    return text


def _without_thousands(
    text: pa.StringArray,
    decimal: str,
    thousands: str,
) -> pa.StringArray:
    for twin in _TWINS.get(thousands, ()):
        text = pc.replace_substring(text, twin, thousands)
    has_thousands = flags_of(pc.match_substring(text, thousands))
    grouped = (
        rf"^[+-]?[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+"
        rf"(?:{re.escape(decimal)}[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
    )
    is_grouped = flags_of(pc.match_substring_regex(text, grouped))
    misplaced = np.flatnonzero(has_thousands & ~is_grouped)
    text = change_rows(text, misplaced, _question_marks)
    return (
        pc.replace_substring(text, thousands, "")
        if has_thousands.any()
        else text
    )


def without_symbols(
    text: pa.StringArray,
    symbols: Sequence[str],
) -> pa.StringArray:
    """Remove at most one currency symbol from each end, with the white space beside it.

    A cell of nothing but symbols becomes ``?``.
    """
    if not symbols:
        return text
    longest_first = sorted(symbols, key=len, reverse=True)
    was_empty = is_empty(text)
    text = _without_one(text, longest_first)
    text = _without_one(text, longest_first, at_end=True)
    return fill(text, is_empty(text) & ~was_empty, "?")


def without_quantity_symbols(
    text: pa.StringArray,
    symbols: Sequence[str],
) -> pa.StringArray:
    """Remove at most one symbol of any case from each end, with white space beside it.

    A plus is removed only from the end. A cell of nothing but symbols becomes ``?``.
    """
    bounds, data = offsets_and_bytes(text)
    starts = bounds[:-1]
    ends = bounds[1:]
    filled = np.flatnonzero(ends > starts)
    starts_with_digit = _is_digit(data[starts[filled]])
    ends_with_digit = _is_digit(data[ends[filled] - 1])
    rows = filled[~(starts_with_digit & ends_with_digit)]
    return change_rows(text, rows, partial(_without_quantity_symbols, symbols))


def _is_digit(data: arrays.Bytes) -> arrays.ByteMask:
    return np.asarray((data >= ord("0")) & (data <= ord("9")))


def _without_quantity_symbols(
    symbols: Sequence[str],
    text: pa.StringArray,
) -> pa.StringArray:
    longest_first = sorted(map(str.lower, symbols), key=len, reverse=True)
    without_plus = [symbol for symbol in longest_first if symbol != "+"]

    def strip_ascii(cells: pa.StringArray) -> pa.StringArray:
        cells = _without_one(cells, without_plus, ignore_case=True)
        return _without_one(cells, longest_first, at_end=True, ignore_case=True)

    def strip_any_script(cells: pa.StringArray) -> pa.StringArray:
        encoded = cells.dictionary_encode()
        distinct_cells = encoded.dictionary.to_pylist()
        stripped_cells = [
            strip_symbols(cell, symbols) for cell in distinct_cells
        ]
        return pa.array(stripped_cells, cells.type).take(encoded.indices)

    is_ascii = flags_of(pc.string_is_ascii(text))
    stripped = change_rows(text, np.flatnonzero(is_ascii), strip_ascii)
    stripped = change_rows(
        stripped,
        np.flatnonzero(~is_ascii),
        strip_any_script,
    )
    return fill(stripped, is_empty(stripped), "?")


def _without_one(
    text: pa.StringArray,
    symbols: list[str],
    *,
    at_end: bool = False,
    ignore_case: bool = False,
) -> pa.StringArray:
    """Remove from an end of each cell the first of the symbols that it has; then trim.

    Symbols must be in lower case if case is ignored.
    """
    has_symbol = pc.ends_with if at_end else pc.starts_with
    is_unchanged = np.ones(len(text), np.bool_)
    for symbol in symbols:
        compared = lower_ascii(text) if ignore_case else text
        matches = flags_of(has_symbol(compared, pattern=symbol)) & is_unchanged
        is_unchanged &= ~matches
        start = 0 if at_end else len(symbol)
        stop = -len(symbol) if at_end else None
        cut = partial(pc.utf8_slice_codeunits, start=start, stop=stop)
        text = change_rows(text, np.flatnonzero(matches), cut)
    return trim(text)


def _question_marks(text: pa.StringArray) -> pa.StringArray:
    return pa.repeat(pa.scalar("?", text.type), len(text))
