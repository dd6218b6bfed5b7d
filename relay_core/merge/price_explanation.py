"""The steps of one winner's price, as people see them."""

from collections.abc import Iterator
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np

from relay_core.config import PricingConfig
from relay_core.merge.price_rules import NO_RULE
from relay_core.merge.pricing import (
    Amounts,
    PriceBases,
    PriceInputs,
    PriceSteps,
    PriceTerms,
    price_steps,
    with_ending,
)

_EXACT = Context(prec=60)  # the longest amount has a third as many digits


class PriceStep(NamedTuple):
    """A step of one price: amounts as exact text."""

    step: str
    operand: str | None  # the value that was applied; None if there was none
    before: str | None  # the amount before the step; None for the first step
    after: str  # the amount after the step


def explain_price(
    inputs: PriceInputs,
    pricing: PricingConfig,
) -> list[PriceStep]:
    """Return the steps of a winner's price, also those that change nothing.

    Args:
        inputs: The inputs of one winner.
        pricing: The tenant's pricing.

    Returns:
        The steps in order; none if there is no amount to make a price of.
    """
    if not inputs.has_amount.all():
        return []
    if inputs.override_price is not None:
        override_price = _of_winner(inputs.override_price)
        if override_price >= 0:
            price = _as_text(override_price)
            return [PriceStep("override", price, None, price)]
    winner = np.ones(1, np.bool_)
    terms = PriceTerms.of(pricing, inputs).of_rows(winner, np.object_)
    bases = PriceBases.of(inputs, pricing).of_rows(winner, np.object_)
    steps = price_steps(terms, bases)
    return list(_described(terms, inputs, pricing, steps))


def _described(
    terms: PriceTerms,
    inputs: PriceInputs,
    pricing: PricingConfig,
    steps: PriceSteps,
) -> Iterator[PriceStep]:
    """Yield the steps of a price.

    Shares and roundings are named as the config writes them.
    """
    after = {
        name: _of_winner(amounts) for name, amounts in steps._asdict().items()
    }
    minimum = _as_text(_of_winner(terms.minimum))
    map_price = None
    if pricing.map_policy.enforce and not inputs.map_price_null[0]:
        map_price = _as_text(int(inputs.map_price[0]))
    amount_after_minimum = _as_text(after["min_price"], terms.denominator)
    rounding = "{mode} {increment}".format_map(
        pricing.rounding.model_dump(mode="json"),
    )
    last_steps = [
        ("min_price", minimum, amount_after_minimum),
        ("rounding", rounding, _as_text(after["rounding"])),
        ("min_price_again", minimum, _as_text(after["min_price_again"])),
        ("map_price", map_price, _as_text(after["map_price"])),
        ("cents", None, _as_text(after["cents"] * 100)),
    ]
    if pricing.ending is not None and after["cents"]:
        ended_cents = _of_winner(with_ending(steps.cents, pricing.ending))
        amount = _as_text(ended_cents * 100)
        ending = f"{pricing.ending:.2f}"
        last_steps.append(("ending", ending, amount))
    first_steps = _first_steps(terms, inputs, pricing, after)
    before = None
    for name, operand, amount in (*first_steps, *last_steps):
        yield PriceStep(name, operand, before, amount)
        before = amount


def _first_steps(
    terms: PriceTerms,
    inputs: PriceInputs,
    pricing: PricingConfig,
    after: dict[str, int],
) -> list[tuple[str, str | None, str]]:
    """Return the steps up to the candidate: name, operand, amount after."""
    candidate = _as_text(after["candidate"], terms.denominator)
    document = pricing.model_dump(mode="json")
    rule = {"margin_pct": document["base_margin_pct"]}
    rule_index = NO_RULE if inputs.rule is None else _of_winner(inputs.rule)
    if rule_index != NO_RULE:
        rule = document["rules"][rule_index]
    if rule.get("fixed_price") is not None:
        return [("fixed_price", candidate, candidate)]
    if inputs.cost_null[0]:
        return [("own_price", candidate, candidate)]
    cost = _as_text(after["cost"])
    shipping = _as_text(_of_winner(terms.shipping))
    shipped = _as_text(after["shipping_handling"])
    if rule["margin_pct"] is not None:
        last_step = ("margin", rule["margin_pct"], candidate)
    else:
        last_step = ("markup", _as_text(_of_winner(terms.markup)), candidate)
    return [
        ("cost", cost, cost),
        ("shipping_handling", shipping, shipped),
        last_step,
    ]


def _of_winner(numbers: Amounts | int) -> int:
    """Return the number of the one winner."""
    if isinstance(numbers, int):
        return numbers
    return int(numbers[0])


def _as_text(numerator: int, denominator: int = 1) -> str:
    """Return ten-thousandths as exact text with at least two decimals."""
    scaled = Decimal(numerator).scaleb(-4, _EXACT)
    amount = _EXACT.divide(scaled, Decimal(denominator))
    whole, _, decimals = f"{amount:f}".partition(".")
    significant = decimals.rstrip("0")
    return f"{whole}.{significant:0<2}"
