"""Causes of a run's errors: those of refused rows, then what is about the whole run, by its kind.

Made from errors.json alone; how it looks on a terminal is `terminal`.
"""

from collections import Counter
from itertools import groupby
from typing import Any, NamedTuple

import typer

from relay_core.domain.records import place_in_words
from relay_dagster.client.artifacts import ErrorReport, ReportEntry
from relay_dagster.client.links import read_report
from relay_dagster.client.run_watch import cause_of
from relay_dagster.client.session import RunId, Session, Shown, command
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.runs import Run

_SHOWN = 3


commands = typer.Typer()


@command(commands)
def errors(session: Session, run_id: RunId) -> Shown:
    """Show what went wrong in a run: each cause once, with its count, samples and what to do."""
    found = session.api.run(run_id).run
    links = session.api.artifacts(run_id)
    report = read_report(ErrorReport, "errors", links["errors"]) if "errors" in links else None

    def show() -> None:
        session.screen.say(headline(found, report))
        if report is not None:
            show_causes(session.screen, found, report, links)

    return Shown(causes_json(found, report, links.get("invalid_rows")), show)


class Place(NamedTuple):
    """What matters of a run have in common."""

    error_code: str
    vendor_id: str | None


def matters_of(report: ErrorReport) -> list[tuple[Place, list[ReportEntry]]]:
    """Return the entries that are about the run and not about a row, in the report's order."""
    entries = (entry for entry in report.entries if entry.row_number is None)
    grouped = groupby(entries, lambda entry: Place(entry.error_code, entry.vendor_id))
    return [(place, list(some)) for place, some in grouped]


def causes_json(run: Run, report: ErrorReport | None, invalid_rows: str | None) -> dict[str, Any]:
    """Return what went wrong for programs."""
    return {
        "run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "status": run.status,
        "error_code": run.error_code,
        "error_message": run.error_message,
        "failure_class": run.failure_class,
        "next_action": run.next_action,
        "counts": report.counts if report else {},
        "truncated": report.truncated if report else False,
        "causes": [cause.as_json() for cause in report.causes] if report else [],
        "matters": [
            {
                **place._asdict(),
                "count": len(entries),
                "samples": [entry.as_json() for entry in entries[:_SHOWN]],
            }
            for place, entries in (matters_of(report) if report else ())
        ],
        "invalid_rows": invalid_rows,
    }


def show_causes(screen: Screen, run: Run, report: ErrorReport, links: dict[str, str]) -> None:
    """Write for people what went wrong, and what to do."""
    if run.next_action:
        screen.say(f"to do: {run.next_action}", style="green")
    for cause in report.causes:
        column = f", column {cause.column}" if cause.column else ""
        shape = "" if cause.shape is None else f", {cause.shape or 'empty'}"
        screen.section(
            f"{cause.count:,} x {cause.error_code} (vendor {cause.vendor_id}{column}{shape})"
        )
        for sample in cause.samples:
            where = place_in_words(sample.row_number, sample.line, sample.sheet_row)
            screen.say(f'{where}: "{sample.value}"', indent=4)
        _show_more(screen, cause.count - len(cause.samples))
        screen.say(f"to do: {cause.what_to_do}", indent=4, style="green")
    for place, entries in matters_of(report):
        screen.say()
        of_vendor = f" (vendor {place.vendor_id})" if place.vendor_id else ""
        screen.say(f"{len(entries):,} x {place.error_code}{of_vendor}", style="bold")
        for entry in entries[:_SHOWN]:
            screen.say(entry.error_message, indent=4)
        _show_more(screen, len(entries) - _SHOWN)
    screen.say()
    if report.truncated:
        kept = Counter(entry.error_code for entry in report.entries)
        cut = {code: n for code, n in report.counts.items() if n > kept[code]}
        totals = ", ".join(f"{code} {n:,}" for code, n in cut.items())
        screen.say(f"errors.json keeps the first entries alone; all there were: {totals}")
    if link := links.get("invalid_rows"):
        text = "every refused record, as it stood in its file: invalid_rows.csv"
        screen.say(text if screen.is_terminal else f"{text}: {link}", href=link)


def _show_more(screen: Screen, count: int) -> None:
    if count > 0:
        screen.say(f"and {count:,} more", indent=4)


def headline(run: Run, report: ErrorReport | None) -> str:
    """Return the first line: the run's end, and its error where no entry of the report has it."""
    if not run.has_ended:
        return f"run {run.run_id} is {run.status}; what is wrong is told when it has ended"
    how = f"run {run.run_id} of {run.tenant_id}: {run.status}"
    listed = {entry.error_code for entry in report.entries} if report else set()
    if run.succeeded:
        return how if listed else f"{how}, with nothing to tell"
    how = f"{how} in {run.failed_stage or run.stage}"
    if run.error_code is None:
        return how
    return f"{how}, {run.error_code if run.error_code in listed else cause_of(run)}"
