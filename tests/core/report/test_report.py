"""report.json: what it has of every run, how it grows, and the schema in the docs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

import report_schema
from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.publish.findings import RunFindings, RunScope
from relay_core.report.contents import CHAPTERS, report_of
from relay_core.report.files import files_of
from relay_core.report.report import Report, read_report, report_json
from support.builders import feed, part_document, run_context
from support.reported_runs import compared_report, go_through
from support.source_tree import modules

MANY = [f"SKU-{n:02},5,{n}.00" for n in range(1, 21)]
PAGE = report_schema.PAGE.read_text("utf-8")
SHOP = {"channel_id": "shop", "output": {"columns": ["sku", "price"]}}


def _succeeded() -> Report:
    return go_through(
        {"north": feed(*MANY), "south": feed("A,1,0.50", "B,1,", "C,many,1")},
        channels=[SHOP],
        pricing={"rules": [{"when": {"cost_below": 3}, "markup": "0.5"}]},
    ).report


def _failed() -> Report:
    return go_through({"north": feed("A,x,1"), "south": b"\xff"}).report


def _of_parts() -> Report:
    vendors = {"granite": {"parts": [part_document()]}}
    return go_through({"granite": feed("A,1,1")}, vendors=vendors).report


def _of_no_stage() -> Report:
    failure = RunFailure("POISON_JOB", "attempts used up", Stage.NORMALIZE)
    findings = RunFindings(scope=RunScope(["north"])).failed(failure)
    return report_of(run_context(), findings, RunStatus.FAILED)


RUNS: Mapping[str, Callable[[], Report]] = {
    "succeeded": _succeeded,
    "compared": lambda: compared_report(MANY, ["SKU-01,0,2.00", *MANY[1:19]]),
    "held": lambda: compared_report(MANY, MANY[:3]),
    "failed": _failed,
    "of parts": _of_parts,
    "cancelled": lambda: report_of(
        run_context(), RunFindings(), RunStatus.CANCELLED
    ),
    "reported by the reconciler": _of_no_stage,
}


@pytest.fixture(params=RUNS, scope="module")
def report(request: pytest.FixtureRequest) -> Report:
    return RUNS[request.param]()


def test_a_report_is_the_same_after_json(report: Report) -> None:
    assert read_report(report_json(report)) == report


def test_every_report_is_as_the_schema_in_the_docs_says(report: Report) -> None:
    schema = json.loads(
        PAGE.partition(report_schema.OPENING)[2].partition(
            report_schema.CLOSING
        )[0]
    )
    Draft202012Validator.check_schema(schema)
    document = json.loads(report_json(report))
    errors = Draft202012Validator(schema).iter_errors(document)
    assert [error.message for error in errors] == []


def test_the_schema_refuses_what_is_no_report() -> None:
    validator = Draft202012Validator(report_schema.report_schema())
    document = json.loads(report_json(_succeeded()))
    document["chapters"][0]["blocks"].append({"type": "hologram"})
    assert not validator.is_valid(document)
    assert not validator.is_valid({**document, "version": 2})


def test_the_docs_have_the_schema_of_today() -> None:
    assert report_schema.page_with_schema(PAGE) == PAGE, "run make schema"


def test_the_same_run_has_the_same_bytes() -> None:
    first, again = (report_json(RUNS["held"]()) for _ in range(2))
    assert first == again


def test_a_report_of_a_newer_release_is_read_without_what_is_new() -> None:
    report = _succeeded()
    document = json.loads(report_json(report))
    document["mood"] = "calm"
    document["chapters"].append({"name": "x", "title": "X", "blocks": []})
    document["chapters"][0]["blocks"].append({"type": "hologram"})
    document["chapters"][0]["color"] = "blue"
    newer = read_report(json.dumps(document).encode())
    assert newer.chapters[0] == report.chapters[0]
    assert newer.chapters[-1].title == "X"


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"verdict": 3, "chapters": []}', b"\xff"]
)
def test_bytes_of_another_kind_are_no_report(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a report"):
        read_report(data)


def test_texts_of_others_are_cut_and_half_a_pair_is_escaped() -> None:
    message = "\udcff" + "x" * 1_000_000
    findings = replace(
        RunFindings(), faults=[ReportEntry("DECODE_ERROR", message)] * 50
    )
    data = report_json(report_of(run_context(), findings, RunStatus.FAILED))
    assert len(data) < 40_000
    assert b"\\udcffxxx" in data


def test_a_report_lists_the_files_of_the_run_as_people_open_them() -> None:
    files = files_of(
        {
            "run_summary": "reports/run_summary.json",
            "channel_shop": "outputs/channels/shop.csv.gz",
            "report": "reports/report.html",
            "": "work/refused.arrow",
        }
    )
    assert [(file.name, file.title, file.path) for file in files] == [
        ("report", "Report", "reports/report.html"),
        ("channel_shop", "Channel: shop", "outputs/channels/shop.csv.gz"),
        ("run_summary", "Run summary", "reports/run_summary.json"),
    ]
    report = report_of(run_context(), RunFindings(), RunStatus.FAILED, files)
    assert report.file("run_summary") == files[2]
    assert report.file("changes") is None


def test_every_module_of_a_chapter_is_in_the_report() -> None:
    """The chapter of older runs is for runs that have no report."""
    folder = "relay_core.report.chapters"
    written = {
        module.name
        for module in modules("relay_core")
        if module.name.startswith(f"{folder}.")
    }
    listed = {make.__module__ for make in CHAPTERS}
    assert written - listed == {f"{folder}.older_run"}
