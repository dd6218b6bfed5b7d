"""Section 28 a second time, slowly and plainly: identifiers, matching, and both lists.

Rows are dicts of texts; nothing is shared with the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Row = Mapping[str, str]


def gtin_of(cell: str) -> str | None:
    """Return a cell's GTIN as it is written; None for a cell that is none."""
    digits = "".join(c for c in cell if c not in " -")
    if len(digits) not in (8, 12, 13, 14):
        return None
    if any(c not in "0123456789" for c in digits) or set(digits) == {"0"}:
        return None
    total = 0
    for place, digit in enumerate(reversed(digits)):
        total += int(digit) * (1, 3)[place % 2]
    if total % 10:
        return None
    for length in (8, 12, 13, 14):
        lost = len(digits) - length
        if lost >= 0 and set(digits[:lost]) <= {"0"}:
            return digits[lost:]
        if lost < 0 and len(digits) < length:
            return digits
    return digits


def is_own(gtin: str) -> bool:
    """Return whether a shop, or a coupon, has made up the number."""
    if len(gtin) == 8:
        return gtin[0] in "02"
    last_13 = ("0" * 14 + gtin)[-13:]
    return any(
        last_13.startswith(start)
        for start in ("02", "04", "05", "2", "98", "99")
    )


def gtin_key(row: Row) -> str | None:
    gtin = gtin_of(row["ean"]) if row["ean"] else None
    if gtin is None or is_own(gtin):
        return None
    return gtin.rjust(14, "0")


def mpn_key(row: Row) -> tuple[str, str] | None:
    brand = row["brand"].strip().casefold()
    mpn = "".join(
        c
        for c in row["part"].casefold()
        if not c.isspace() and c not in ("-", ".", "/")
    )
    return (brand, mpn) if brand and mpn else None


def sku_key(row: Row) -> str:
    return row["sku"]


KEYS = {"gtin": gtin_key, "mpn": mpn_key, "sku": sku_key}


@dataclass
class Matched:
    """What became of one valid row."""

    sku: str
    vendor_sku: str
    matched_by: str | None
    reason: str | None = None
    given: dict[str, str] = field(default_factory=dict)


def match(
    row: Row,
    products: Sequence[Row],
    keys: Iterable[str],
    sku_map: Mapping[str, str],
    gives: Sequence[str],
) -> Matched:
    """Return what becomes of a valid row of a vendor, before rows are taken out."""
    vendor_value = row["sku"]
    matched = None
    is_ambiguous = False
    if vendor_value in sku_map:
        matched = Matched(sku_map[vendor_value], vendor_value, "sku_map")
    for key in keys if matched is None else ():
        value = KEYS[key](row)
        if value is None:
            continue
        skus = {
            product["sku"]
            for product in products
            if KEYS[key](product) == value
        }
        if len(skus) > 1:
            is_ambiguous = True
        elif skus:
            vendor_sku = "" if key == "sku" else vendor_value
            matched = Matched(skus.pop(), vendor_sku, key)
            break
    if matched is None:
        reason = "ambiguous" if is_ambiguous else "unknown"
        return Matched(vendor_value, "", None, reason)
    for product in products:
        if product["sku"] == matched.sku:
            matched.given = {name: product[name] for name in gives}
            break
    return matched
