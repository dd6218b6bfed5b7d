"""Extra columns on their way from feeds to normalized.csv, the feed and the state."""

from __future__ import annotations

import io
from typing import Any

import pyarrow.parquet as pq
import pytest

from relay_core.config import TenantConfig
from relay_core.publish.state import read_state
from support.builders import feed, tenant_config, vendor_document
from support.explaining import RunInMemory, run_in_memory

HEADER = "sku,quantity_available,cost,Regal,origin"
MAP = {
    "column_map": {"shelf": "Regal"},
    "defaults": {"shelf": "none"},
    "null_values": ["n/a"],
}


def config(**changes: Any) -> TenantConfig:
    """Names that the engine has columns of its own by: rule, row_number, origin."""
    settings: dict[str, Any] = {
        "extra_columns": ["shelf", "origin", "row_number", "rule"],
        "output": {
            "columns": [
                "sku",
                "shelf",
                {"column": "origin", "as": "Made in"},
                "rule",
                "price",
            ],
            "escape_formulas": True,
            "missing_skus": "zero",
        },
    }
    vendors = (vendor_document("v1", parser=MAP), vendor_document("v2"))
    return tenant_config(*vendors, **{**settings, **changes})


FEEDS = {
    "v1": feed('A,1,5,"a, b",=CN', "B,1,9,n/a,", header=HEADER),
    "v2": feed(
        "B,1,3, =x ,DE", header="sku,quantity_available,cost,shelf,origin"
    ),
}


def state_of(run: RunInMemory) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        io.BytesIO(run.files[run.keys.state])
    ).to_pylist()
    return rows


def test_they_pass_through_like_a_title() -> None:
    run = run_in_memory(config(), FEEDS)
    first, *lines = run.files[run.keys.normalized("v1")].decode().splitlines()
    assert first.endswith(",updated_at,shelf,origin,row_number,rule")
    assert lines[0].endswith('Z,"a, b",=CN,,')
    assert lines[1].endswith("Z,none,,,")
    assert run.files[run.keys.merged_inventory("csv")].decode() == (
        "sku,shelf,Made in,rule,price\nA,\"a, b\",'=CN,,5.00\nB,'=x,DE,,3.00\n"
    )
    names = pq.read_schema(io.BytesIO(run.files[run.keys.state])).names
    assert names[-7:] == [
        "updated_at",
        "shelf",
        "origin",
        "row_number",
        "rule",
        "offered_at",
        "kept_at_0",
    ]
    assert [(row["shelf"], row["origin"]) for row in state_of(run)] == [
        ("a, b", "=CN"),
        ("=x", "DE"),
    ]
    row = {
        "sku": "A",
        "shelf": "a, b",
        "Made in": "'=CN",
        "rule": "",
        "price": "5.00",
    }
    assert run.explain("A")["feed_row"] == row


@pytest.mark.parametrize("format", ["jsonl", "parquet", "tsv"])
def test_they_are_texts_in_every_format(format: str) -> None:
    output = {"columns": ["shelf", "rule"], "format": format}
    run = run_in_memory(config(output=output), FEEDS)
    data = run.files[run.keys.merged_inventory(format)]
    if format == "jsonl":
        assert (
            data
            == b'{"shelf":"a, b","rule":null}\n{"shelf":"=x","rule":null}\n'
        )
    elif format == "parquet":
        rows = [{"shelf": "a, b", "rule": None}, {"shelf": "=x", "rule": None}]
        assert pq.read_table(io.BytesIO(data)).to_pylist() == rows
    else:
        assert data == b"shelf\trule\na, b\t\n=x\t\n"


def test_a_sku_kept_at_0_has_the_states_values_and_null_where_the_state_lacks_the_column() -> (
    None
):
    before = run_in_memory(
        config(extra_columns=["shelf", "origin", "rule"]), FEEDS
    )
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    columns = {
        "columns": ["sku", "shelf", "row_number"],
        "missing_skus": "zero",
    }
    names = ["row_number", "shelf", "rule"]
    now = {"v1": feed("C,1,5,s,x", header=HEADER), "v2": feed("C,1,4")}
    run = run_in_memory(
        config(extra_columns=names, output=columns), now, baseline=baseline
    )
    assert run.files[run.keys.merged_inventory("csv")].decode() == (
        'sku,shelf,row_number\nA,"a, b",\nB,=x,\nC,,\n'
    )
    assert [row["shelf"] for row in state_of(run)] == ["a, b", "=x", None]
    assert run.explain("A")["feed_row"] == {
        "sku": "A",
        "shelf": "a, b",
        "row_number": "",
    }


def test_a_feed_without_a_valid_row_has_their_header() -> None:
    feeds = {**FEEDS, "v1": feed("D,x,1,a,b", header=HEADER)}
    lenient = {"max_invalid_rows": 9, "max_invalid_row_pct": 1}
    run = run_in_memory(config(error_policy=lenient), feeds)
    assert run.files[run.keys.normalized("v1")].decode().endswith(",rule\n")
    assert [row["sku"] for row in state_of(run)] == ["B"]
    empty = {**FEEDS, "v1": b""}
    policy = {"missing_required_vendor_policy": "warn_only"}
    run = run_in_memory(config(error_policy=policy), empty)
    assert run.files[run.keys.normalized("v1")].decode().endswith(",rule\n")
