"""Winners to prices, exactly: whole numbers all the way, no binary float.

Amounts are ten-thousandths. The candidate is kept as a numerator over the margin's denominator
until it is rounded to the increment.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from relay_core.columnar.text import Bools, Ints
from relay_core.config import PricingConfig

_LIMIT = 2**62
Amounts = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PriceInputs:
    """What a price is made of, one row a winner; the values of null cells do not matter."""

    cost: Ints
    cost_null: Bools
    own_price: Ints
    own_price_null: Bools
    map_price: Ints
    map_price_null: Bools


@dataclass(frozen=True, slots=True)
class _Rule:
    """A tenant's pricing in whole numbers."""

    shipping: int
    numerator: int
    denominator: int
    minimum: int
    increment: int
    mode: str
    enforce_map: bool


def price_winners(inputs: PriceInputs, pricing: PricingConfig) -> tuple[Ints, Bools]:
    """Return each winner's price in cents and whether it has one.

    A winner without cost and own price, or whose price comes to 0.00, has none.
    """
    rule = _rule(pricing)
    priced = ~(inputs.cost_null & inputs.own_price_null)
    cost = np.where(inputs.cost_null, 0, inputs.cost)
    own = np.where(inputs.cost_null & ~inputs.own_price_null, inputs.own_price, 0)
    floor = np.where(inputs.map_price_null, 0, inputs.map_price) if rule.enforce_map else cost * 0
    large = _too_large(rule, cost, own)
    cents = np.zeros(len(cost), np.int64)
    for rows, kind in ((~large, np.int64), (large, np.object_)):
        if rows.any():
            parts = (values[rows].astype(kind) for values in (cost, own, floor))
            cents[rows] = _cents(rule, *parts, has_cost=~inputs.cost_null[rows])
    return cents, priced & (cents > 0)


def _cents(rule: _Rule, cost: Amounts, own: Amounts, floor: Amounts, *, has_cost: Bools) -> Amounts:
    candidate = np.where(has_cost, (cost + rule.shipping) * rule.numerator, own * rule.denominator)
    candidate = np.maximum(candidate, rule.minimum * rule.denominator)
    floor = np.maximum(floor, rule.minimum)
    price = np.maximum(_to_increment(candidate, rule), floor)
    cents = (price + 50) // 100
    return np.where(cents * 100 < floor, -(-price // 100), cents)


def _to_increment(candidate: Amounts, rule: _Rule) -> Amounts:
    step = rule.increment * rule.denominator
    if rule.mode == "up":
        steps = -(-candidate // step)
    elif rule.mode == "down":
        steps = candidate // step
    else:
        steps = (2 * candidate + step) // (2 * step)
    return np.asarray(steps * rule.increment)


def _rule(pricing: PricingConfig) -> _Rule:
    numerator, denominator = (1 + pricing.base_margin_pct).as_integer_ratio()
    return _Rule(
        shipping=_units(pricing.shipping_handling_flat),
        numerator=numerator,
        denominator=denominator,
        minimum=_units(pricing.min_price),
        increment=_units(pricing.rounding.increment),
        mode=pricing.rounding.mode,
        enforce_map=pricing.map_policy.enforce,
    )


def _units(amount: Decimal) -> int:
    return int(amount.scaleb(4))


def _too_large(rule: _Rule, cost: Ints, own: Ints) -> Bools:
    """Return the rows whose steps do not fit 64 bits; they are computed with Python's integers."""
    step = rule.increment * rule.denominator
    room = _LIMIT - 2 * step
    if room <= 2 * rule.minimum * rule.denominator:
        return np.ones(len(cost), np.bool_)
    most_cost = room // (2 * rule.numerator) - rule.shipping
    return np.asarray((cost > most_cost) | (own > room // (2 * rule.denominator)))
