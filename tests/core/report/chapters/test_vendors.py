"""What the report says of each vendor."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from relay_core.domain.codes import VendorStatus
from relay_core.report.display import NOTHING
from relay_core.validation.vendor_failures import VendorState
from support.builders import REQUESTED_AT, feed
from support.report_reading import (
    bars_of,
    shown_bars,
    shown_rows,
    steps_of,
    table_of,
)
from support.reported_runs import go_through


def test_each_vendor_has_its_rows_its_share_and_its_age() -> None:
    report = go_through(
        {
            "north": feed("A,1,1", "B,1,1", "C,1,1"),
            "south": feed("C,1,0.50", "D,x,1"),
        },
        uploaded_at={"north": REQUESTED_AT - timedelta(hours=26)},
    ).report
    assert [tuple(row.values()) for row in shown_rows(report, "vendors")] == [
        ("north", "Latest file", "3", "0 (0%)", "2 (66.7%)", "26 hours"),
        ("south", "Latest file", "2", "1 (50%)", "1 (33.3%)", NOTHING),
    ]
    assert shown_bars(bars_of(report, "shares")) == [
        ("north", "2 (66.7%)"),
        ("south", "1 (33.3%)"),
    ]


def test_a_vendor_that_is_left_out_says_why_and_is_to_be_asked() -> None:
    report = go_through(
        {"north": feed("A,1,1"), "south": b"\xff"},
        vendors={"north": {}, "south": {"on_trouble": "leave_out"}},
    ).report
    south = shown_rows(report, "vendors")[1]
    assert south["outcome"] == "Left out"
    assert table_of(report, "vendors").rows[1][1].tone == "warn"
    assert "DECODE_ERROR" in south["note"]
    assert report.verdict.word == "Succeeded, with warnings"
    assert steps_of(report) == ["Get a file that can be used from south."]


def test_a_last_good_feed_has_the_age_of_its_own() -> None:
    run = go_through(
        {"north": feed("A,1,1")}, uploaded_at={"north": REQUESTED_AT}
    )
    state = VendorState(VendorStatus.LAST_GOOD, None, "r0", age_hours=50)
    run.findings = replace(run.findings, states={"north": state})
    (north,) = shown_rows(run.report, "vendors")
    assert (north["outcome"], north["age_hours"]) == (
        "Last good file",
        "2 days",
    )


def test_a_vendor_without_an_upload_is_shown() -> None:
    report = go_through(
        {"north": feed("A,1,1")}, vendors={"north": {}, "south": {}}
    ).report
    assert [
        (row[0].value, row[1].tone, row[1].value)
        for row in table_of(report, "vendors").rows
    ] == [
        ("north", "good", "Latest file"),
        ("south", "bad", "No file"),
    ]
    assert not report.figures


def test_one_vendor_alone_has_no_bars_of_shares() -> None:
    report = go_through({"north": feed("A,1,1")}).report
    blocks = report.chapter("vendors")
    assert blocks is not None
    assert [type(block).__name__ for block in blocks.blocks] == ["Table"]
