"""Vendors side by side: what the gate refuses, who waits for whom, and what is kept."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from relay_core import vendor_pass
from relay_core.columnar import growing_columns
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.ingest import csv_reader
from relay_core.normalize import rejected_rows, rejection_entries, vendor_feed
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.validation import row_checks
from relay_core.validation.row_schemas import REJECTED_ROWS
from support.builders import feed, tenant_config, vendor_document
from support.memory_sink import MemorySink
from support.normalizing import entries_of, normalize_vendors, offers_of

CONFIG = tenant_config(vendor_document("a"), vendor_document("b"))


@contextmanager
def noted_reads(events: list[str]) -> Iterator[None]:
    """Note in ``events`` when each feed has been read."""
    judge_columns = vendor_feed._judge_columns

    def judge(*arguments: Any) -> NormalizedVendor:
        vendor = judge_columns(*arguments)
        events.append(f"read {vendor.vendor_id}")
        return vendor

    with mock.patch.object(vendor_feed, "_judge_columns", judge):
        yield


def normalized(
    *feeds: bytes, happened: list[str] | None = None, entries: int = 10_000
) -> list[NormalizedVendor]:
    events = [] if happened is None else happened

    vendor_feeds = [
        VendorFeed.of_one(vendor, data, "f.csv")
        for vendor, data in zip(CONFIG.vendors, feeds, strict=True)
    ]

    class Sink(MemorySink):
        def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
            lines = b"".join(chunks).count(b"\n") - 1
            events.append(f"write {lines} of {key.split('/')[1]}")

    with noted_reads(events):
        return normalize_vendors(
            CONFIG,
            vendor_feeds,
            sink=Sink(),
            limits=Limits(report_entries=entries),
        )


def test_a_large_feed_waits_until_the_vendor_before_it_is_written() -> None:
    happened: list[str] = []

    with mock.patch.object(vendor_pass, "_MAX_BYTES_BESIDE", 10):
        normalized(
            feed("A,1,2.00", "B,1,2.00"), feed("C,1,2.00"), happened=happened
        )

    assert happened == ["read a", "write 2 of a", "read b", "write 1 of b"]


def normalize_four(
    events: list[str],
    write: Callable[[str], None],
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Take four vendors through their steps, and note when each feed is read.

    Args:
        events: The list that takes the notes.
        write: Writes the file of a vendor, whose ID it gets.
        limits: The limits of feeds.
    """
    config = tenant_config(*map(vendor_document, "abcd"))

    class Sink(MemorySink):
        def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
            write(key.split("/")[1])

    feeds = [
        VendorFeed.of_one(vendor, feed("A,1,2.00"), "f.csv")
        for vendor in config.vendors
    ]
    with noted_reads(events):
        normalize_vendors(config, feeds, sink=Sink(), limits=limits)


def test_at_most_two_vendors_are_unfinished_while_a_feed_is_read() -> None:
    third_is_read = threading.Event()

    class Events(list[str]):
        def append(self, event: str) -> None:
            super().append(event)
            if event == "read c":
                third_is_read.set()

    events = Events()

    def write(vendor_id: str) -> None:
        assert third_is_read.wait(60)
        events.append(f"write {vendor_id}")

    normalize_four(events, write)

    assert events[:4] == ["read a", "read b", "read c", "write a"]
    assert sorted(events[4:]) == ["read d", "write b", "write c", "write d"]


def test_vendors_take_turns_if_last_good_feeds_could_take_the_bytes_that_are_left() -> (
    None
):
    events: list[str] = []

    def write(vendor_id: str) -> None:
        events.append(f"write {vendor_id}")

    normalize_four(events, write, Limits(feed_bytes=1000, run_bytes=3000))

    assert events == [
        f"{step} {vendor_id}"
        for vendor_id in "abcd"
        for step in ("read", "write")
    ]


def test_an_error_of_a_vendor_ends_the_reading_of_later_feeds() -> None:
    events: list[str] = []

    def write(vendor_id: str) -> None:
        raise OSError(f"no room for {vendor_id}")

    with pytest.raises(OSError, match="no room for a"):
        normalize_four(events, write)

    assert events == ["read a", "read b", "read c"]


def test_offers_are_there_when_all_is_written() -> None:
    vendors = normalized(
        feed("B,1,2.00", "A,x,2.00", "A,1,3.00"), feed("x,-1,2.00")
    )

    assert [offers_of(vendor)["sku"].to_pylist() for vendor in vendors] == [
        ["A", "B"],
        [],
    ]
    assert [vendor.total_rows for vendor in vendors] == [3, 1]


