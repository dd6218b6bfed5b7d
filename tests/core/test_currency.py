"""Vendors in another currency: all that follows the reading is in the tenant's."""

from __future__ import annotations

from typing import Any

from support.builders import feed, tenant_config, vendor_document
from support.explaining import run_in_memory

HEADER = "sku,quantity_available,cost,map_price,price,msrp"


def test_amounts_of_another_currency_are_the_tenants_from_reading_on() -> None:
    euro: dict[str, Any] = {"currency": "EUR", "shipping_handling_flat": "4.5"}
    config = tenant_config(
        vendor_document("v1", **euro, parser={"defaults": {"msrp": "100"}}),
        vendor_document("v2", shipping_handling_flat="0"),
        exchange_rates={"EUR": "1.0832"},
        pricing={
            "shipping_handling_flat": "3",
            "rules": [
                {
                    "when": {"cost_from": "10.83", "cost_below": "10.84"},
                    "markup": "1",
                }
            ],
        },
        output={"columns": ["sku", "vendor_id", "cost", "price"]},
    )
    feeds = {
        "v1": feed("A,1,10,,,", "B,1,10.0001,20,,", header=HEADER),
        "v2": feed("A,1,15.71,,,", "B,1,15.70,,,", header=HEADER),
    }
    run = run_in_memory(config, feeds)
    lines = run.files[run.keys.normalized("v1")].decode().splitlines()
    assert lines[1].startswith("A,,v1,1,,10.832,,,108.32,")
    assert lines[2].startswith("B,,v1,1,,10.8321,21.664,,108.32,")
    # 10.832 + 4.8744 = 15.7064, as offers are compared and priced.
    assert run.files[run.keys.merged_inventory("csv")].decode() == (
        "sku,vendor_id,cost,price\nA,v1,10.83,16.71\nB,v2,15.70,15.70\n"
    )
    explanation = run.explain("A")
    assert [
        (offer["vendor_id"], offer["landed_cost"])
        for offer in explanation["offers"]
    ] == [
        ("v1", "15.7064"),
        ("v2", "15.71"),
    ]
    step = {
        "step": "shipping_handling",
        "operand": "4.8744",
        "before": "10.832",
    }
    assert explanation["price_steps"][1] == {**step, "after": "15.7064"}
