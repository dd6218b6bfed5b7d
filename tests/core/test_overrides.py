"""The last word on a SKU: what each override does to offers, price, feed and explanation."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from relay_core.config import (
    Override,
    load_overrides,
    overrides_in_effect,
    parse_overrides,
)
from relay_core.domain.errors import ConfigError
from relay_core.publish.state import read_state
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.explaining import RunInMemory, run_in_memory

IDS = ("v1", "v2")
FEEDS = {"v1": feed("A,9,10", "B,5,4"), "v2": feed("A,3,12", "A,4,13", "C,1,")}


def overrides(*documents: dict[str, Any]) -> list[Override]:
    return overrides_in_effect(load_overrides(documents, IDS), REQUESTED_AT)


def run(*documents: dict[str, Any], **config: Any) -> RunInMemory:
    tenant = tenant_config(*map(vendor_document, IDS), **config)
    return run_in_memory(tenant, FEEDS, overrides=overrides(*documents))


def rows(found: RunInMemory) -> list[str]:
    return (
        found.files[found.keys.merged_inventory("csv")]
        .decode()
        .splitlines()[1:]
    )


@pytest.mark.parametrize(
    ("override", "config", "expected"),
    [
        ({"leave_out": True}, {}, ["B,v1,5,4.00"]),
        ({"max_quantity": 2}, {}, ["A,v1,2,10.00", "B,v1,5,4.00"]),
        ({"max_quantity": 0}, {}, ["A,v1,0,10.00", "B,v1,5,4.00"]),
        (
            {"max_quantity": 99},
            {"stock": {"hold_back": 1}},
            ["A,v1,8,10.00", "B,v1,4,4.00"],
        ),
        ({"vendor_id": "v2"}, {}, ["A,v2,3,12.00", "B,v1,5,4.00"]),
        (
            {"price": "7.5"},
            {"pricing": {"ending": "0.99"}},
            ["A,v1,9,7.50", "B,v1,5,4.99"],
        ),
        ({"min_price": "10.55"}, {}, ["A,v1,9,10.55", "B,v1,5,4.00"]),
        (
            {"min_price": "1"},
            {"pricing": {"min_price": "20"}},
            ["A,v1,9,10.00", "B,v1,5,20.00"],
        ),
        (
            {"min_price": "10.55"},
            {"pricing": {"ending": "0.9"}},
            ["A,v1,9,10.90", "B,v1,5,4.90"],
        ),
        (
            {"vendor_id": "v2", "price": "5", "max_quantity": 0},
            {},
            ["A,v2,0,5.00", "B,v1,5,4.00"],
        ),
    ],
)
def test_an_override_does_what_it_says(
    override: dict[str, Any], config: dict[str, Any], expected: list[str]
) -> None:
    assert rows(run({"sku": "A", **override}, **config)) == expected


def test_a_price_makes_an_offer_without_a_cost_one_with_a_price() -> None:
    result = run({"sku": "C", "price": "3"})
    assert rows(result)[-1] == "C,v2,1,3.00"
    step = {
        "step": "override",
        "operand": "3.00",
        "before": None,
        "after": "3.00",
    }
    assert result.explain("C")["price_steps"] == [step]
    # A vendor without a price is asked for in vain, unless a price goes with it.
    assert len(rows(run({"sku": "C", "vendor_id": "v2"}))) == 2


def test_an_offer_that_a_rule_leaves_out_stays_left_out() -> None:
    rule = {"when": {"vendors": ["v1"]}, "leave_out": True}
    result = run(
        {"sku": "A", "vendor_id": "v1", "price": "5"}, pricing={"rules": [rule]}
    )
    assert rows(result) == ["A,v2,3,5.00"]
    assert [offer["lost_on"] for offer in result.explain("A")["offers"]] == [
        None,
        "lowest_landed_cost",
        "left_out",
    ]


def test_an_explanation_tells_of_the_override_and_of_who_lost_on_it() -> None:
    document = {
        "sku": "A",
        "vendor_id": "v2",
        "min_price": "12.5",
        "note": "agreed",
    }
    result = run(document)
    explanation = result.explain("A")
    assert list(explanation)[:7] == [
        "run_id",
        "sku",
        "winner",
        "feed_row",
        "reason",
        "override",
        "quarantine",
    ]
    assert explanation["override"] == {
        "sku": "A",
        "min_price": "12.50",
        "vendor_id": "v2",
        "note": "agreed",
    }
    assert explanation["quarantine"] is None
    assert explanation["price_steps"][-2]["after"] == "12.50"
    assert [
        (e["row_number"], e["stock_quantity"], e["lost_on"])
        for e in explanation["offers"]
    ] == [
        (2, 3, None),
        (3, 4, "lowest_landed_cost"),
        (2, None, "override"),
    ]
    assert result.explain("B")["override"] is None
    assert json.loads(result.files[result.keys.overrides]) == [
        explanation["override"]
    ]
    assert result.findings.rows["v1"].left_out == 1
    left_out = run({"sku": "A", "leave_out": True}).explain("A")
    assert (left_out["reason"], {e["lost_on"] for e in left_out["offers"]}) == (
        "left_out",
        {"left_out"},
    )


def test_a_sku_left_out_is_not_kept_at_0_and_counts_in_no_guard() -> None:
    names = [f"S{number:02}" for number in range(12)]
    output = {"columns": ["sku", "quantity_available"], "missing_skus": "zero"}
    guards = {"max_skus_removed_pct": "0"}
    config = tenant_config(vendor_document("v1"), output=output, guards=guards)
    feeds = {"v1": feed(*(f"{name},1,5" for name in names))}
    before = run_in_memory(config, feeds)
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    left_out = overrides(
        *({"sku": name, "leave_out": True} for name in names[:2])
    )
    feeds = {"v1": feed(*(f"{name},1,5" for name in names if name != "S01"))}
    result = run_in_memory(config, feeds, baseline=baseline, overrides=left_out)
    assert [row.split(",")[0] for row in rows(result)] == names[2:]
    removed = (result.findings.guards or [])[0]
    assert (removed.guard, removed.count, removed.of) == ("skus_removed", 0, 10)


def test_every_fault_of_overrides_is_named_by_its_path() -> None:
    faulty = [
        {"sku": " ", "leave_out": True},
        {"sku": "A"},
        {"sku": "A", "leave_out": True, "max_quantity": 1},
        {"sku": "B", "price": "1", "min_price": "1"},
        {"sku": "C", "price": 0},
        {"sku": "D", "price": "1.005"},
        {"sku": "E", "min_price": "1000000000"},
        {"sku": "F", "max_quantity": -1},
        {"sku": "G", "vendor_id": "v3"},
        {"sku": "H", "leave_out": True, "expires_at": "2026-03-01"},
        {"sku": "I", "leave_out": True, "note": "x" * 501},
        {"sku": "J", "accept_until": "2026-03-01T12:00:00Z"},
        {"sku": "K", "colour": "red"},
        {"sku": "L", "price": "1"},
        {"sku": "L ", "price": "2"},
        "M",
        {"sku": "é" * 513, "price": "2"},
    ]
    with pytest.raises(ConfigError) as caught:
        load_overrides(faulty, IDS)
    assert [fault.path for fault in caught.value.faults] == [
        "overrides.0.sku",
        "overrides.1",
        "overrides.2",
        "overrides.3",
        "overrides.4.price",
        "overrides.5.price",
        "overrides.6.min_price",
        "overrides.7.max_quantity",
        "overrides.8.vendor_id",
        "overrides.9.expires_at",
        "overrides.10.note",
        "overrides.11.accept_until",
        "overrides.12.colour",
        "overrides.14",
        "overrides.15",
        "overrides.16.sku",
    ]


@pytest.mark.parametrize("text", ["", "{", "{}", "[NaN]", "1"])
def test_what_is_no_list_of_overrides_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_overrides(text, IDS)


def test_of_the_two_parts_the_one_whose_time_has_passed_is_as_if_absent() -> (
    None
):
    past = REQUESTED_AT
    later = REQUESTED_AT + timedelta(seconds=1)
    document = {"sku": "A", "price": "1", "note": "n", "accept_price": "2"}

    def left(**times: Any) -> list[dict[str, Any]]:
        text = {
            name: f"{moment:%Y-%m-%dT%H:%M:%SZ}"
            for name, moment in times.items()
        }
        return [
            override.as_dict() for override in overrides({**document, **text})
        ]

    (remaining,) = left(expires_at=later, accept_until=later)
    assert list(remaining) == [
        "sku",
        "price",
        "accept_price",
        "accept_until",
        "expires_at",
        "note",
    ]
    assert remaining["expires_at"] == "2026-03-01T12:00:01Z"
    assert left(expires_at=past, accept_until=later) == [
        {
            "sku": "A",
            "accept_price": "2.00",
            "accept_until": "2026-03-01T12:00:01Z",
        }
    ]
    assert left(accept_until=past) == [
        {"sku": "A", "price": "1.00", "note": "n"}
    ]
    assert left(expires_at=past, accept_until=past) == []


@pytest.mark.parametrize(
    ("fraction", "is_used"),
    [(".900Z", True), (".000001Z", True), (".000Z", False), ("Z", False)],
)
def test_a_fraction_of_a_second_decides_whether_an_override_is_used(
    fraction: str, is_used: bool
) -> None:
    expiry = f"{REQUESTED_AT:%Y-%m-%dT%H:%M:%S}{fraction}"
    in_effect = overrides({"sku": "A", "price": "1", "expires_at": expiry})
    assert [override.sku for override in in_effect] == ["A"] * is_used


@pytest.mark.parametrize(
    ("instant", "written"),
    [
        ("2026-03-01T12:00:05.900Z", "2026-03-01T12:00:05.900000Z"),
        ("2026-03-01T14:00:05.000001+02:00", "2026-03-01T12:00:05.000001Z"),
        ("2026-03-01T12:00:05.000Z", "2026-03-01T12:00:05Z"),
    ],
)
def test_an_override_keeps_its_fraction_of_a_second_where_it_is_stored(
    instant: str, written: str
) -> None:
    document = {"sku": "A", "price": "1.00", "expires_at": instant}
    (override,) = load_overrides([document], IDS)
    assert override.as_dict()["expires_at"] == written
    assert load_overrides([override.as_dict()], IDS) == (override,)


@pytest.mark.parametrize("instant", ["05.999999Z", "05.000001Z", "05Z"])
def test_reports_and_explanations_show_the_times_of_overrides_in_whole_seconds(
    instant: str,
) -> None:
    moment = f"2026-03-01T12:00:{instant}"
    whole_seconds = "2026-03-01T12:00:05Z"
    acceptance = {"accept_price": "10", "accept_until": moment}
    merged = run({"sku": "A", "price": "9", "expires_at": moment, **acceptance})
    explained = merged.explain("A")["override"]
    assert explained["expires_at"] == whole_seconds
    assert explained["accept_until"] == whole_seconds
    assert json.loads(merged.files[merged.keys.overrides]) == [explained]


def test_an_override_for_a_sku_that_nobody_offers_does_nothing() -> None:
    assert rows(run({"sku": "Z", "price": "1"})) == rows(run())


def test_a_run_notes_the_overrides_whose_sku_nobody_offers() -> None:
    result = run(
        {"sku": "A", "leave_out": True},
        {"sku": "C", "max_quantity": 1},  # which has no price
        {"sku": "Z", "price": "1"},
        {"sku": "Y", "leave_out": True},
    )
    assert json.loads(result.files[result.keys.unused_overrides]) == ["Y", "Z"]
    assert run().keys.unused_overrides not in run().files
