"""Channels: the rows, prices, stock and files of each, and what reports say of them."""

from __future__ import annotations

import gzip
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.publish.channels import gzip_chunks
from relay_core.publish.state import Baseline, read_state
from support.builders import feed, tenant_config, vendor_document
from support.explaining import RunInMemory, run_in_memory
from support.reported_runs import (
    KEYS,
    ReportedRun,
    errors_of,
    go_through,
    summary_of,
)

HEADER = "sku,quantity_available,cost,map_price,condition,brand,shade"
ROWS = (
    "A,0,10.00,,new,Granite,Red",
    "B,5,20.00,25.005,used,GRANITE,blue",
    "C,9,30.00,,,Größe,",
    "D,100,40.01,,refurb,,RED",
)
PARSER = {"column_map": {"shade": "shade"}}
COLUMNS = ["sku", "quantity_available", "price"]


def channel(channel_id: str = "shop", **options: Any) -> dict[str, Any]:
    output = {"columns": COLUMNS, **options.pop("output", {})}
    return {"channel_id": channel_id, "output": output, **options}


def run_of(*channels: dict[str, Any], **changes: Any) -> ReportedRun:
    return go_through(
        {"v": feed(*ROWS, header=HEADER)},
        vendors={"v": {"parser": PARSER}},
        extra_columns=["shade"],
        channels=list(channels),
        **changes,
    )


def lines_of(run: ReportedRun, channel_id: str = "shop") -> list[str]:
    data = run.files[KEYS.channel(channel_id, "csv")]
    header, *lines = data.decode().splitlines()
    assert header == ",".join(COLUMNS)
    return lines


def skus_of(run: ReportedRun, channel_id: str = "shop") -> str:
    return "".join(line.split(",")[0] for line in lines_of(run, channel_id))


def prices_with(**price: Any) -> list[str]:
    run = run_of(channel(price=price))
    return [line.split(",")[2] for line in lines_of(run)]


# --- the rows -------------------------------------------------------------------------


def test_a_channel_without_conditions_has_the_rows_of_the_feed() -> None:
    run = run_of(channel())
    assert lines_of(run) == [
        "A,0,10.00",
        "B,5,25.01",
        "C,9,30.00",
        "D,100,40.01",
    ]


@pytest.mark.parametrize(
    ("when", "skus"),
    [
        ({"vendors": ["v"]}, "ABCD"),
        ({"brands": ["granite"]}, "AB"),
        ({"brands": ["GRÖSSE", "nobody"]}, "C"),
        ({"conditions": ["used", "refurb"]}, "BD"),
        ({"columns": {"shade": ["RED"]}}, "AD"),
        ({"columns": {"shade": ["red", "BLUE"]}, "brands": ["Granite"]}, "AB"),
        ({"price_from": "25.01"}, "BCD"),
        ({"price_from": "25.0101"}, "CD"),
        ({"price_below": "25.01"}, "A"),
        ({"price_below": "25.0101"}, "AB"),
        ({"in_stock": True}, "BCD"),
        ({"in_stock": False}, "A"),
        ({"in_stock": True, "price_below": 35, "conditions": ["used"]}, "B"),
    ],
)
def test_a_row_must_meet_every_condition(
    when: dict[str, Any],
    skus: str,
) -> None:
    assert skus_of(run_of(channel(when=when))) == skus


def test_vendors_are_those_of_the_winning_offers() -> None:
    run = go_through(
        {"v": feed("A,1,5", "B,1,9"), "w": feed("A,1,6", "B,1,8")},
        channels=[
            channel("of_v", when={"vendors": ["v"]}),
            channel("of_w", when={"vendors": ["w"]}),
            channel("of_both", when={"vendors": ["w", "v"]}),
        ],
    )
    assert lines_of(run, "of_v") == ["A,1,5.00"]
    assert lines_of(run, "of_w") == ["B,1,8.00"]
    assert skus_of(run, "of_both") == "AB"


def test_the_prices_of_conditions_are_those_of_the_feed() -> None:
    """Neither the channel's own price nor its own quantity decides about a row."""
    run = run_of(
        channel(
            when={"price_below": 11, "in_stock": False},
            price={"flat": 100},
        ),
        channel("empty", when={"in_stock": True}, stock={"pct": 0}),
    )
    assert lines_of(run) == ["A,0,110.00"]
    assert [line.split(",")[1] for line in lines_of(run, "empty")] == ["0"] * 3


