"""The section `channels`: its defaults, and each fault with its path."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from relay_core.config import load_config
from support.config_documents import (
    ABSENT,
    changed,
    doubtful_paths,
    faults_of,
)

FILE = {"columns": ["sku"]}


def document_with(*channels: dict[str, Any]) -> dict[str, Any]:
    document = changed("extra_columns", ["shade"])
    return {**document, "channels": list(channels)}


def channel(**options: Any) -> dict[str, Any]:
    return {"channel_id": "shop", "output": FILE, **options}


def faults_of_channels(*channels: dict[str, Any]) -> dict[str, str]:
    return {
        path.removeprefix("channels."): message
        for path, message in faults_of(document_with(*channels)).items()
    }


def test_a_config_without_channels_has_an_empty_list() -> None:
    document = load_config(changed("channels", ABSENT)).to_document()
    assert document["channels"] == []


def test_a_snapshot_has_every_default_and_loads() -> None:
    config = load_config(document_with(channel()))
    document = config.to_document()
    assert document["channels"] == [
        {
            "channel_id": "shop",
            "output": {
                "format": "csv",
                "columns": ["sku"],
                "escape_formulas": False,
                "compression": "none",
            },
            "when": {
                "vendors": None,
                "brands": None,
                "conditions": None,
                "columns": {},
                "price_from": None,
                "price_below": None,
                "in_stock": None,
            },
            "price": {
                "pct": "0",
                "flat": "0",
                "min_price": "0",
                "ending": None,
            },
            "stock": None,
        },
    ]
    assert load_config(document) == config


def test_all_options_load_exactly() -> None:
    (shop,) = load_config(
        document_with(
            channel(
                output={**FILE, "format": "tsv", "compression": "gzip"},
                when={
                    "vendors": ["v2"],
                    "brands": [" Granite "],
                    "conditions": ["used"],
                    "columns": {"shade": ["Red", 7]},
                    "price_from": "1.2345",
                    "price_below": 9,
                    "in_stock": False,
                },
                price={
                    "pct": "-0.90",
                    "flat": "-1000000",
                    "min_price": "0.0001",
                    "ending": "9.99",
                },
                stock={"hold_back": 2},
            ),
        ),
    ).channels
    assert shop.output.suffix == "tsv.gz"
    assert shop.when.brands == ("Granite",)
    assert shop.when.columns == {"shade": ("Red", "7")}
    assert shop.price.pct == Decimal("-0.90")
    assert shop.stock is not None
    assert shop.stock.hold_back == 2
    assert shop.reads == {"sku", "map_price", "brand", "extra:shade"}


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"channel_id": "a b"}, "channel_id", "is not a valid id"),
        ({"channel_id": "state"}, "channel_id", "is the name of a file"),
        ({"output": {}}, "output.columns", "is required"),
        ({"output": {"columns": []}}, "output.columns", "must not be empty"),
        (
            {"output": {**FILE, "missing_skus": "zero"}},
            "output.missing_skus",
            "unknown key",
        ),
        (
            {"output": {**FILE, "format": "parquet", "compression": "gzip"}},
            "output.compression",
            'applies only if format is "csv" or "tsv" or "jsonl"',
        ),
        (
            {"output": {**FILE, "compression": "zip"}},
            "output.compression",
            'must be one of "none", "gzip"',
        ),
        (
            {"output": {**FILE, "format": "jsonl", "escape_formulas": True}},
            "output.escape_formulas",
            "applies only if format is",
        ),
        ({"when": {"vendors": ["v9"]}}, "when.vendors.0", "no vendor"),
        ({"when": {"vendors": []}}, "when.vendors", "must not be empty"),
        ({"when": {"brands": [" "]}}, "when.brands.0", "must not be empty"),
        ({"when": {"conditions": ["old"]}}, "when.conditions.0", '"new"'),
        (
            {"when": {"columns": {"color": ["red"]}}},
            "when.columns.color",
            "is not an extra column",
        ),
        (
            {"when": {"columns": {"shade": []}}},
            "when.columns.shade",
            "must not be empty",
        ),
        (
            {"when": {"price_from": 5, "price_below": "5.0000"}},
            "when.price_below",
            "must be greater than price_from, which is 5, not 5.0000",
        ),
        ({"when": {"in_stock": "yes"}}, "when.in_stock", "true or false"),
        ({"when": {"cost_from": 1}}, "when.cost_from", "unknown key"),
        ({"price": {"pct": "-0.9001"}}, "price.pct", "-0.90 or more"),
        ({"price": {"pct": "100.0001"}}, "price.pct", "100 or less"),
        ({"price": {"pct": "0.00001"}}, "price.pct", "more than 4 decimal"),
        ({"price": {"flat": 1000001}}, "price.flat", "1000000 or less"),
        ({"price": {"flat": -1000001}}, "price.flat", "-1000000 or more"),
        ({"price": {"min_price": -1}}, "price.min_price", "0 or more"),
        ({"price": {"ending": 10}}, "price.ending", "9.99 or less"),
        ({"stock": {"pct": 101}}, "stock.pct", "100 or less"),
    ],
)
def test_each_fault_has_its_path(
    options: dict[str, Any],
    path: str,
    message: str,
) -> None:
    faults = faults_of_channels(channel(**options))
    assert faults.keys() == {f"0.{path}"}
    assert message in faults[f"0.{path}"]


def test_an_id_is_used_once() -> None:
    faults = faults_of_channels(channel(), channel())
    assert "appears more than once" in faults["1.channel_id"]
    assert faults.keys() == {"1.channel_id"}


def test_there_are_at_most_twenty() -> None:
    channels = [channel(channel_id=f"c{number}") for number in range(21)]
    load_config(document_with(*channels[:20]))
    faults = faults_of(document_with(*channels))
    assert faults == {"channels": "has 21 entries; the limit is 20"}


def test_lint_names_what_is_probably_not_meant() -> None:
    document = document_with(
        channel(
            output={"columns": ["title"]},
            when={"price_below": 0},
            price={"flat": -5},
            stock={"cap": 0},
        ),
    )
    assert doubtful_paths(document, "channels") == [
        "channels.0.output.columns",
        "channels.0.when.price_below",
        "channels.0.price.min_price",
        "channels.0.stock",
    ]
    assert doubtful_paths(document_with(channel()), "channels") == []
