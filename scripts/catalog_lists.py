"""Two vendors' lists cut out of a shop's export, and the figures of a run with both.

The export is the catalog of the run, and neither vendor has a SKU map. One vendor has SKUs of
its own and gives the shop's as part numbers, in another spelling. The other vendor has the
shop's SKUs, and neither brands nor part numbers. Both also have products that the shop lacks.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

BY_PART_NUMBER = "by_part_number"
BY_SKU = "by_sku"
_UNKNOWN_PRODUCTS = 40
"""How many products of each list the shop lacks."""

Record = dict[str, str]


@dataclass(frozen=True)
class CatalogLists:
    """The lists of both vendors, and the products that they were cut from.

    Attributes:
        files: The file of each vendor.
        titles: The name of each of the shop's products, by SKU.
        skus: The shop's SKUs in each vendor's list.
        unknown: The vendor and the SKU of each row that is none of the shop's products.
    """

    files: Mapping[str, Path]
    titles: Mapping[str, str]
    skus: Mapping[str, set[str]]
    unknown: Sequence[tuple[str, str]]

    @property
    def uncovered(self) -> set[str]:
        """The shop's SKUs that neither vendor has."""
        return set(self.titles).difference(*self.skus.values())

    def faults(self, folder: Path) -> list[str]:
        """Return a line for each figure of the run in ``folder`` that is not as expected."""
        reports = folder / "reports"
        summary = json.loads((reports / "run_summary.json").read_text("utf-8"))
        feed = _records(folder / "outputs" / "merged_inventory.csv")
        unmatched = _records(reports / "unmatched.csv")
        uncovered = _records(reports / "uncovered.csv")
        offered = set(self.titles) - self.uncovered
        comparisons = {
            "the figures": (summary["catalog"], self._figures()),
            "the rows without a product": (
                [(row["vendor_id"], row["sku"]) for row in unmatched],
                list(self.unknown),
            ),
            "the products without an offer": (
                [row["sku"] for row in uncovered],
                sorted(self.uncovered),
            ),
            "the titles of the feed": (
                {row["sku"]: row["title"] for row in feed},
                {sku: self.titles[sku] for sku in offered},
            ),
        }
        differences = [
            f"{subject} differ: {_beginning(actual)}, expected {_beginning(expected)}"
            for subject, (actual, expected) in comparisons.items()
            if actual != expected
        ]
        return differences + sums_that_differ(summary)

    def _figures(self) -> dict[str, Any]:
        no_match = {"sku_map": 0, "gtin": 0, "mpn": 0, "sku": 0}
        part_numbers = len(self.skus[BY_PART_NUMBER])
        shop_skus = len(self.skus[BY_SKU])
        return {
            "rows": len(self.titles),
            "matched_by": {
                BY_PART_NUMBER: {**no_match, "mpn": part_numbers},
                BY_SKU: {**no_match, "sku": shop_skus},
            },
            "unmatched": len(self.unknown),
            "ambiguous": 0,
            "uncovered": len(self.uncovered),
        }


def cut_lists(export: Path, folder: Path) -> CatalogLists:
    """Write both vendors' lists into ``folder``: two thirds and a quarter of the products."""
    products = [
        record
        for record in _records(export)
        if record["product_type"] == "simple"
    ]
    chosen = {
        BY_PART_NUMBER: [
            product for product in products if _number(product) % 3 != 0
        ],
        BY_SKU: [product for product in products if _number(product) % 4 == 0],
    }
    rows = {
        BY_PART_NUMBER: [
            _part_number_row(product) for product in chosen[BY_PART_NUMBER]
        ],
        BY_SKU: [_sku_row(product) for product in chosen[BY_SKU]],
    }
    unknown = []
    for number in range(_UNKNOWN_PRODUCTS):
        product = {"sku": f"Z-{number}", "name": "Other", "price": "5.00"}
        part_number_row = {**_part_number_row(product), "Make": "Acme"}
        rows[BY_PART_NUMBER].append(part_number_row)
        rows[BY_SKU].append(_sku_row(product))
        unknown.append((BY_PART_NUMBER, part_number_row["Item"]))
    unknown += [(BY_SKU, f"Z-{number}") for number in range(_UNKNOWN_PRODUCTS)]
    files = {vendor_id: folder / f"{vendor_id}.csv" for vendor_id in rows}
    _write(files[BY_PART_NUMBER], rows[BY_PART_NUMBER], delimiter=",")
    _write(files[BY_SKU], rows[BY_SKU], delimiter=";")
    return CatalogLists(
        files=files,
        titles={product["sku"]: product["name"] for product in products},
        skus={
            vendor_id: {product["sku"] for product in vendor_products}
            for vendor_id, vendor_products in chosen.items()
        },
        unknown=unknown,
    )


def sums_that_differ(summary: Mapping[str, Any]) -> list[str]:
    """Return a line for each sum of the run's figures that does not come out.

    A vendor's valid rows are matched or unmatched, and a product is in the feed or uncovered.
    """
    catalog = summary["catalog"]
    differences = []
    for vendor_id, rows in summary["rows"].items():
        valid = rows["read"] - rows["skipped"] - rows["refused"]
        matched = sum(catalog["matched_by"][vendor_id].values())
        if matched + rows["unmatched"] != valid:
            differences.append(
                f"{vendor_id}: {matched} matched and {rows['unmatched']} "
                f"unmatched rows of {valid}",
            )
    covered = summary["record_count"]
    if covered + catalog["uncovered"] != catalog["rows"]:
        differences.append(
            f"{covered} covered and {catalog['uncovered']} uncovered products "
            f"of {catalog['rows']}",
        )
    return differences


def catalog_figures(folder: Path) -> str:
    """Return the rows of a run that match its catalog, and the others, in words."""
    summary = json.loads(
        (folder / "reports" / "run_summary.json").read_text("utf-8"),
    )
    catalog = summary["catalog"]
    matched = [
        f"{count:,} rows by {identifier}"
        for counts in catalog["matched_by"].values()
        for identifier, count in counts.items()
        if count
    ]
    return (
        f"a catalog of {catalog['rows']:,} products: {', '.join(matched)}; "
        f"{catalog['unmatched']:,} rows unmatched, "
        f"{summary['record_count']:,} products in the feed, "
        f"{catalog['uncovered']:,} uncovered"
    )


def _part_number_row(product: Record) -> Record:
    """Return a row with a SKU of the vendor's, and another spelling of the shop's."""
    return {
        "Item": f"N{_number(product):08x}",
        "Make": "LUMA",
        "Mfr No": product["sku"].replace("-", " ").upper(),
        "Name": product["name"].upper(),
        "Stock": str(_number(product) % 50),
        "Net": f"{Decimal(product['price']) * Decimal('0.60'):.2f}",
    }


def _sku_row(product: Record) -> Record:
    return {
        "sku": product["sku"],
        "qty": str(_number(product) % 9),
        "cost": f"{Decimal(product['price']) * Decimal('0.55'):.2f}",
    }


def _number(product: Record) -> int:
    """Return a number that is the same for a product in each run."""
    return zlib.crc32(product["sku"].encode())


def _records(path: Path) -> list[Record]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, rows: Sequence[Record], *, delimiter: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def _beginning(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