def test_skus_kept_at_0_and_quarantined_skus_are_in_it() -> None:
    first = [f"S{number:02},7,100.00" for number in range(20)]
    changes = {
        "channels": [channel(price={"pct": "0.10"})],
        "output": {"columns": COLUMNS, "missing_skus": "zero"},
        "guards": {"quarantine": {"action": "zero", "max_pct": "1"}},
    }
    before = go_through({"v": feed(*first)}, **changes)
    second = ["S00,7,1.00", *first[1:-1]]
    after = go_through(
        {"v": feed(*second)}, baseline=before.baseline, **changes
    )
    lines = lines_of(after)
    assert lines[0] == "S00,0,110.00"
    assert lines[-1] == "S19,0,110.00"
    assert lines[1:-1] == [f"S{number:02},7,110.00" for number in range(1, 19)]


def test_a_kept_row_is_still_of_its_vendor() -> None:
    feeds = {"v": feed("A,1,5"), "w": feed("B,1,8")}
    changes = {
        "channels": [channel(when={"vendors": ["w"]})],
        "output": {"columns": COLUMNS, "missing_skus": "zero"},
        "vendors": {"v": {}, "w": {"required": False}},
    }
    before = go_through(feeds, **changes)
    after = go_through({"v": feeds["v"]}, baseline=before.baseline, **changes)
    assert lines_of(after) == ["B,0,8.00"]


# --- prices and stock -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "prices"),
    [
        ({}, ["10.00", "25.01", "30.00", "40.01"]),
        ({"pct": "0.05"}, ["10.50", "26.26", "31.50", "42.01"]),
        ({"pct": "-0.9"}, ["1.00", "25.01", "3.00", "4.00"]),
        ({"flat": "0.005"}, ["10.01", "25.02", "30.01", "40.02"]),
        ({"flat": "0.0049"}, ["10.00", "25.01", "30.00", "40.01"]),
        ({"pct": "0.1", "flat": -3}, ["8.00", "25.01", "30.00", "41.01"]),
        ({"min_price": "27.001"}, ["27.01", "27.01", "30.00", "40.01"]),
        ({"ending": "0.99"}, ["10.99", "25.99", "30.99", "40.99"]),
        ({"flat": 5, "ending": "9.9"}, ["19.90", "39.90", "39.90", "49.90"]),
        ({"ending": 0}, ["10.00", "26.00", "30.00", "41.00"]),
    ],
)
def test_the_price_is_exact_and_then_rounded(
    price: dict[str, Any],
    prices: list[str],
) -> None:
    assert prices_with(**price) == prices


def test_the_minimum_advertised_price_is_a_floor_if_it_is_enforced() -> None:
    price = {"pct": "-0.9"}
    policy = {"pricing": {"map_policy": {"enforce": False}}}
    enforced = run_of(channel(price=price))
    free = run_of(channel(price=price), **policy)
    assert lines_of(enforced)[1] == "B,5,25.01"
    assert lines_of(free)[1] == "B,5,2.00"


def test_a_price_of_any_size_is_exact() -> None:
    run = go_through(
        {"v": feed("A,1,999999999.99")},
        pricing={"base_margin_pct": "100"},
        channels=[channel(price={"pct": 100, "flat": "0.015"})],
    )
    feed_price = 999999999.99 * 101
    assert feed_price < 2**53
    assert lines_of(run) == ["A,1,10200999999898.01"]


def test_the_quantity_goes_through_the_channels_stock() -> None:
    stock = {"hold_back": 2, "pct": 50, "zero_below": 2, "cap": 40}
    run = run_of(channel(stock=stock), stock={"hold_back": 1})
    quantities = [line.split(",")[1] for line in lines_of(run)]
    assert quantities == ["0", "0", "3", "40"]


def test_derived_columns_are_of_the_channels_values() -> None:
    output = {"columns": ["sku", "availability", "price_with_currency"]}
    run = run_of(
        channel(output=output, price={"flat": 1}, stock={"zero_below": 9}),
    )
    data = run.files[KEYS.channel("shop", "csv")]
    assert data.decode().splitlines()[1:] == [
        "A,out_of_stock,11.00 USD",
        "B,out_of_stock,26.01 USD",
        "C,in_stock,31.00 USD",
        "D,in_stock,41.01 USD",
    ]


