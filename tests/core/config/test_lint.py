from __future__ import annotations

from typing import Any

import pytest

from relay_core.config.lint import lint_warnings
from support.builders import tenant_config, vendor_document

PRICED = {"min_price": "1"}


def doubts(*vendors: Any, **changes: Any) -> dict[str, str]:
    pricing = {**PRICED, **changes.pop("pricing", {})}
    config = tenant_config(*vendors, pricing=pricing, **changes)
    return {doubt.path: doubt.message for doubt in lint_warnings(config)}


def at(vendor_id: str, place: str) -> dict[str, Any]:
    return vendor_document(
        vendor_id, inbound={"type": "s3", "s3_prefix": f"tenants/acme/{place}"}
    )


def test_an_ordinary_config_raises_no_doubt() -> None:
    parser = {
        "column_map": {"sku": "Part", "vendor_sku": "Part", "cost": "Net"}
    }
    policy = {"max_invalid_rows": 25, "max_invalid_row_pct": "0.01"}
    pricing = {"base_margin_pct": "0.99"}
    assert (
        doubts(
            vendor_document(parser=parser), pricing=pricing, error_policy=policy
        )
        == {}
    )


def test_no_floor_is_doubtful() -> None:
    assert list(doubts(pricing={"min_price": "0.00"})) == ["pricing.min_price"]


@pytest.mark.parametrize(
    ("columns", "named"),
    [(["price"], '"sku"'), (["sku"], '"price"')],
    ids=["no sku", "no price"],
)
def test_a_feed_without_sku_or_price_is_doubtful(
    columns: list[str], named: str
) -> None:
    assert named in doubts(output={"columns": columns})["output.columns"]


@pytest.mark.parametrize(
    ("rows", "share", "path"),
    [
        (100, "0", "error_policy.max_invalid_row_pct"),
        (0, "0.1", "error_policy.max_invalid_rows"),
        (10**6, "1", "error_policy.max_invalid_row_pct"),
    ],
    ids=[
        "a limit of rows without effect",
        "a limit of share without effect",
        "takes anything",
    ],
)
def test_limits_that_do_nothing_or_take_anything_are_doubtful(
    rows: int, share: str, path: str
) -> None:
    policy = {"max_invalid_rows": rows, "max_invalid_row_pct": share}
    assert list(doubts(error_policy=policy)) == [path]


def test_vendors_that_read_each_other_s_uploads_are_doubtful() -> None:
    warnings = doubts(
        at("a", "in/x/"), at("b", "in/"), at("c", "in"), at("d", "in-2")
    )
    assert set(warnings) == {
        "vendors.0.inbound.s3_prefix",
        "vendors.2.inbound.s3_prefix",
    }
    assert (
        "is in the prefix of vendor" in warnings["vendors.0.inbound.s3_prefix"]
    )
    assert (
        'is also the prefix of vendor "b"'
        in warnings["vendors.2.inbound.s3_prefix"]
    )


def test_a_map_among_the_uploads_would_be_read_as_a_feed() -> None:
    vendor = at("a", "in/")
    vendor["sku_map"] = {"type": "s3", "s3_key": "tenants/acme/in/map.csv"}
    assert list(doubts(vendor)) == ["vendors.0.sku_map.s3_key"]


def test_one_header_for_two_columns_is_doubtful() -> None:
    parser = {"column_map": {"cost": "Price", "msrp": "Price"}}
    assert list(doubts(vendor_document(parser=parser))) == [
        "vendors.0.parser.column_map.msrp"
    ]


def test_named_columns_are_held_against_the_map() -> None:
    parser = {
        "columns": ["sku", "qty"],
        "column_map": {"quantity_available": "Qty"},
    }
    assert list(doubts(vendor_document(parser=parser))) == [
        "vendors.0.parser.column_map.quantity_available",
        "vendors.0.parser.column_map",
    ]


def test_unknown_headers_of_a_column_are_named_in_its_order() -> None:
    headers = ["gamma", "alpha", "delta", "beta", "alpha"]
    column_map = {"sku": "SKU", "quantity_available": "Qty", "cost": "Cost"}
    parser = {
        "columns": ["SKU", "Qty", "Cost"],
        "column_map": {**column_map, "title": {"first": headers}},
    }
    config = tenant_config(vendor_document(parser=parser), pricing=PRICED)
    messages = [
        doubt.message
        for doubt in lint_warnings(config)
        if doubt.path == "vendors.0.parser.column_map.title"
    ]
    assert [message.split('"')[1] for message in messages] == [
        "gamma",
        "alpha",
        "delta",
        "beta",
    ]


@pytest.mark.parametrize(
    ("query", "is_doubtful"), [("", False), ("?t=s", True)]
)
def test_a_query_of_a_pull_is_doubtful_because_keys_can_read_it(
    query: str, is_doubtful: bool
) -> None:
    inbound = {
        "type": "s3",
        "s3_prefix": "tenants/acme/inbound/v/",
        "pull": {"url": f"https://files.example.com/a.csv{query}"},
    }
    warnings = doubts(vendor_document(inbound=inbound))
    assert list(warnings) == ["vendors.0.inbound.pull.url"] * is_doubtful
    assert all("store that as a secret" in text for text in warnings.values())


def test_what_only_the_local_runner_finds_is_doubtful() -> None:
    vendor = vendor_document(
        inbound={"type": "local"},
        sku_map={"type": "file", "local_path": "map.csv"},
    )
    assert list(doubts(vendor)) == [
        "vendors.0.inbound.type",
        "vendors.0.sku_map.type",
    ]
