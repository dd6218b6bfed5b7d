"""The report of a run that wrote no report.json: what its record and its summary know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay_core.report.blocks import Action, Figures, Heading
from relay_core.report.chapters.older_run import report_of_older_run
from relay_core.report.report import Report
from support.builders import feed
from support.reported_runs import go_through, summary_of

RUN = {
    "run_id": "r",
    "tenant_id": "acme",
    "status": "SUCCEEDED",
    "requested_at": "2026-03-01T12:00:00Z",
    "config_version": 3,
    "hold": None,
    "changes": None,
}
CHANGES = {
    "baseline_run_id": "b",
    **dict.fromkeys(
        ("added", "removed", "changed", "unchanged", "price_up", "price_down"),
        1,
    ),
    **dict.fromkeys(
        ("came_in_stock", "went_out_of_stock", "vendor_changed"), 0
    ),
}
GUARD = {
    "guard": "skus_removed",
    "tripped": True,
    "value": "0.9000",
    "limit": "0.50",
    "count": 18,
    "of": 20,
    "examples": [{"sku": "A-1", "before": "10.00", "after": None}],
}


def older(summary: Mapping[str, Any], **changes: Any) -> Report:
    return report_of_older_run({**RUN, **changes}, summary)


def headings(report: Report) -> list[str]:
    return [
        block.text for block in report.blocks() if isinstance(block, Heading)
    ]


def test_a_run_without_a_summary_and_with_nothing_compared_has_no_chapter() -> (
    None
):
    report = older({})
    assert (report.chapters, report.verdict.headline) == ((), "")


def test_the_figures_are_those_of_the_summary() -> None:
    run = go_through({"north": feed("A,5,1.00", "B,x,1.00")})
    report = older(summary_of(run.findings))
    (figures,) = (
        block for block in report.blocks() if isinstance(block, Figures)
    )
    assert [(figure.name, figure.value) for figure in figures.figures] == [
        ("record_count", 1),
        ("total_rows", 2),
        ("invalid_rows", 1),
        ("unpriced_skus", 0),
    ]
    assert headings(report) == ["Where the rows went", "north"]


def test_a_failed_run_has_no_figures_of_a_feed() -> None:
    summary = summary_of(go_through({"north": feed("A,5,1.00")}).findings)
    report = older(summary, status="FAILED")
    assert [figure.name for figure in report.figures] == [
        "total_rows",
        "invalid_rows",
    ]


def test_the_record_of_a_run_on_hold_has_its_guards_changes_and_decision() -> (
    None
):
    report = older({}, status="HELD", hold={"guards": [GUARD]}, changes=CHANGES)
    assert headings(report) == ["Guards", "What changed", "Your decision"]
    release, discard = report.actions
    assert release.parameters["guards"] == ["skus_removed"]
    assert discard.name == "discard"


def test_a_summary_tells_prices_products_and_channels_by_their_numbers() -> (
    None
):
    matched = {"sku_map": 1, "gtin": 2, "mpn": 0, "sku": 4}
    catalog = {
        "rows": 9,
        "matched_by": {"north": matched},
        "unmatched": 3,
        "ambiguous": 0,
        "uncovered": 2,
    }
    summary = {"quarantined": 7, "catalog": catalog, "channels": {"shop": 5}}
    report = older(summary)
    assert headings(report) == [
        "Prices to review",
        "Your products",
        "Rows without a product",
        "Products without an offer",
        "Channels",
        "shop",
    ]
    (action,) = (
        block for block in report.blocks() if isinstance(block, Action)
    )
    assert action.name == "accept_prices"
