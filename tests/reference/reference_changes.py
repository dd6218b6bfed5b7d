"""What changed between two feeds, read SKU by SKU from their CSV: plain dicts and Decimals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal

from reference_csv import csv_line
from reference_runs import rows

HEADER = (
    "sku,change,vendor_id_before,vendor_id_after,quantity_before,quantity_after,"
    "price_before,price_after"
)
COUNTED = (
    "added",
    "removed",
    "changed",
    "unchanged",
    "price_up",
    "price_down",
    "came_in_stock",
    "went_out_of_stock",
    "vendor_changed",
)
COMPARED = ("vendor_id", "quantity_available", "price")
Row = Mapping[str, str]


def reference_changes(
    before: bytes, after: bytes
) -> tuple[bytes, dict[str, int]]:
    """Return changes.csv and its numbers, from two merged feeds that have the columns compared."""
    old, new = (
        {row["sku"]: row for row in rows(feed)} for feed in (before, after)
    )
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    lines = [HEADER + "\n"]
    for sku in sorted({*old, *new}):
        was = old.get(sku)
        now = new.get(sku)
        if was is None or now is None:
            kind = "added" if was is None else "removed"
        else:
            kind = (
                "changed"
                if any(was[name] != now[name] for name in COMPARED)
                else "unchanged"
            )
            counts.update(moves(was, now))
        counts[kind] += 1
        if kind != "unchanged":
            pairs = [
                (side or {}).get(name, "")
                for name in COMPARED
                for side in (was, now)
            ]
            lines.append(csv_line([sku, kind, *pairs]) + "\n")
    return "".join(lines).encode(), dict(counts)


def moves(was: Row, now: Row) -> list[str]:
    """Return which numbers of the SKUs in both a SKU counts in."""
    prices = [Decimal(row["price"]) for row in (was, now)]
    stocked = [int(row["quantity_available"]) > 0 for row in (was, now)]
    facts = {
        "price_up": prices[1] > prices[0],
        "price_down": prices[1] < prices[0],
        "came_in_stock": stocked == [False, True],
        "went_out_of_stock": stocked == [True, False],
        "vendor_changed": was["vendor_id"] != now["vendor_id"],
    }
    return [name for name, holds in facts.items() if holds]


def greatest_moves(
    before: bytes, after: bytes, most: int
) -> tuple[list[str], list[str]]:
    """Return the SKUs whose prices rose most, and those whose fell most, by share of the old."""
    old, new = (
        {row["sku"]: Decimal(row["price"]) for row in rows(feed)}
        for feed in (before, after)
    )
    shares = {
        sku: ((new[sku] - old[sku]) / old[sku]).quantize(
            Decimal("0.0001"), "ROUND_HALF_UP"
        )
        for sku in sorted({*old} & {*new})
        if new[sku] != old[sku]
    }
    rises = [sku for sku in shares if new[sku] > old[sku]]
    falls = [sku for sku in shares if new[sku] < old[sku]]
    ranked = (
        sorted(skus, key=lambda sku: -abs(shares[sku]))
        for skus in (rises, falls)
    )
    up, down = (
        [f"{sku} {shares[sku]}" for sku in skus[:most]] for skus in ranked
    )
    return up, down
