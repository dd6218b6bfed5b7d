"""What is told of one SKU, written down plainly: for tests only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from reference_engine import merged_cells, text_of
from reference_merge import (
    CENT,
    amount,
    ended,
    least_price,
    rank,
    selling_price,
    shipping,
    to_multiple,
)
from reference_output import feed_cells
from reference_rows import Offer, Vendor
from reference_rules import made, price_rule

TOLD = 100


def explained(
    config: Any, vendors: Sequence[Vendor], sku: str
) -> dict[str, Any]:
    """Return all that is told of a SKU but the run's id."""
    all_offers = (offer for vendor in vendors for offer in made(config, vendor))
    offers = [offer for offer in all_offers if offer["sku"] == sku]
    competing = [offer for offer in offers if offer["out"] is None]
    competing.sort(key=lambda offer: rank(config, offer))
    aside = sorted(
        (offer for offer in offers if offer["out"] is not None),
        key=lambda offer: (
            offer["out"],
            offer["vendor_id"],
            offer["row_number"],
        ),
    )
    offers = [*competing, *aside]
    best = competing[0] if competing else None
    price = None if best is None else selling_price(config, best)
    feed_row = None
    reason = "refused" if not offers else "left_out"
    if best is not None:
        reason = "unpriced"
    if best is not None and price is not None:
        feed_row = feed_cells(config, merged_cells(config, best, price))
        reason = None
    refused = sorted(
        (vendor.vendor_id, number, ";".join(codes))
        for vendor in vendors
        for number, codes, _ in vendor.rejects
        if vendor.refused_skus.get(number) == sku
    )
    return {
        "sku": sku,
        "winner": best
        and {name: best[name] for name in ("vendor_id", "row_number")},
        "feed_row": feed_row,
        "reason": reason,
        "override": None,
        "quarantine": None,
        "price_steps": None if best is None else price_steps(config, best),
        "offers_count": len(offers),
        "offers": [told(config, offer, best) for offer in offers[:TOLD]],
        "refused_count": len(refused),
        "refused": [
            {"vendor_id": vendor_id, "row_number": number, "error_codes": codes}
            for vendor_id, number, codes in refused[:TOLD]
        ],
    }


def told(config: Any, offer: Offer, best: Offer | None) -> dict[str, Any]:
    landed = offer["cost"]
    if (
        landed is not None
        and config.merge.best_offer.landed_cost.include_shipping_handling
    ):
        landed += int(shipping(config, offer) * 10_000)
    money = {
        "cost": offer["cost"],
        "price": offer["price"],
        "landed_cost": landed,
    }
    return {
        "vendor_id": offer["vendor_id"],
        "vendor_sku": offer["vendor_sku"],
        "row_number": offer["row_number"],
        "quantity_available": offer["fed"],
        "stock_quantity": None if offer["out"] else offer["quantity_available"],
        **{
            name: None
            if value is None
            else text_of({"cost": value}, "cost", places=4)
            for name, value in money.items()
        },
        "lead_time_days": offer["lead_time_days"],
        "updated_at": text_of(offer, "updated_at", places=4),
        "rule": offer["rule"],
        "lost_on": offer["out"]
        or (None if offer is best else lost_on(config, offer, best)),
    }


def lost_on(config: Any, offer: Offer, best: Offer) -> str:
    names = [
        "has_price",
        *config.merge.best_offer.sort_by,
        "vendor_id",
        "row_order",
    ]
    pairs = zip(names, rank(config, offer), rank(config, best), strict=True)
    return next(
        name for name, offer_values, winners in pairs if offer_values != winners
    )


@dataclass
class Steps:
    """The steps to a price, and the value behind the last of them."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    value: Fraction = Fraction(0)

    def step(self, name: str, operand: str | None, value: Fraction) -> None:
        before = exact(self.value) if self.steps else None
        self.value = value
        self.steps.append(
            {
                "step": name,
                "operand": operand,
                "before": before,
                "after": exact(value),
            }
        )


def price_steps(config: Any, offer: Offer) -> list[dict[str, Any]] | None:
    pricing = config.pricing
    steps = raw_price(config, offer)
    if steps is None:
        return None
    least = least_price(config, offer)
    steps.step("min_price", exact(least), max(steps.value, least))
    rounding = pricing.rounding
    rounded = to_multiple(
        steps.value, Fraction(rounding.increment), rounding.mode
    )
    steps.step("rounding", f"{rounding.mode} {rounding.increment:f}", rounded)
    steps.step("min_price_again", exact(least), max(steps.value, least))
    map_price = (
        amount(offer, "map_price") if pricing.map_policy.enforce else None
    )
    steps.step(
        "map_price",
        None if map_price is None else exact(map_price),
        max(steps.value, map_price or Fraction(0)),
    )
    cents = to_multiple(steps.value, CENT, "nearest")
    if cents < max(least, map_price or Fraction(0)):
        cents = to_multiple(steps.value, CENT, "up")
    steps.step("cents", None, cents)
    if pricing.ending is not None and cents:
        steps.step("ending", f"{pricing.ending:.2f}", ended(config, cents))
    return steps.steps


def raw_price(config: Any, offer: Offer) -> Steps | None:
    """Return the steps up to the price that no limit has changed yet."""
    steps = Steps()
    cost = amount(offer, "cost")
    offer_price = amount(offer, "price")
    flat = shipping(config, offer)
    rule = price_rule(config, offer)
    if rule is not None and rule.fixed_price is not None:
        fixed = Fraction(rule.fixed_price)
        steps.step("fixed_price", exact(fixed), fixed)
    elif cost is not None:
        steps.step("cost", exact(cost), cost)
        steps.step("shipping_handling", exact(flat), steps.value + flat)
        if rule is not None and rule.markup is not None:
            markup = Fraction(rule.markup)
            steps.step("markup", exact(markup), steps.value + markup)
        else:
            margin = (
                config.pricing.base_margin_pct
                if rule is None
                else rule.margin_pct
            )
            marked_up = steps.value * (1 + Fraction(margin))
            steps.step("margin", f"{margin:f}", marked_up)
    elif offer_price is not None:
        steps.step("own_price", exact(offer_price), offer_price)
    else:
        return None
    return steps


def exact(value: Fraction) -> str:
    """Return an amount as exact text: of these, ten places hold every one."""
    scaled = value * 10**10
    assert scaled.denominator == 1
    whole, places = divmod(scaled.numerator, 10**10)
    digits = f"{places:010}"
    return f"{whole}.{digits[:2]}{digits[2:].rstrip('0')}"
