"""Prices held against ten lines of Decimal."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Decimal,
    localcontext,
)

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay_core.columnar.numbers import AMOUNT
from relay_core.config import PricingConfig
from relay_core.merge.price_explanation import PriceStep, explain_price
from relay_core.merge.pricing import PriceInputs, price_winners
from support.builders import tenant_config

ROUNDINGS = {"nearest": ROUND_HALF_UP, "up": ROUND_CEILING, "down": ROUND_FLOOR}


def amounts(most: str) -> st.SearchStrategy[Decimal]:
    return st.decimals("0", most, places=4)


MARGINS = st.one_of(
    st.sampled_from(["0", "0.2", "100"]).map(Decimal),
    st.decimals(0, 100, places=6),
)
CELLS = st.one_of(st.none(), amounts("99.9999"), amounts("999999999.9999"))
INCREMENTS = st.sampled_from(
    ["0.0001", "0.01", "0.05", "0.99", "1", "3.3333"]
).map(Decimal)


def by_decimal(
    cost: Decimal | None,
    own: Decimal | None,
    floor: Decimal | None,
    pricing: PricingConfig,
) -> Decimal | None:
    """Price one winner, as a person would write the rule down."""
    if cost is None and own is None:
        return None
    with localcontext(prec=60):
        margin = 1 + pricing.base_margin_pct
        low = pricing.min_price
        raw_price = (
            own
            if cost is None
            else (cost + pricing.shipping_handling_flat) * margin
        )
        step = pricing.rounding.increment
        steps = (max(raw_price or Decimal(0), low) / step).quantize(
            Decimal(1), ROUNDINGS[pricing.rounding.mode]
        )
        least = (
            max(low, floor or Decimal(0)) if pricing.map_policy.enforce else low
        )
        price = max(steps * step, least)
        cents = price.quantize(Decimal("0.01"), ROUND_HALF_UP)
        cents = (
            cents
            if cents >= least
            else price.quantize(Decimal("0.01"), ROUND_CEILING)
        )
    return cents or None


def by_column(
    cost: Decimal | None,
    own: Decimal | None,
    floor: Decimal | None,
    pricing: PricingConfig,
) -> Decimal | None:
    cents, priced = price_winners(inputs(cost, own, floor, pricing), pricing)
    return Decimal(int(cents[0])) / 100 if priced[0] else None


def by_steps(
    cost: Decimal | None,
    own: Decimal | None,
    floor: Decimal | None,
    pricing: PricingConfig,
) -> Decimal | None:
    """Return what the last step of a price comes to; each begins where the one before ended."""
    steps = explain_price(inputs(cost, own, floor, pricing), pricing)
    assert [step.before for step in steps] == [
        None,
        *(step.after for step in steps),
    ][: len(steps)]
    return (Decimal(steps[-1].after) or None) if steps else None


def inputs(
    cost: Decimal | None,
    own: Decimal | None,
    floor: Decimal | None,
    pricing: PricingConfig,
) -> PriceInputs:
    cells = {"cost": cost, "price": own, "map_price": floor}
    offer = pa.table(
        {name: pa.array([cell], AMOUNT) for name, cell in cells.items()}
    )
    return PriceInputs.of(offer, pricing)


@given(
    cost=CELLS,
    own=CELLS,
    floor=CELLS,
    margin=MARGINS,
    minimum=amounts("999.9999"),
    shipping=amounts("999.9999"),
    increment=INCREMENTS,
    mode=st.sampled_from(sorted(ROUNDINGS)),
    enforce=st.booleans(),
)
@example(
    cost=Decimal("0"),
    own=None,
    floor=Decimal("30.1234"),
    margin=Decimal("0"),
    minimum=Decimal("25"),
    shipping=Decimal("0"),
    increment=Decimal("0.99"),
    mode="nearest",
    enforce=True,
)
def test_a_price_is_that_of_decimals(
    cost: Decimal | None,
    own: Decimal | None,
    floor: Decimal | None,
    margin: Decimal,
    minimum: Decimal,
    shipping: Decimal,
    increment: Decimal,
    mode: str,
    enforce: bool,
) -> None:
    pricing = tenant_config(
        pricing={
            "base_margin_pct": f"{margin:f}",
            "min_price": f"{minimum:f}",
            "shipping_handling_flat": f"{shipping:f}",
            "map_policy": {"enforce": enforce},
            "rounding": {"mode": mode, "increment": f"{increment:f}"},
        }
    ).pricing

    expected = by_decimal(cost, own, floor, pricing)
    assert by_column(cost, own, floor, pricing) == expected
    assert by_steps(cost, own, floor, pricing) == expected


@pytest.mark.parametrize("enforce", [True, False])
@pytest.mark.parametrize("floor", [Decimal(30), None])
def test_a_price_s_steps_begin_with_its_cost_and_name_the_floor_that_is_enforced(
    floor: Decimal | None, enforce: bool
) -> None:
    pricing = tenant_config(
        pricing={"map_policy": {"enforce": enforce}}
    ).pricing
    steps = explain_price(inputs(Decimal(10), None, floor, pricing), pricing)
    assert [step.step for step in steps[:3]] == [
        "cost",
        "shipping_handling",
        "margin",
    ]
    (named,) = (step.operand for step in steps if step.step == "map_price")
    assert named == ("30.00" if floor and enforce else None)


@pytest.mark.parametrize(
    ("ending", "price"), [("0.99", "12.99"), ("9.99", "19.99"), ("0", "13.00")]
)
def test_the_last_step_is_the_ending_and_comes_to_the_price(
    ending: str, price: str
) -> None:
    pricing = tenant_config(pricing={"ending": ending}).pricing
    steps = explain_price(
        inputs(Decimal("12.30"), None, None, pricing), pricing
    )
    operand = f"{Decimal(ending):.2f}"
    assert steps[-1] == PriceStep(
        "ending", operand, before="12.30", after=price
    )
    assert by_column(Decimal("12.30"), None, None, pricing) == Decimal(price)


EDGES = [2**power for power in (61, 62, 63, 64)]


@pytest.mark.parametrize("mode", sorted(ROUNDINGS))
@pytest.mark.parametrize("margin", ["99.999999", "0.333333", "1.000001"])
@pytest.mark.parametrize("increment", ["0.0001", "3.3333"])
def test_prices_are_exact_on_both_sides_of_what_64_bits_hold(
    mode: str, margin: str, increment: str
) -> None:
    pricing = tenant_config(
        pricing={
            "base_margin_pct": margin,
            "rounding": {"mode": mode, "increment": increment},
        }
    ).pricing
    above, below = (1 + Decimal(margin)).as_integer_ratio()
    # What is doubled to round to the nearest is the cost's numerator; the price's, without a cost.
    units = [
        edge // doubled // factor + offset
        for edge in EDGES
        for doubled in (1, 2)
        for factor in (above, below)
        for offset in (-1, 0, 1)
    ]
    amounts = sorted(
        {Decimal(unit).scaleb(-4) for unit in units if unit < 10**13}
    )
    assert len(amounts) > 20
    for amount in amounts:
        expected = by_decimal(amount, None, None, pricing)
        assert by_column(amount, None, None, pricing) == expected
        assert by_column(None, amount, None, pricing) == by_decimal(
            None, amount, None, pricing
        )
