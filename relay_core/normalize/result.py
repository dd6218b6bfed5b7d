"""The result of normalizing one vendor: offers, rejected rows, faults, columns yet to be taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from relay_core.columnar.text import Bools, Rows, take_short, with_nulls
from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import Cause, ReportEntry
from relay_core.normalize.row_reader import no_values, typed
from relay_core.validation.contracts import OFFER_SCHEMA, REJECTED_ROWS, frame_of

Cells: TypeAlias = "pa.Array | tuple[npt.NDArray[Any], Bools]"
"""A column of every row: texts, or numbers and which of them are null."""


@dataclass(frozen=True, slots=True, eq=False)
class VendorColumns:
    """Columns of all rows of a feed, rejected ones too, and the order of the valid rows."""

    columns: dict[
        str, Cells
    ]  # every row's cells, as far as they are kept and not consumed
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


@cache
def no_offers() -> pd.DataFrame:
    """Return a frame of offers without any."""
    return frame_of(OFFER_SCHEMA.empty_table())


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedVendor:
    """One vendor's feed after normalizing."""

    vendor_id: str
    # ``FOUND`` where its upload was read; ``LAST_GOOD`` where that feed stands in for it;
    # ``LEFT_OUT`` where the run goes on without the vendor; ``FAILED`` where the feed cannot be
    # used
    status: VendorStatus
    fault: ReportEntry | None = None  # why it failed
    warnings: tuple[ReportEntry, ...] = ()  # those of this vendor
    is_read: bool = False  # whether all records of its feed were read
    skipped: int = 0  # how many of them `parser.skip_rows` names; they are no rows
    total_rows: int = 0  # how many rows its feed has
    invalid_rows: int = 0  # how many of them are refused
    duplicates: int = (
        0  # in place of how many another row stands, where nothing is merged
    )
    last_sku: str | None = (
        None  # that of its last record that fits the header; None without one
    )
    fault_counts: Mapping[str, int] = field(
        default_factory=dict
    )  # of its rows, by code
    causes: tuple[Cause, ...] = ()  # what of them is refused alike
    # Some numbers that hold, as they are written, by column; where there are causes
    held: Mapping[str, Sequence[str]] = field(default_factory=dict)
    entries: tuple[
        str, ...
    ] = ()  # the first entries of its rows for ``errors.json``, each as JSON
    # The valid rows, or some columns of them (``Offer``), sorted by SKU, then row order
    offers: pd.DataFrame = field(default_factory=no_offers)
    deferred: VendorColumns | None = (
        None  # other columns of its rows, where they were just read
    )
    # Every rejected record (``REJECTED_ROWS``)
    rejected_rows: pa.Table = field(default_factory=REJECTED_ROWS.empty_table)

    @property
    def valid_rows(self) -> int:
        """How many rows hold."""
        return self.total_rows - self.invalid_rows
