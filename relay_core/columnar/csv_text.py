"""Typed columns to the lines of a CSV file: quoting, money, timestamps, whole records.

A field is quoted only if it contains the delimiter, a quote, CR or LF. ``pyarrow.csv``
quotes every text, so it cannot write these files.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from itertools import accumulate, chain
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.columnar.numbers import ColumnValues
from relay_core.domain.cell_rules import FORMULA_STARTS
from relay_core.domain.columns import Kind

TEXT_KINDS = (Kind.TEXT, Kind.CONDITION)
"""The kinds of columns whose text may need quotes in a CSV file."""
_DAY_SECONDS = 86_400
_MAX_SPECIAL = ord(",")
"""No byte that must be quoted is greater, unless the delimiter is."""
_FORMULA = f"^([{FORMULA_STARTS}])"
_Quads: TypeAlias = list[npt.NDArray[np.uint32]]
"""Columns of four characters, each as one number."""


class Column(NamedTuple):
    """A column of typed cells of a file."""

    kind: Kind  # the kind of the cells, which decides how they are written
    cells: pa.Array  # one a row


def cell_texts(column: Column) -> pa.StringArray:
    """Return the texts of a column's cells before quoting; a null is the empty text."""
    if column.kind in TEXT_KINDS:
        return texts.without_nulls(column.cells)
    numbers, is_null = written_numbers(column)
    if column.kind is Kind.INSTANT:
        return instant_text(numbers)
    if column.kind is Kind.WHOLE:
        return whole_text(numbers, is_null)
    return cents_text(numbers, is_null)


def written_numbers(
    column: Column,
) -> tuple[arrays.WholeNumbers, arrays.RowMask]:
    """Return the numbers that a column's cells are written from, and the mask of nulls.

    Amounts are cents, and instants are microseconds.
    """
    numbers, is_null = texts.integers_of(column.cells)
    if column.kind is Kind.MONEY and column.cells.type.scale != 2:
        # Ten-thousandths become cents, rounded half up; none of them is negative.
        numbers = (numbers + 50) // 100
    return numbers, is_null


def quoted(text: pa.StringArray, delimiter: str = ",") -> pa.StringArray:
    """Return fields as CSV: quoted if they need it."""
    if len(delimiter.encode()) == 1:
        rows = texts.rows_containing(
            text,
            partial(_must_be_quoted, ord(delimiter)),
        )
    else:
        needs_quotes = pc.match_substring_regex(text, f'["\r\n{delimiter}]')
        rows = np.flatnonzero(texts.flags_of(needs_quotes))
    return texts.change_rows(text, rows, _in_quotes)


def _in_quotes(text: pa.StringArray) -> pa.StringArray:
    return join_fields(['"', pc.replace_substring(text, '"', '""'), '"'], "")


def _must_be_quoted(delimiter: int, data: arrays.Bytes) -> arrays.ByteMask:
    may_be_special = data <= _MAX_SPECIAL
    if delimiter <= _MAX_SPECIAL and not may_be_special.any():
        return np.asarray(may_be_special)
    is_special = data == ord('"')
    is_mark = data == delimiter
    is_special |= is_mark
    for line_end in b"\r\n":
        np.equal(data, line_end, out=is_mark)
        is_special |= is_mark
    return np.asarray(is_special)


def without_formulas(text: pa.StringArray) -> pa.StringArray:
    """Return texts that no spreadsheet takes for formulas, one a text."""
    return pc.replace_substring_regex(text, _FORMULA, r"'\1")


def whole_text(
    values: npt.NDArray[np.integer],
    nulls: arrays.RowMask | None = None,
) -> pa.StringArray:
    """Write whole numbers; a null becomes the empty text."""
    if nulls is not None and nulls.all():
        return texts.empty_texts(len(nulls))
    text = pc.cast(pa.array(values), pa.string())
    return texts.fill(text, nulls, "")


def money_text(
    amounts: arrays.TenThousandths,
    nulls: arrays.RowMask | None = None,
) -> pa.StringArray:
    """Write amounts with two decimal places, or up to four where those are not zero.

    A null becomes the empty text.
    """
    if nulls is not None and nulls.all():
        return texts.empty_texts(len(nulls))
    cents, beyond_cents = np.divmod(amounts, 100)
    text = cents_text(cents)
    long_rows = np.flatnonzero(beyond_cents)
    if len(long_rows):
        four_places = pc.cast(_decimals(amounts[long_rows], 4), pa.string())
        is_long = np.zeros(len(text), np.bool_)
        is_long[long_rows] = True
        without_zeros = pc.utf8_rtrim(four_places, characters="0")
        text = pc.replace_with_mask(text, pa.array(is_long), without_zeros)
    return texts.fill(text, nulls, "")


def cents_text(
    cents: arrays.Cents,
    nulls: arrays.RowMask | None = None,
) -> pa.StringArray:
    """Write cents as ``0.00``; a null becomes the empty text."""
    text = pc.cast(_decimals(cents, 2), pa.string())
    return texts.fill(text, nulls, "")


def _decimals(values: arrays.WholeNumbers, places: int) -> pa.Array:
    """Return whole numbers as decimals whose last ``places`` digits are a fraction."""
    data = pa.py_buffer(np.ascontiguousarray(values, np.int64))
    return pa.Array.from_buffers(
        pa.decimal64(18, places),
        len(values),
        [None, data],
    )


