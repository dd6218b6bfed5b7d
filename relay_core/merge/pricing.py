"""Winners to prices, exactly: whole numbers, no binary float.

A price is computed in the steps that `PriceSteps` names; the last one is the price.
`price_explanation` shows the steps of one winner. Amounts are ten-thousandths. The
candidate is kept as a numerator over the margin's denominator until it is rounded to
the increment.
"""

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.text import flags_of, integers_of, one_chunk
from relay_core.config import PricingConfig
from relay_core.merge.price_rules import RULE, rules_of
from relay_core.merge.vendor_offers import VENDOR_RANK

OVERRIDE_PRICE = "override_price"
"""The column with the price that an override asks for, in ten-thousandths.

It is -1 for none.
"""
OVERRIDE_MIN_PRICE = "override_min_price"
"""The column with an override's least price, in ten-thousandths; -1 for none."""
READ = (
    *("cost", "price", "map_price", VENDOR_RANK),
    *(RULE, OVERRIDE_PRICE, OVERRIDE_MIN_PRICE),
)
"""The columns of winners that their prices are made of."""
Amounts = npt.NDArray[Any]
"""Whole numbers, one a winner: of 64 bits, or Python's own."""
_LIMIT = 2**62
_NOTHING = Decimal(0)


class PriceInputs(NamedTuple):
    """The inputs of prices: amounts in ten-thousandths, one a winner.

    The values of null cells do not matter.
    """

    cost: arrays.TenThousandths  # the vendor's cost
    cost_null: arrays.RowMask  # the mask of winners without a cost
    own_price: arrays.TenThousandths  # the vendor's own price
    own_price_null: arrays.RowMask  # the mask of winners without an own price
    map_price: arrays.TenThousandths  # the minimum advertised price
    # The mask of winners without a minimum advertised price
    map_price_null: arrays.RowMask
    # The mask of winners that a price can be made for
    has_amount: arrays.RowMask
    # The index of each winner's price rule, -1 for none; None if no rules were applied.
    rule: arrays.WholeNumbers | None
    # The flat shipping amount of each winner's vendor; None: the tenant's for all.
    shipping: arrays.TenThousandths | None = None
    # The price that an override asks for, -1 for none; None if there are no overrides.
    override_price: arrays.TenThousandths | None = None
    # An override's least price, -1 for none; None if there are no overrides.
    override_min_price: arrays.TenThousandths | None = None

    @classmethod
    def of(
        cls,
        winners: pa.Table,
        pricing: PricingConfig,
        shipping: arrays.TenThousandths | None = None,
    ) -> "PriceInputs":
        """Return the inputs of the winners' prices.

        Args:
            winners: The winning offers, with their price rules and overrides.
            pricing: The tenant's pricing.
            shipping: The flat amount in ten-thousandths, one a winner.
        """

        def optional_amounts(column: str) -> arrays.TenThousandths | None:
            if column not in winners.column_names:
                return None
            return integers_of(winners[column])[0]

        has_rules = RULE in winners.column_names
        cost, cost_null = integers_of(winners["cost"])
        own_price, own_price_null = integers_of(winners["price"])
        map_price, map_price_null = integers_of(winners["map_price"])
        return cls(
            cost,
            cost_null,
            own_price,
            own_price_null,
            map_price,
            map_price_null,
            has_amount=has_amount(winners, pricing),
            rule=rules_of(winners) if has_rules else None,
            shipping=shipping,
            override_price=optional_amounts(OVERRIDE_PRICE),
            override_min_price=optional_amounts(OVERRIDE_MIN_PRICE),
        )


