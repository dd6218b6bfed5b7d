"""Prices and merged feeds of a few offers, spelled out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from reference_runs import run_document
from support.builders import config_document, vendor_document


def price_of(row: str, **pricing: Any) -> str:
    """Return the merged price of one offer with a cost, a MAP and a price of its own."""
    feed = f"sku,quantity_available,cost,map_price,price\nA,1,{row}\n".encode()
    document = config_document(
        vendor_document(), pricing=pricing, output={"columns": ["price"]}
    )
    merged = run_document(document, {"vendor_1": feed}).outcome.merged
    assert merged is not None
    return merged.decode().removeprefix("price\n").removesuffix("\n")


@pytest.mark.parametrize(
    ("row", "pricing", "price"),
    [
        pytest.param("10,,", {"base_margin_pct": "0.20"}, "12.00", id="margin"),
        pytest.param(
            "10,,",
            {"base_margin_pct": "0.20", "shipping_handling_flat": "9.99"},
            "23.99",
            id="shipping_is_marked_up_too",
        ),
        pytest.param(
            ",,7.5",
            {"base_margin_pct": "0.20"},
            "7.50",
            id="own_price_as_it_is",
        ),
        pytest.param(
            "0,,7.5", {"min_price": "1"}, "1.00", id="a_cost_of_zero_is_a_cost"
        ),
        pytest.param(
            "1,,",
            {
                "min_price": "25.00",
                "rounding": {"mode": "nearest", "increment": "0.99"},
            },
            "25.00",
            id="increment_does_not_undercut_min_price",
        ),
        pytest.param(
            "1,30.1234,", {}, "30.13", id="map_of_four_places_rounds_up"
        ),
        pytest.param("1,30.1250,", {}, "30.13", id="map_half_up"),
        pytest.param(
            "1,30.1234,",
            {"map_policy": {"enforce": False}},
            "1.00",
            id="map_not_enforced",
        ),
        pytest.param("1.005,,", {}, "1.01", id="half_up"),
        pytest.param("12.30,,", {"ending": "0.99"}, "12.99", id="ending"),
        pytest.param(
            "12.99,,", {"ending": "0.99"}, "12.99", id="ending_as_it_is"
        ),
        pytest.param(
            "12.991,13.00,", {"ending": "0.99"}, "13.99", id="ending_over_map"
        ),
        pytest.param(
            "0.50,,", {"ending": "0.99"}, "0.99", id="ending_of_the_multiple_0"
        ),
        pytest.param(
            "12.30,,", {"ending": "0"}, "13.00", id="ending_of_whole_amounts"
        ),
        pytest.param(
            ",,12.30",
            {"ending": "9.99"},
            "19.99",
            id="ending_of_tens_over_own_price",
        ),
        pytest.param(
            "12.30,,", {"ending": "1"}, "21.00", id="ending_of_1_is_of_tens"
        ),
        pytest.param(
            "1,,",
            {"ending": "0.9", "rules": [{"fixed_price": "5"}]},
            "5.90",
            id="ending_over_fixed_price",
        ),
        pytest.param("1.0049,,", {}, "1.00", id="below_half"),
        pytest.param("1.001,,", {"rounding": {"mode": "up"}}, "1.01", id="up"),
        pytest.param(
            "1.009,,", {"rounding": {"mode": "down"}}, "1.00", id="down"
        ),
        pytest.param(
            "1.0049,,",
            {"rounding": {"mode": "nearest", "increment": "0.0001"}},
            "1.00",
            id="small_increment_then_cents",
        ),
        pytest.param(
            "1.0049,,",
            {
                "min_price": "1",
                "rounding": {"mode": "nearest", "increment": "0.0001"},
            },
            "1.00",
            id="cents_that_come_to_the_floor_are_not_under_it",
        ),
        pytest.param(
            "10,,",
            {"rounding": {"mode": "nearest", "increment": "4"}},
            "12.00",
            id="tie_goes_up",
        ),
        pytest.param(
            "0,,",
            {"min_price": "0.0001"},
            "0.01",
            id="tiny_min_price_rounds_up",
        ),
        pytest.param(
            "1,,",
            {"min_price": "9.994", "rounding": {"increment": "5"}},
            "10.00",
            id="increment",
        ),
        pytest.param(
            "1,,",
            {
                "base_margin_pct": "0.000001",
                "rounding": {"mode": "up", "increment": "999999999.9999"},
            },
            "1000000000.00",
            id="largest_increment_of_a_fine_margin",
        ),
        pytest.param(
            "1,,",
            {
                "base_margin_pct": "0.000001",
                "shipping_handling_flat": "999999999.9999",
            },
            "1000001001.00",
            id="largest_shipping_of_a_fine_margin",
        ),
        pytest.param(
            "999999999.9999,,",
            {"base_margin_pct": "100"},
            "100999999999.99",
            id="largest",
        ),
    ],
)
def test_a_price_is_exact_and_never_under_a_floor(
    row: str, pricing: dict[str, Any], price: str
) -> None:
    assert price_of(row, **pricing) == price


def test_the_merged_feed_fills_lead_time_and_rounds_money_to_cents() -> None:
    document = config_document(
        vendor_document(),
        output={
            "columns": [
                "sku",
                "lead_time_days",
                "cost",
                "price",
                "msrp",
                "updated_at",
            ]
        },
        merge={
            "strategy": "best_offer",
            "best_offer": {"fallback_lead_time_days": 9},
        },
    )
    feed = b"sku,quantity_available,cost,msrp\nB,1,1.995,\nA,1,2,3.0049\n"
    assert run_document(document, {"vendor_1": feed}).outcome.merged == (
        b"sku,lead_time_days,cost,price,msrp,updated_at\n"
        b"A,9,2.00,2.00,3.00,2026-03-01T12:00:00Z\n"
        b"B,9,2.00,2.00,,2026-03-01T12:00:00Z\n"
    )


def test_a_null_alone_in_its_record_is_written_as_two_quotes() -> None:
    document = config_document(vendor_document(), output={"columns": ["brand"]})
    feed = b"sku,quantity_available,cost,brand\nA,1,1,\nB,1,1,b\n"
    assert (
        run_document(document, {"vendor_1": feed}).outcome.merged
        == b'brand\n""\nb\n'
    )


def test_skus_sort_by_code_point() -> None:
    document = config_document(vendor_document(), output={"columns": ["sku"]})
    skus = ["\U0001f600", "\uffee", "é", "a", "B", "AA", "A\0", "A", "9", "10"]
    feed = "sku,quantity_available,cost\n" + "".join(
        f"{sku},1,1\n" for sku in skus
    )
    merged = run_document(document, {"vendor_1": feed.encode()}).outcome.merged
    assert (
        merged
        == ("sku\n" + "".join(f"{sku}\n" for sku in reversed(skus))).encode()
    )
