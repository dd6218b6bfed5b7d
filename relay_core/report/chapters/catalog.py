"""The chapter on the merchant's products: the rows that match them, and both lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import MATCH_KEYS
from relay_core.domain.limits import MAX_QUOTED
from relay_core.domain.run_faults import counted
from relay_core.report.blocks import (
    Block,
    Cell,
    Column,
    Files,
    Heading,
    Sentence,
    Table,
    text_of,
)
from relay_core.report.display import listed_counts
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import quoted, table
from relay_core.report.files import file_of
from relay_core.report.report import Chapter

if TYPE_CHECKING:
    from relay_core.publish.product_lists import CatalogFindings

MAX_ROWS = 20
"""The number of rows of each list that a report shows."""
_MAX_VENDORS = 50
_REASONS = {
    "unknown": "No product has a key of this row",
    "ambiguous": "Several products have a key of this row",
}
_KEYS = {
    "sku_map": "SKU map",
    "gtin": "GTIN",
    "mpn": "Brand and MPN",
    "sku": "SKU",
}
_SKU = Column("sku", "SKU", "code")
_NUMBERS = Column("numbers", "GTIN, brand, MPN")
_UNMATCHED_COLUMNS = (
    _SKU,
    Column("vendor_id", "Vendor"),
    Column("row_number", "Row", "count"),
    _NUMBERS,
    Column("reason", "Reason"),
)
_UNMATCHED_FILE = file_of("unmatched", "lists what you could sell and don't")
_UNCOVERED_FILE = file_of(
    "uncovered", "lists the products of your catalog that no vendor offers"
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the chapter; None for a run without a read catalog."""
    catalog = run.findings.catalog
    if catalog is None:
        return None
    rows = counted(catalog.row_count, "row")
    blocks: list[Block] = [Sentence(text_of(f"The catalog has {rows}."))]
    if catalog.matched_by:
        blocks.append(matched_table(catalog.matched_by))
    blocks += _unmatched(catalog)
    blocks += _uncovered(catalog)
    counts = catalog.as_dict()
    facts = {
        f"catalog/{name}": count
        for name, count in counts.items()
        if name != "matched_by" and count is not None
    }
    return Chapter(
        "catalog",
        "Your products",
        tuple(blocks),
        facts=facts,
        lines=tuple(_lines(catalog)),
    )


def chapter_of(counts: Mapping[str, Any]) -> Chapter:
    """Return the numbers of matched rows, as run_summary.json counts them."""
    blocks: list[Block] = []
    if counts["matched_by"]:
        blocks.append(matched_table(counts["matched_by"]))
    blocks += _unmatched_heading(counts["unmatched"])
    if counts["uncovered"] is not None:
        blocks += _uncovered_heading(counts["uncovered"])
    return Chapter("catalog", "Your products", tuple(blocks))


def matched_table(matched_by: Mapping[str, Mapping[str, int]]) -> Table:
    """Return the number of each vendor's rows that each key matched."""
    columns = [Column("vendor_id", "Vendor")]
    columns += [Column(key, _KEYS[key], "count") for key in MATCH_KEYS]
    rows = (
        (Cell(vendor_id), *(Cell(counts[key]) for key in MATCH_KEYS))
        for vendor_id, counts in matched_by.items()
    )
    return table(
        "matched_by",
        "Rows by the key that found their product",
        columns,
        rows,
        limit=_MAX_VENDORS,
        total=len(matched_by),
        artifact="run_summary",
    )


def _unmatched(catalog: CatalogFindings) -> list[Block]:
    """Return the rows that match no product."""
    total = catalog.unmatched_count
    if not total:
        return []
    rows = (
        (
            quoted(row["sku"], row["title"]),
            Cell(row["vendor_id"]),
            Cell(int(row["row_number"])),
            Cell(_numbers(row)),
            Cell(_REASONS[row["reason"]]),
        )
        for row in catalog.first_unmatched(MAX_ROWS)
    )
    return [
        *_unmatched_heading(total),
        table(
            "unmatched",
            "First rows that match no product",
            _UNMATCHED_COLUMNS,
            rows,
            limit=MAX_ROWS,
            total=total,
            artifact="unmatched",
        ),
    ]


def _unmatched_heading(total: int) -> list[Block]:
    heading = Heading("Rows without a product", total=total, unit="row")
    return [heading, Files((_UNMATCHED_FILE,))] if total else [heading]


def _uncovered_heading(total: int) -> list[Block]:
    heading = Heading("Products without an offer", total=total, unit="product")
    return [heading, Files((_UNCOVERED_FILE,))]


def _uncovered(catalog: CatalogFindings) -> list[Block]:
    """Return the products that no vendor offers, if the run has told them."""
    total = catalog.uncovered_count
    if total is None:
        return []
    blocks = _uncovered_heading(total)
    if total:
        rows = (
            (quoted(product["sku"], product["title"]), Cell(_numbers(product)))
            for product in catalog.first_uncovered(MAX_ROWS)
        )
        blocks.append(
            table(
                "uncovered",
                "First products without an offer",
                (_SKU, _NUMBERS),
                rows,
                limit=MAX_ROWS,
                total=total,
                artifact="uncovered",
            )
        )
    return blocks


def _numbers(row: Mapping[str, Any]) -> str:
    """Return the GTIN, the brand and the MPN of a row, of those that it has."""
    cells = [row[name] for name in ("gtin", "brand", "mpn") if row[name]]
    return cut(", ".join(cells), MAX_QUOTED)


def _lines(catalog: CatalogFindings) -> list[str]:
    matched: Counter[str] = Counter()
    for counts in catalog.matched_by.values():
        matched += Counter(counts)
    lines = [f"{matched.total():,} rows matched{listed_counts(matched)}"]
    if catalog.unmatched_count:
        lines.append(
            f"{catalog.unmatched_count:,} rows without a product: "
            f"{_UNMATCHED_FILE.path}"
        )
    if catalog.uncovered_count:
        lines.append(
            f"{catalog.uncovered_count:,} products without an offer: "
            f"{_UNCOVERED_FILE.path}"
        )
    return lines
