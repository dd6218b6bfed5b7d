"""Price rules held against ten lines of Decimal: which one an offer has, and what it asks."""

from __future__ import annotations

from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_UP,
    Decimal,
    localcontext,
)
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nasty_rules import AMOUNTS, BRANDS, COSTS, MARGINS, price_rules
from relay_core.columnar.numbers import AMOUNT
from relay_core.config import TenantConfig
from relay_core.merge.price_explanation import explain_price
from relay_core.merge.price_rules import RULE, PriceRules, rules_of
from relay_core.merge.pricing import PriceInputs, price_winners
from relay_core.merge.vendor_offers import VENDOR_RANK
from support.builders import tenant_config, vendor_document

VENDORS = ("v1", "v2")
ROUNDINGS = {"nearest": ROUND_HALF_UP, "up": ROUND_CEILING, "down": ROUND_FLOOR}
Cells = dict[str, Any]


def offers_of(*rows: Cells) -> pa.Table:
    """Return offers; what a row does not say is null, and its vendor the first."""
    kinds = {"cost": AMOUNT, "price": AMOUNT, "map_price": AMOUNT}
    kinds |= {"brand": pa.string(), "condition": pa.string()}
    ranks = [VENDORS.index(row.get("vendor", "v1")) for row in rows]
    columns = {
        n: pa.array([row.get(n) for row in rows], kind)
        for n, kind in kinds.items()
    }
    return pa.table({**columns, VENDOR_RANK: pa.array(ranks, pa.int16())})


def config_of(*rules: Cells, **pricing: Any) -> TenantConfig:
    vendors = map(vendor_document, VENDORS)
    return tenant_config(*vendors, pricing={"rules": list(rules), **pricing})


def chosen(config: TenantConfig, *rows: Cells) -> list[int]:
    return rules_of(PriceRules.of(config).applied(offers_of(*rows))).tolist()


def meets(when: Any, row: Cells) -> bool:
    """Say whether an offer meets a rule, as a person would."""
    listed = [
        (when.vendors, row.get("vendor", "v1")),
        (when.conditions, row.get("condition")),
        (
            when.brands and {name.casefold() for name in when.brands},
            (row["brand"] or "").casefold(),
        ),
    ]
    cost = row["cost"]
    low = when.cost_from is None or (
        cost is not None and cost >= when.cost_from
    )
    high = when.cost_below is None or (
        cost is not None and cost < when.cost_below
    )
    return all(of is None or cell in of for of, cell in listed) and low and high


def by_decimal(
    config: TenantConfig, rule: Any, row: Cells
) -> tuple[Decimal, Decimal] | None:
    """Return the price of an offer and the floor that it must keep, as a person would write it."""
    pricing = config.pricing
    cost = row["cost"]
    rule_price = row["price"]
    with localcontext(prec=60):
        if cost is not None:
            margin = (
                pricing.base_margin_pct
                if rule is None
                else rule.margin_pct or Decimal(0)
            )
            rule_price = (cost + pricing.shipping_handling_flat) * (1 + margin)
            rule_price += (rule and rule.markup) or 0
        rule_price = (
            rule_price
            if rule is None or rule.fixed_price is None
            else rule.fixed_price
        )
        if rule_price is None:
            return None
        low = (
            pricing.min_price
            if rule is None or rule.min_price is None
            else rule.min_price
        )
        step = pricing.rounding.increment
        steps = (max(rule_price, low) / step).quantize(
            Decimal(1), ROUNDINGS[pricing.rounding.mode]
        )
        floor = max(
            low,
            (row["map_price"] or Decimal(0))
            if pricing.map_policy.enforce
            else low,
        )
        price = max(steps * step, floor)
        cents = price.quantize(Decimal("0.01"), ROUND_HALF_UP)
        return (
            cents
            if cents >= floor
            else price.quantize(Decimal("0.01"), ROUND_CEILING)
        ), floor


CELLS = st.one_of(
    st.none(),
    st.sampled_from(COSTS).map(Decimal),
    st.decimals("0", "999999999.9999", places=4),
)
ROWS = st.fixed_dictionaries(
    {
        "vendor": st.sampled_from(VENDORS),
        "brand": st.one_of(
            st.none(), st.sampled_from([name.strip() for name in BRANDS])
        ),
        "condition": st.sampled_from((None, "new", "used", "refurb")),
        "cost": CELLS,
        "price": CELLS,
        "map_price": CELLS,
    }
)


