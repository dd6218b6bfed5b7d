"""Offers to winners and prices, with fractions: for tests only."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from reference_rows import Offer
from reference_rules import has_price, price_rule

CENT = Fraction(1, 100)


def amount(offer: Offer, column: str) -> Fraction | None:
    value = offer[column]
    return None if value is None else Fraction(value, 10_000)


def rank(config: Any, offer: Offer) -> tuple[Any, ...]:
    """Return the key that the best offer has the least of."""
    best_offer = config.merge.best_offer
    cost = amount(offer, "cost")
    if cost is not None and best_offer.landed_cost.include_shipping_handling:
        cost += shipping(config, offer)
    lead_time = offer["lead_time_days"]
    if lead_time is None:
        lead_time = best_offer.fallback_lead_time_days
    criteria = {
        "in_stock_desc": 0 if offer["quantity_available"] > 0 else 1,
        "lowest_landed_cost": (cost is None, cost or 0),
        "vendor_priority": [v.vendor_id for v in config.vendors].index(
            offer["vendor_id"]
        ),
        "shortest_lead_time": lead_time,
        "most_recent": -offer["updated_at"],
        "highest_quantity": -offer["quantity_available"],
    }
    can_be_priced = has_price(config, offer)
    names = tuple(best_offer.sort_by) or (
        "in_stock_desc",
        "lowest_landed_cost",
    )
    named = tuple(criteria[name] for name in names)
    return (not can_be_priced, *named, offer["vendor_id"], offer["row_number"])


def winners(config: Any, offers: Sequence[Offer]) -> list[Offer]:
    """Return the best offer of each sku of those that compete, in the order of the skus."""
    best: dict[str, Offer] = {}
    for offer in offers:
        if offer["out"] is not None:
            continue
        rival = best.get(offer["sku"])
        if rival is None or rank(config, offer) < rank(config, rival):
            best[offer["sku"]] = offer
    return [best[sku] for sku in sorted(best)]


def to_multiple(value: Fraction, unit: Fraction, mode: str) -> Fraction:
    count = value / unit
    whole = count.numerator // count.denominator
    remainder = count - whole
    if (mode == "up" and remainder > 0) or (
        mode == "nearest" and remainder >= Fraction(1, 2)
    ):
        whole += 1
    return whole * unit


def selling_price(config: Any, offer: Offer) -> Fraction | None:
    """Return the price in whole cents; None where the sku is unpriced."""
    pricing = config.pricing
    rule = price_rule(config, offer)
    cost = amount(offer, "cost")
    own_price = amount(offer, "price")
    margin = Fraction(pricing.base_margin_pct)
    min_price = least_price(config, offer)
    if not has_price(config, offer):
        return None
    if rule is not None and rule.fixed_price is not None:
        candidate = Fraction(rule.fixed_price)
    elif cost is None:
        candidate = own_price
    elif rule is not None and rule.markup is not None:
        candidate = cost + shipping(config, offer) + Fraction(rule.markup)
    else:
        margin = margin if rule is None else Fraction(rule.margin_pct)
        candidate = (cost + shipping(config, offer)) * (1 + margin)
    map_price = (
        amount(offer, "map_price") if pricing.map_policy.enforce else None
    )
    floor = max(min_price, map_price or Fraction(0))
    candidate = max(candidate, min_price)
    increment = Fraction(pricing.rounding.increment)
    candidate = max(
        to_multiple(candidate, increment, pricing.rounding.mode), floor
    )
    price = to_multiple(candidate, CENT, "nearest")
    if price < floor:
        price = to_multiple(candidate, CENT, "up")
    return ended(config, price) if price else None


def ended(config: Any, price: Fraction) -> Fraction:
    """Return the first price from this one on, cent by cent, that ends as wanted."""
    ending = config.pricing.ending
    if ending is None:
        return price
    while (price - Fraction(ending)) % (1 if ending < 1 else 10):
        price += CENT
    return price


def shipping(config: Any, offer: Offer) -> Fraction:
    """Return the flat amount of the offer's vendor, in the tenant's currency."""
    (vendor,) = (
        vendor
        for vendor in config.vendors
        if vendor.vendor_id == offer["vendor_id"]
    )
    if vendor.shipping_handling_flat is None:
        return Fraction(config.pricing.shipping_handling_flat)
    flat = Fraction(vendor.shipping_handling_flat)
    if vendor.currency not in (None, config.default_currency):
        flat *= Fraction(config.exchange_rates[vendor.currency])
    return to_multiple(flat, Fraction(1, 10_000), "nearest")


def least_price(config: Any, offer: Offer) -> Fraction:
    rule = price_rule(config, offer)
    rule_minimum = None if rule is None else rule.min_price
    return Fraction(
        config.pricing.min_price if rule_minimum is None else rule_minimum
    )
