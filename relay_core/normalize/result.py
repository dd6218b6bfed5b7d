"""The result of normalizing one vendor, and all vendors of a run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.arrays import RowIndex, RowMask, RowOrder
from relay_core.columnar.text import (
    one_chunk,
    with_nulls,
    without_nulls,
)
from relay_core.config import TenantConfig
from relay_core.domain.codes import Stage, VendorStatus, WarningCode
from relay_core.domain.columns import source_column
from relay_core.domain.records import (
    CatalogFault,
    Cause,
    ReportEntry,
    RunFailure,
)
from relay_core.domain.run_faults import (
    failure_of,
    no_catalog_rows,
    of_catalog,
)
from relay_core.kernel.taken_texts import take_short
from relay_core.normalize.file_lists.figures import ListFigures
from relay_core.normalize.typed_batch import null_cells, typed
from relay_core.products.catalog import Catalog
from relay_core.products.matched_rows import MatchedRows
from relay_core.validation.catalog_input import catalog_state
from relay_core.validation.row_schemas import (
    FILE,
    OFFER_SCHEMA,
    REJECTED_ROWS,
    offer_fields,
)
from relay_core.validation.vendor_failures import (
    InputVerdict,
    VendorState,
    nothing_left,
    stage_of,
)

_ROW_NUMBER = "row_number"
Cells: TypeAlias = "pa.Array | tuple[npt.NDArray[Any], RowMask]"
"""A column of all rows: texts, or numbers and the mask of their nulls."""
ALL_ROWS = slice(None)
"""The range of all rows."""


class KeptColumns(Protocol):
    """The cells of all rows of a feed, and the order of the valid rows."""

    @property
    def rows(self) -> RowOrder:
        """The valid rows, in order."""

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns; those of a missing column are null."""


@dataclass(frozen=True, slots=True, eq=False)
class VendorColumns:
    """Columns of all rows of a feed, and the order of the valid rows."""

    columns: dict[str, Cells]  # the columns that are kept
    rows: RowIndex  # the valid rows, in order

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns; those of a missing column are null."""
        return [self._cells(field, rows) for field in fields]

    def _cells(
        self,
        field: pa.Field,
        rows: RowIndex,
    ) -> pa.Array | pa.ChunkedArray:
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


class Offers(Protocol):
    """A vendor's valid rows, sorted by SKU, then row order.

    Their columns are made on request, so that a run never has all of them at once.
    """

    def __len__(self) -> int:
        """Return the number of rows."""

    def table(
        self,
        columns: Collection[str],
        rows: slice = ALL_ROWS,
    ) -> pa.Table:
        """Return some columns of a range of the rows."""

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns; those of a missing column are null."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptOffers:
    """Offers whose cells stay where they were read."""

    kept: KeptColumns

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.kept.rows)

    def table(
        self,
        columns: Collection[str],
        rows: slice = ALL_ROWS,
    ) -> pa.Table:
        """Return some columns of a range of the rows."""
        fields = list(offer_fields(columns))
        cells = self.kept.cells(fields, self.kept.rows[rows])
        return pa.table(cells, schema=pa.schema(fields))

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns; those of a missing column are null."""
        return self.kept.cells(fields, self.kept.rows[rows])


@dataclass(frozen=True, slots=True, eq=False)
class OfferTable:
    """Offers that are a table, which has all the columns that are requested."""

    rows: pa.Table

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def table(
        self,
        columns: Collection[str],
        rows: slice = ALL_ROWS,
    ) -> pa.Table:
        """Return some columns of a range of the rows."""
        table = self.rows.select(
            [field.name for field in offer_fields(columns)]
        )
        start, stop, step = rows.indices(len(table))
        if step == 1:
            return table.slice(start, stop - start)
        return table.take(pa.array(np.arange(start, stop, step)))

    def cells(
        self,
        fields: Sequence[pa.Field],
        rows: RowIndex,
    ) -> list[pa.Array | pa.ChunkedArray]:
        """Return some rows' cells of columns."""
        row_array = pa.array(rows)
        return [self.rows[field.name].take(row_array) for field in fields]


@dataclass(frozen=True, slots=True)
class OfferedSkus:
    """The SKUs of a vendor's offers, which are made on request."""

    offers: Offers

    def __len__(self) -> int:
        """Return the number of SKUs."""
        return len(self.offers)

    def __getitem__(self, rows: slice) -> pa.StringArray:
        """Return the SKUs of a range of the offers."""
        return one_chunk(self.offers.table(["sku"], rows)["sku"])


