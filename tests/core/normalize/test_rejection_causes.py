"""What is refused alike: how it is told apart, counted and shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from unittest import mock

import pytest

from relay_core.domain.cell_rules import as_sentence
from relay_core.domain.limits import Limits
from relay_core.domain.records import Cause, CauseSample
from relay_core.ingest import csv_reader
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.validation import row_checks
from support.builders import REQUESTED_AT, feed, tenant_config, vendor_document
from support.normalizing import entries_of, normalize_vendor, normalize_vendors

CONFIG = tenant_config(vendor_document("acme"))


def causes_of(data: bytes, limits: Limits | None = None) -> Sequence[Cause]:
    (vendor,) = normalize_vendors(
        CONFIG,
        [VendorFeed.of_one(CONFIG.vendors[0], data, "f.csv")],
        requested_at=REQUESTED_AT,
        limits=limits or Limits(),
    )
    return vendor.causes


def told(
    causes: Sequence[Cause],
) -> list[tuple[str, str | None, str | None, int]]:
    return [
        (cause.error_code, cause.column, cause.shape, cause.count)
        for cause in causes
    ]


def values(cause: Cause) -> list[tuple[int, str]]:
    return [(sample.row_number, sample.value) for sample in cause.samples]


def test_cells_are_told_apart_by_column_fault_and_shape() -> None:
    causes = causes_of(
        feed(
            "A,x,12;50", "B,-1,99;9", ",few,-3", "D,1,n/a", "E,1,7;00", "F,1,1"
        )
    )
    assert told(causes) == [
        ("missing_sku", "sku", "", 1),
        ("invalid_quantity", "quantity_available", "A", 2),
        ("negative_quantity", "quantity_available", "-9", 1),
        ("invalid_decimal", "cost", "9;9", 3),
        ("negative_amount", "cost", "-9", 1),
        ("invalid_decimal", "cost", "A/A", 1),
    ]
    assert {cause.vendor_id for cause in causes} == {"acme"}


def test_samples_are_the_first_cells_that_differ_as_they_stand_in_the_file() -> (
    None
):
    (cause,) = causes_of(
        feed("A, x ,1", "B, x ,1", "C,y,1", "D, x ,1", "E,y ,1", "F,z,1")
    )
    assert (cause.count, values(cause)) == (
        6,
        [(2, " x "), (4, "y"), (6, "y ")],
    )


def test_every_refused_cell_counts_also_those_that_no_entry_tells_of() -> None:
    (cause,) = causes_of(
        feed(*(f"A,x{n},1" for n in range(500))), Limits(report_entries=5)
    )
    assert (cause.count, values(cause)) == (
        500,
        [(2, "x0"), (3, "x1"), (4, "x2")],
    )


def test_a_long_cell_is_cut_and_so_is_its_shape() -> None:
    (cause,) = causes_of(
        feed(f"A,{'x' * 1_500},1", f"B,{'12.' * 500},1")[:-1] + b"\n"
    )[:1]
    assert cause.samples == (CauseSample(2, "x" * 1_000 + "…"),)
    assert cause.shape == "A…"


def test_records_of_another_width_are_told_apart_by_it() -> None:
    causes = causes_of(feed("A,1", "B,1,2,3", 'C,"1,5"', "D,1", "E", "F,2,3"))
    assert told(causes) == [
        ("column_count", None, "2 fields", 3),
        ("column_count", None, "4 fields", 1),
        ("column_count", None, "1 field", 1),
    ]
    assert values(causes[0]) == [(2, "A,1"), (4, 'C,"1,5"'), (5, "D,1")]
    assert causes[0].what_to_do.startswith("give every record as many fields")


def test_what_to_do_is_what_the_entries_say() -> None:
    vendor = normalize_vendor(
        CONFIG, CONFIG.vendors[0], feed("A,x,y", "B,-1,-2", ",1,1", "D,,1")
    )
    messages = {
        entry.error_code: entry.error_message for entry in entries_of(vendor)
    }
    assert len(vendor.causes) == len(messages) == 6
    for cause in vendor.causes:
        fix = as_sentence(cause.what_to_do)
        assert messages[cause.error_code].endswith(f". {fix}")


def test_shapes_of_a_column_beyond_so_many_are_one_cause_and_lose_no_count() -> (
    None
):
    marks = "!#$%&*+-/:<=>?@^_|~"
    rows = [f"A,{mark},1" for mark in marks] * 3
    causes = causes_of(feed(*rows), Limits(report_causes=5))
    assert [(cause.shape, cause.count) for cause in causes] == [
        *((mark, 3) for mark in marks[:5]),
        (None, 3 * (len(marks) - 5)),
    ]
    assert values(causes[-1]) == [(7, "*"), (8, "+"), (9, "-")]


ROWS = [
    f"A{n % 7},{('x', 'n/a', '1', '-2', f'{n}?')[n % 5]},{n}.{'5' * (n % 3)}x"
    for n in range(90)
]


@pytest.mark.parametrize("gate_rows", [1, 20])
def test_causes_are_the_same_however_many_rows_are_judged_at_a_time(
    gate_rows: int,
) -> None:
    whole = causes_of(feed(*ROWS), Limits(report_causes=2))
    with (
        mock.patch.object(row_checks, "VALIDATED_ROWS", gate_rows),
        mock.patch.object(csv_reader, "_BLOCK_BYTES", 64),
    ):
        assert causes_of(feed(*ROWS), Limits(report_causes=2)) == whole


def test_the_counts_of_causes_are_those_of_the_faults() -> None:
    vendor = normalize_vendor(
        CONFIG, CONFIG.vendors[0], feed(*ROWS, "A", "B,1,2,3")
    )
    counts: Counter[str] = Counter()
    for cause in vendor.causes:
        counts[cause.error_code] += cause.count
    assert counts == vendor.fault_counts


def test_a_cause_comes_back_from_its_document() -> None:
    for cause in causes_of(feed("A,x,1;5", "B,1")):
        assert Cause.of(cause.as_dict()) == cause


def test_what_a_column_is_made_of_stands_behind_what_is_said_of_its_cells() -> (
    None
):
    combined = {"sum": ["East", "West"]}
    config = tenant_config(
        vendor_document(parser={"column_map": {"quantity_available": combined}})
    )
    data = b"sku,East,West,cost\nA,1,x,2\nB,1,2,2\n"
    vendor = normalize_vendor(config, config.vendors[0], data)
    (entry,) = entries_of(vendor)
    (cause,) = vendor.causes
    source = "quantity_available is the sum of 'East' and 'West'"
    assert (entry.value, cause.samples[0].value) == ("x", "x")
    assert entry.error_message.endswith(f" The column {source}.")
    assert cause.what_to_do.endswith(f" ({source})")
