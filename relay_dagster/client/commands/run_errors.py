"""The command that shows the errors of a run."""

from collections import Counter
from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

import typer

from relay_core.domain.records import location_in_words
from relay_dagster.client.artifacts import Cause, ErrorReport, ReportEntry
from relay_dagster.client.links import read_report
from relay_dagster.client.run_watch import failure_in_words
from relay_dagster.client.session import Output, RunId, Session, command
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.runs import Run

commands = typer.Typer()
_MAX_SAMPLES = 3


class MatterKey(NamedTuple):
    """The error code and the vendor that entries of a report share."""

    error_code: str
    vendor_id: str | None


class Matter(NamedTuple):
    """Entries of a report that are about the run as a whole, and not about a row."""

    key: MatterKey
    entries: list[ReportEntry]


@command(commands)
def errors(session: Session, run_id: RunId) -> Output:
    """Show the errors of a run: each cause once, with its count, samples, and fix."""
    run = session.api.run(run_id).run
    links = session.api.artifacts(run_id)
    report = None
    if "errors" in links:
        report = read_report(ErrorReport, "errors", links["errors"])

    def show() -> None:
        session.screen.say(headline(run, report))
        if report is not None:
            show_causes(session.screen, run, report, links)

    document = {
        "run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "status": run.status,
        "error_code": run.error_code,
        "error_message": run.error_message,
        "failure_class": run.failure_class,
        "next_action": run.next_action,
        **_report_as_json(report),
        "invalid_rows": links.get("invalid_rows"),
    }
    return Output(document, show)


def matters_of(report: ErrorReport) -> list[Matter]:
    """Return the entries about the run as a whole, grouped, in the report's order."""
    entries = [entry for entry in report.entries if entry.row_number is None]
    groups = groupby(
        entries,
        lambda entry: MatterKey(entry.error_code, entry.vendor_id),
    )
    return [Matter(key, list(group)) for key, group in groups]


def show_causes(
    screen: Screen,
    run: Run,
    report: ErrorReport,
    links: Mapping[str, str],
) -> None:
    """Write the errors of a run for people, with what to do."""
    if run.next_action:
        screen.say(f"next step: {run.next_action}", style="green")
    for cause in report.causes:
        _show_cause(screen, cause)
    for matter in matters_of(report):
        vendor_id = matter.key.vendor_id
        vendor = f" (vendor {vendor_id})" if vendor_id else ""
        screen.section(
            f"{len(matter.entries):,} x {matter.key.error_code}{vendor}",
        )
        for entry in matter.entries[:_MAX_SAMPLES]:
            screen.say(entry.error_message, indent=4)
        _show_omitted(screen, len(matter.entries) - _MAX_SAMPLES)
    screen.say()
    if report.truncated:
        screen.say(
            "errors.json has only the first entries. All entries: "
            f"{_truncated_counts(report)}",
        )
    link = links.get("invalid_rows")
    if link:
        text = "all rejected records, as in their files: invalid_rows.csv"
        screen.say(text if screen.is_terminal else f"{text}: {link}", href=link)


def headline(run: Run, report: ErrorReport | None) -> str:
    """Return the first line: the run's status, and its error unless the report lists it."""
    if not run.has_ended:
        return f"Run {run.run_id} is {run.status}. Its errors are reported when it ends."
    line = f"run {run.run_id} of {run.tenant_id}: {run.status}"
    reported_codes = (
        {entry.error_code for entry in report.entries} if report else set()
    )
    if run.succeeded:
        return line if reported_codes else f"{line}, without errors or warnings"
    line = f"{line} in {run.failed_stage or run.stage}"
    if run.error_code is None:
        return line
    if run.error_code in reported_codes:
        return f"{line}, {run.error_code}"
    return f"{line}, {failure_in_words(run)}"


def _report_as_json(report: ErrorReport | None) -> dict[str, Any]:
    if report is None:
        return {"counts": {}, "truncated": False, "causes": [], "matters": []}
    matters = [
        {
            **matter.key._asdict(),
            "count": len(matter.entries),
            "samples": [
                entry.as_json() for entry in matter.entries[:_MAX_SAMPLES]
            ],
        }
        for matter in matters_of(report)
    ]
    return {
        "counts": report.counts,
        "truncated": report.truncated,
        "causes": [cause.as_json() for cause in report.causes],
        "matters": matters,
    }


def _show_cause(screen: Screen, cause: Cause) -> None:
    column = f", column {cause.column}" if cause.column else ""
    shape = ""
    if cause.shape is not None:
        shape = f", {cause.shape or 'empty'}"
    screen.section(
        f"{cause.count:,} x {cause.error_code} (vendor {cause.vendor_id}{column}{shape})",
    )
    for sample in cause.samples:
        place = location_in_words(
            sample.row_number,
            sample.line,
            sample.sheet_row,
        )
        if sample.file is not None:
            place = f"{place} of {sample.file}"
        screen.say(f'{place}: "{sample.value}"', indent=4)
    _show_omitted(screen, cause.count - len(cause.samples))
    screen.say(f"fix: {cause.what_to_do}", indent=4, style="green")


def _show_omitted(screen: Screen, count: int) -> None:
    if count > 0:
        screen.say(f"and {count:,} more", indent=4)


def _truncated_counts(report: ErrorReport) -> str:
    """Return the totals of the error codes whose entries are not all in the report."""
    listed_counts = Counter(entry.error_code for entry in report.entries)
    totals = [
        f"{code} {count:,}"
        for code, count in report.counts.items()
        if count > listed_counts[code]
    ]
    return ", ".join(totals)
