"""The lines of normalized.csv: from a batch as it is read, or from offers that were stored.

Both ways give the same bytes. While a feed is read, most cells stand as they are to be written, so
whole lines are made then and put in order later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columns import Bools, Ints
from relay_core.csv_lines import (
    bytes_of,
    instant_text,
    joined_lines,
    money_text,
    quoted,
    whole_text,
    written_numbers,
)
from relay_core.merge import values_and_nulls
from relay_core.models import CANONICAL_COLUMNS, MONEY_COLUMNS
from relay_core.normalize import TypedBatch
from relay_core.parallel import ordered_map
from relay_core.schemas import FIRST_INSTANT
from relay_core.text_words import offsets_and_bytes

SLICE = 1 << 17
"""How many rows are written at a time."""

_WHOLES = ("quantity_available", "lead_time_days")
_TEXTS = ("sku", "vendor_sku", "condition", "brand", "title")
_MOST_BYTES = (1 << 31) - 1
"""How much text an Arrow array with short offsets holds."""

Fields = dict[str, pa.StringArray | str]


@dataclass(frozen=True, slots=True)
class SortedLines:
    """Lines in the order of records, and which of them are written, in which order.

    They are the most of what is held of a vendor, so they can be had once: ``pieces`` uses them up.
    """

    chunks: list[pa.StringArray]
    places: npt.NDArray[np.int64]

    def pieces(self) -> Iterator[memoryview]:
        """Yield the lines' bytes, some lines at a time."""
        if len(self.places):
            whole = _one_array(self.chunks)
            cuts = range(0, len(self.places), SLICE)
            yield from ordered_map(lambda cut: self._piece(whole, cut), cuts)

    def _piece(self, whole: pa.StringArray, cut: int) -> memoryview:
        return bytes_of(whole.take(pa.array(self.places[cut : cut + SLICE])))


def lines_of_batch(vendor_id: str, batch: TypedBatch) -> pa.StringArray:
    """Return a line for each row of a batch; those of faulty rows mean nothing."""
    fields: Fields = dict.fromkeys(CANONICAL_COLUMNS, "") | {"vendor_id": vendor_id}
    for column, text in batch.texts.items():
        fields[column] = text if column == "condition" else quoted(text)
    for column, typed in batch.numbers.items():
        if column in _WHOLES:
            fields[column] = written_numbers(typed, whole_text)
        elif column in MONEY_COLUMNS:
            fields[column] = written_numbers(typed, money_text)
    updated = batch.numbers["updated_at"]
    # a faulty row's line is never written: any real instant will do
    real = updated.values.max(initial=FIRST_INSTANT)
    fields["updated_at"] = instant_text(np.where(updated.faults == 0, updated.values, real))
    return joined_lines([fields[column] for column in CANONICAL_COLUMNS])


def lines_of_offers(vendor_id: str, offers: pa.RecordBatch) -> memoryview:
    """Return the lines of offers, in the order given."""

    def numbers(column: str) -> tuple[Ints, Bools]:
        return values_and_nulls(offers[column])

    fields: Fields = {"vendor_id": vendor_id}
    fields |= {column: quoted(offers[column]) for column in _TEXTS}
    fields |= {column: whole_text(*numbers(column)) for column in _WHOLES}
    fields |= {column: money_text(*numbers(column)) for column in MONEY_COLUMNS}
    fields["updated_at"] = instant_text(numbers("updated_at")[0])
    return bytes_of(joined_lines([fields[column] for column in CANONICAL_COLUMNS]))


def _one_array(chunks: list[pa.StringArray]) -> pa.StringArray:
    """Return the chunks as one array; each is let go as soon as it is copied."""
    sizes = [int(bounds[-1] - bounds[0]) for bounds, _ in map(offsets_and_bytes, chunks)]
    wide = sum(sizes) > _MOST_BYTES
    whole = np.empty(sum(sizes), np.uint8)
    rows = sum(map(len, chunks))
    ends: npt.NDArray[Any] = np.zeros(rows + 1, np.int64 if wide else np.int32)
    row = place = 0
    chunks.reverse()
    while chunks:
        bounds, data = offsets_and_bytes(chunks.pop())
        low, high = int(bounds[0]), int(bounds[-1])
        ends[row + 1 : row + len(bounds)] = bounds[1:]
        ends[row + 1 : row + len(bounds)] += place - low
        whole[place : place + high - low] = data[low:high]
        row, place = row + len(bounds) - 1, place + high - low
    kind = pa.large_string() if wide else pa.string()
    return pa.Array.from_buffers(kind, row, [None, pa.py_buffer(ends), pa.py_buffer(whole)])