def test_the_feed_stays_as_it_is() -> None:
    without = run_of()
    beside = run_of(channel(price={"flat": 9}, stock={"cap": 0}))
    key = KEYS.merged_inventory("csv")
    assert beside.files[key] == without.files[key]
    assert beside.files.keys() - without.files.keys() == {
        KEYS.channel("shop", "csv"),
    }


# --- warnings -------------------------------------------------------------------------


def test_a_row_whose_price_comes_to_nothing_is_left_out_with_a_warning() -> (
    None
):
    run = run_of(
        channel(price={"flat": "-29.9951"}, output={"columns": COLUMNS}),
        channel("none", price={"flat": -1000}, when={"conditions": ["new"]}),
        channel("empty", when={"price_from": 1000}),
    )
    assert lines_of(run) == ["B,5,25.01", "D,100,10.01"]
    assert lines_of(run, "none") == []
    assert lines_of(run, "empty") == []
    warnings = [
        (entry.error_code, entry.error_message)
        for entry in run.findings.warnings
    ]
    assert [code for code, _ in warnings] == [
        "CHANNEL_UNPRICED",
        "CHANNEL_UNPRICED",
        "CHANNEL_EMPTY",
        "CHANNEL_EMPTY",
    ]
    assert (
        "channel 'shop' lacks 2 rows of the feed whose price" in warnings[0][1]
    )
    assert (
        "channel 'none' lacks 1 row of the feed whose price" in warnings[1][1]
    )
    assert "channel 'none' has no rows" in warnings[2][1]
    assert "channel 'empty' has no rows" in warnings[3][1]
    assert run.findings.failure is None
    assert summary_of(run.findings)["warnings"] == {
        "CHANNEL_EMPTY": 2,
        "CHANNEL_UNPRICED": 2,
    }


def test_a_price_of_nothing_is_judged_before_its_ending() -> None:
    run = run_of(channel(price={"flat": "-10.00", "ending": "0.99"}))
    assert lines_of(run)[0] == "B,5,25.99"


def test_their_warnings_are_the_last() -> None:
    run = run_of(
        channel(when={"price_from": 1000}),
        pricing={"rules": [{"when": {"brands": ["größe"]}, "fixed_price": 0}]},
    )
    codes = [entry.error_code for entry in run.findings.warnings]
    assert codes == ["UNPRICED_SKU", "CHANNEL_EMPTY"]
    entries = errors_of(run.findings)["entries"]
    assert [entry["error_code"] for entry in entries] == codes


# --- files ----------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet"])
def test_a_channel_is_written_as_a_feed_of_its_output_is(format: str) -> None:
    output = {
        "format": format,
        "columns": ["shade", {"column": "price", "as": "p"}, "updated_at"],
    }
    run = run_of(channel(output=output), output=output)
    data = run.files[KEYS.channel("shop", format)]
    assert data == run.files[KEYS.merged_inventory(format)]


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl"])
def test_gzip_packs_the_same_bytes(format: str) -> None:
    plain = channel(output={"format": format})
    packed = channel("packed", output={"format": format, "compression": "gzip"})
    run = run_of(plain, packed)
    data = run.files[f"outputs/channels/packed.{format}.gz"]
    assert gzip.decompress(data) == run.files[f"outputs/channels/shop.{format}"]
    # No name and no time: flags and the modification time are zeros.
    assert data[:9] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"


def test_gzip_has_the_sixth_level() -> None:
    luck = Random(6)
    texts = "".join(
        f"SKU-{luck.randrange(9999)},{luck.randrange(50)},{luck.random():.2f}\n"
        for _ in range(9_000)
    ).encode()
    packed = b"".join(gzip_chunks([texts[:5_000], texts[5_000:]]))
    sizes = {level: len(gzip.compress(texts, level)) for level in range(1, 10)}
    assert [level for level in sizes if sizes[level] == len(packed)] == [6]


@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "parquet"])
def test_a_file_without_rows_has_its_header(format: str) -> None:
    run = run_of(
        channel(output={"format": format}, when={"price_from": 1000}),
    )
    data = run.files[KEYS.channel("shop", format)]
    if format == "parquet":
        table = pq.read_table(pa.BufferReader(data))
        assert table.column_names == COLUMNS
        assert len(table) == 0
    else:
        separators = {"csv": ",", "tsv": "\t"}
        header = separators.get(format, "").join(COLUMNS) + "\n"
        assert data.decode() == ("" if format == "jsonl" else header)