@cache
def no_offers() -> Offers:
    """Return offers without rows."""
    return OfferTable(OFFER_SCHEMA.empty_table())


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedVendor:
    """One vendor's feed after normalizing."""

    vendor_id: str
    # ``FOUND`` if the vendor's upload was read; ``LAST_GOOD`` if its last good feed is
    # used instead; ``LEFT_OUT`` if the run goes on without the vendor; ``FAILED`` if
    # the feed cannot be used.
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
    # The faults, by code
    fault_counts: Mapping[str, int] = field(default_factory=dict)
    causes: tuple[Cause, ...] = ()  # the causes of rejected rows
    # Valid numbers of some rows of each file, as written, by column; by the part that
    # the files are of, None for the base. Only of files with causes.
    valid_samples: Mapping[
        str | None,
        Sequence[Mapping[str, Sequence[str]]],
    ] = field(default_factory=dict)
    # The first entries of the rows for ``errors.json``, each as JSON.
    entries: tuple[str, ...] = ()
    # The valid rows (``Offer``)
    offers: Offers = field(default_factory=no_offers)
    # The rows by the key that matched them; None without a catalog, or unread.
    matched: MatchedRows | None = None
    # All rejected records (``REJECTED_ROWS``).
    rejected_rows: pa.Table = field(default_factory=REJECTED_ROWS.empty_table)
    # The name of its file, if it has one
    file_name: str = ""
    # The numbers of its rows; None for a vendor of one file, whose rows stay as they are
    figures: ListFigures | None = None
    # The reason that files which can be read give no rows
    trouble: ReportEntry | None = None
    # Whether that is a full file without a row, not rows that nothing matches
    has_empty_file: bool = False

    @property
    def valid_rows(self) -> int:
        """The number of rows of normalized.csv."""
        if self.figures is not None:
            return self.figures.valid_rows
        return self.total_rows - self.invalid_rows

    @property
    def taken_out(self) -> int:
        """The number of valid rows that are no offers, as no key matched them."""
        return 0 if self.matched is None else self.matched.taken_out

    @property
    def offered_rows(self) -> int:
        """The number of valid rows that are offers: those of normalized.csv."""
        return self.valid_rows - self.taken_out

    def file_names(self, rows: pa.RecordBatch) -> pa.StringArray:
        """Return the name of the file that each of some of its rows is from."""
        if FILE.name in rows.schema.names:
            return rows[FILE.name]
        return pa.repeat(self.file_name, len(rows))

    def without_offers(self) -> "NormalizedVendor":
        """Return the vendor without its offers, whose memory can be released."""
        return replace(self, offers=no_offers())


@dataclass(frozen=True, slots=True, eq=False)
class NormalizedCatalog:
    """The catalog of a run after reading."""

    # The catalog as a vendor: its rejected rows, and its valid rows as offers.
    rows: NormalizedVendor
    products: Catalog | None = None  # None if the catalog has no valid row

    @classmethod
    def of(
        cls,
        config: TenantConfig,
        rows: NormalizedVendor,
    ) -> "NormalizedCatalog":
        """Return the catalog of some rows, whose offers have all columns."""
        if rows.fault is not None:
            return cls(replace(rows, fault=of_catalog(rows.fault)))
        if not len(rows.offers):
            return cls(rows)
        offers = rows.offers.table(catalog_columns(config))
        order = np.argsort(offers[_ROW_NUMBER].to_numpy(), kind="stable")
        in_order = offers.take(pa.array(order))
        columns = {
            name: without_nulls(one_chunk(in_order[name]))
            for name in catalog_columns(config)
            if name != _ROW_NUMBER and in_order[name].null_count < len(in_order)
        }
        return cls(rows, Catalog.of(config, columns))

    @property
    def state(self) -> VendorState:
        """The part of the catalog in the run."""
        faults = [*self.fault_of_rows]
        if self.fault is not None:
            faults = [of_catalog(self.fault)]
        return catalog_state(faults[0] if faults else None)

    @property
    def fault(self) -> ReportEntry | None:
        """The reason that the file cannot be used; None if it has been read."""
        return self.rows.fault

    @property
    def fault_of_rows(self) -> Sequence[CatalogFault]:
        """The fault of a catalog that has been read and has no valid row."""
        if self.fault is None and self.products is None:
            return [no_catalog_rows(self.rows.total_rows)]
        return []


