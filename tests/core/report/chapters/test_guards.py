"""What the report says of guards."""

from __future__ import annotations

import pytest

from relay_core.domain.records import GuardResult
from relay_core.report.blocks import Cell, Table
from relay_core.report.chapters.guards import (
    chapter_of,
    guard_verdict,
    guard_words,
)
from support.report_reading import shown_rows
from support.reported_runs import compared_report

MANY = [f"SKU-{n:02},5,{n}.00" for n in range(1, 21)]
NAMES = (
    "skus_removed",
    "out_of_stock",
    "price_drop",
    "price_rise",
    "price_level",
    "quarantined",
)
SIDES = {"price_level": ("low", "high")}


def test_guards_that_trip_come_first() -> None:
    rows = shown_rows(compared_report(MANY, MANY[:3]), "guards")
    results = [row["tripped"] for row in rows]
    assert results == sorted(results, reverse=True)
    assert [row["guard"] for row in rows if row["tripped"] == "Tripped"] == [
        "SKUs removed",
        "Vendor rows of north",
    ]
    first = rows[0]
    assert (first["value"], first["limit"], first["count"]) == (
        "85%",
        "50%",
        "17 of 20",
    )


def test_a_guard_that_trips_shows_its_first_skus() -> None:
    report = compared_report(MANY, MANY[:3])
    first = shown_rows(report, "guard_skus_removed")[0]
    assert (first["sku"], first["before"]) == ("SKU-04", "4.00")
    names = [
        block.name for block in report.blocks() if isinstance(block, Table)
    ]
    assert [name for name in names if name.startswith("guard_")] == [
        "guard_skus_removed"
    ]


def test_a_sku_that_left_the_feed_has_no_number_after() -> None:
    example = {"sku": "A", "before": "1.00", "after": None}
    result = GuardResult(
        "skus_removed", None, None, True, "0.5", 1, 1, (example,)
    )
    chapter = chapter_of([result], {"A": "Lamp"})
    assert chapter is not None
    table = chapter.blocks[-1]
    assert isinstance(table, Table)
    assert table.rows[0] == (
        Cell("A", "Lamp"),
        Cell("1.00"),
        Cell(None, "removed"),
    )


@pytest.mark.parametrize(
    ("tripped", "count", "shown"),
    [
        (True, 60, "Tripped"),
        (False, 50, "Passed"),
        (False, 51, "Passed (too few SKUs)"),
    ],
)
def test_a_guard_that_passes_over_its_limit_says_why(
    tripped: bool, count: int, shown: str
) -> None:
    result = GuardResult("price_drop", None, None, tripped, "0.5", count, 100)
    assert guard_verdict(result) == shown


def test_every_guard_has_words_of_its_own() -> None:
    results = [
        GuardResult(name, None, side, True, "0.5", 1, 1)
        for name in NAMES
        for side in SIDES.get(name, (None,))
    ]
    results.append(GuardResult("vendor_rows", "north", None, True, "0.5", 1, 1))
    meanings = dict(map(guard_words, results))
    assert len(meanings) == len(set(meanings.values())) == len(results)
    assert (
        meanings["Vendor rows of north"]
        == "Rows that the vendor no longer sends"
    )
    assert "" not in meanings.values()


def test_a_guard_of_a_later_release_is_shown_by_its_name() -> None:
    later = GuardResult("titles_changed", None, None, True, "0.5", 1, 1)
    assert guard_words(later) == ("titles_changed", "")