def instant_text(
    microseconds: arrays.Microseconds,
    suffix: bytes = b"",
) -> pa.StringArray:
    """Write instants as ``YYYY-MM-DDTHH:MM:SSZ``, each followed by ``suffix``.

    The fraction of a second is cut off.
    """
    if not len(microseconds):
        return texts.empty_texts(0)
    seconds = np.floor_divide(microseconds, 1_000_000)
    days = np.floor_divide(seconds, _DAY_SECONDS)
    seconds -= days * _DAY_SECONDS  # the second of the day, from here on
    dates = _date_quads(days)
    clocks = _clock_quads()
    clock_quads = [clock.take(seconds) for clock in clocks]
    # The day and the hour share four characters; each leaves those of the other zero.
    day_and_hour = dates[2] | clock_quads[0]
    quads = [dates[0], dates[1], day_and_hour, *clock_quads[1:]]
    width = 20 + len(suffix)
    data = np.empty((len(seconds), width), np.uint8)
    for index, quad in enumerate(quads):
        np.ndarray(len(seconds), np.uint32, data, 4 * index, width)[:] = quad
    data[:, 20:] = np.frombuffer(suffix, np.uint8)
    bounds = np.arange(0, width * (len(seconds) + 1), width, dtype=np.int32)
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(seconds), buffers)


def _date_quads(days: arrays.WholeNumbers) -> _Quads:
    """Return ``YYYY``, ``-MM-``, and ``DDT`` with a zero byte, one each a day."""
    first_day = int(days.min())
    last_day = int(days.max())
    if last_day - first_day < _DAY_SECONDS:
        distinct_days = np.arange(first_day, last_day + 1)
        index = days - first_day
    else:
        distinct_days, index = np.unique(days, return_inverse=True)
    dates = np.datetime_as_string(distinct_days.astype("datetime64[D]")).astype(
        "S10",
    )
    characters = np.zeros((len(distinct_days), 12), np.uint8)
    characters[:, :10] = dates.view(np.uint8).reshape(len(distinct_days), 10)
    characters[:, 10] = ord("T")
    return [quad.take(index) for quad in _quads_of(characters)]


@cache
def _clock_quads() -> _Quads:
    """Return three zero bytes and ``H``, ``H:MM``, and ``:SSZ``, one each a second."""
    seconds = np.arange(_DAY_SECONDS)
    characters = np.zeros((_DAY_SECONDS, 12), np.uint8)
    characters[:, 5] = ord(":")
    characters[:, 8] = ord(":")
    characters[:, 11] = ord("Z")
    hours = seconds // 3600
    minutes = seconds // 60 % 60
    for column, number in ((3, hours), (6, minutes), (9, seconds % 60)):
        characters[:, column] = number // 10 + ord("0")
        characters[:, column + 1] = number % 10 + ord("0")
    return _quads_of(characters)


def _quads_of(characters: npt.NDArray[np.uint8]) -> _Quads:
    """Return rows of characters as columns of four of them each."""
    return list(np.ascontiguousarray(characters.view(np.uint32).T))


def canonical_text(
    column: ColumnValues,
    write: Callable[[arrays.WholeNumbers, arrays.RowMask], pa.StringArray],
) -> pa.StringArray:
    """Return a column of numbers as text.

    A cell that is canonical keeps its text; ``write`` gets the values and the nulls of
    all others.
    """
    rows = np.flatnonzero(~column.is_canonical)
    values = column.values[rows]
    nulls = column.nulls[rows]
    return texts.change_rows(column.text, rows, lambda _: write(values, nulls))


def join_fields(
    fields: Sequence[pa.StringArray | str],
    delimiter: str = ",",
) -> pa.StringArray:
    """Join columns of written fields to records without a line end.

    A text instead of a column is the field of every record. A null is an empty field.
    """
    if len(fields) == 1:
        return fields[0]
    types = {field.type for field in fields if not isinstance(field, str)}
    if len(types) > 1:  # a column has more text than short offsets can reach
        fields = [
            field if isinstance(field, str) else field.cast(pa.large_string())
            for field in fields
        ]
        types = {pa.large_string()}
    (text_type,) = types
    arguments = [
        pa.scalar(field, text_type) if isinstance(field, str) else field
        for field in (*fields, delimiter)
    ]
    return pc.binary_join_element_wise(*arguments, null_handling="replace")


def joined_records(
    records: Collection[Sequence[str]],
    delimiter: str = ",",
) -> pa.StringArray:
    """Quote and join the fields of each record; records may differ in width."""
    bounds = pa.array(accumulate(map(len, records), initial=0), pa.int32())
    all_fields = pa.array(chain.from_iterable(records), pa.string())
    record_fields = pa.ListArray.from_arrays(
        bounds,
        quoted(all_fields, delimiter),
    )
    return pc.binary_join(record_fields, delimiter)


def joined_lines(
    fields: Sequence[pa.StringArray | str],
    delimiter: str = ",",
) -> pa.StringArray:
    """Join columns of written fields to records that end in LF.

    A record that is a single empty field is written ``""``.
    """
    *leading_fields, last_field = fields
    if not leading_fields and isinstance(last_field, pa.StringArray):
        is_empty = pa.array(texts.is_empty(last_field))
        last_field = pc.if_else(is_empty, '""', last_field)
    ended_field: pa.StringArray | str
    if isinstance(last_field, str):
        ended_field = f"{last_field}\n"
    else:
        ended_field = join_fields([last_field, "\n"], "")
    return join_fields([*leading_fields, ended_field], delimiter)


def lines(
    fields: Sequence[pa.StringArray | str],
    delimiter: str = ",",
) -> memoryview:
    """Return the bytes of `joined_lines`."""
    return texts.bytes_of(joined_lines(fields, delimiter))


def header_line(columns: Sequence[str]) -> bytes:
    """Return the header of columns whose names need no quotes."""
    return (",".join(columns) + "\n").encode()
