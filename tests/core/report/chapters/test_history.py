"""What the report says of recent feeds."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.publish.state import Publication, read_state
from relay_core.report import display
from support.builders import feed
from support.report_reading import bars_of, shown_bars
from support.reported_runs import KEYS, go_through

MANY = [f"SKU-{n:02},5,{n}.00" for n in range(1, 21)]


def test_the_last_ten_feeds_are_drawn_and_this_one_with_them() -> None:
    run = go_through({"north": feed(*MANY[:11])})
    assert run.report.chapter("history") is None
    for size in range(12, 22):
        rows = [*MANY[:11], *(f"X-{n},1,1" for n in range(size - 11))]
        run = go_through({"north": feed(*rows)}, baseline=run.baseline)
    held = go_through({"north": feed(*MANY[:5])}, baseline=run.baseline)
    bars = bars_of(held.report, "history")
    assert [value for _, value in shown_bars(bars)] == [
        f"{n} SKUs" for n in (*range(13, 22), 5)
    ]
    assert {bar.tone for bar in bars.bars[:-1]} == {"idle"}
    assert (bars.bars[-1].tone, bars.bars[-1].note) == ("warn", "this run")


def test_times_are_those_of_the_tenant_s_zone() -> None:
    run = go_through({"north": feed("A,1,1")}, timezone="Europe/Berlin")
    publications = [
        Publication("r0", "2026-02-01T12:00:00.25Z", 1),
        Publication("r1", "yesterday", 1),
    ]
    run.findings = replace(run.findings, history=publications)
    assert run.report.timezone == "Europe/Berlin"
    zone = ZoneInfo("Europe/Berlin")
    bars = bars_of(run.report, "history")
    assert [display.bar_label(bar, bars, zone) for bar in bars.bars] == [
        "Feb 1, 2026, 1:00 PM",
        "yesterday",
        "Mar 1, 2026, 1:00 PM, this run",
    ]


@pytest.mark.parametrize(
    "history", [None, b"{", b'[["a"]]', b'[[1, "b", 2]]', b"7"]
)
def test_a_state_with_no_history_or_one_of_another_kind_has_none(
    history: bytes | None,
) -> None:
    data = go_through({"north": feed(*MANY)}).files[KEYS.state]
    table = pq.read_table(pa.BufferReader(data))
    metadata = dict(table.schema.metadata)
    metadata.pop(b"relay_history")
    if history is not None:
        metadata[b"relay_history"] = history
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    assert list(read_state(sink.getvalue().to_pybytes()).history) == []
