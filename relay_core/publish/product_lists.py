"""The lists of products: rows that match none, and those that no vendor offers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from relay_core.columnar import csv_text
from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import integers_of, one_chunk, without_nulls
from relay_core.config import TenantConfig
from relay_core.domain.codes import MATCH_KEYS, VendorStatus
from relay_core.domain.columns import source_column
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import Normalized, NormalizedVendor
from relay_core.products.catalog import Catalog
from relay_core.products.matched_rows import UNMATCHED_ROWS
from relay_core.validation.row_schemas import FILE

UNMATCHED_COLUMNS = ("vendor_id", *UNMATCHED_ROWS.names)
UNCOVERED_COLUMNS = ("sku", "gtin", "brand", "mpn", "title")
_ROWS_AT_ONCE = 1 << 16
_NO_MATCH = dict.fromkeys(MATCH_KEYS, 0)


# --- rows that match no product -------------------------------------------------------


def matched_vendors(normalized: Normalized) -> list[NormalizedVendor]:
    """Return the vendors whose rows were matched, and that are not left out."""
    return [
        vendor
        for vendor in normalized.vendors
        if vendor.matched is not None
        and vendor.status is not VendorStatus.LEFT_OUT
    ]


def unmatched_chunks(
    vendors: Sequence[NormalizedVendor],
    *,
    escape_formulas: bool = False,
    has_files: bool = False,
) -> Iterator[bytes | memoryview]:
    """Yield unmatched.csv piece by piece, by vendor, then row.

    With ``escape_formulas``, no spreadsheet takes a text for a formula. With
    ``has_files``, it has the names of files, as invalid_rows.csv has.
    """
    columns = UNMATCHED_COLUMNS
    if has_files:
        columns = (*columns, FILE.name)
    yield csv_text.header_line(columns)
    for vendor in vendors:
        if vendor.matched is None:
            continue
        rows = vendor.matched.unmatched
        for batch in rows.to_batches(max_chunksize=_ROWS_AT_ONCE):
            cells = [
                _written(batch.column(name), escape_formulas)
                for name in UNMATCHED_ROWS.names
            ]
            if has_files:
                names = vendor.file_names(batch)
                cells.append(_written(names, escape_formulas))
            yield csv_text.lines([vendor.vendor_id, *cells])


def _written(cells: pa.Array, escape_formulas: bool) -> pa.StringArray:
    """Return cells as normalized.csv has them."""
    if pa.types.is_string(cells.type):
        text = without_nulls(cells)
        if escape_formulas:
            text = csv_text.without_formulas(text)
        return csv_text.quoted(text)
    numbers, nulls = integers_of(cells)
    if pa.types.is_decimal(cells.type):
        return csv_text.money_text(numbers, nulls)
    return csv_text.whole_text(numbers, nulls)


# --- products that nobody offers ------------------------------------------------------


def uncovered_products(
    config: TenantConfig,
    catalog: Catalog,
    merged: MergedInventory,
) -> pa.Table:
    """Return the products that no competing offer has (`UNCOVERED_COLUMNS`), by SKU.

    Args:
        config: The tenant's config.
        catalog: The tenant's products.
        merged: The merged inventory, before it is compared with the published feed.
    """
    is_covered = np.zeros(len(catalog.skus.keys), np.bool_)
    for skus in merged.competing_skus():
        _, products = catalog.products_with(skus)
        is_covered[products] = True
    order = order_by_text(catalog.skus.keys, ~is_covered).rows
    sources = {
        "sku": "sku",
        "gtin": source_column(config.gtin_column or ""),
        "brand": "brand",
        "mpn": source_column(config.mpn_column or ""),
        "title": "title",
    }
    cells = [
        catalog.first_cells(sources[name], order) for name in UNCOVERED_COLUMNS
    ]
    return pa.table(cells, names=list(UNCOVERED_COLUMNS))


def uncovered_chunks(
    products: pa.Table,
    *,
    escape_formulas: bool = False,
) -> Iterator[bytes | memoryview]:
    """Yield uncovered.csv piece by piece.

    With ``escape_formulas``, no spreadsheet takes a text for a formula.
    """
    yield csv_text.header_line(UNCOVERED_COLUMNS)
    for batch in products.to_batches(max_chunksize=_ROWS_AT_ONCE):
        cells = [
            _written(batch.column(name), escape_formulas)
            for name in UNCOVERED_COLUMNS
        ]
        yield csv_text.lines(cells)


# --- numbers --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class CatalogFindings:
    """The findings of a run about its catalog."""

    row_count: int  # the number of the catalog's valid rows
    # The rows that each key matched, by vendor
    matched_by: Mapping[str, Mapping[str, int]]
    # The rows that match no product, by vendor (`UNMATCHED_ROWS`)
    unmatched: Mapping[str, pa.Table]
    ambiguous: int  # the number of these with a key of several products
    uncovered: pa.Table | None = None  # None if the run has not told them

    @classmethod
    def of(cls, normalized: Normalized) -> "CatalogFindings | None":
        """Return the findings of normalized vendors; None without a read catalog."""
        catalog = normalized.catalog
        if catalog is None or catalog.fault is not None:
            return None
        matched_by: dict[str, Mapping[str, int]] = {}
        for vendor in normalized.vendors:
            if not vendor.status.is_used or catalog.products is None:
                continue
            matched_by[vendor.vendor_id] = _NO_MATCH
            if vendor.matched is not None:
                matched_by[vendor.vendor_id] = vendor.matched.counts
        unmatched = {}
        ambiguous = 0
        for vendor in matched_vendors(normalized):
            if vendor.matched is not None and len(vendor.matched.unmatched):
                unmatched[vendor.vendor_id] = vendor.matched.unmatched
                ambiguous += vendor.matched.ambiguous
        return cls(
            row_count=catalog.rows.valid_rows,
            matched_by=matched_by,
            unmatched=unmatched,
            ambiguous=ambiguous,
        )

    @property
    def unmatched_count(self) -> int:
        """The number of rows that match no product."""
        return sum(map(len, self.unmatched.values()))

    @property
    def uncovered_count(self) -> int | None:
        """The number of products that nobody offers; None if the run has not told them."""
        return None if self.uncovered is None else len(self.uncovered)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as ``run_summary.json`` has them."""
        return {
            "rows": self.row_count,
            "matched_by": {
                vendor_id: dict(counts)
                for vendor_id, counts in self.matched_by.items()
            },
            "unmatched": self.unmatched_count,
            "ambiguous": self.ambiguous,
            "uncovered": self.uncovered_count,
        }

    def first_unmatched(self, limit: int) -> list[dict[str, Any]]:
        """Return the first rows that match no product, as unmatched.csv has them."""
        rows: list[dict[str, Any]] = []
        for vendor_id, table in self.unmatched.items():
            first_rows = table.slice(0, limit - len(rows)).combine_chunks()
            columns = {
                name: _texts_of(one_chunk(first_rows[name]))
                for name in UNMATCHED_ROWS.names
            }
            for index in range(len(first_rows)):
                row = {name: cells[index] for name, cells in columns.items()}
                rows.append({"vendor_id": vendor_id, **row})
        return rows

    def first_uncovered(self, limit: int) -> list[dict[str, Any]]:
        """Return the first products that nobody offers, as uncovered.csv has them."""
        if self.uncovered is None:
            return []
        products: list[dict[str, Any]] = self.uncovered.slice(
            0, limit
        ).to_pylist()
        return products


def _texts_of(cells: pa.Array) -> list[str]:
    """Return cells as texts that people read."""
    if pa.types.is_string(cells.type):
        texts: list[str] = without_nulls(cells).to_pylist()
        return texts
    written: list[str] = _written(cells, False).to_pylist()
    return written
