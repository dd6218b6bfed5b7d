"""The lines of normalized.csv, written while a feed is read and put in order when it is.

Most cells stand in the feed as they are to be written: whole lines are made beside reading, when
the cells are at hand, before anybody knows which rows hold. Those of refused rows are never used.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.columnar import csv_text
from relay_core.columnar.text import Rows, bytes_of
from relay_core.columnar.threads import ordered_map
from relay_core.columnar.timestamps import BEFORE_ALL
from relay_core.domain import columns as canonical
from relay_core.normalize.row_reader import TypedBatch

SLICE = 1 << 16
"""How many rows are written at a time."""


@dataclass(frozen=True, slots=True)
class SortedLines:
    """Lines in the order of records, and which of them are written, in which order."""

    text: pa.StringArray | pa.LargeStringArray
    rows: Rows

    def chunks(self, extra_columns: Sequence[str]) -> Iterator[bytes | memoryview]:
        """Yield the file, some lines at a time, whose last columns are a tenant's extra ones."""
        yield csv_text.header_line((*canonical.CANONICAL_COLUMNS, *extra_columns))
        slices = (self.rows[at : at + SLICE] for at in range(0, len(self.rows), SLICE))
        yield from ordered_map(lambda rows: bytes_of(self.text.take(pa.array(rows))), slices)


def lines_of_batch(
    vendor_id: str, batch: TypedBatch, extra_columns: Sequence[str] = ()
) -> pa.StringArray:
    """Return a line for each row of a batch, its line feed included."""
    *columns, last = canonical.COLUMNS  # the last is an instant; it takes the line feed along
    fields = [_field(column, vendor_id, batch) for column in columns]
    updated = batch.numbers[last.name].values
    # A row that is refused for its instant has no line to speak of: any real one will do.
    real = updated.max(initial=0)
    end = b"" if extra_columns else b"\n"
    instants = csv_text.instant_text(np.where(updated == BEFORE_ALL, real, updated), end)
    if not extra_columns:
        return csv_text.join_fields([*fields, instants])
    texts = (batch.texts.get(canonical.extra_column(name)) for name in extra_columns)
    extra = ["" if text is None else csv_text.quoted(text) for text in texts]
    return csv_text.joined_lines([*fields, instants, *extra])


def _field(
    column: canonical.CanonicalColumn, vendor_id: str, batch: TypedBatch
) -> pa.StringArray | str:
    if column.name == "vendor_id":
        return vendor_id
    if column.name in batch.numbers:
        write = csv_text.money_text if column.kind is canonical.Kind.MONEY else csv_text.whole_text
        return csv_text.number_text(batch.numbers[column.name], write)
    text = batch.texts.get(column.name)
    if text is None or column.kind is canonical.Kind.CONDITION:
        return "" if text is None else text
    return csv_text.quoted(text)
