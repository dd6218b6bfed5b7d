"""The sections of a config that make prices: the base, the tenant's own rules, floors, rounding."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from relay_core.config.cross_checks import KnownVendor, at_most
from relay_core.config.section import Section
from relay_core.config.values import AS_TEXT, EXACT, Bool, Filled, Money, refuse
from relay_core.domain.cell_rules import MONEY_LIMIT
from relay_core.domain.limits import DEFAULT_LIMITS

Margin = Annotated[Decimal, Field(ge=0, le=100, decimal_places=6), EXACT, AS_TEXT]
MapFloor = Literal["max(price, map_price)"]
Condition = Literal["new", "used", "refurb"]
Ending = Annotated[Decimal, Field(ge=0, le=Decimal("9.99"), decimal_places=2), EXACT, AS_TEXT]
AMOUNTS = ("margin_pct", "markup", "fixed_price")
"""What a price rule may set a price by; one that sets none leaves offers out."""


class RuleConditions(Section):
    """Which offers a price rule is for: all that is said must hold, nothing said always does."""

    vendors: (
        Annotated[
            tuple[KnownVendor, ...],
            Field(min_length=1, description="Ids of this config's vendors."),
        ]
        | None
    ) = None
    brands: (
        Annotated[tuple[Filled, ...], Field(min_length=1, description="In any case.")] | None
    ) = None
    conditions: Annotated[tuple[Condition, ...], Field(min_length=1)] | None = None
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
    map_floor_behavior: MapFloor = "max(price, map_price)"


class RoundingConfig(Section):
    """How a price is rounded to a multiple of ``increment``; nearest is half up."""

    mode: Literal["nearest", "up", "down"] = "nearest"
    increment: Annotated[
        Decimal,
        Field(ge=Decimal("0.0001"), lt=MONEY_LIMIT, decimal_places=4),
        EXACT,
        AS_TEXT,
    ] = Decimal("0.01")


class PricingConfig(Section):
    """From a cost to a price; the first rule that an offer meets stands in for the base."""

    base_margin_pct: Margin
    min_price: Money
    shipping_handling_flat: Money
    map_policy: MapPolicyConfig = MapPolicyConfig()
    rules: Annotated[
        tuple[PriceRule, ...],
        Field(
            description="The first one whose `when` holds is an offer's; each has exactly one of "
            "`margin_pct`, `markup`, `fixed_price` and `leave_out: true`.",
            json_schema_extra={"maxItems": DEFAULT_LIMITS.price_rules},
        ),
        at_most("price_rules"),
    ] = ()
    rounding: RoundingConfig = RoundingConfig()
    ending: (
        Annotated[
            Ending,
            Field(
                description="The price is raised to a whole amount plus this one; to a multiple "
                "of 10.00 plus it from 1.00 on."
            ),
        ]
        | None
    ) = None
