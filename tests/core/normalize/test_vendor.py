"""Vendors side by side: Pandera's gate on what was read, who waits for whom, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from builders import REQUESTED_AT, feed, tenant_config, vendor_document
from relay_core import pipeline
from relay_core.domain.errors import ContractBrokenError
from relay_core.ingest import csv_reader as parsing
from relay_core.normalize import rejects
from relay_core.normalize import vendor as vendor_rows
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import OFFER_SCHEMA, empty_texts, no_numbers
from relay_core.normalize.vendor import Gate
from relay_core.pipeline import VendorFeed, normalize_vendors
from relay_core.validation.schemas import CANONICAL_SCHEMA

CONFIG = tenant_config(vendor_document("a"), vendor_document("b"))


def judged(*quantities: int) -> pa.RecordBatch:
    size = len(quantities)
    given = {
        "sku": pa.array([f"S{quantity}" for quantity in quantities]),
        "quantity_available": pa.array(quantities),
        "updated_at": pa.array([0] * size),
    }
    columns = {
        name: given.get(name, empty_texts(size) if name == "condition" else no_numbers(size))
        for name in CANONICAL_SCHEMA.columns
    }
    fields = [OFFER_SCHEMA.field(name) for name in columns]
    return pa.record_batch(list(columns.values()), schema=pa.schema(fields))


@pytest.mark.parametrize("gate_rows", [1, 1000])
@pytest.mark.parametrize(
    ("faulty", "disputed"),
    [([False, True], None), ([False, False], "S-1"), ([True, True], "S1")],
)
def test_the_gate_holds_readers_to_the_schema(
    gate_rows: int, faulty: list[bool], disputed: str | None
) -> None:
    with mock.patch.object(vendor_rows, "GATE_ROWS", gate_rows):
        gate = Gate()
        gate.add(judged(0, 7), np.array([False, False]))
        gate.add(judged(1, -1), np.array(faulty))
    gate.judge()

    if disputed is None:
        gate.close()
    else:
        with pytest.raises(ContractBrokenError, match=rf"\['{disputed}'\]"):
            gate.close()


def normalized(*feeds: bytes, happened: list[str] | None = None) -> list[NormalizedVendor]:
    told = [] if happened is None else happened

    def given() -> Iterator[VendorFeed]:
        for vendor, data in zip(CONFIG.vendors, feeds, strict=True):
            tell = partial(told.append, f"read {vendor.vendor_id}")
            yield VendorFeed(vendor, data, "f.csv", None, tell)

    def write(vendor: NormalizedVendor) -> None:
        lines = b"".join(vendor.csv_chunks()).count(b"\n") - 1
        told.append(f"write {lines} of {vendor.vendor_id}")

    return normalize_vendors(CONFIG, given(), requested_at=REQUESTED_AT, write=write)


def test_a_large_feed_waits_until_the_vendor_before_it_is_written() -> None:
    happened: list[str] = []

    with mock.patch.object(pipeline, "_MOST_BESIDE", 10):
        normalized(feed("A,1,2.00", "B,1,2.00"), feed("C,1,2.00"), happened=happened)

    assert happened == ["read a", "write 2 of a", "read b", "write 1 of b"]


def test_offers_are_there_when_all_is_written_and_lines_are_not() -> None:
    vendors = normalized(feed("B,1,2.00", "A,x,2.00", "A,1,3.00"), feed("x,-1,2.00"))

    assert [vendor.offers["sku"].to_pylist() for vendor in vendors] == [["A", "B"], []]
    assert [vendor.lines for vendor in vendors] == [None, None]
    assert [vendor.total_rows for vendor in vendors] == [3, 1]


def test_all_vendors_together_keep_as_many_entries_as_a_report() -> None:
    with mock.patch.object(pipeline, "MAX_ENTRIES", 3):
        vendors = normalized(feed("A,x,1", "B,x,1"), feed("C,x,1", "D,x,1"))

    assert [[entry.sku for entry in vendor.entries] for vendor in vendors] == [["A", "B"], ["C"]]
    assert [vendor.fault_counts for vendor in vendors] == [{"invalid_quantity": 2}] * 2


def test_records_of_another_width_take_their_share_of_the_entries() -> None:
    with mock.patch.object(pipeline, "MAX_ENTRIES", 3):
        vendors = normalized(feed("A", "B,x,1"), feed("C,x,1", "D,x,1"))

    assert [[entry.row_number for entry in vendor.entries] for vendor in vendors] == [[2, 3], [2]]


def test_every_refused_row_is_kept_in_order_however_many_are_written_at_a_time() -> None:
    records = [f"A{place},{'x' if place % 3 else place},1" for place in range(200)]
    with mock.patch.object(parsing, "_BLOCK", 256), mock.patch.object(rejects, "_BYTES_AT_ONCE", 9):
        few, _ = normalized(feed(*records), feed())
    many, _ = normalized(feed(*records), feed())

    assert few.rejects.num_rows == few.invalid_rows == 133
    assert few.rejects.equals(many.rejects)
    assert few.entries == many.entries