def test_all_vendors_together_keep_as_many_entries_as_a_report() -> None:
    vendors = normalized(
        feed("A,x,1", "B,x,1"), feed("C,x,1", "D,x,1"), entries=3
    )

    assert [
        [entry.sku for entry in entries_of(vendor)] for vendor in vendors
    ] == [
        ["A", "B"],
        ["C"],
    ]
    assert [vendor.fault_counts for vendor in vendors] == [
        {"invalid_quantity": 2}
    ] * 2


def test_rows_of_several_faults_fill_a_report_and_the_rows_behind_them_are_counted() -> (
    None
):
    # One judgement and more: the first rows alone have more entries than there is room for.
    with (
        mock.patch.object(row_checks, "VALIDATED_ROWS", 1),
        mock.patch.object(csv_reader, "_BLOCK_BYTES", 64),
        mock.patch.object(
            rejection_entries,
            "row_lines",
            side_effect=rejection_entries.row_lines,
        ) as written,
    ):
        vendor, _ = normalized(feed(*["A,x,y"] * 90), feed(), entries=3)

    assert [entry.row_number for entry in entries_of(vendor)] == [2, 2, 3]
    assert vendor.fault_counts == {
        "invalid_quantity": 90,
        "invalid_decimal": 90,
    }
    assert sum(call.args[1].entry_count for call in written.call_args_list) <= 4


def test_records_of_another_width_take_their_share_of_the_entries() -> None:
    vendors = normalized(feed("A", "B,x,1"), feed("C,x,1", "D,x,1"), entries=3)

    assert [
        [entry.row_number for entry in entries_of(vendor)] for vendor in vendors
    ] == [
        [2, 3],
        [2],
    ]


@pytest.mark.parametrize("gate_rows", [1, 1000])
def test_rows_are_refused_alike_however_many_are_judged_at_a_time(
    gate_rows: int,
) -> None:
    with mock.patch.object(row_checks, "VALIDATED_ROWS", gate_rows):
        vendor, _ = normalized(
            feed("A,x,1", "B,1,1", "C,1", "D,-1,1", "E,1,"), feed("F,1,1")
        )

    assert offers_of(vendor)["sku"].to_pylist() == ["B", "E"]
    assert vendor.rejected_rows["row_number"].to_pylist() == [2, 4, 5]
    assert [entry.row_number for entry in entries_of(vendor)] == [2, 4, 5]


def test_every_refused_row_is_kept_in_order_however_many_are_written_at_a_time() -> (
    None
):
    records = [
        f"A{place},{'x' if place % 3 else place},1" for place in range(200)
    ]
    with (
        mock.patch.object(csv_reader, "_BLOCK_BYTES", 256),
        mock.patch.object(rejected_rows, "_BYTES_AT_ONCE", 9),
    ):
        few, _ = normalized(feed(*records), feed())
    small_reports, _ = normalized(feed(*records), feed())

    assert few.rejected_rows.num_rows == few.invalid_rows == 133
    assert few.rejected_rows.equals(small_reports.rejected_rows)
    assert few.entries == small_reports.entries


def test_columns_of_more_text_than_short_offsets_reach_come_to_the_same_rows() -> (
    None
):
    rows = feed("B,1,2.00", "A,x,2.00", "A,1", "A,1,3.00")
    short, _ = normalized(rows, feed())

    with mock.patch.object(growing_columns, "MAX_SHORT_BYTES", 1):
        long, _ = normalized(rows, feed())

    assert offers_of(long).equals(offers_of(short))
    assert offers_of(long).schema.equals(offers_of(short).schema)
    assert long.rejected_rows.equals(short.rejected_rows)


def test_refused_records_have_room_for_more_text_than_short_offsets_reach() -> (
    None
):
    vendor, _ = normalized(feed("A,x,1", "B,1", "C,y,1", "D"), feed())

    assert vendor.rejected_rows.schema == REJECTED_ROWS
    assert vendor.rejected_rows["raw"].type == pa.large_string()
    assert vendor.rejected_rows["row_number"].to_pylist() == [2, 3, 4, 5]


def test_conditions_of_a_parquet_file_are_read_wherever_a_batch_begins() -> (
    None
):
    """Long offsets, as some programs write, and more text than one batch has."""
    size = 40_000
    columns = {
        "sku": [f"A{number}" for number in range(size)],
        "quantity_available": ["1"] * size,
        "condition": ["NEW"] * size,
        "title": ["t" * 300] * size,
    }
    table = pa.table(
        {
            name: pa.array(texts, pa.large_string())
            for name, texts in columns.items()
        }
    )
    pq.write_table(table, written := io.BytesIO())
    config = tenant_config(vendor_document(parser={"format": "parquet"}))
    feeds = [
        VendorFeed.of_one(config.vendors[0], written.getvalue(), "feed.parquet")
    ]
    (vendor,) = normalize_vendors(config, feeds)
    assert (vendor.total_rows, vendor.fault_counts) == (size, {})
