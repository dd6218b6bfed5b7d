"""What the report says of the tenant's own rules."""

from __future__ import annotations

from relay_core.report.display import NOTHING
from support.builders import feed
from support.report_reading import shown_rows
from support.reported_runs import go_through


def test_the_tenants_own_rules_are_shown_with_what_each_did() -> None:
    vendor_rule = {
        "when": {"vendors": ["south"], "cost_from": 100},
        "leave_out": True,
    }
    run = go_through(
        {
            "north": feed("A,5,1", "A,2,1", "B,9,20"),
            "south": feed("C,1,500", "D,4,1"),
        },
        vendors={
            "north": {"duplicate_skus": "sum"},
            "south": {"stock": {"hold_back": 2}},
        },
        pricing={
            "rules": [
                vendor_rule,
                {"when": {"cost_below": 10}, "markup": "2.50", "min_price": 4},
                {"when": {"brands": ["x"]}, "margin_pct": "0.1"},
            ]
        },
        stock={"pct": 50, "cap": 4},
    )
    assert [tuple(row.values()) for row in shown_rows(run.report, "rules")] == [
        ("vendors.0.duplicate_skus", "sum", "north", "1 row not used"),
        (
            "pricing.rules.0",
            "vendors south, cost_from 100: leave_out true",
            NOTHING,
            "1 offer left out",
        ),
        (
            "pricing.rules.1",
            "cost_below 10: markup 2.50, min_price 4",
            NOTHING,
            "2 SKUs priced",
        ),
        (
            "pricing.rules.2",
            "brands x: margin_pct 0.1",
            NOTHING,
            "0 SKUs priced",
        ),
        ("stock", "pct 50, cap 4", "north", "9 units not offered"),
        ("vendors.1.stock", "hold_back 2", "south", "3 units not offered"),
    ]
    assert run.report.facts["rules/SKUs priced"] == 2


def test_rules_of_no_vendor_have_no_column_of_vendors() -> None:
    rule = {"when": {"cost_below": 10}, "markup": "2.50"}
    run = go_through({"north": feed("A,1,1")}, pricing={"rules": [rule]})
    assert list(shown_rows(run.report, "rules")[0]) == ["path", "rule", "did"]


def test_without_rules_there_is_nothing_of_them() -> None:
    run = go_through({"north": feed("A,1,1")})
    assert run.report.chapter("rules") is None
