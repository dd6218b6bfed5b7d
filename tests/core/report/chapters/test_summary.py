"""What the report says first: the numbers, the faults, and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import Doubt, RunFailure
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.report import display
from relay_core.report.blocks import Items, plain
from relay_core.report.contents import report_of
from relay_core.report.report import Report
from support.builders import feed, run_context
from support.report_reading import chapter_of, steps_of
from support.reported_runs import go_through


def report_on(
    findings: RunFindings, status: RunStatus = RunStatus.SUCCEEDED
) -> Report:
    return report_of(run_context(), findings, status)


def test_the_numbers_are_those_of_the_summary() -> None:
    report = go_through(
        {"north": feed("A,1,1", "B,x,1", "C,1,", "D,1,1")}
    ).report
    assert [
        (figure.name, display.figure(figure), figure.share)
        for figure in report.figures
    ] == [
        ("record_count", "2", ""),
        ("total_rows", "4", ""),
        ("invalid_rows", "1", "1/4"),
        ("unpriced_skus", "1", ""),
    ]


def test_the_first_skus_without_a_price_are_listed() -> None:
    report = go_through({"north": feed("A,1,1", "C,1,")}).report
    skus = chapter_of(report, "unpriced").blocks[-1]
    assert isinstance(skus, Items)
    assert ([plain(item.text) for item in skus.items], skus.total) == (["C"], 1)
    assert (
        go_through({"north": feed("A,1,1")}).report.chapter("unpriced") is None
    )


def test_a_failed_run_has_no_number_of_skus() -> None:
    report = go_through({"north": feed("A,x,1"), "south": b"\xff"}).report
    assert [figure.label for figure in report.figures] == [
        "Rows read",
        "Rows rejected",
    ]
    problems = chapter_of(report, "problems").blocks[0]
    assert isinstance(problems, Items)
    assert [item.text[0].text for item in problems.items] == ["DECODE_ERROR"]
    assert "vendor south" in steps_of(report)[0]


@pytest.mark.parametrize("stage", list(Stage))
def test_a_failure_says_when_it_was_and_what_the_shop_has(stage: Stage) -> None:
    findings = RunFindings().failed(RunFailure("invalid_input", "…", stage))
    verdict = report_on(findings, RunStatus.FAILED).verdict
    assert verdict.sentence.startswith("The run failed ")
    assert "your shop keeps its live feed" in verdict.sentence


def test_a_run_that_is_as_it_should_be_asks_for_nothing() -> None:
    report = report_on(RunFindings(record_count=1))
    assert (report.verdict.tone, report.verdict.headline) == (
        "good",
        "The new feed has 1 SKU",
    )
    assert report.chapter("next_steps") is None


def test_a_run_of_some_vendors_says_that_it_publishes_nothing() -> None:
    scope = RunScope(of_all_vendors=False)
    report = report_on(RunFindings(scope=scope, record_count=2))
    assert "not published" in report.verdict.sentence


def test_a_cancelled_run_is_to_be_started_again() -> None:
    report = report_on(RunFindings(), RunStatus.CANCELLED)
    assert report.verdict.word == "Canceled"
    assert steps_of(report) == ["Start another run when you need a new feed."]


def test_doubts_beyond_the_first_are_told_in_number() -> None:
    doubt = Doubt("code", "pricing.markup", "north", 3, ("a", "b"), "it is low")
    findings = replace(RunFindings(record_count=1), doubts=[doubt] * 25)
    items, hint = chapter_of(report_on(findings), "doubts").blocks
    assert isinstance(items, Items)
    assert (len(items.items), items.total) == (20, 25)
    assert plain(items.items[0].text) == "north, 3 rows: It is low. a b"
    assert "check the vendors' files" in str(hint)
