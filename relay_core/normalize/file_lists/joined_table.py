"""Base rows as a table: the columns of offers, and the lines of normalized.csv."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowIndex
from relay_core.columnar.numbers import ColumnValues
from relay_core.domain.columns import NUMBER_COLUMNS
from relay_core.ingest.feed import TextBatch
from relay_core.normalize.typed_batch import TypedBatch
from relay_core.normalize.vendor import lines_of_batch
from relay_core.validation.row_schemas import MATCHED_BY

_NUMBERS = (*NUMBER_COLUMNS, "updated_at")


@dataclass(frozen=True, slots=True, eq=False)
class TableColumns:
    """The columns of valid rows, in order."""

    columns: dict[str, pa.ChunkedArray]
    rows: RowIndex  # the rows, in order

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns; those of a missing column are null."""
        row_array = pa.array(rows)
        return [
            self.columns[field.name].take(row_array)
            if field.name in self.columns
            else pa.nulls(len(rows), field.type)
            for field in fields
        ]


@dataclass(frozen=True, slots=True, eq=False)
class TableLines:
    """The lines of normalized.csv, written on request."""

    table: pa.Table  # the rows, in order
    vendor_id: str
    extra_columns: Sequence[str]  # the tenant's extra columns

    def of_rows(self, rows: RowIndex) -> memoryview:
        """Return the lines of some rows, which follow each other."""
        table = self.table.slice(int(rows[0]), len(rows)).combine_chunks()
        batch = _batch_of(table)
        lines = lines_of_batch(self.vendor_id, batch, self.extra_columns)
        return texts.bytes_of(lines)


def _batch_of(table: pa.Table) -> TypedBatch:
    """Return the rows of a table as a batch whose cells all have to be written."""
    size = len(table)
    no_faults = np.zeros(size, np.uint8)
    is_canonical = np.zeros(size, np.bool_)
    cell_texts = {}
    numbers = {}
    for name in table.column_names:
        if name in _NUMBERS:
            values, nulls = texts.integers_of(table[name])
            numbers[name] = ColumnValues(
                values,
                nulls,
                no_faults,
                texts.empty_texts(size),
                is_canonical,
            )
        elif name not in ("row_number", MATCHED_BY):
            cell_texts[name] = texts.without_nulls(texts.one_chunk(table[name]))
    raw = TextBatch([], np.zeros(size, np.int64))
    return TypedBatch(raw, cell_texts, numbers, {})
