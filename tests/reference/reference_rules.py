"""A tenant's own rules, row by row: what a vendor's valid rows come to before they compete."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from reference_rows import Offer, Vendor

MOST = 2_147_483_647


def made(config: Any, vendor: Vendor) -> list[Offer]:
    """Return a vendor's offers with ``fed`` (before stock), ``rule`` and ``out``: why it is none.

    Those of a vendor that is left out are told of, too; nothing here knows that it is.
    """
    own_config = config.vendor(vendor.vendor_id)
    by_sku: dict[str, list[Offer]] = defaultdict(list)
    for offer in sorted(vendor.offers, key=lambda offer: offer["row_number"]):
        by_sku[offer["sku"]].append(
            dict(offer, fed=offer["quantity_available"], out=None)
        )
    for rows in by_sku.values():
        winner = {"first": rows[0], "sum": rows[0], "last": rows[-1]}.get(
            own_config.duplicate_skus
        )
        if own_config.duplicate_skus == "sum":
            winner["fed"] = min(sum(row["fed"] for row in rows), MOST)
        for row in rows if winner is not None else []:
            row["out"] = None if row is winner else "duplicate_skus"
    offers = [offer for rows in by_sku.values() for offer in rows]
    for offer in offers:
        index = None if offer["out"] else rule_of(config, offer)
        offer["rule"] = index
        if index is not None and config.pricing.rules[index].leave_out:
            offer["out"] = "left_out"
        offer["quantity_available"] = in_stock(
            own_config.stock or config.stock, offer["fed"]
        )
    return offers


def in_stock(stock: Any, quantity: int) -> int:
    remaining = max(quantity - stock.hold_back, 0) * stock.pct // 100
    if remaining < stock.zero_below:
        remaining = 0
    return remaining if stock.cap is None else min(remaining, stock.cap)


def rule_of(config: Any, offer: Offer) -> int | None:
    """Return the index of the first rule that an offer meets."""
    rules = enumerate(config.pricing.rules)
    return next(
        (index for index, rule in rules if meets(rule.when, offer)), None
    )


def meets(when: Any, offer: Offer) -> bool:
    cost = None if offer["cost"] is None else Fraction(offer["cost"], 10_000)
    brand = (offer["brand"] or "").strip().casefold()
    checks = [
        (when.vendors, lambda: offer["vendor_id"] in when.vendors),
        (
            when.brands,
            lambda: (
                brand in [brand.strip().casefold() for brand in when.brands]
            ),
        ),
        (when.conditions, lambda: offer["condition"] in when.conditions),
        (
            when.cost_from,
            lambda: cost is not None and cost >= Fraction(when.cost_from),
        ),
        (
            when.cost_below,
            lambda: cost is not None and cost < Fraction(when.cost_below),
        ),
    ]
    return all(holds() for value, holds in checks if value is not None)


def price_rule(config: Any, offer: Offer) -> Any:
    """Return the rule that prices an offer; None where the tenant's base does."""
    return (
        None
        if offer.get("rule") is None
        else config.pricing.rules[offer["rule"]]
    )


def has_price(config: Any, offer: Offer) -> bool:
    rule = price_rule(config, offer)
    fixed = rule is not None and rule.fixed_price is not None
    return fixed or offer["cost"] is not None or offer["price"] is not None


def kept_at_0(
    config: Any,
    before: Sequence[dict[str, Any]],
    offered: set[str],
    now: datetime,
) -> list[dict[str, Any]]:
    """Return the rows of a published feed's state that stay, of SKUs that nobody offers."""
    if config.output.missing_skus != "zero":
        return []
    limit = timedelta(hours=24 * config.output.missing_sku_days)
    return [
        {**row, "quantity_available": 0, "kept_at_0": True}
        for row in before
        if row["sku"] not in offered and now - row["offered_at"] < limit
    ]
