"""SKUs that nobody offers any more: how long they stay in the feed, and what is told of them."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.publish.state import STATE_SCHEMA, Baseline, read_state
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.explaining import run_in_memory
from support.reported_runs import KEYS, ReportedRun, go_through

COLUMNS = [
    "sku",
    "vendor_id",
    "quantity_available",
    "price",
    "brand",
    "lead_time_days",
]
HEADER = "sku,quantity_available,cost,brand,lead_time_days"
BEFORE = {"v": feed("A,5,1,Acme,3", "B,7,2,,", "D,1,4,,", header=HEADER)}
OFF = {"mode": "off"}


def run(
    now: dict[str, bytes], baseline: Baseline | None, **changes: Any
) -> ReportedRun:
    output = {
        "columns": COLUMNS,
        "missing_skus": "zero",
        **changes.pop("output", {}),
    }
    return go_through(
        now, baseline=baseline, output=output, **{"guards": OFF, **changes}
    )


def lines(run: ReportedRun) -> list[str]:
    return run.files[KEYS.merged_inventory("csv")].decode().splitlines()[1:]


def offered(run: ReportedRun, at: datetime) -> Baseline:
    """Return a run's state as if all of it had been offered at another time."""
    table = pq.read_table(io.BytesIO(run.files[KEYS.state]))
    place = STATE_SCHEMA.get_field_index("offered_at")
    column = pa.array([at] * len(table), STATE_SCHEMA.field(place).type)
    out = io.BytesIO()
    pq.write_table(
        table.set_column(place, STATE_SCHEMA.field(place), column), out
    )
    return read_state(out.getvalue(), keeps_rows=True)


def test_a_missing_sku_stays_as_it_was_published_with_nothing_in_stock() -> (
    None
):
    before = run(BEFORE, None)
    now = run({"v": feed("B,6,2", "C,1,1")}, before.baseline)
    assert lines(now) == [
        "A,v,0,1.00,Acme,3",
        "B,v,6,2.00,,7",
        "C,v,1,1.00,,7",
        "D,v,0,4.00,,7",
    ]
    assert now.findings.record_count == 4
    assert now.findings.skus_won == {"v": 2}
    (warning,) = now.findings.warnings
    assert (warning.error_code, warning.sku) == ("MISSING_SKUS_ZEROED", None)
    assert warning.error_message.startswith("2 SKUs ")


def test_without_zero_or_a_published_feed_nothing_is_kept() -> None:
    before = run(BEFORE, None)
    assert len(lines(before)) == 3
    now = {"v": feed("B,6,2")}
    dropped = go_through(
        now, baseline=before.baseline, output={"columns": COLUMNS}, guards=OFF
    )
    assert lines(dropped) == ["B,v,6,2.00,,7"]
    assert lines(run(now, before.baseline, default_currency="EUR")) == [
        "B,v,6,2.00,,7"
    ]


@pytest.mark.parametrize(
    ("ago", "is_kept"),
    [
        (timedelta(days=7), False),
        (timedelta(days=7) - timedelta(microseconds=1), True),
        (timedelta(days=-1), True),
    ],
    ids=["as long as may be", "a moment less", "ahead"],
)
def test_it_stays_for_less_than_so_many_days_to_the_microsecond(
    ago: timedelta, is_kept: bool
) -> None:
    baseline = offered(run(BEFORE, None), REQUESTED_AT - ago)
    now = run({"v": feed("B,6,2")}, baseline, output={"missing_sku_days": 7})
    assert len(lines(now)) == (3 if is_kept else 1)


def test_days_count_from_when_it_was_offered_last_however_often_it_was_kept() -> (
    None
):
    at = datetime(2026, 2, 1, tzinfo=UTC)
    once = run({"v": feed("B,6,2")}, offered(run(BEFORE, None), at))
    rows = pq.read_table(io.BytesIO(once.files[KEYS.state])).to_pylist()
    assert [
        (row["sku"], row["offered_at"], row["kept_at_0"]) for row in rows
    ] == [
        ("A", at, True),
        ("B", REQUESTED_AT, False),
        ("D", at, True),
    ]
    twice = run({"v": feed("B,6,2", "A,2,1")}, once.baseline)
    rows = pq.read_table(io.BytesIO(twice.files[KEYS.state])).to_pylist()
    assert [(row["offered_at"], row["quantity_available"]) for row in rows] == [
        (REQUESTED_AT, 2),
        (REQUESTED_AT, 6),
        (at, 0),
    ]
    assert rows[0]["brand"] is None
    assert rows[2]["cost"] == 4