def catalog_columns(config: TenantConfig) -> list[str]:
    """Return the columns of offers that the catalog has."""
    names = () if config.catalog is None else config.catalog.columns
    return [*map(source_column, names), _ROW_NUMBER]


@dataclass(frozen=True, slots=True, eq=False)
class Normalized:
    """The result of normalizing the vendors of a run."""

    # The vendors as they are used, in order
    vendors: Sequence[NormalizedVendor]
    states: Mapping[str, VendorState]  # the part of each vendor in the run
    # The uploads that a last good feed replaces.
    replaced: Mapping[str, NormalizedVendor] = field(default_factory=dict)
    catalog: NormalizedCatalog | None = None  # None if the run has none
    failure: RunFailure | None = None  # the run's failure
    faults: Sequence[ReportEntry] = ()  # the reasons of the failure
    # The warnings, also those about the inputs
    warnings: Sequence[ReportEntry] = ()

    @classmethod
    def of(
        cls,
        inputs: InputVerdict,
        vendors: Sequence[NormalizedVendor],
        states: Mapping[str, VendorState] | None = None,
        replaced: Mapping[str, NormalizedVendor] | None = None,
        catalog: NormalizedCatalog | None = None,
    ) -> "Normalized":
        """Return the result; an unusable feed, or no usable vendor, fails the run.

        Args:
            inputs: The result of judging the inputs.
            vendors: The vendors as they are used.
            states: The part of each vendor; by default that of the inputs.
            replaced: The uploads that a last good feed replaces.
            catalog: The catalog, if the run has one.
        """
        states = inputs.states if states is None else states
        # A vendor that was read reports its last good feed itself.
        warnings = [
            warning
            for warning in inputs.warnings
            if warning.error_code != WarningCode.VENDOR_LAST_GOOD
        ]
        faults = [
            vendor.fault for vendor in vendors if vendor.fault is not None
        ]
        if catalog is not None and catalog.fault is not None:
            faults.append(catalog.fault)
        failure = failure_of(faults, Stage.NORMALIZE)
        if failure is None:
            faults = nothing_left(states)
            if faults:
                failure = failure_of(faults, stage_of(faults[0]))
        if failure is not None:
            for vendor in vendors:
                warnings += vendor.warnings
        return cls(
            vendors=vendors,
            states=states,
            replaced=replaced or {},
            catalog=catalog,
            failure=failure,
            faults=faults,
            warnings=warnings,
        )

    @property
    def used(self) -> list[NormalizedVendor]:
        """The vendors whose rows are used."""
        return [vendor for vendor in self.vendors if vendor.status.is_used]

    def without_offers(self) -> "Normalized":
        """Return the result without offers, whose memory can be released."""
        return replace(
            self,
            vendors=[vendor.without_offers() for vendor in self.vendors],
        )


def uploads_of(
    vendors: Sequence[NormalizedVendor],
    replaced: Mapping[str, NormalizedVendor],
) -> list[NormalizedVendor]:
    """Return the uploads that were read; all rejected and counted rows are theirs.

    Args:
        vendors: The vendors as they are used.
        replaced: The uploads that a last good feed replaces.
    """
    uploads = [replaced.get(vendor.vendor_id, vendor) for vendor in vendors]
    return [
        upload
        for upload in uploads
        if upload.status is not VendorStatus.LAST_GOOD
    ]


def valid_rows_of(
    vendor_ids: Sequence[str],
    vendors: Sequence[NormalizedVendor],
    states: Mapping[str, VendorState],
) -> dict[str, int]:
    """Return the valid rows of each vendor that is not left out; 0 if it has none.

    Args:
        vendor_ids: The vendors of the run.
        vendors: The vendors as they are used.
        states: The part of each vendor in the run.
    """
    statuses = {
        vendor_id: [state.status] for vendor_id, state in states.items()
    }
    valid_rows = {}
    for vendor in vendors:
        statuses.setdefault(vendor.vendor_id, []).append(vendor.status)
        if vendor.status.is_used:
            valid_rows[vendor.vendor_id] = vendor.offered_rows
    return {
        vendor_id: valid_rows.get(vendor_id, 0)
        for vendor_id in vendor_ids
        if VendorStatus.LEFT_OUT not in statuses.get(vendor_id, ())
    }