@settings(max_examples=300, deadline=None)
@given(
    rules=price_rules(VENDORS),
    rows=st.lists(ROWS, min_size=1, max_size=8),
    margin=st.sampled_from(MARGINS),
    minimum=st.sampled_from(AMOUNTS),
    shipping=st.sampled_from(("0", "0.0001", "9.99", "999999999.9999")),
    increment=st.sampled_from(
        ("0.0001", "0.01", "0.05", "0.99", "3.3333", "123456")
    ),
    mode=st.sampled_from(tuple(ROUNDINGS)),
    enforce=st.booleans(),
)
@example(
    rules=[
        {"markup": "999999999.9999", "min_price": "0"},
        {"margin_pct": "0.000001"},
    ],
    rows=[
        {
            **dict.fromkeys(("brand", "condition", "price", "map_price")),
            "cost": Decimal(0),
        }
    ],
    margin="0",
    minimum="0",
    shipping="0",
    increment="0.0001",
    mode="up",
    enforce=True,
)
def test_no_order_of_rules_takes_a_price_under_a_floor_or_away_from_plain_decimals(
    rules: list[Cells],
    rows: list[Cells],
    margin: str,
    minimum: str,
    shipping: str,
    increment: str,
    mode: str,
    enforce: bool,
) -> None:
    config = config_of(
        *rules,
        base_margin_pct=margin,
        min_price=minimum,
        shipping_handling_flat=shipping,
        map_policy={"enforce": enforce},
        rounding={"mode": mode, "increment": increment},
    )
    pricing = config.pricing
    offers = PriceRules.of(config).applied(offers_of(*rows))
    inputs = PriceInputs.of(offers, pricing)
    cents, has_price = price_winners(inputs, pricing)
    for place, row in enumerate(rows):
        expected = [
            index
            for index, price_rule in enumerate(pricing.rules)
            if meets(price_rule.when, row)
        ]
        assert rules_of(offers)[place] == (expected or [-1])[0]
        rule = pricing.rules[expected[0]] if expected else None
        if rule is not None and rule.leave_out:
            continue
        wanted_price = by_decimal(config, rule, row)
        offer = PriceInputs.of(offers.slice(place, 1), pricing)
        steps = explain_price(offer, pricing)
        if wanted_price is None:
            assert not has_price[place]
            assert steps == []
            continue
        price, floor = wanted_price
        actual = Decimal(int(cents[place])) / 100
        assert actual >= floor
        assert (actual, bool(has_price[place])) == (price, price > 0)
        assert Decimal(steps[-1].after) == price
        assert [step.before for step in steps] == [
            None,
            *(step.after for step in steps[:-1]),
        ]


# --- which rule -----------------------------------------------------------------------------------


def test_the_first_rule_that_an_offer_meets_is_its_rule() -> None:
    config = config_of(
        {
            "when": {"vendors": ["v2"], "cost_from": 5, "cost_below": 10},
            "margin_pct": 1,
        },
        {
            "when": {"brands": ["Groß GmbH "], "conditions": ["new", "used"]},
            "markup": 2,
        },
        {"when": {"cost_below": 5}, "fixed_price": 3},
    )
    assert chosen(
        config,
        {"vendor": "v2", "cost": 5},
        {"vendor": "v2", "cost": 10},
        {"vendor": "v1", "cost": 5},
        {"brand": "GROSS GMBH", "condition": "used", "cost": 1},
        {"brand": "Groß GmbH", "condition": "refurb", "cost": 1},
        {"brand": "Groß GmbH", "cost": 9},
        {"condition": "new"},
        {"cost": 0},
    ) == [0, -1, -1, 1, 2, -1, -1, 2]


def test_an_empty_when_always_holds_and_a_null_meets_no_list_and_no_bound() -> (
    None
):
    lists = {"brands": ["a"], "conditions": ["new"], "cost_from": 0}
    config = config_of(
        *(
            {"when": {name: values}, "leave_out": True}
            for name, values in lists.items()
        ),
        {"markup": 1},
    )
    assert chosen(
        config, {}, {"brand": "a"}, {"condition": "new"}, {"cost": 0}
    ) == [
        3,
        0,
        1,
        2,
    ]


@pytest.mark.parametrize("count", [63, 64, 65, 128, 200])
def test_as_many_rules_as_there_may_be_are_told_apart(count: int) -> None:
    rules = [
        {"when": {"cost_from": n, "cost_below": n + 1}, "fixed_price": n}
        for n in range(count)
    ]
    rows = [{"cost": n} for n in (0, count - 1, 31, count // 2, count)]
    assert chosen(config_of(*rules), *rows) == [
        0,
        count - 1,
        31,
        count // 2,
        -1,
    ]


def test_a_rule_leaves_out_its_own_offers_and_no_other() -> None:
    leaves_out = {"when": {"brands": ["a"]}, "leave_out": True}
    prices = {"when": {"vendors": ["v2"]}, "markup": 1}
    rows = ({"brand": "a"}, {"vendor": "v2"}, {})
    for rules, expected in (
        ((leaves_out, prices), [True, False, False]),
        ((prices,), [False] * 3),
    ):
        priced = PriceRules.of(config_of(*rules))
        assert (
            priced.leaves_out(priced.applied(offers_of(*rows))).tolist()
            == expected
        )


def test_rules_without_a_condition_hold_for_all_and_the_first_of_them_is_taken() -> (
    None
):
    assert chosen(config_of({"markup": 1}, {"markup": 2}), {}, {"cost": 1}) == [
        0,
        0,
    ]


def test_without_rules_offers_are_as_they_are() -> None:
    offers = offers_of({"cost": 1})
    assert PriceRules.of(config_of()).applied(offers) is offers
    assert RULE not in offers.column_names


def test_no_offers_have_no_rules() -> None:
    config = config_of(
        {"when": {"brands": ["a"], "cost_from": 1}, "leave_out": True}
    )
    assert chosen(config) == []
