"""Why a SKU's row is what it is: told by what decided and priced it, from a few parts of files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from golden_tenants import golden_tenant
from nasty_tenants import NastyTenant, nasty_tenants
from reference_explain import explained
from reference_rows import CANONICAL, read_vendor
from relay_core.config import TenantConfig, load_config
from relay_core.domain.errors import ArtifactsExpiredError, SkuNotFoundError
from relay_core.normalize.vendor_feed import VendorFeed
from support.builders import (
    REQUESTED_AT,
    RUN_ID,
    feed,
    tenant_config,
    vendor_document,
)
from support.explaining import RunInMemory, run_in_memory

HEADER = "sku,quantity_available,cost,price,map_price,lead_time_days,updated_at"
LENIENT = {"max_invalid_rows": 1_000_000, "max_invalid_row_pct": "1.0"}
KEYS = (
    "run_id",
    "sku",
    "winner",
    "feed_row",
    "reason",
    "override",
    "quarantine",
    "price_steps",
    "offers_count",
    "offers",
    "refused_count",
    "refused",
)
MAX_BYTES = 1 << 20


def config(*vendors: Any, **changes: Any) -> TenantConfig:
    documents = [
        vendor if isinstance(vendor, dict) else vendor_document(vendor)
        for vendor in vendors
    ]
    return tenant_config(*documents, **{"error_policy": LENIENT} | changes)


def lost_on(told: dict[str, Any]) -> list[tuple[str, int, str | None]]:
    return [
        (offer["vendor_id"], offer["row_number"], offer["lost_on"])
        for offer in told["offers"]
    ]


def steps(told: dict[str, Any]) -> list[tuple[str | None, ...]]:
    return [tuple(step.values()) for step in told["price_steps"]]


def test_the_feed_s_row_is_told_under_its_headers_as_a_csv_has_it() -> None:
    columns = [
        {"column": "sku", "as": "=id"},
        {"column": "quantity_available", "as": "Qty"},
        "availability",
        "price_with_currency",
        {"column": "msrp", "as": "list"},
        {"constant": "-1", "as": "mark"},
    ]
    for output, mark in (
        ({"format": "csv", "escape_formulas": True}, "'"),
        ({"format": "jsonl"}, ""),
        ({"format": "parquet"}, ""),
    ):
        tenant = config("v", output={"columns": columns, **output})
        explanation = run_in_memory(tenant, {"v": feed("A,3,2.50")}).explain(
            "A"
        )
        assert explanation["feed_row"] == {
            f"{mark}=id": "A",
            "Qty": "3",
            "availability": "in_stock",
            "price_with_currency": "2.50 USD",
            "list": "",
            "mark": f"{mark}-1",
        }


# --- what it tells is what happened -------------------------------------------------------------


@pytest.mark.parametrize("name", ["bad_rows", "by_all", "raised", "unpriced"])
def test_of_every_sku_of_a_seeded_tenant_winner_and_price_are_the_feeds(
    name: str,
) -> None:
    tenant = golden_tenant(name)
    feeds = {
        vendor_id: b"".join(data.splitlines(keepends=True)[:60])
        for vendor_id, data in tenant.feeds.items()
    }
    assert_tells_what_happened(
        NastyTenant(
            dict(tenant.document),
            dict(feeds),
            dict(tenant.sku_maps),
            REQUESTED_AT,
        )
    )


@settings(
    max_examples=25,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(nasty_tenants())
def test_of_any_sku_it_tells_what_a_plain_reading_of_the_rules_does(
    tenant: NastyTenant,
) -> None:
    assert_tells_what_happened(replace(tenant, requested_at=REQUESTED_AT))


def assert_tells_what_happened(tenant: NastyTenant) -> None:
    """Hold what is told of every SKU of a tenant against its feed, and a plain reading."""
    document = {**tenant.document, "output": {"columns": list(CANONICAL)}}
    config = load_config({**document, "error_policy": LENIENT})
    feeds = {
        name: data for name, data in tenant.feeds.items() if data is not None
    }
    run = run_in_memory(config, feeds, sku_maps=tenant.sku_maps)
    if run.findings.failure is not None:
        return
    vendors = [
        read_vendor(
            config,
            vendor,
            feeds[vendor.vendor_id],
            tenant.sku_maps[vendor.vendor_id] if vendor.sku_map else None,
            tenant.requested_at,
        )
        for vendor in config.vendors
        if vendor.vendor_id in feeds
    ]
    text = run.files[run.keys.merged_inventory("csv")].decode()
    published = {
        row["sku"]: row for row in csv.DictReader(io.StringIO(text, newline=""))
    }
    offered = {offer["sku"] for vendor in vendors for offer in vendor.offers}
    refused = {
        sku for vendor in vendors for sku in vendor.refused_skus.values()
    }
    for sku in sorted(offered | refused):
        explanation = run.explain(sku)
        assert tuple(explanation) == KEYS
        assert explanation == {
            "run_id": RUN_ID,
            **explained(config, vendors, sku),
        }
        assert explanation["feed_row"] == published.pop(sku, None)
        if explanation["feed_row"] is not None:
            assert (
                explanation["winner"]["vendor_id"]
                == explanation["feed_row"]["vendor_id"]
            )
            assert (
                explanation["price_steps"][-1]["after"]
                == explanation["feed_row"]["price"]
            )
    assert published == {}


# --- what decides -------------------------------------------------------------------------------


def test_it_names_the_first_criterion_in_which_each_offer_differs_from_the_winner() -> (
    None
):
    sort_by = [
        "in_stock_desc",
        "lowest_landed_cost",
        "shortest_lead_time",
        "most_recent",
    ]
    tenant = config(
        *("b", "a", "c"),
        merge={"strategy": "best_offer", "best_offer": {"sort_by": sort_by}},
    )
    feeds = {
        "b": feed(
            "S,5,1,,,3,2026-01-02", "S,0,0.5,,,3,2026-01-02", header=HEADER
        ),
        "a": feed(
            *(
                "S,5,1,,,3,2026-01-02",
                "S,9,1,,,3,2026-01-02",
                "S,5,,,,3,2026-01-02",
            ),
            header=HEADER,
        ),
        "c": feed(
            *(
                "S,5,1,,,4,2026-01-02",
                "S,5,1,,,3,2026-01-01",
                "S,5,2,,,3,2026-01-02",
            ),
            header=HEADER,
        ),
    }
    assert lost_on(run_in_memory(tenant, feeds).explain("S")) == [
        ("a", 2, None),
        ("a", 3, "row_order"),
        ("b", 2, "vendor_id"),
        ("c", 3, "most_recent"),
        ("c", 2, "shortest_lead_time"),
        ("c", 4, "lowest_landed_cost"),
        ("b", 3, "in_stock_desc"),
        ("a", 4, "has_price"),
    ]


def test_offers_of_a_vendor_that_is_left_out_come_last_and_do_not_compete() -> (
    None
):
    strict = {"on_trouble": "leave_out", "max_invalid_row_pct": "0.1"}
    tenant = config(
        "b", vendor_document("a", **strict), vendor_document("c", **strict)
    )
    bad = ("S,5,1", "S,7,1", "T,1,1", "T,none,1")
    run = run_in_memory(
        tenant, {"b": feed("S,1,9"), "a": feed(*bad), "c": feed(*bad)}
    )

    explanation = run.explain("S")
    assert explanation["winner"] == {"vendor_id": "b", "row_number": 2}
    assert lost_on(explanation) == [
        ("b", 2, None),
        ("a", 2, "left_out"),
        ("a", 3, "left_out"),
        ("c", 2, "left_out"),
        ("c", 3, "left_out"),
    ]
    assert [offer["stock_quantity"] for offer in explanation["offers"]] == [
        1,
        None,
        None,
        None,
        None,
    ]

    explanation = run.explain("T")
    assert (
        explanation["winner"],
        explanation["feed_row"],
        explanation["price_steps"],
    ) == (
        None,
        None,
        None,
    )
    assert (explanation["reason"], explanation["offers_count"]) == (
        "left_out",
        2,
    )
    assert [row["vendor_id"] for row in explanation["refused"]] == ["a", "c"]


class LastGood:
    """The feed of a vendor in the run whose feed is published."""

    run_id: str | None = "earlier"

    def __init__(self, tenant: TenantConfig, data: bytes) -> None:
        self._feed = VendorFeed.of_one(tenant.vendors[0], data, "f.csv")

    def uploaded_at(self, vendor_id: str) -> datetime | None:
        return datetime(2026, 3, 1, 3, tzinfo=UTC)

    def read(self, vendor_id: str) -> VendorFeed | None:
        return self._feed


def test_a_last_good_feed_is_told_with_the_quantities_that_it_is_offered_with() -> (
    None
):
    last_good = {"max_age_hours": 48, "quantity_pct": 50}
    tenant = config(
        vendor_document(
            "v",
            on_trouble="last_good",
            last_good=last_good,
            max_invalid_row_pct="0.3",
        )
    )
    lent = LastGood(tenant, feed("S,7,2", "T,1,1", "U,1,1", "R,many,1"))
    run = run_in_memory(
        tenant, {"v": feed("S,1,1", "Q,none,1")}, last_good=lent
    )

    (offer,) = run.explain("S")["offers"]
    assert (
        offer["row_number"],
        offer["quantity_available"],
        offer["cost"],
    ) == (
        2,
        3,
        "2.00",
    )
    assert offer["stock_quantity"] == 3
    assert run.explain("Q")["refused"] == [
        {"vendor_id": "v", "row_number": 3, "error_codes": "invalid_quantity"}
    ]
    with pytest.raises(SkuNotFoundError):
        run.explain("R")


# --- the price ----------------------------------------------------------------------------------


def test_each_step_of_a_price_is_told_exactly_also_where_it_changes_nothing() -> (
    None
):
    pricing = {
        "base_margin_pct": "0.333333",
        "min_price": "12.5",
        "shipping_handling_flat": "1.2345",
        "rounding": {"mode": "down", "increment": "0.050"},
    }
    tenant = config("v", pricing=pricing)
    run = run_in_memory(
        tenant, {"v": feed("A,1,10,,14.999,,", "B,1,,3,,,", header=HEADER)}
    )

    assert steps(run.explain("A")) == [
        ("cost", "10.00", None, "10.00"),
        ("shipping_handling", "1.2345", "10.00", "11.2345"),
        ("margin", "0.333333", "11.2345", "14.9793295885"),
        ("min_price", "12.50", "14.9793295885", "14.9793295885"),
        ("rounding", "down 0.050", "14.9793295885", "14.95"),
        ("min_price_again", "12.50", "14.95", "14.95"),
        ("map_price", "14.999", "14.95", "14.999"),
        ("cents", None, "14.999", "15.00"),
    ]
    assert steps(run.explain("B")) == [
        ("own_price", "3.00", None, "3.00"),
        ("min_price", "12.50", "3.00", "12.50"),
        ("rounding", "down 0.050", "12.50", "12.50"),
        ("min_price_again", "12.50", "12.50", "12.50"),
        ("map_price", None, "12.50", "12.50"),
        ("cents", None, "12.50", "12.50"),
    ]


def test_where_rounding_goes_under_the_least_price_the_next_step_says_so() -> (
    None
):
    rounding = {"mode": "down", "increment": "5"}
    tenant = config("v", pricing={"min_price": "12.345", "rounding": rounding})
    run = run_in_memory(tenant, {"v": feed("A,1,3")})
    assert steps(run.explain("A"))[3:] == [
        ("min_price", "12.345", "3.00", "12.345"),
        ("rounding", "down 5", "12.345", "10.00"),
        ("min_price_again", "12.345", "10.00", "12.345"),
        ("map_price", None, "12.345", "12.345"),
        ("cents", None, "12.345", "12.35"),
    ]


def test_a_map_price_that_is_not_enforced_is_no_operand() -> None:
    tenant = config("v", pricing={"map_policy": {"enforce": False}})
    run = run_in_memory(tenant, {"v": feed("A,1,10,,99,,", header=HEADER)})
    assert steps(run.explain("A"))[-2] == ("map_price", None, "10.00", "10.00")


def test_a_sku_without_a_price_has_a_winner_and_no_steps_and_a_free_one_tells_why() -> (
    None
):
    run = run_in_memory(config("v"), {"v": feed("A,1,", "B,1,0.004", "C,1,1")})
    explanation = run.explain("A")
    assert (explanation["winner"], explanation["reason"]) == (
        {"vendor_id": "v", "row_number": 2},
        "unpriced",
    )
    assert (explanation["feed_row"], explanation["price_steps"]) == (None, None)
    explanation = run.explain("B")
    assert (explanation["reason"], steps(explanation)[-1]) == (
        "unpriced",
        ("cents", None, "0.00", "0.00"),
    )


# --- what is asked for --------------------------------------------------------------------------


def test_a_sku_is_trimmed_and_then_exact_after_the_map() -> None:
    tenant = config(
        vendor_document("v", sku_map={"type": "file", "local_path": "m.csv"})
    )
    sku_map = b"vendor_sku,sku\nTHEIRS,OURS\nBAD,SPOILT\n"
    feeds = {"v": feed("THEIRS,1,1", "a b,1,1", "BAD,none,1")}
    run = run_in_memory(tenant, feeds, sku_maps={"v": sku_map})

    assert run.explain(" \tOURS\u3000")["sku"] == "OURS"
    assert run.explain("OURS")["offers"][0]["vendor_sku"] == "THEIRS"
    assert run.explain("a b")["offers_count"] == 1
    explanation = run.explain("SPOILT")
    assert (
        explanation["reason"],
        explanation["offers"],
        explanation["refused_count"],
    ) == (
        "refused",
        [],
        1,
    )
    for sku in (
        "THEIRS",
        "ours",
        "A B",
        "OUR",
        "OURSS",
        "BAD",
        "",
        " ",
        "\udcff",
        "\x00",
    ):
        with pytest.raises(SkuNotFoundError, match="no row of run"):
            run.explain(sku)


def test_refused_records_that_fit_no_column_have_no_sku() -> None:
    run = run_in_memory(
        config("v"), {"v": feed("A,1,1", "A,1,1,1", ",1,1", "A,x,y")}
    )
    explanation = run.explain("A")
    assert explanation["refused"] == [
        {
            "vendor_id": "v",
            "row_number": 5,
            "error_codes": "invalid_decimal;invalid_quantity",
        }
    ]


# --- what it takes ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 1, 31_234, 59_998, 59_999])
def test_of_large_files_a_few_parts_are_read(place: int) -> None:
    rows = [f"S{number:06},1,{number}.5" for number in range(60_000)]
    refused = [f"S{number:06},none,1" for number in range(60_000)]
    run = run_in_memory(
        config("v", "w"), {"v": feed(*rows), "w": feed("T,1,1", *refused)}
    )
    sizes = run.sizes

    explanation = run.explain(f"S{place:06}")
    assert [offer["row_number"] for offer in explanation["offers"]] == [
        place + 2
    ]
    assert [row["row_number"] for row in explanation["refused"]] == [place + 3]
    for key in ("work/v/offers.arrow", "work/refused.arrow"):
        assert sum(run.parts_read[key]) < 700_000 < 2 * sizes[key]


def test_of_a_sku_that_a_feed_repeats_the_best_are_told_and_all_counted() -> (
    None
):
    rows = [f"S,1,{1 + number * 7919 % 30_000}" for number in range(30_000)]
    rows[9] = "S,1,0.5"
    refused = ["S,none,1"] * 250
    run = run_in_memory(
        config("v", "w"),
        {"v": feed(*rows, *refused), "w": feed("S,1,0.75", "S,0,0.1")},
    )

    explanation = run.explain("S")
    assert (explanation["offers_count"], len(explanation["offers"])) == (
        30_002,
        100,
    )
    costs = [offer["cost"] for offer in explanation["offers"]]
    assert costs == [
        "0.50",
        "0.75",
        *(f"{number}.00" for number in range(1, 99)),
    ]
    assert explanation["offers"][0]["row_number"] == 11
    assert (explanation["refused_count"], len(explanation["refused"])) == (
        250,
        100,
    )
    assert explanation["refused"][-1]["row_number"] == 30_002 + 99
    assert (
        max(size for sizes in run.parts_read.values() for size in sizes)
        <= 8 << 20
    )


@pytest.mark.parametrize(
    ("policy", "winner", "quantity"),
    [("first", 2, 1), ("last", 60_001, 1), ("sum", 2, 60_000)],
)
def test_of_rows_that_one_stands_for_the_others_are_told_after_what_competed(
    policy: str, winner: int, quantity: int
) -> None:
    title = "t" * 300  # so that the rows are read in several rounds
    tenant = config(
        vendor_document("v", duplicate_skus=policy), "w", stock={"cap": 50_000}
    )
    rows = [f"S,1,{1 + number},{title}" for number in range(60_000)]
    header = "sku,quantity_available,cost,title"
    run = run_in_memory(
        tenant, {"v": feed(*rows, header=header), "w": feed("S,3,999999")}
    )

    explanation = run.explain("S")
    assert (explanation["offers_count"], len(explanation["offers"])) == (
        60_001,
        100,
    )
    assert len(run.parts_read["work/v/offers.arrow"]) > 3
    best, second, *further = explanation["offers"]
    assert (best["row_number"], best["quantity_available"]) == (
        winner,
        quantity,
    )
    assert best["stock_quantity"] == min(quantity, 50_000)
    assert (second["vendor_id"], second["lost_on"]) == (
        "w",
        "lowest_landed_cost",
    )
    first = 3 if winner == 2 else 2
    assert [offer["row_number"] for offer in further] == list(
        range(first, first + 98)
    )
    assert {offer["lost_on"] for offer in further} == {"duplicate_skus"}
    assert {
        (offer["stock_quantity"], offer["quantity_available"])
        for offer in further
    } == {(None, 1)}


def test_offers_that_a_price_rule_leaves_out_come_last_with_their_rule() -> (
    None
):
    rules = [
        {"when": {"vendors": ["b"]}, "leave_out": True},
        {"fixed_price": "7.5"},
    ]
    tenant = config("b", "a", pricing={"rules": rules})
    run = run_in_memory(
        tenant, {"b": feed("S,5,1", "T,1,1"), "a": feed("S,1,9")}
    )
    explanation = run.explain("S")
    assert lost_on(explanation) == [("a", 2, None), ("b", 2, "left_out")]
    assert [offer["rule"] for offer in explanation["offers"]] == [1, 0]
    assert steps(explanation)[0] == ("fixed_price", "7.50", None, "7.50")
    explanation = run.explain("T")
    assert (
        explanation["reason"],
        explanation["winner"],
        explanation["price_steps"],
    ) == (
        "left_out",
        None,
        None,
    )


def test_an_explanation_is_no_longer_than_an_answer_may_be() -> None:
    header = "sku,quantity_available,cost,vendor_sku,title"
    long = "ü" * 50_000
    tenant = config("v", output={"columns": ["sku", "title", "price"]})
    rows = [
        f"{sku},1,{number + 1},{long},{long}"
        for sku in "ST"
        for number in range(40)
    ]
    run = run_in_memory(
        tenant, {"v": feed(*rows, "U,1,1,short," + long, header=header)}
    )

    explanation = run.explain("S")
    assert len(json.dumps(explanation, ensure_ascii=False).encode()) < MAX_BYTES
    assert (explanation["offers_count"], len(explanation["offers"])) == (40, 40)
    assert {offer["vendor_sku"] for offer in explanation["offers"]} == {
        "ü" * 1000 + "…"
    }
    assert explanation["feed_row"] == {
        "sku": "S",
        "title": "ü" * 1000 + "…",
        "price": "1.00",
    }
    assert run.explain("U")["feed_row"]["title"] == long


def test_files_that_are_gone_are_missed() -> None:
    whole = run_in_memory(
        config("v", "w"), {"v": feed("S,1,1", "S,none,1"), "w": feed("S,1,2")}
    )
    for key in (
        "reports/config_snapshot.json",
        "reports/input_manifest.json",
        "work/v/offers.arrow",
        "work/w/offers.arrow",
        "work/refused.arrow",
    ):
        files = {
            name: data for name, data in whole.files.items() if name != key
        }
        with pytest.raises(ArtifactsExpiredError, match="start a new run"):
            RunInMemory(files=files).explain("S")
