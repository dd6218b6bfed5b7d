"""A batch of a feed after reading: typed columns with a fault code a cell."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from relay_core.columnar import arrays
from relay_core.columnar.numbers import ColumnValues
from relay_core.columnar.text import with_nulls, zero_bytes
from relay_core.ingest.feed import TextBatch
from relay_core.products.matcher import Matched
from relay_core.validation.row_schemas import OFFER_SCHEMA


@dataclass(frozen=True, slots=True)
class TypedBatch:
    """A batch's raw text, its typed columns, and one fault code for each judged cell.

    A column that neither the feed nor a default gives is in none of the mappings.
    """

    raw: TextBatch  # the records, as the reader of the format gives them
    texts: Mapping[str, pa.StringArray]  # the columns of texts; empty if null
    numbers: Mapping[str, ColumnValues]  # the columns of numbers and instants
    faults: Mapping[str, arrays.FaultCodes]  # the faults of the judged columns
    # The index of the feed's column that each cell is read from, for columns of several
    # headers.
    source_columns: Mapping[str, arrays.WholeNumbers] = field(
        default_factory=dict,
    )
    skipped: int = 0  # the number of the feed's records that are no rows
    # The rows after they are matched with products; None without a catalog.
    matched: Matched | None = None
    # The SKUs of the skipped records that delete rows of earlier files
    deleted_skus: pa.StringArray | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.raw.row_numbers)

    @property
    def own_skus(self) -> pa.StringArray:
        """The SKUs that the vendor and its SKU map give; empty if null."""
        return (
            self.texts["sku"] if self.matched is None else self.matched.own_skus
        )

    def integers(
        self,
    ) -> Mapping[str, tuple[arrays.WholeNumbers, arrays.RowMask]]:
        """Return the values and nulls of each column of numbers."""
        columns = {
            name: (column.values, column.nulls)
            for name, column in self.numbers.items()
        }
        no_nulls = np.zeros(self.size, np.bool_)
        columns["row_number"] = (self.raw.row_numbers, no_nulls)
        return columns

    def rows(self, columns: Collection[str]) -> pa.RecordBatch:
        """Return some columns of `OFFER_SCHEMA`, with the rows that have faults."""
        fields = [field for field in OFFER_SCHEMA if field.name in columns]
        integers = self.integers()
        cells = []
        for column in fields:
            if column.name in self.texts:
                cells.append(with_nulls(self.texts[column.name]))
            elif column.name in integers:
                values, nulls = integers[column.name]
                cells.append(typed(column.type, values, nulls))
            else:
                cells.append(null_cells(column.type, self.size))
        return pa.record_batch(cells, schema=pa.schema(fields))


def typed(
    kind: pa.DataType,
    values: arrays.WholeNumbers,
    nulls: arrays.RowMask,
) -> pa.Array:
    """Return whole numbers as a column of the Arrow type that they are stored for."""
    mask = nulls if nulls.any() else None
    if kind == pa.int32():
        return pa.array(values.astype(np.int32), mask=mask)
    return pa.array(values, mask=mask).view(kind)


def null_cells(kind: pa.DataType, size: int) -> pa.Array:
    """Return a column of nulls, which takes no memory of its own."""
    zeros = zero_bytes(8 * size + 8)
    buffers = [zeros, zeros, zeros] if kind == pa.string() else [zeros, zeros]
    return pa.Array.from_buffers(kind, size, buffers)
