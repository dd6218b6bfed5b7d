"""The fields of a tenant's own rules: what they take, and every fault by its path, all at once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from relay_core.config import load_config
from relay_core.domain.limits import DEFAULT_LIMITS, STORED_CONFIG_LIMITS
from support.builders import config_document, vendor_document
from support.config_documents import faults_of

ONE_OF = "must have exactly one of margin_pct, markup, fixed_price and leave_out: true; it has "


def document(*rules: Any, **changes: Any) -> dict[str, Any]:
    return config_document(pricing={"rules": list(rules)}, **changes)


def config_of_many_faults() -> dict[str, Any]:
    """Return a config with faults in rules, stock, and missing SKUs."""
    vendor = vendor_document(
        duplicate_skus="merge", stock={"pct": 101, "cap": -1, "caps": 1}
    )
    faulty = document(
        {
            "when": {
                "vendors": ["vendor_1", "vendor_11"],
                "brands": [],
                "conditions": ["mint"],
                "cost_from": 5,
                "cost_below": "5.00",
                "cost_to": 1,
            },
            "margin_pct": 101,
        },
        {"markup": -1, "min_price": "1.00001"},
        {"fixed_price": "1000000000"},
        {"leave_out": True, "min_price": 1},
        {"when": {"brands": [" "]}, "margin_pct": "0.1", "markup": 1},
        {"leave_out": False},
        {"leave_out": "yes"},
        "always",
        stock={"hold_back": 2**31, "pct": "50"},
        output={
            "columns": ["sku"],
            "missing_skus": "keep",
            "missing_sku_days": 366,
        },
    )
    faulty["vendors"] = [vendor]
    return faulty


def test_every_fault_of_the_new_fields_is_named_at_once() -> None:
    faults = faults_of(config_of_many_faults())
    assert list(faults) == [
        "vendors.0.duplicate_skus",
        "vendors.0.stock.pct",
        "vendors.0.stock.cap",
        "vendors.0.stock.caps",
        "pricing.rules.0.when.vendors.1",
        "pricing.rules.0.when.brands",
        "pricing.rules.0.when.conditions.0",
        "pricing.rules.0.when.cost_below",
        "pricing.rules.0.when.cost_to",
        "pricing.rules.0.margin_pct",
        "pricing.rules.1.markup",
        "pricing.rules.1.min_price",
        "pricing.rules.2.fixed_price",
        "pricing.rules.3.min_price",
        "pricing.rules.4.when.brands.0",
        "pricing.rules.4",
        "pricing.rules.5",
        "pricing.rules.6.leave_out",
        "pricing.rules.7",
        "stock.hold_back",
        "stock.pct",
        "output.missing_skus",
        "output.missing_sku_days",
    ]
    assert (
        'did you mean "vendor_1"?' in faults["pricing.rules.0.when.vendors.1"]
    )
    assert faults["pricing.rules.4"] == f"{ONE_OF}margin_pct and markup"
    assert faults["pricing.rules.5"] == f"{ONE_OF}none"
    assert "greater than cost_from" in faults["pricing.rules.0.when.cost_below"]


@pytest.mark.parametrize("rules", [{}, "x", 5], ids=str)
def test_rules_are_a_list(rules: Any) -> None:
    faulty = config_document(pricing={"rules": rules})
    assert list(faults_of(faulty)) == ["pricing.rules"]


def test_days_go_with_zero() -> None:
    faulty = document(output={"columns": ["sku"], "missing_sku_days": 7})
    assert list(faults_of(faulty)) == ["output.missing_sku_days"]
    load_config(document(output={"columns": ["sku"], "missing_sku_days": 30}))


def test_a_config_whose_vendors_are_faulty_is_not_told_that_it_has_none() -> (
    None
):
    faulty = document({"when": {"vendors": ["v"]}, "markup": 1}, vendors={})
    assert list(faults_of(faulty)) == ["vendors"]


def test_a_rule_for_a_vendor_of_a_config_without_vendors_is_a_fault() -> None:
    faulty = document({"when": {"vendors": ["v"]}, "markup": 1}, vendors=[])
    assert list(faults_of(faulty)) == ["pricing.rules.0.when.vendors.0"]


def test_rules_are_limited_where_they_are_stored_and_not_where_they_were() -> (
    None
):
    rules = [
        {"when": {"cost_from": number}, "markup": 1} for number in range(201)
    ]
    assert "the limit is 200" in faults_of(document(*rules))["pricing.rules"]
    load_config(document(*rules[:200]))
    assert (
        len(load_config(document(*rules), STORED_CONFIG_LIMITS).pricing.rules)
        == 201
    )
    few = replace(DEFAULT_LIMITS, price_rules=0)
    assert load_config(document(), few).pricing.rules == ()


def test_a_rule_is_read_exactly_and_written_as_it_is_read() -> None:
    conditions = {
        "brands": [" Acme "],
        "cost_from": "0.10",
        "cost_below": None,
        "vendors": ["vendor_1"],
    }
    config = load_config(
        document(
            {"when": conditions, "margin_pct": "0.250", "fixed_price": None}
        )
    )
    (rule,) = config.pricing.rules
    assert (rule.when.brands, rule.margin_pct) == (("Acme",), Decimal("0.250"))
    assert rule.leave_out is False
    written = config.to_document()["pricing"]["rules"][0]
    assert (written["when"]["cost_from"], written["margin_pct"]) == (
        "0.10",
        "0.250",
    )
    assert load_config(config.to_document()) == config
