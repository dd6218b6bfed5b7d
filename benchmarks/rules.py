"""The rules of the benchmark's tenant that every peer states in its own language, and the reports.

The engine reads them from the tenant's config and its own code; peers have them from here. Nothing
is imported that a peer does not need: whole processes are timed, too.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

HEADERS = (
    "SKU",
    "QTY",
    "COST",
    "MAP",
    "MSRP",
    "BRAND",
    "TITLE",
    "LEAD",
    "UPDATED",
)
REQUESTED_AT = "2026-01-01T00:00:00Z"
CANONICAL = [
    *(
        "sku",
        "vendor_sku",
        "vendor_id",
        "quantity_available",
        "lead_time_days",
        "cost",
    ),
    *(
        "map_price",
        "price",
        "msrp",
        "condition",
        "brand",
        "title",
        "updated_at",
    ),
]
MERGED = ["sku", "quantity_available", "price", "vendor_id", "updated_at"]


def money_pattern(decimal: str = ".", thousands: str | None = None) -> str:
    """Return the regular expression of an amount, by the characters between its digits."""
    whole = "[0-9]{1,9}"
    if thousands is not None:
        whole = f"({whole}|[0-9]{{1,3}}([{thousands}][0-9]{{3}}){{1,2}})"
    return f"^{whole}([{decimal}][0-9]{{1,4}})?$"


MONEY = money_pattern()
WHOLE = r"^[0-9]{1,9}$"
NEGATIVE = r"^-[0-9]{1,9}$"
MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}:[0-9]{2})?$"

SHIPPING = "9.99"
MIN_PRICE = "25.00"
MARGIN = "1.20"
MAX_ENTRIES = 10_000


@dataclass(frozen=True)
class Reject:
    """A refused record: its number, ``column:code`` of each fault, and its cells as they stood."""

    vendor_id: str
    row_number: int
    faults: Sequence[str]
    cells: Sequence[str]


def write_reports(
    out: Path, rejects: Iterable[Reject], headers: Sequence[str] = HEADERS
) -> None:
    """Write ``invalid_rows.csv`` with every reject, and ``errors.json`` with the first of them."""
    reports = out / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, object]] = []
    with (reports / "invalid_rows.csv").open(
        "w", encoding="utf-8", newline=""
    ) as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["vendor_id", "row_number", "error_codes", "raw"])
        for reject in rejects:
            codes = sorted({fault.partition(":")[2] for fault in reject.faults})
            raw = _record(reject.cells)
            rows.writerow(
                [reject.vendor_id, reject.row_number, ";".join(codes), raw]
            )
            if len(entries) < MAX_ENTRIES:
                entries.extend(_entries(reject, headers))
    text = json.dumps({"entries": entries[:MAX_ENTRIES]}, ensure_ascii=False)
    (reports / "errors.json").write_text(text, "utf-8")


def normalized_path(out: Path, vendor_id: str) -> Path:
    """Return where a vendor's normalized.csv goes; its folder exists from then on."""
    path = out / "normalized" / vendor_id / "normalized.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def merged_path(out: Path) -> Path:
    """Return where the merged feed goes; its folder exists from then on."""
    path = out / "outputs" / "merged_inventory.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def vendor_ids(folder: Path) -> list[str]:
    """Return the vendors of a folder of feeds, in the order of its config."""
    document = json.loads((folder / "config.json").read_text("utf-8"))
    return [vendor["vendor_id"] for vendor in document["vendors"]]


def _record(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _entries(reject: Reject, headers: Sequence[str]) -> list[dict[str, object]]:
    row_data = dict(zip(headers, reject.cells, strict=True))
    faults = [fault.partition(":") for fault in reject.faults]
    return [
        {
            "error_code": code,
            "vendor_id": reject.vendor_id,
            "row_number": reject.row_number,
            "column": column,
            "row_data": row_data,
        }
        for column, _, code in faults
    ]