def test_formulas_are_escaped_by_the_channels_own_option() -> None:
    columns = [{"constant": "=1", "as": "+x"}]
    run = run_of(
        channel("safe", output={"columns": columns, "escape_formulas": True}),
        channel("raw", output={"columns": columns}),
    )
    safe = run.files[KEYS.channel("safe", "csv")].decode().splitlines()
    raw = run.files[KEYS.channel("raw", "csv")].decode().splitlines()
    assert safe == ["'+x", *["'=1"] * 4]
    assert raw == ["+x", *["=1"] * 4]


# --- the summary and explanations -----------------------------------------------------


def test_the_summary_counts_the_rows_of_each_channel_last() -> None:
    run = run_of(channel("b"), channel("a", when={"in_stock": False}))
    summary = summary_of(run.findings)
    assert list(summary.items())[-1] == ("channels", {"b": 4, "a": 1})


def test_without_channels_no_report_names_them() -> None:
    run = run_in_memory(
        tenant_config(vendor_document("v")), {"v": feed("A,1,2")}
    )
    assert "channels" not in summary_of(run.findings)
    assert list(run.explain("A"))[-1] == "refused"
    failed_run = go_through({"v": feed("A,1,")})
    assert failed_run.findings.failure is not None
    assert "channels" not in summary_of(failed_run.findings)


def test_a_failed_run_has_no_channels() -> None:
    run = go_through({"v": feed("A,1,")}, channels=[channel()])
    assert run.findings.failure is not None
    assert summary_of(run.findings)["channels"] is None
    assert not [key for key in run.files if key.startswith("outputs/")]


def test_the_findings_have_the_first_rows() -> None:
    run = go_through(
        {"v": feed(*(f"S{number:02},1,5" for number in range(12)))},
        channels=[channel(price={"flat": 1})],
    )
    (summary,) = run.findings.channels
    assert summary.headers == COLUMNS
    assert summary.rows == 12
    assert len(summary.first_rows) == 10
    assert summary.first_rows[0] == {
        "sku": "S00",
        "quantity_available": "1",
        "price": "6.00",
    }


def test_an_explanation_has_the_channels_that_the_row_is_in_last() -> None:
    config = tenant_config(
        vendor_document("v", parser=PARSER),
        extra_columns=["shade"],
        channels=[
            channel("a", price={"flat": 1}, stock={"hold_back": 3}),
            channel("b", when={"conditions": ["new"]}),
            channel("c", output={"columns": ["title"]}),
        ],
    )
    run = run_in_memory(config, {"v": feed(*ROWS, header=HEADER)})
    explanation = run.explain("B")
    assert list(explanation.items())[-1] == (
        "channels",
        [
            {"channel_id": "a", "quantity": 2, "price": "26.01"},
            {"channel_id": "c", "quantity": 5, "price": "25.01"},
        ],
    )


def state_of(run: RunInMemory) -> Baseline:
    return read_state(run.files[run.keys.state], keeps_rows=True)


def test_an_explanation_of_a_quarantined_row_has_its_channels() -> None:
    first = [f"S{number:02},7,100.00" for number in range(20)]
    config = tenant_config(
        vendor_document("v"),
        guards={"quarantine": {"max_pct": "1"}},
        output={"columns": COLUMNS, "missing_skus": "zero"},
        channels=[
            channel(price={"pct": "0.10"}, when={"vendors": ["v"]}),
        ],
    )
    before = run_in_memory(config, {"v": feed(*first)})
    after = run_in_memory(
        config,
        {"v": feed("S00,7,1.00", *first[1:-1])},
        baseline=state_of(before),
    )
    assert after.explain("S00")["channels"] == [
        {"channel_id": "shop", "quantity": 7, "price": "110.00"},
    ]
    assert after.explain("S19")["channels"] == [
        {"channel_id": "shop", "quantity": 0, "price": "110.00"},
    ]


def test_a_sku_that_is_not_in_the_feed_is_in_no_channel() -> None:
    config = tenant_config(vendor_document("v"), channels=[channel()])
    run = run_in_memory(config, {"v": feed("A,1,", "B,1,2")})
    assert run.explain("A")["channels"] == []
