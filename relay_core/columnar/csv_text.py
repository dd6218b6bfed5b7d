"""Typed columns to the lines of a CSV file: quoting, money, timestamps, whole records.

A field is quoted only where it holds the delimiter, a quote, CR or LF. ``pyarrow.csv`` quotes
every text, so it cannot write these files.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cache, partial
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.columnar.numbers import ColumnValues

_DAY_SECONDS = 86_400
_MAX_MARKS = ord(",")  # no byte that must be quoted is more, where the delimiter is not
Quarters = list[npt.NDArray[np.uint32]]


def quoted(text: pa.StringArray, delimiter: str = ",") -> pa.StringArray:
    """Quote the fields that need it, and only those."""
    if len(delimiter.encode()) == 1:
        rows = texts.rows_that_hold(text, partial(_must_be_quoted, ord(delimiter)))
    else:
        pattern = f'["\r\n{delimiter}]'
        rows = np.flatnonzero(texts.flags_of(pc.match_substring_regex(text, pattern)))
    return texts.change_rows(
        text,
        rows,
        lambda some: join_fields(['"', pc.replace_substring(some, '"', '""'), '"'], ""),
    )


def whole_text(
    values: npt.NDArray[np.integer], nulls: texts.Bools | None = None
) -> pa.StringArray:
    """Write whole numbers; a null is empty."""
    if nulls is not None and nulls.all():
        return texts.empty_texts(len(nulls))
    return texts.fill(pc.cast(pa.array(values), pa.string()), nulls, "")


def money_text(
    ten_thousandths: texts.Ints, nulls: texts.Bools | None = None
) -> pa.StringArray:
    """Write amounts with 2 places, and the third and fourth as far as they are not zero."""
    if nulls is not None and nulls.all():
        return texts.empty_texts(len(nulls))
    hundredths, rest = np.divmod(ten_thousandths, 100)
    fine = np.flatnonzero(rest)
    text = cents_text(hundredths)
    if len(fine):
        long = pc.cast(_decimals(ten_thousandths[fine], 4), pa.string())
        mask = np.zeros(len(text), np.bool_)
        mask[fine] = True
        text = pc.replace_with_mask(
            text, pa.array(mask), pc.utf8_rtrim(long, characters="0")
        )
    return texts.fill(text, nulls, "")


def cents_text(cents: texts.Ints, nulls: texts.Bools | None = None) -> pa.StringArray:
    """Write whole cents as ``0.00``."""
    return texts.fill(pc.cast(_decimals(cents, 2), pa.string()), nulls, "")


def instant_text(microseconds: texts.Ints, end: bytes = b"") -> pa.StringArray:
    """Write microseconds since the epoch as ``YYYY-MM-DDTHH:MM:SSZ``, without their fraction."""
    if not len(microseconds):
        return texts.empty_texts(0)
    seconds = np.floor_divide(microseconds, 1_000_000)
    days = np.floor_divide(seconds, _DAY_SECONDS)
    seconds -= days * _DAY_SECONDS
    # ``YYYY``, ``-MM-`` and ``DDT`` with a zero byte of each day.
    first, last = int(days.min()), int(days.max())
    if last - first < _DAY_SECONDS:
        known, where = np.arange(first, last + 1), days - first
    else:
        known, where = np.unique(days, return_inverse=True)
    chars = np.zeros((len(known), 12), np.uint8)
    written = np.datetime_as_string(known.astype("datetime64[D]")).astype("S10")
    chars[:, :10] = written.view(np.uint8).reshape(len(known), 10)
    chars[:, 10] = ord("T")
    dates = [each.take(where) for each in np.ascontiguousarray(chars.view(np.uint32).T)]
    clocks = _clock_table()
    quarters = [
        dates[0],
        dates[1],
        dates[2] | clocks[0].take(seconds),
    ]  # four characters each
    quarters += [clock.take(seconds) for clock in clocks[1:]]
    size = 20 + len(end)
    data = np.empty((len(seconds), size), np.uint8)
    for place, quarter in enumerate(quarters):
        np.ndarray(len(seconds), np.uint32, data, 4 * place, size)[:] = quarter
    data[:, 20:] = np.frombuffer(end, np.uint8)
    ends = np.arange(0, size * (len(seconds) + 1), size, dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(seconds), buffers)


def number_text(
    column: ColumnValues, write: Callable[[texts.Ints, texts.Bools], pa.StringArray]
) -> pa.StringArray:
    """Return a column as ``write`` writes it; cells that stand so already are not written again."""
    rows = np.flatnonzero(~column.is_canonical)
    values, nulls = column.values[rows], column.nulls[rows]
    return texts.change_rows(column.text, rows, lambda _: write(values, nulls))


def join_fields(
    fields: Sequence[pa.StringArray | str], delimiter: str = ","
) -> pa.StringArray:
    """Join columns of written fields to records, without a line end; a null is empty."""
    if len(fields) == 1:
        return fields[0]
    kinds = {field.type for field in fields if not isinstance(field, str)}
    if len(kinds) > 1:  # some hold more text than short offsets reach
        fields = [
            f if isinstance(f, str) else f.cast(pa.large_string()) for f in fields
        ]
        kinds = {pa.large_string()}
    (kind,) = kinds
    scalars = (
        pa.scalar(f, kind) if isinstance(f, str) else f for f in (*fields, delimiter)
    )
    return pc.binary_join_element_wise(*scalars, null_handling="replace")


def joined_records(
    rows: Collection[Sequence[str]], delimiter: str = ","
) -> pa.StringArray:
    """Quote and join the fields of records of any number of them."""
    ends = pa.array(accumulate(map(len, rows), initial=0), pa.int32())
    fields = quoted(pa.array(chain.from_iterable(rows), pa.string()), delimiter)
    return pc.binary_join(pa.ListArray.from_arrays(ends, fields), delimiter)


def joined_lines(
    fields: Sequence[pa.StringArray | str], delimiter: str = ","
) -> pa.StringArray:
    """Return records of written fields, each ended by LF; one empty field is written ``""``."""
    *before, last = fields
    if not before and isinstance(last, pa.StringArray):
        last = pc.if_else(pa.array(texts.is_empty(last)), '""', last)
    end = f"{last}\n" if isinstance(last, str) else join_fields([last, "\n"], "")
    return join_fields([*before, end], delimiter)


def lines(fields: Sequence[pa.StringArray | str], delimiter: str = ",") -> memoryview:
    """Return the bytes of ``joined_lines``."""
    return texts.bytes_of(joined_lines(fields, delimiter))


def header_line(columns: Sequence[str]) -> bytes:
    """Return a header of plain names."""
    return (",".join(columns) + "\n").encode()


@cache
def _clock_table() -> Quarters:
    """Return three zero bytes with ``H``, ``H:MM`` and ``:SSZ`` of every second of a day."""
    second = np.arange(_DAY_SECONDS)
    chars = np.zeros((_DAY_SECONDS, 12), np.uint8)
    chars[:, 5] = chars[:, 8] = ord(":")
    chars[:, 11] = ord("Z")
    for place, part in ((3, second // 3600), (6, second // 60 % 60), (9, second % 60)):
        chars[:, place], chars[:, place + 1] = (
            part // 10 + ord("0"),
            part % 10 + ord("0"),
        )
    return list(np.ascontiguousarray(chars.view(np.uint32).T))


def _must_be_quoted(delimiter: int, held: npt.NDArray[np.uint8]) -> texts.Bools:
    likely = held <= _MAX_MARKS
    if delimiter <= _MAX_MARKS and not likely.any():
        return np.asarray(likely)
    special, also = held == ord('"'), held == delimiter
    for end in b"\r\n":
        special |= also
        np.equal(held, end, out=also)
    special |= also
    return np.asarray(special)


def _decimals(values: texts.Ints, places: int) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values, np.int64))
    return pa.Array.from_buffers(pa.decimal64(18, places), len(values), [None, data])