class PriceSteps(NamedTuple):
    """The amount after each step of pricing, in order, one a winner."""

    cost: Amounts  # the vendor's cost
    shipping_handling: Amounts  # the cost and the flat amount
    # With the margin or markup, or the given price; a numerator.
    candidate: Amounts
    min_price: Amounts  # at least the least price; a numerator
    rounding: Amounts  # a multiple of the increment
    min_price_again: Amounts  # at least the least price, once more
    # At least the minimum advertised price, if that is enforced.
    map_price: Amounts
    cents: Amounts  # whole cents


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """The options that winners are priced by, as whole numbers.

    `shipping`, `numerator`, `markup` and `minimum` are one number for all winners, or
    one a winner.
    """

    denominator: int  # the common denominator of all margins
    # The increment that prices are rounded to, in ten-thousandths.
    increment: int
    mode: str  # the direction of rounding: up, down or nearest
    shipping: Amounts | int  # the flat amount, in ten-thousandths
    numerator: Amounts | int  # the numerator of 1 plus the margin
    markup: Amounts | int  # the markup, in ten-thousandths
    minimum: Amounts | int  # the least price, in ten-thousandths

    @classmethod
    def of(cls, pricing: PricingConfig, inputs: PriceInputs) -> "PriceTerms":
        """Return the terms of winners: those of their rules, or the tenant's own."""
        rules = () if inputs.rule is None else pricing.rules
        margins = [rule.margin_pct or _NOTHING for rule in rules]
        margins.append(pricing.base_margin_pct)
        ratios = [(1 + margin).as_integer_ratio() for margin in margins]
        denominator = math.lcm(*(divisor for _, divisor in ratios))
        numerators = []
        for part, divisor in ratios:
            numerators.append(part * (denominator // divisor))
        markups = [ten_thousandths(rule.markup or _NOTHING) for rule in rules]
        minimums = [
            ten_thousandths(
                pricing.min_price if rule.min_price is None else rule.min_price,
            )
            for rule in rules
        ]

        def of_winners(numbers: list[int]) -> Amounts | int:
            """Return the number of each winner's rule; the last one is of no rule."""
            if inputs.rule is None:
                return numbers[0]
            number_of_rule = np.array(numbers, np.int64)
            return number_of_rule[inputs.rule]

        minimum = of_winners([*minimums, ten_thousandths(pricing.min_price)])
        if inputs.override_min_price is not None:
            is_overridden = inputs.override_min_price >= 0
            minimum = np.where(
                is_overridden,
                inputs.override_min_price,
                minimum,
            )
        shipping: Amounts | int = ten_thousandths(
            pricing.shipping_handling_flat,
        )
        if inputs.shipping is not None:
            shipping = inputs.shipping
        return cls(
            denominator=denominator,
            increment=ten_thousandths(pricing.rounding.increment),
            mode=pricing.rounding.mode,
            shipping=shipping,
            numerator=of_winners(numerators),
            markup=of_winners([*markups, 0]),
            minimum=minimum,
        )

    def of_rows(self, rows: arrays.RowMask, kind: type) -> "PriceTerms":
        """Return the terms of some winners, as numbers of a type of numpy."""

        def selected(amounts: Amounts | int) -> Amounts | int:
            if isinstance(amounts, int):
                return amounts
            return np.asarray(amounts[rows].astype(kind))

        return replace(
            self,
            shipping=selected(self.shipping),
            numerator=selected(self.numerator),
            markup=selected(self.markup),
            minimum=selected(self.minimum),
        )


class PriceBases(NamedTuple):
    """The amounts that prices are made of, in ten-thousandths, one a winner."""

    # The mask of winners whose price is made of the vendor's cost
    from_cost: arrays.RowMask
    cost: Amounts  # the vendor's cost; 0 if the price is not made of it
    # A rule's fixed price or the vendor's own; 0 if from the cost.
    given_price: Amounts
    floor: Amounts  # the minimum advertised price; 0 if none is enforced

    @classmethod
    def of(cls, inputs: PriceInputs, pricing: PricingConfig) -> "PriceBases":
        """Return the amounts that the winners' prices are made of."""
        from_cost = ~inputs.cost_null
        given_price = np.where(inputs.own_price_null, 0, inputs.own_price)
        if inputs.rule is not None:
            fixed_prices, has_fixed_price = _fixed_prices(pricing)
            is_fixed = has_fixed_price[inputs.rule]
            given_price = np.where(
                is_fixed,
                fixed_prices[inputs.rule],
                given_price,
            )
            from_cost &= ~is_fixed
        has_floor = ~inputs.map_price_null & pricing.map_policy.enforce
        return cls(
            from_cost=from_cost,
            cost=np.where(from_cost, inputs.cost, 0),
            given_price=np.where(from_cost, 0, given_price),
            floor=np.where(has_floor, inputs.map_price, 0),
        )

    def of_rows(self, rows: arrays.RowMask, kind: type) -> "PriceBases":
        """Return the amounts of some winners, as numbers of a type of numpy."""
        return PriceBases(
            from_cost=self.from_cost[rows],
            cost=self.cost[rows].astype(kind),
            given_price=self.given_price[rows].astype(kind),
            floor=self.floor[rows].astype(kind),
        )


def has_amount(offers: pa.Table, pricing: PricingConfig) -> arrays.RowMask:
    """Return the mask of offers that a price can be made for.

    They have a cost, a price of their own, a rule's fixed price or an override's price.
    """
    no_cost = one_chunk(offers["cost"]).is_null()
    no_own_price = one_chunk(offers["price"]).is_null()
    priceable = ~flags_of(pc.and_(no_cost, no_own_price))
    if RULE in offers.column_names:
        _, has_fixed_price = _fixed_prices(pricing)
        priceable |= has_fixed_price[rules_of(offers)]
    if OVERRIDE_PRICE in offers.column_names:
        priceable |= integers_of(offers[OVERRIDE_PRICE])[0] >= 0
    return np.asarray(priceable)


def price_winners(
    inputs: PriceInputs,
    pricing: PricingConfig,
) -> tuple[arrays.Cents, arrays.RowMask]:
    """Return the winners' prices in cents and the mask of winners that have a price.

    A price of 0.00 is none.
    """
    cents, has_price = whole_cents(inputs, pricing)
    ended_cents = with_ending(cents, pricing.ending)
    if inputs.override_price is None:
        return ended_cents, has_price
    is_overridden = inputs.override_price >= 0
    prices = np.where(is_overridden, inputs.override_price // 100, ended_cents)
    return prices, has_price | is_overridden


def whole_cents(
    inputs: PriceInputs,
    pricing: PricingConfig,
) -> tuple[arrays.Cents, arrays.RowMask]:
    """Return prices as `price_winners` does, without endings and overrides."""
    terms = PriceTerms.of(pricing, inputs)
    bases = PriceBases.of(inputs, pricing)
    cents = cents_of(terms, bases)
    return cents, inputs.has_amount & (cents > 0)


def cents_of(terms: PriceTerms, bases: PriceBases) -> arrays.Cents:
    """Return the last of the `PriceSteps` of each winner, exact at any size."""
    is_large = _is_large(terms, bases)
    if not is_large.any():
        return np.asarray(price_steps(terms, bases).cents)
    cents = np.zeros(len(is_large), np.int64)
    for rows, kind in ((~is_large, np.int64), (is_large, np.object_)):
        if rows.any():
            row_terms = terms.of_rows(rows, kind)
            row_bases = bases.of_rows(rows, kind)
            cents[rows] = price_steps(row_terms, row_bases).cents
    return cents


def _is_large(terms: PriceTerms, bases: PriceBases) -> arrays.RowMask:
    """Return the mask of winners whose steps may not fit 64 bits.

    Their steps are computed with Python's integers. No product is made here that may
    not fit: a quotient says as much.
    """
    increment_size = 2 * terms.increment * terms.denominator
    limit = (_LIMIT - increment_size) // (2 * terms.denominator)
    if limit <= 0:
        return np.ones(len(bases.cost), np.bool_)
    factor = terms.numerator // terms.denominator + 1
    shipped_limit = (limit - terms.markup) // factor
    is_large = bases.cost > shipped_limit - terms.shipping
    is_large |= bases.given_price > limit
    is_large |= terms.minimum >= limit
    return np.asarray(is_large)


def price_steps(terms: PriceTerms, bases: PriceBases) -> PriceSteps:
    """Return the amounts after each step of pricing, one a winner."""
    denominator = terms.denominator
    shipped = bases.cost + terms.shipping
    candidate = shipped * terms.numerator + terms.markup * denominator
    given_numerator = bases.given_price * denominator
    candidate = np.where(bases.from_cost, candidate, given_numerator)
    at_least_minimum = np.maximum(candidate, terms.minimum * denominator)
    increment = terms.increment * denominator
    if terms.mode == "up":
        increments = -(-at_least_minimum // increment)
    elif terms.mode == "down":
        increments = at_least_minimum // increment
    else:
        increments = (2 * at_least_minimum + increment) // (2 * increment)
    rounded = np.asarray(increments * terms.increment)
    minimum_again = np.maximum(rounded, terms.minimum)
    price = np.maximum(minimum_again, bases.floor)
    cents = (price + 50) // 100
    least_price = np.maximum(bases.floor, terms.minimum)
    is_too_low = np.asarray(cents * 100 < least_price)
    if is_too_low.any():
        rounded_up = -(-price // 100)
        cents = np.where(is_too_low, rounded_up, cents)
    return PriceSteps(
        cost=bases.cost,
        shipping_handling=shipped,
        candidate=candidate,
        min_price=at_least_minimum,
        rounding=rounded,
        min_price_again=minimum_again,
        map_price=price,
        cents=cents,
    )


def with_ending(cents: arrays.Cents, ending: Decimal | None) -> arrays.Cents:
    """Return the least amounts, not below the given ones, with the ending."""
    if ending is None:
        return cents
    ending_cents = int(ending.scaleb(2))
    period = 100 if ending < 1 else 1000
    return np.asarray(cents + (ending_cents - cents) % period)


def _fixed_prices(
    pricing: PricingConfig,
) -> tuple[arrays.TenThousandths, arrays.RowMask]:
    """Return the fixed price of each rule, and the mask of rules with one.

    The last cells are of no rule.
    """
    prices = [rule.fixed_price for rule in pricing.rules]
    prices.append(None)
    amounts = [ten_thousandths(price or _NOTHING) for price in prices]
    has_fixed_price = [price is not None for price in prices]
    return np.array(amounts, np.int64), np.array(has_fixed_price)


def ten_thousandths(amount: Decimal) -> int:
    """Return an amount of the config in ten-thousandths."""
    return int(amount.scaleb(4))
