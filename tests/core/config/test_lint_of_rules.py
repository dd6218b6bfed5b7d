from __future__ import annotations

from typing import Any

import pytest

from relay_core.config.lint import lint_warnings
from support.builders import tenant_config, vendor_document

LARGEST = 2_147_483_647


def doubts(
    *rules: Any, is_published: bool = True, **changes: Any
) -> dict[str, str]:
    """Return the doubts about a config of two vendors with these price rules."""
    pricing = {"min_price": "1", "rules": list(rules)}
    vendors = (
        vendor_document("v1"),
        vendor_document("v2", stock=changes.pop("own_stock", None)),
    )
    config = tenant_config(*vendors, pricing=pricing, **changes)
    return {
        doubt.path: doubt.message
        for doubt in lint_warnings(config, is_published=is_published)
    }


def rule(**when: Any) -> dict[str, Any]:
    return {"when": when, "margin_pct": "0.1"}


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ({}, {"brands": ["a"], "cost_from": 5}),
        ({"vendors": ["v1"]}, {"vendors": ["v1"], "conditions": ["new"]}),
        ({"vendors": ["v2", "v1"]}, {}),
        ({"brands": ["A", "Groß"]}, {"brands": ["gross"]}),
        ({"conditions": ["new", "used"]}, {"conditions": ["used"]}),
        ({"cost_from": 5}, {"cost_from": 5, "cost_below": 10}),
        ({"cost_below": 10}, {"cost_from": 5, "cost_below": 10}),
        ({"cost_from": 0}, {"cost_below": 7}),
    ],
    ids=str,
)
def test_a_rule_that_an_earlier_one_covers_is_never_come_to(
    outer: Any, inner: Any
) -> None:
    first_rule = rule(conditions=["refurb"], cost_from=1, brands=["z"])
    warnings = doubts(first_rule, rule(**outer), rule(**inner))
    assert list(warnings) == ["pricing.rules.2"]
    assert "pricing.rules.1 comes first" in warnings["pricing.rules.2"]


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        ({"brands": ["a"]}, {}),
        ({"conditions": ["new", "used", "refurb"]}, {}),
        ({"vendors": ["v1"]}, {"brands": ["a"]}),
        ({"brands": ["a"]}, {"brands": ["a", "b"]}),
        ({"cost_from": 0}, {}),
        (
            {"cost_from": 5, "cost_below": 10},
            {"cost_from": 4, "cost_below": 10},
        ),
        ({"cost_from": 5, "cost_below": 10}, {"cost_from": 5}),
        ({"cost_below": 10}, {"cost_below": 11}),
    ],
    ids=str,
)
def test_a_rule_with_offers_of_its_own_raises_no_doubt(
    outer: Any, inner: Any
) -> None:
    assert doubts(rule(**outer), rule(**inner)) == {}


def test_no_cost_is_below_0() -> None:
    assert list(doubts(rule(cost_below=0))) == [
        "pricing.rules.0.when.cost_below"
    ]


@pytest.mark.parametrize(
    ("given", "is_doubtful"),
    [
        ({"fixed_price": 5}, True),
        ({"fixed_price": 5, "when": {"cost_below": 6}}, True),
        ({"fixed_price": 5, "when": {"cost_below": 5}}, False),
        ({"fixed_price": 5, "when": {"cost_below": 6}, "min_price": 6}, False),
        ({"fixed_price": 5, "when": {"cost_below": 6}, "min_price": 0}, True),
        ({"markup": 0}, False),
    ],
    ids=str,
)
def test_a_fixed_price_that_may_be_under_a_cost_is_doubtful(
    given: Any, is_doubtful: bool
) -> None:
    assert list(doubts(given)) == (
        ["pricing.rules.0.fixed_price"] if is_doubtful else []
    )


@pytest.mark.parametrize(
    ("stock", "path"),
    [
        ({"pct": 0}, "stock"),
        ({"cap": 0}, "stock"),
        ({"hold_back": LARGEST}, "stock"),
        ({"hold_back": LARGEST - 1, "pct": 99}, "stock"),
        ({"zero_below": LARGEST, "hold_back": 1}, "stock"),
        ({"zero_below": 6, "cap": 5}, "stock.cap"),
        ({"zero_below": 5, "cap": 5}, None),
        ({"hold_back": 2, "pct": 1}, None),
    ],
    ids=str,
)
def test_stock_that_offers_nothing_or_all_or_nothing_is_doubtful(
    stock: Any, path: str | None
) -> None:
    assert list(doubts(stock=stock)) == ([] if path is None else [path])
    assert list(doubts(own_stock=stock)) == (
        [] if path is None else [f"vendors.1.{path}"]
    )


def test_without_a_published_feed_no_sku_is_kept() -> None:
    output = {"columns": ["sku", "price"], "missing_skus": "zero"}
    assert doubts(output=output) == {}
    assert list(doubts(output=output, is_published=False)) == [
        "output.missing_skus"
    ]
    assert doubts(is_published=False) == {}
