"""Typed columns to the lines of a CSV file: quoting, money, timestamps, whole records.

A field is quoted only where it holds the delimiter, a quote, CR or LF. ``pyarrow.csv`` quotes
every text, so it cannot write these files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columns import Bools, Ints, change_rows, is_empty, offsets_and_bytes


def quoted(text: pa.StringArray, delimiter: str = ",") -> pa.StringArray:
    """Quote the fields that need it, and only those."""
    bounds, data = offsets_and_bytes(text)
    low, high = int(bounds[0]), int(bounds[-1])
    if len(delimiter.encode()) == 1:
        held = data[low:high]
        special = (held == ord('"')) | (held == ord(delimiter)) | (held == 10) | (held == 13)
        hits = np.flatnonzero(special) + low
        rows = np.unique(np.searchsorted(bounds, hits, side="right") - 1)
    else:
        pattern = f'["\r\n{delimiter}]'
        found = pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(found)
    return change_rows(text, rows, _quote)


def whole_text(values: npt.NDArray[np.integer], nulls: Bools | None = None) -> pa.StringArray:
    """Write whole numbers; a null is empty."""
    return _blank(pc.cast(pa.array(values), pa.string()), nulls)


def money_text(ten_thousandths: Ints, nulls: Bools | None = None) -> pa.StringArray:
    """Write amounts with 2 places, and the third and fourth as far as they are not zero."""
    hundredths, rest = np.divmod(ten_thousandths, 100)
    fine = np.flatnonzero(rest)
    text = cents_text(hundredths)
    if len(fine):
        long = pc.cast(_decimals(ten_thousandths[fine], 4), pa.string())
        mask = np.zeros(len(text), np.bool_)
        mask[fine] = True
        text = pc.replace_with_mask(text, pa.array(mask), pc.utf8_rtrim(long, characters="0"))
    return _blank(text, nulls)


def cents_text(cents: Ints, nulls: Bools | None = None) -> pa.StringArray:
    """Write whole cents as ``0.00``."""
    return _blank(pc.cast(_decimals(cents, 2), pa.string()), nulls)


def half_up_cents(ten_thousandths: Ints) -> Ints:
    """Round amounts of 0 or more to whole cents, half up."""
    return np.asarray((ten_thousandths + 50) // 100)


def instant_text(microseconds: Ints) -> pa.StringArray:
    """Write instants as ``YYYY-MM-DDTHH:MM:SSZ``; a fraction of a second is dropped."""
    seconds = pa.array(np.floor_divide(microseconds, 1_000_000))
    plain = pc.cast(pc.cast(seconds, pa.timestamp("s")), pa.string())
    bounds, data = offsets_and_bytes(plain)
    count = len(plain)
    chars = np.empty((count, 20), np.uint8)
    chars[:, :19] = data[bounds[0] : bounds[-1]].reshape(count, 19)
    chars[:, 10], chars[:, 19] = ord("T"), ord("Z")
    ends = np.arange(0, 20 * (count + 1), 20, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(ends), pa.py_buffer(chars)]
    )


def join_fields(fields: Sequence[pa.StringArray | str], delimiter: str = ",") -> pa.StringArray:
    """Join columns of written fields to records, without a line end."""
    if len(fields) == 1:
        return fields[0]
    return pc.binary_join_element_wise(*fields, delimiter)


def lines(fields: Sequence[pa.StringArray | str]) -> memoryview:
    """Return the bytes of records of written fields, each ended by a line feed.

    A record that is one empty field is written as ``""``, so that it is a record at all.
    """
    if len(fields) == 1 and isinstance(fields[0], pa.StringArray):
        fields = [pc.if_else(pa.array(is_empty(fields[0])), '""', fields[0])]
    records = pc.binary_join_element_wise(join_fields(fields), "", "\n")
    bounds, data = offsets_and_bytes(records)
    return memoryview(data[bounds[0] : bounds[-1]].data)


def header_line(columns: Sequence[str]) -> bytes:
    """Return a header of plain names."""
    return (",".join(columns) + "\n").encode()


def _quote(text: pa.StringArray) -> pa.StringArray:
    doubled = pc.replace_substring(text, '"', '""')
    return pc.binary_join_element_wise('"', doubled, '"', "")


def _decimals(values: Ints, places: int) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values, np.int64))
    return pa.Array.from_buffers(pa.decimal64(18, places), len(values), [None, data])


def _blank(text: pa.StringArray, nulls: Bools | None) -> pa.StringArray:
    if nulls is None or not nulls.any():
        return text
    return pc.if_else(pa.array(nulls), "", text)
