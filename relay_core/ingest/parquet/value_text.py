"""Typed columns to the text that a feed has for a value: exact, and without an exponent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import change_rows, empty_texts, flags_of, without_nulls


def text_of(column: pa.Array) -> pa.StringArray:
    """Return a column of texts, numbers, booleans, dates or timestamps as text; null is empty.

    Raises:
        ValueError: texts that are not UTF-8.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        distinct = text_of(column.dictionary)
        return without_nulls(distinct.take(column.indices)) if len(distinct) else _none(column)
    if pa.types.is_null(kind):
        return _none(column)
    if pa.types.is_floating(kind):
        return _float_text(column)
    if pa.types.is_decimal(kind):
        written = without_nulls(column.cast(pa.string()))
        return _rewritten(written, "E", column, lambda value: format(value, "f"))
    if pa.types.is_timestamp(kind):
        return _timestamp_text(column)
    text = without_nulls(column.cast(pa.string()))
    text.validate(full=True)
    return text


def _none(column: pa.Array) -> pa.StringArray:
    return empty_texts(len(column))


def _float_text(column: pa.Array) -> pa.StringArray:
    """Write each float as the shortest text that reads back; not a number is empty."""
    numbers = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    written = without_nulls(numbers.cast(pa.string()))
    kind = column.type.to_pandas_dtype()
    mark = "" if pa.types.is_float16(column.type) else "e"  # Arrow writes no short halves
    return _rewritten(
        written,
        mark,
        numbers,
        lambda value: np.format_float_positional(kind(value), unique=True, trim="-"),
    )


def _rewritten(
    text: pa.StringArray, mark: str, column: pa.Array, write: Callable[[object], str]
) -> pa.StringArray:
    """Return ``text`` with the cells that hold a mark written again, each distinct value once."""
    rows = np.flatnonzero(flags_of(pc.match_substring(text, mark)) & ~flags_of(column.is_null()))
    if not len(rows):
        return text
    values = column.take(pa.array(rows)).dictionary_encode()
    written = pa.array([write(value) for value in values.dictionary.to_pylist()], pa.string())
    return change_rows(text, rows, lambda _: written.take(values.indices))


def _timestamp_text(column: pa.Array) -> pa.StringArray:
    """Write moments as ``YYYY-MM-DD HH:MM:SS`` with the fraction that they have, in UTC."""
    unit, zone = column.type.unit, column.type.tz
    naive = column if zone is None else column.cast(pa.timestamp(unit, "UTC"))
    text = naive.cast(pa.timestamp(unit)).cast(pa.string())
    if unit != "s":
        text = pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), ".")
    return without_nulls(text if zone is None else pc.binary_join_element_wise(text, "Z", ""))