def test_a_sku_of_a_vendor_that_the_config_has_no_more_stays() -> None:
    before = run({"v": feed("B,6,2"), "gone": feed("A,5,1")}, None)
    now = run({"v": feed("B,6,2")}, before.baseline)
    assert lines(now) == ["A,gone,0,1.00,,7", "B,v,6,2.00,,7"]
    again = run({"v": feed("B,6,2")}, now.baseline)
    assert lines(again) == lines(now)
    assert again.findings.changes is not None
    assert again.findings.changes.counts["unchanged"] == 2


def test_an_unpriced_sku_is_kept_and_named_too_and_kept_ones_make_no_feed() -> (
    None
):
    before = run(BEFORE, None)
    now = run({"v": feed("A,9,", "B,6,2")}, before.baseline)
    assert lines(now)[0] == "A,v,0,1.00,Acme,3"
    assert now.findings.counted_warnings() == {
        "UNPRICED_SKU": 1,
        "MISSING_SKUS_ZEROED": 1,
    }
    empty = run({"v": feed("A,9,")}, before.baseline)
    assert empty.findings.failure is not None
    assert empty.findings.failure.error_code == "empty_output"


def test_rules_stock_and_rounding_do_not_touch_it_and_guards_do_not_see_it() -> (
    None
):
    before = run(BEFORE, None)
    now = run(
        {"v": feed("B,6,2")},
        before.baseline,
        guards={"mode": "warn", "min_baseline_skus": 1},
        pricing={
            "rules": [{"fixed_price": 9}],
            "rounding": {"increment": 5, "mode": "up"},
        },
        stock={"cap": 3},
    )
    assert lines(now) == [
        "A,v,0,1.00,Acme,3",
        "B,v,3,10.00,,7",
        "D,v,0,4.00,,7",
    ]
    tripped = {
        guard.guard: (guard.count, guard.of) for guard in now.findings.tripped
    }
    assert tripped["skus_removed"] == (2, 3)
    codes = list(now.findings.counted_warnings())
    assert codes == ["MISSING_SKUS_ZEROED", "GUARD_TRIPPED"]


def test_a_feed_of_many_rows_keeps_its_order_and_every_cell() -> None:
    skus = [f"S{number:06}" for number in range(150_000)]
    half = [sku for place, sku in enumerate(skus) if place % 3]
    before = run(
        {"v": feed(*(f"{sku},2,3,b{sku},4" for sku in skus), header=HEADER)},
        None,
    )
    now = run(
        {"v": feed(*(f"{sku},1,3,n{sku},5" for sku in half), header=HEADER)},
        before.baseline,
    )
    expected = [
        f"{sku},v,1,3.00,n{sku},5" if place % 3 else f"{sku},v,0,3.00,b{sku},4"
        for place, sku in enumerate(skus)
    ]
    assert lines(now) == expected
    state = pq.read_table(io.BytesIO(now.files[KEYS.state]))
    assert state["brand"].to_pylist() == [
        line.split(",")[4] for line in expected
    ]


def test_it_is_explained_with_and_without_offers() -> None:
    output = {
        "columns": ["sku", "quantity_available", "price"],
        "missing_skus": "zero",
    }
    tenant = tenant_config(vendor_document("v"), output=output, guards=OFF)
    before = run_in_memory(tenant, BEFORE)
    baseline = read_state(before.files[before.keys.state], keeps_rows=True)
    now = run_in_memory(tenant, {"v": feed("B,6,2", "A,3,")}, baseline=baseline)
    gone = now.explain("D")
    unpriced = now.explain("A")
    for explanation, sku, price in (
        (gone, "D", "4.00"),
        (unpriced, "A", "1.00"),
    ):
        assert explanation["reason"] == "kept_at_0"
        assert explanation["feed_row"] == {
            "sku": sku,
            "quantity_available": "0",
            "price": price,
        }
    assert (gone["winner"], gone["offers"], gone["price_steps"]) == (
        None,
        [],
        None,
    )
    assert unpriced["winner"] == {"vendor_id": "v", "row_number": 3}
    assert now.explain("B")["reason"] is None
