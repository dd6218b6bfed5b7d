"""The sections of a config that make prices: the base, the tenant's own rules, floors, rounding."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from relay_core.config.cross_checks import at_most, read_known_vendors
from relay_core.config.models import AS_TEXT, Bool, Money, Section, one_of
from relay_core.config.values import (
    choice,
    exact_decimal,
    list_of,
    read_filled_text,
    refuse,
    require_list,
)
from relay_core.domain.columns import CONDITIONS

Margin = Annotated[Decimal, BeforeValidator(exact_decimal(places=6, most="100")), AS_TEXT]
MapFloor = Literal["max(price, map_price)"]
Condition = Literal["new", "used", "refurb"]
AMOUNTS = ("margin_pct", "markup", "fixed_price")
"""What a price rule may set a price by; one that sets none leaves offers out."""


class RuleConditions(Section):
    """Which offers a price rule is for: all that is said must hold, nothing said always does."""

    vendors: Annotated[tuple[str, ...], BeforeValidator(read_known_vendors)] | None = None
    brands: (
        Annotated[tuple[str, ...], BeforeValidator(list_of(read_filled_text, filled=True))] | None
    ) = None
    conditions: (
        Annotated[tuple[Condition, ...], BeforeValidator(list_of(choice(*CONDITIONS), filled=True))]
        | None
    ) = None
    cost_from: Money | None = None
    cost_below: Money | None = None

    @field_validator("cost_below")
    @classmethod
    def _is_above(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        least = info.data.get("cost_from")
        if value is not None and least is not None and value <= least:
            raise refuse(f"must be greater than cost_from, which is {least:f}, not {value:f}")
        return value


class PriceRule(Section):
    """How the price of the offers that it is for is made, or that they do not compete."""

    when: RuleConditions = RuleConditions()
    margin_pct: Margin | None = None
    markup: Money | None = None
    fixed_price: Money | None = None
    leave_out: Annotated[Bool, Field(validate_default=True)] = False
    min_price: Money | None = None

    @field_validator("leave_out")
    @classmethod
    def _does_one_thing(cls, value: bool, info: ValidationInfo) -> bool:
        # An amount that is refused is none that is missing.
        given = [name for name in AMOUNTS if info.data.get(name, name) is not None]
        given += ["leave_out"] if value else []
        if len(given) != 1:
            has = " and ".join(given) or "none"
            wanted = "margin_pct, markup, fixed_price and leave_out: true"
            raise refuse(f"must have exactly one of {wanted}; it has {has}", of_section=True)
        return value

    @field_validator("min_price")
    @classmethod
    def _goes_with_a_price(cls, value: Decimal | None, info: ValidationInfo) -> Decimal | None:
        if value is not None and info.data.get("leave_out"):
            raise refuse("an offer that is left out has no price; leave min_price out")
        return value


class MapPolicyConfig(Section):
    """Whether a minimum advertised price is a floor."""

    enforce: Bool = True
    map_floor_behavior: Annotated[MapFloor, one_of(*get_args(MapFloor))] = "max(price, map_price)"


class RoundingConfig(Section):
    """How a price is rounded to a multiple of ``increment``; nearest is half up."""

    mode: Annotated[Literal["nearest", "up", "down"], one_of("nearest", "up", "down")] = "nearest"
    increment: Annotated[
        Decimal, BeforeValidator(exact_decimal(places=4, least="0.0001")), AS_TEXT
    ] = Decimal("0.01")


class PricingConfig(Section):
    """From a cost to a price; the first rule that an offer meets stands in for the base."""

    base_margin_pct: Margin
    min_price: Money
    shipping_handling_flat: Money
    map_policy: MapPolicyConfig = MapPolicyConfig()
    rules: Annotated[
        tuple[PriceRule, ...], BeforeValidator(require_list), at_most("price_rules")
    ] = ()
    rounding: RoundingConfig = RoundingConfig()
