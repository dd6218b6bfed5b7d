"""The columns of one vendor's rows as they were read; each can be taken in order once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Bools, Rows, take_short, with_nulls
from relay_core.normalize.row_reader import no_values, typed

Cells: TypeAlias = "pa.Array | tuple[npt.NDArray[Any], Bools]"
"""A column of every row: texts, or numbers and which of them are null."""


@dataclass(frozen=True, slots=True, eq=False)
class VendorColumns:
    """Columns of all rows of a feed, rejected ones too, and the order of the valid rows."""

    columns: dict[str, Cells]  # every row's cells, as far as they are kept and not consumed
    rows: Rows  # the valid ones, in order

    def cells(self, field: pa.Field, rows: Rows) -> pa.Array | pa.ChunkedArray:
        """Return some rows' cells of a column that is not consumed; nulls where it has none."""
        column = self.columns.get(field.name)
        if column is None:
            return no_values(field.type, len(rows))
        if isinstance(column, tuple):
            return typed(field.type, *(part.take(rows) for part in column))
        taken = take_short(column, rows)
        if isinstance(taken, pa.ChunkedArray):
            return pa.chunked_array(list(map(with_nulls, taken.chunks)))
        return with_nulls(taken)

    def consume(self, field: pa.Field) -> pa.Array | pa.ChunkedArray:
        """Return the valid rows' cells of a column, in order, and let the column go."""
        taken = self.cells(field, self.rows)
        self.columns.pop(field.name, None)
        return taken

    def only(self, names: Collection[str]) -> VendorColumns:
        """Return some of the columns that are not consumed."""
        return VendorColumns(
            {name: self.columns[name] for name in names if name in self.columns}, self.rows
        )
