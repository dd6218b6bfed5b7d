"""Winners to prices, exactly: whole numbers all the way, no binary float.

A price is made in named steps, of which the last is the price; `explain_price` tells one winner's.
Amounts are ten-thousandths. The candidate is kept as a numerator over the margin's denominator
until it is rounded to the increment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, Rows, integers_of, one_chunk
from relay_core.config import PricingConfig

Amounts = npt.NDArray[Any]
_LIMIT = 2**62
_EXACT = Context(prec=60)
"""The longest amount has a third as many digits."""


@dataclass(frozen=True, slots=True)
class PriceInputs:
    """What a price is made of, one row a winner; the values of null cells do not matter."""

    cost: Ints
    cost_null: Bools
    own_price: Ints
    own_price_null: Bools
    map_price: Ints
    map_price_null: Bools

    @classmethod
    def of(cls, offers: pa.Table, rows: Rows) -> PriceInputs:
        """Return what the prices of some rows are made of."""

        def amounts(column: str) -> tuple[Ints, Bools]:
            values, nulls = integers_of(one_chunk(offers[column]))
            return values.take(rows), nulls.take(rows)

        return cls(*amounts("cost"), *amounts("price"), *amounts("map_price"))

    @property
    def has_amount(self) -> Bools:
        """Which winners have a cost or a price of their own."""
        return np.asarray(~(self.cost_null & self.own_price_null))


class PriceSteps(NamedTuple):
    """What each step of pricing comes to, in their order, one number a winner.

    Attributes:
        cost: the vendor's.
        shipping_handling: with the flat amount.
        margin: with the margin, or the vendor's own price where there is no cost; a numerator.
        min_price: at least the least price; a numerator.
        rounding: a multiple of the increment.
        min_price_again: at least the least price, once more.
        map_price: at least the minimum advertised price, where it is enforced.
        cents: whole cents.
    """

    cost: Amounts
    shipping_handling: Amounts
    margin: Amounts
    min_price: Amounts
    rounding: Amounts
    min_price_again: Amounts
    map_price: Amounts
    cents: Amounts


class PriceStep(NamedTuple):
    """A step of one price, as it is told: amounts as exact text.

    Attributes:
        step: its name.
        operand: what was applied; None where nothing was to be.
        before: the amount before it; None for the first.
        after: the amount after it.
    """

    step: str
    operand: str | None
    before: str | None
    after: str


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
    cost, own, floor = _amounts(rule, inputs)
    large = _too_large(rule, cost, own)
    cents = np.zeros(len(cost), np.int64)
    for rows, kind in ((~large, np.int64), (large, np.object_)):
        if rows.any():
            parts = (values[rows].astype(kind) for values in (cost, own, floor))
            cents[rows] = _steps(rule, *parts, has_cost=~inputs.cost_null[rows]).cents
    return cents, inputs.has_amount & (cents > 0)


def explain_price(inputs: PriceInputs, pricing: PricingConfig) -> list[PriceStep]:
    """Return the steps of one winner's price, also those that change nothing.

    A winner without cost and own price has none.
    """
    if not inputs.has_amount.all():
        return []
    rule = _rule(pricing)
    parts = (values.astype(np.object_) for values in _amounts(rule, inputs))
    steps = _steps(rule, *parts, has_cost=~inputs.cost_null)
    return list(_told(rule, inputs, pricing, steps))


def _told(
    rule: _Rule, inputs: PriceInputs, pricing: PricingConfig, steps: PriceSteps
) -> Iterator[PriceStep]:
    """Yield the steps of a price; what a share or a rounding is called, the snapshot says."""
    after = {name: int(values[0]) for name, values in steps._asdict().items()}
    written = pricing.model_dump(mode="json")
    minimum, map_price = _text(rule.minimum), None
    if rule.enforce_map and not inputs.map_price_null[0]:
        map_price = _text(int(inputs.map_price[0]))
    candidate = _text(after["margin"], rule.denominator)
    if inputs.cost_null[0]:
        begin = [("own_price", candidate, candidate)]
    else:
        begin = [
            ("cost", _text(after["cost"]), _text(after["cost"])),
            ("shipping_handling", _text(rule.shipping), _text(after["shipping_handling"])),
            ("margin", written["base_margin_pct"], candidate),
        ]
    rounding = "{mode} {increment}".format_map(written["rounding"])
    end = [
        ("min_price", minimum, _text(after["min_price"], rule.denominator)),
        ("rounding", rounding, _text(after["rounding"])),
        ("min_price_again", minimum, _text(after["min_price_again"])),
        ("map_price", map_price, _text(after["map_price"])),
        ("cents", None, _text(after["cents"] * 100)),
    ]
    before = None
    for name, operand, amount in (*begin, *end):
        yield PriceStep(name, operand, before, amount)
        before = amount


def _text(numerator: int, denominator: int = 1) -> str:
    """Return an amount as exact text: two places, and more as far as they are not zero."""
    amount = _EXACT.divide(Decimal(numerator).scaleb(-4, _EXACT), Decimal(denominator))
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0'):0<2}"


def _amounts(rule: _Rule, inputs: PriceInputs) -> tuple[Ints, Ints, Ints]:
    """Return each winner's cost, the own price that stands in for one, and the advertised floor."""
    cost = np.where(inputs.cost_null, 0, inputs.cost)
    own = np.where(inputs.cost_null & ~inputs.own_price_null, inputs.own_price, 0)
    floor = np.where(inputs.map_price_null, 0, inputs.map_price) if rule.enforce_map else cost * 0
    return cost, own, floor


def _steps(
    rule: _Rule, cost: Amounts, own: Amounts, floor: Amounts, *, has_cost: Bools
) -> PriceSteps:
    shipped = cost + rule.shipping
    candidate = np.where(has_cost, shipped * rule.numerator, own * rule.denominator)
    at_least = np.maximum(candidate, rule.minimum * rule.denominator)
    rounded = _to_increment(at_least, rule)
    again = np.maximum(rounded, rule.minimum)
    price = np.maximum(again, floor)
    cents = (price + 50) // 100
    falls_under = cents * 100 < np.maximum(floor, rule.minimum)
    cents = np.where(falls_under, -(-price // 100), cents)
    return PriceSteps(cost, shipped, candidate, at_least, rounded, again, price, cents)


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
