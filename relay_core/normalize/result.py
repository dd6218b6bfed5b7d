"""The result of normalizing one vendor: offers, rejected rows, faults, deferred columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from relay_core.columnar.arrays import RowIndex, RowMask
from relay_core.columnar.text import take_short, with_nulls
from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import Cause, ReportEntry
from relay_core.normalize.typed_batch import null_cells, typed
from relay_core.validation.contracts import OFFER_SCHEMA, REJECTED_ROWS, frame_of

Cells: TypeAlias = "pa.Array | tuple[npt.NDArray[Any], RowMask]"
"""A column of all rows: texts, or numbers and the mask of their nulls."""


@dataclass(frozen=True, slots=True, eq=False)
class VendorColumns:
    """Columns of all rows of a feed, rejected ones too, and the order of the valid rows."""

    columns: dict[str, Cells]  # the columns that are kept and not yet consumed
    rows: RowIndex  # the valid rows, in order

    def cells(self, field: pa.Field, rows: RowIndex) -> pa.Array | pa.ChunkedArray:
        """Return some rows' cells of a column that is not consumed; nulls if it is missing."""
        column = self.columns.get(field.name)
        if column is None:
            return null_cells(field.type, len(rows))
        if isinstance(column, tuple):
            values, nulls = column
            return typed(field.type, values.take(rows), nulls.take(rows))
        texts = take_short(column, rows)
        if isinstance(texts, pa.ChunkedArray):
            chunks = [with_nulls(chunk) for chunk in texts.chunks]
            return pa.chunked_array(chunks)
        return with_nulls(texts)

    def consume(self, field: pa.Field) -> pa.Array | pa.ChunkedArray:
        """Return the valid rows' cells of a column, in order, and release the column."""
        cells = self.cells(field, self.rows)
        self.columns.pop(field.name, None)
        return cells


@cache
def no_offers() -> pd.DataFrame:
    """Return a frame of offers without rows."""
    return frame_of(OFFER_SCHEMA.empty_table())


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedVendor:
    """One vendor's feed after normalizing."""

    vendor_id: str
    # ``FOUND`` if the vendor's upload was read; ``LAST_GOOD`` if its last good feed is used
    # instead; ``LEFT_OUT`` if the run goes on without the vendor; ``FAILED`` if the feed
    # cannot be used.
    status: VendorStatus
    fault: ReportEntry | None = None  # the reason that the vendor failed
    warnings: tuple[ReportEntry, ...] = ()  # the warnings about this vendor
    is_read: bool = False  # whether all records of the feed were read
    skipped: int = 0  # the number of records that `parser.skip_rows` names
    total_rows: int = 0  # the number of the feed's rows
    invalid_rows: int = 0  # the number of rejected rows
    # The number of rows that another row replaces, for a vendor that is not merged.
    duplicates: int = 0
    # The SKU of the last record that fits the header; None without one.
    last_sku: str | None = None
    fault_counts: Mapping[str, int] = field(default_factory=dict)  # the faults, by code
    causes: tuple[Cause, ...] = ()  # the causes of rejected rows
    # Valid numbers of some rows, as written, by column; only if there are causes.
    valid_samples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # The first entries of the rows for ``errors.json``, each as JSON.
    entries: tuple[str, ...] = ()
    # The valid rows, or some columns of them (``Offer``), sorted by SKU, then row order.
    offers: pd.DataFrame = field(default_factory=no_offers)
    # Other columns of the rows; None if the vendor was read by another process.
    deferred: VendorColumns | None = None
    # All rejected records (``REJECTED_ROWS``).
    rejected_rows: pa.Table = field(default_factory=REJECTED_ROWS.empty_table)

    @property
    def valid_rows(self) -> int:
        """The number of valid rows."""
        return self.total_rows - self.invalid_rows
