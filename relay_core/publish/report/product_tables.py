"""The report's part about the merchant's products: what matched rows, and both lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from relay_core.domain.cell_rules import cut
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.run_faults import counted
from relay_core.publish.product_lists import CatalogFindings
from relay_core.publish.report import parts

MAX_LISTED_ROWS = 20
"""The number of rows of each list that a report shows."""
_REASONS = {
    "unknown": "No product has a key of this row",
    "ambiguous": "Several products have a key of this row",
}


class UnmatchedRow(NamedTuple):
    """A vendor's row that matches no product."""

    vendor_id: str
    row_number: str
    sku: str
    title: str
    numbers: str  # its GTIN, brand and MPN
    reason: str


class UncoveredProduct(NamedTuple):
    """A product that no vendor offers."""

    sku: str
    title: str
    numbers: str


class ProductLists(NamedTuple):
    """The numbers of matched rows, and the first rows of both lists."""

    counted: str  # the number of the catalog's rows
    vendors: parts.Excerpt[parts.MatchedVendor]
    unmatched: parts.Excerpt[UnmatchedRow]
    uncovered: parts.Excerpt[UncoveredProduct]
    unmatched_counted: str
    uncovered_counted: str  # empty if the run has not told them

    @classmethod
    def of(cls, catalog: CatalogFindings | None) -> ProductLists | None:
        """Return the part of the report; None for a run without a read catalog."""
        if catalog is None:
            return None
        first_unmatched = catalog.first_unmatched(MAX_LISTED_ROWS)
        first_uncovered = catalog.first_uncovered(MAX_LISTED_ROWS)
        uncovered_count = catalog.uncovered_count or 0
        return cls(
            counted=counted(catalog.row_count, "row"),
            vendors=parts.matched_vendors(catalog.matched_by),
            unmatched=parts.Excerpt.of(
                map(_unmatched_row, first_unmatched),
                MAX_LISTED_ROWS,
                catalog.unmatched_count,
            ),
            uncovered=parts.Excerpt.of(
                map(_uncovered_product, first_uncovered),
                MAX_LISTED_ROWS,
                uncovered_count,
            ),
            unmatched_counted=counted(catalog.unmatched_count, "row"),
            uncovered_counted=""
            if catalog.uncovered is None
            else counted(uncovered_count, "product"),
        )


def _unmatched_row(row: Mapping[str, Any]) -> UnmatchedRow:
    return UnmatchedRow(
        vendor_id=row["vendor_id"],
        row_number=row["row_number"],
        sku=cut(row["sku"], MAX_QUOTED),
        title=cut(row["title"], MAX_QUOTED),
        numbers=_numbers(row),
        reason=_REASONS[row["reason"]],
    )


def _uncovered_product(product: Mapping[str, Any]) -> UncoveredProduct:
    return UncoveredProduct(
        sku=cut(product["sku"], MAX_QUOTED),
        title=cut(product["title"], MAX_QUOTED),
        numbers=_numbers(product),
    )


def _numbers(row: Mapping[str, Any]) -> str:
    """Return the GTIN, the brand and the MPN of a row, of those that it has."""
    cells = [row[name] for name in ("gtin", "brand", "mpn") if row[name]]
    return cut(", ".join(cells), MAX_QUOTED)
