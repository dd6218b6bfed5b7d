"""The state of a feed: every canonical column of its rows, whatever the output asks for."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core.domain.columns import (
    CANONICAL_COLUMNS,
    MONEY_COLUMNS,
    Kind,
    names_of,
)
from relay_core.domain.errors import StateUnreadableError
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.normalize.work_file import read_work_file
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.state import STATE_SCHEMA, read_state
from relay_core.run_stages import RunStages
from relay_core.validation.vendor_failures import InputVerdict
from support.builders import (
    REQUESTED_AT,
    feed,
    run_context,
    tenant_config,
    vendor_document,
)
from support.memory_sink import MemorySink
from support.normalizing import Written, normalize_vendors

KEYS = ArtifactKeys("", "")
VENDORS = tuple(
    vendor_document(name, required=False) for name in ("v1", "v2", "v3")
)
STATE_COLUMNS = [name for name in CANONICAL_COLUMNS if name != "vendor_id"]


def state_of(
    *output: str, through_work_files: bool = False, **feeds: bytes
) -> dict[str, bytes]:
    """Run feeds; return the files, of which the state is one."""
    config = tenant_config(
        *VENDORS, output={"columns": list(output or ["sku"])}
    )
    sink = MemorySink()
    stages = RunStages(config, config.vendors, REQUESTED_AT, KEYS, sink)
    vendor_feeds = [
        VendorFeed.of_one(config.vendor(name), data, "f.csv")
        for name, data in feeds.items()
    ]
    if through_work_files:
        written = Written()
        normalize_vendors(
            config,
            vendor_feeds,
            requested_at=REQUESTED_AT,
            sink=written,
            hands_over=True,
        )
        vendors = [read_work_file(written.work_files[name]) for name in feeds]
        normalized = stages.take_over(InputVerdict(), vendors)
    else:
        normalized = stages.normalize(InputVerdict(), vendor_feeds)
    compared = stages.compare(stages.merge(normalized), normalized)
    assert compared.merged.failure is None
    stages.write_feed(compared)
    stages.write_state(KEYS.state, compared, normalized, run_context())
    return sink.files


def table_of_state(files: dict[str, bytes]) -> pa.Table:
    return pq.read_table(pa.BufferReader(files[KEYS.state]))


def records(rng: Random, count: int) -> list[str]:
    """Return records of every column, of SKUs that other vendors have, too."""

    def some(*cells: str) -> str:
        return rng.choice(("", *cells))

    return [
        ",".join(
            (
                f"S{number:06}",
                some(f"own-{number}"),
                str(rng.randint(0, 3)),
                some("3", "0"),
                f"{rng.randint(1, 9)}.{rng.randint(0, 9999):04}",
                some("7.5", "0.0001"),
                some("3.25"),
                some("99.99"),
                some("new", "used"),
                some("Größe & Co"),
                some(f'"a title, {number}"', "x" * 40),
                some("2024-03-10 02:30:00.75", "2021-05-05"),
            )
        )
        for number in rng.sample(range(3 * count // 2), count)
    ]


def feeds_of(seed: int, count: int) -> dict[str, bytes]:
    rng = Random(seed)
    header = ",".join(STATE_COLUMNS)
    feeds = {
        name: feed(*records(rng, count), header=header) for name in ("v1", "v2")
    }
    # One without most columns, so that they are null in it alone.
    plain = [f"S{number:06},9,0.5" for number in range(0, count, 50)]
    return {**feeds, "v3": feed(*plain)}


def rows_of(
    files: dict[str, bytes], vendor_id: str
) -> dict[str, dict[str, str]]:
    text = files[KEYS.normalized(vendor_id)].decode()
    return {
        row["sku"]: row for row in csv.DictReader(io.StringIO(text, newline=""))
    }


def as_stored(name: str, cell: str) -> Any:
    if not cell:
        return None
    if name in names_of(Kind.WHOLE):
        return int(cell)
    if name in MONEY_COLUMNS:
        return Decimal(cell).quantize(Decimal("0.0001"))
    return datetime.fromisoformat(cell) if name == "updated_at" else cell


@pytest.mark.parametrize("rows_at_once", [1 << 17, 70])
def test_a_state_has_every_column_of_each_winner_as_its_vendor_gave_it(
    rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_core.merge.best_offer.RANGE_ROWS", rows_at_once)
    monkeypatch.setattr("relay_core.publish.state._GROUP_ROWS", rows_at_once)
    files = state_of("sku", "vendor_id", "price", "brand", **feeds_of(300, 300))
    whole = table_of_state(files)
    assert whole.schema.remove_metadata().equals(STATE_SCHEMA)
    state = whole
    vendor_rows = {name: rows_of(files, name) for name in ("v1", "v2", "v3")}
    winners = [
        vendor_rows[row["vendor_id"]][row["sku"]] for row in state.to_pylist()
    ]
    for name in CANONICAL_COLUMNS:
        if name not in ("price", "lead_time_days"):
            expected = [as_stored(name, row[name]) for row in winners]
            assert (name, state[name].to_pylist()) == (name, expected)
    days = [
        as_stored("lead_time_days", row["lead_time_days"]) for row in winners
    ]
    assert state["lead_time_days"].to_pylist() == [
        7 if day is None else day for day in days
    ]
    merged = list(
        csv.DictReader(
            io.StringIO(
                files[KEYS.merged_inventory("csv")].decode(), newline=""
            )
        )
    )
    prices = [row["price"] for row in merged]
    assert [str(price) for price in whole["price"].to_pylist()] == prices
    assert set(state["offered_at"].to_pylist()) == {REQUESTED_AT}
    assert not any(state["kept_at_0"].to_pylist())
    assert len({row["vendor_id"] for row in state.to_pylist()}) == 3


def test_the_state_is_the_same_whatever_the_output_asks_for_and_wherever_offers_come_from() -> (
    None
):
    feeds = feeds_of(5, 2_000)
    states = {
        state_of(**feeds)[KEYS.state],
        state_of(*CANONICAL_COLUMNS, **feeds)[KEYS.state],
        state_of(through_work_files=True, **feeds)[KEYS.state],
    }
    assert len(states) == 1


def test_a_vendor_without_a_valid_row_takes_no_part_in_the_state() -> None:
    files = state_of(
        v1=feed("A,1,2,first", header="sku,quantity_available,cost,title"),
        v2=feed(),
    )
    assert table_of_state(files)["title"].to_pylist() == ["first"]


# --- what is read back --------------------------------------------------------------------------


def test_of_a_state_its_figures_are_read_back() -> None:
    files = state_of(
        v1=feed("A,1,2.5", "B,0,3"), v2=feed("B,4,3"), v3=feed("C,1,1")
    )
    baseline = read_state(files[KEYS.state])
    figures = baseline.figures
    assert figures.skus.to_pylist() == ["A", "B", "C"]
    assert figures.vendor_ids.to_pylist() == ["v1", "v2", "v3"]
    assert (figures.quantities.tolist(), figures.cents.tolist()) == (
        [1, 4, 1],
        [250, 300, 100],
    )
    assert baseline.context.vendor_rows == {"v1": 2, "v2": 1, "v3": 1}


def changed(rows: list[dict[str, Any]], told: bytes = b"") -> bytes:
    context = {
        "run_id": "r",
        "tenant_id": "t",
        "config_version": 1,
        "currency": "USD",
    }
    metadata = told or json.dumps({**context, "vendor_rows": {}}).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.Table.from_pylist(
            rows, schema=STATE_SCHEMA.with_metadata({b"relay": metadata})
        ),
        sink,
    )
    return sink.getvalue().to_pybytes()


def row(sku: str | None = "A", **cells: Any) -> dict[str, Any]:
    values = {
        "sku": sku,
        "vendor_id": "v1",
        "quantity_available": 1,
        "price": Decimal("1.00"),
    }
    times = {
        "updated_at": datetime(2026, 1, 1, tzinfo=UTC),
        "offered_at": REQUESTED_AT,
    }
    return {**values, **times, "kept_at_0": False, **cells}


def test_a_state_of_another_writer_is_read() -> None:
    assert (
        read_state(changed([row("A"), row("B", kept_at_0=True)])).figures.offers
        == 1
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (changed([row("B"), row("A")]), "order of SKUs"),
        (changed([row("A"), row("A")]), "each once"),
        (changed([row(None)]), "without sku"),
        (changed([row(price=None)]), "without sku or"),
        (changed([row()], b"{}"), "missing"),
        (changed([row()], b"[]"), "mapping"),
    ],
    ids=[
        "not in order",
        "a SKU twice",
        "no SKU",
        "no price",
        "no context",
        "no mapping",
    ],
)
def test_what_is_no_state_of_a_feed_is_refused_in_words(
    data: bytes, words: str
) -> None:
    with pytest.raises(StateUnreadableError, match=words):
        read_state(data)
