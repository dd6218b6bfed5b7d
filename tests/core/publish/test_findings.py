"""What a run has come to with each of its vendors, as its record keeps it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from relay_core.domain.records import VendorResult
from relay_core.publish.findings import RunFindings, RunScope
from support.builders import REQUESTED_AT, feed
from support.reported_runs import ReportedRun, go_through

CAME = REQUESTED_AT - timedelta(hours=2, minutes=59)


def results(run: ReportedRun) -> dict[str, VendorResult]:
    return {
        vendor_result.vendor_id: vendor_result
        for vendor_result in run.findings.vendor_results(REQUESTED_AT)
    }


def result(vendor_id: str, status: str = "found", **told: Any) -> VendorResult:
    unset = ("uploaded_at", "age_hours", "rows", "invalid_rows", "skus_won")
    return VendorResult(vendor_id, status, **{**dict.fromkeys(unset), **told})


def test_a_vendor_has_the_rows_of_its_upload_and_the_skus_that_it_has_won() -> (
    None
):
    run = go_through(
        {"north": feed("A,1,1", "B,1,2", "C,x,1"), "south": feed("A,1,2")},
        uploaded_at={
            "north": CAME,
            "south": REQUESTED_AT + timedelta(minutes=1),
        },
    )
    south_came = REQUESTED_AT + timedelta(minutes=1)
    assert [*results(run).values()] == [
        result(
            "north",
            uploaded_at=CAME,
            age_hours=2,
            rows=3,
            invalid_rows=1,
            skus_won=2,
        ),
        result(
            "south",
            uploaded_at=south_came,
            age_hours=0,
            rows=1,
            invalid_rows=0,
            skus_won=0,
        ),
    ]


def test_a_vendor_without_an_upload_has_no_rows_which_is_not_none_of_them() -> (
    None
):
    vendors = {"north": {}, "south": {"required": False}}
    run = go_through({"north": feed("A,1,1")}, vendors=vendors)
    assert results(run)["south"] == result("south", "missing", skus_won=0)


def test_a_vendor_that_is_left_out_shows_the_upload_that_it_has() -> None:
    vendors = {
        "north": {},
        "south": {"on_trouble": "leave_out", "max_invalid_row_pct": "0.1"},
    }
    feeds = {"north": feed("A,1,1"), "south": feed("A,1,1", "B,x,1")}
    run = go_through(feeds, vendors=vendors, uploaded_at={"south": CAME})
    assert results(run)["south"] == result(
        "south",
        "left_out",
        uploaded_at=CAME,
        age_hours=2,
        rows=2,
        invalid_rows=1,
        skus_won=0,
    )


def test_in_a_run_that_came_to_no_feed_nobody_has_won_or_lost() -> None:
    run = go_through(
        {"north": feed("A,1,1"), "south": b"\xff"}, uploaded_at={"south": CAME}
    )
    assert [*results(run).values()] == [
        result("north", rows=1, invalid_rows=0),
        result("south", uploaded_at=CAME, age_hours=2),
    ]


def test_a_run_that_has_looked_at_no_vendor_has_no_results() -> None:
    assert (
        RunFindings(scope=RunScope(["north"])).vendor_results(REQUESTED_AT)
        == ()
    )
