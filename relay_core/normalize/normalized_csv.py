"""The lines of normalized.csv: from a batch as it is read, or from offers that were stored.

Both ways give the same bytes. While a feed is read, most cells stand as they are to be written, so
whole lines are made then and put in order later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.columns import Bools, Ints
from relay_core.columnar.csv_text import (
    bytes_of,
    instant_text,
    join_fields,
    money_text,
    quoted,
    whole_text,
    written_numbers,
)
from relay_core.columnar.threads import ordered_map
from relay_core.domain.models import CANONICAL_COLUMNS, MONEY_COLUMNS, WHOLE_COLUMNS
from relay_core.merge.best_offer import values_and_nulls
from relay_core.normalize.row_reader import TypedBatch
from relay_core.validation.schemas import FIRST_INSTANT

SLICE = 1 << 16
"""How many rows are written at a time."""

_TEXTS = ("sku", "vendor_sku", "condition", "brand", "title")

Fields = dict[str, pa.StringArray | str]


@dataclass(frozen=True, slots=True)
class SortedLines:
    """Lines in the order of records, and which of them are written, in which order."""

    text: pa.StringArray | pa.LargeStringArray
    places: npt.NDArray[np.int64]

    def pieces(self) -> Iterator[memoryview]:
        """Yield the lines' bytes, some lines at a time."""
        yield from ordered_map(self._piece, range(0, len(self.places), SLICE))

    def _piece(self, cut: int) -> memoryview:
        return bytes_of(self.text.take(pa.array(self.places[cut : cut + SLICE])))


def lines_of_batch(vendor_id: str, batch: TypedBatch) -> pa.StringArray:
    """Return a line for each row of a batch; those of faulty rows mean nothing."""
    fields: Fields = dict.fromkeys(CANONICAL_COLUMNS, "") | {"vendor_id": vendor_id}
    for column, text in batch.texts.items():
        fields[column] = text if column == "condition" else quoted(text)
    for column, typed in batch.numbers.items():
        if column in WHOLE_COLUMNS:
            fields[column] = written_numbers(typed, whole_text)
        elif column in MONEY_COLUMNS:
            fields[column] = written_numbers(typed, money_text)
    updated = batch.numbers["updated_at"]
    # a faulty row's line is never written: any real instant will do
    real = updated.values.max(initial=FIRST_INSTANT)
    instants = np.where(updated.faults == 0, updated.values, real)
    return _lines(fields, instants)


def lines_of_offers(vendor_id: str, offers: pa.RecordBatch) -> memoryview:
    """Return the lines of offers, in the order given."""

    def numbers(column: str) -> tuple[Ints, Bools]:
        return values_and_nulls(offers[column])

    fields: Fields = {"vendor_id": vendor_id}
    fields |= {column: quoted(offers[column]) for column in _TEXTS}
    fields |= {column: whole_text(*numbers(column)) for column in WHOLE_COLUMNS}
    fields |= {column: money_text(*numbers(column)) for column in MONEY_COLUMNS}
    return bytes_of(_lines(fields, numbers("updated_at")[0]))


def _lines(fields: Fields, updated_at: Ints) -> pa.StringArray:
    """Join the columns; the last is an instant, whose text takes the line feed along."""
    *before, _ = CANONICAL_COLUMNS
    return join_fields([*(fields[column] for column in before), instant_text(updated_at, b"\n")])
