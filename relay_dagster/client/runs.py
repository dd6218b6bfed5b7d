"""Runs: started, listed, shown with all that there is to know of them, and what went wrong."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated, Any, NamedTuple, Self

import typer

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import place_in_words
from relay_dagster.client.api_client import segment
from relay_dagster.client.artifacts import ErrorReport, ReportEntry, RunSummary
from relay_dagster.client.errors import ClientError, NoAnswerError
from relay_dagster.client.holds import show_hold
from relay_dagster.client.links import read_report
from relay_dagster.client.run_watch import cause_of, exit_status, watch
from relay_dagster.client.session import (
    Limit,
    RunId,
    Session,
    Shown,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import (
    Screen,
    TableView,
    ago,
    between,
    cell_of_count,
    counted,
    duration,
    instant,
    status_style,
)
from relay_dagster.wire.runs import FeedChanges, RowCounts, Run, RunDetails
from relay_dagster.wire.tenants import Tenant

_ROOM_FOR_ALL = 118
Watch = Annotated[bool, option("Follow the run to its end.", "--watch")]
commands = typer.Typer()


@command(commands)
def run(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Whose feeds to run.")],
    vendor: Annotated[
        list[str] | None,
        option("One of the config's vendors; may be repeated.", default="all"),
    ] = None,
    watched: Watch = False,
    idempotency_key: Annotated[
        str | None, option("Asked again with it within a day, it is the same run.")
    ] = None,
) -> None:
    """Start a run and print its run_id; with --watch exit with 1 unless it succeeds, 3 if held."""
    try:
        polled = session.api.start_run(tenant, vendor or [], idempotency_key)
    except NoAnswerError as error:
        if error.was_sent:
            session.screen.complain(
                f"whether the run was started is not known; see: relay runs --tenant {tenant}"
            )
        raise
    run_id = polled.run.run_id
    session.screen.say(run_id)
    if watched:
        ended = watch(session, polled)
        if ended.succeeded:
            took = between(ended.started_at, ended.finished_at)
            session.screen.say(
                f"{ended.status} in {took}; more with: relay show {ended.run_id}"
            )
        elif ended.is_held:
            session.screen.complain(
                f"what holds it, what releases it: relay show {ended.run_id}"
            )
        elif ended.error_code:
            session.screen.complain(f"causes and samples: relay errors {ended.run_id}")
        raise typer.Exit(exit_status(session, ended))
    if session.screen.is_terminal:
        session.screen.say(f"follow it with: relay show {run_id} --watch", style="dim")


@command(commands)
def runs(
    session: Session,
    tenant: Annotated[str | None, option("Only this tenant's.")] = None,
    status: Annotated[RunStatus | None, option("Only those that stand so.")] = None,
    limit: Limit = 20,
) -> Shown:
    """List runs, newest first."""
    found = list(session.api.runs(tenant, status, limit))
    return Shown(found, lambda: show_runs(session.screen, found))


@command(commands)
def show(session: Session, run_id: RunId, watched: Watch = False) -> Shown:
    """Show a run: how it stands, what it counted, what it wrote; --watch as for `relay run`."""
    polled = session.api.run(run_id)
    found = watch(session, polled, silently=session.as_json) if watched else polled.run
    page = RunReport.fetched(session, found)
    if not watched:
        return Shown(page.as_json(), page.show)
    return Shown(page.as_json(), page.show, lambda: exit_status(session, found))


@command(commands)
def cancel(session: Session, run_id: RunId) -> Shown:
    """Cancel a run, at once or as soon as it can be stopped; a feed that it holds is discarded."""
    found = session.api.ask(Run, "POST", f"/v1/runs/{segment(run_id)}/cancel")
    asked = "" if found.has_ended else "; it is asked to stop"
    line = f"run {found.run_id} of {found.tenant_id} is {found.status}{asked}"
    return Shown(found, lambda: session.screen.say(line))


def show_runs(screen: Screen, runs: Sequence[Run]) -> None:
    """Write a table of runs; a narrow terminal gets causes below, never part of a run_id."""
    if not runs:
        screen.say("no run")
        return
    is_narrow, now = (
        screen.is_terminal and screen.out.width < _ROOM_FOR_ALL,
        datetime.now(UTC),
    )
    columns: dict[str, str | Callable[[Any], str]] = {
        "run_id": "run_id",
        "tenant_id": "tenant_id",
        "status": lambda run: (
            run.status if is_narrow else f"{run.status} {_stage(run)}".strip()
        ),
    }
    if screen.is_terminal:
        columns["requested"] = lambda run: ago(run.requested_at, now)
    else:
        columns["requested_at"] = "requested_at"
    if not is_narrow:
        columns["took"] = lambda run: between(run.started_at, run.finished_at)
        columns["error_code"] = "error_code"
    notes = [run.error_code or _stage(run) for run in runs] if is_narrow else ()
    TableView(columns, folded=("tenant_id",)).show(screen, runs, notes=notes)


def _stage(run: Run) -> str:
    return "" if run.has_ended else run.stage


@dataclass(frozen=True)
class RunReport:
    """One run with its summary and links; what cannot be had is a note, not an end."""

    screen: Screen
    run: RunDetails
    links: Mapping[str, str]
    summary: RunSummary | None
    note: str  # why there is no summary
    config: Tenant | None  # None where the key may not read it

    @classmethod
    def fetched(cls, session: Session, run: RunDetails) -> Self:
        """Fetch what there is of a run."""
        links, summary, note, config = session.api.artifacts(run.run_id), None, "", None
        if "run_summary" in links:
            try:
                summary = read_report(RunSummary, "run_summary", links["run_summary"])
            except ClientError as error:
                note = error.lines[0]
        with suppress(ClientError):
            config = session.api.config(run.tenant_id, None)
        return cls(session.screen, run, links, summary, note, config)

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        return {
            "run": self.run.as_json(),
            "next_run_at": self.config and self.config.as_json().get("next_run_at"),
            "summary": self.summary and self.summary.as_json(),
            "artifacts": self.links,
        }

    def show(self) -> None:
        """Write it for people."""
        run, screen = self.run, self.screen
        screen.say(f"run {run.run_id} of {run.tenant_id}")
        screen.say(_standing(run), indent=2, style=status_style(run.status))
        for line in _facts(run):
            screen.say(line, indent=2)
        if self.config is not None and self.config.next_run_at is not None:
            due = instant(self.config.next_run_at)
            screen.say(f"the schedule is due next at {due}", indent=2)
        if run.hold is not None:
            show_hold(screen, run, run.hold)
        if self.summary is not None:
            self._show_summary(self.summary)
        if run.changes is not None:
            show_changes(screen, run.changes)
        if self.note:
            screen.say(self.note, indent=2)
        if self.links:
            screen.section(f"artifacts (relay artifacts {run.run_id} NAME fetches one)")
        for name, link in self.links.items():
            screen.say(name, indent=2, href=link)

    def _show_summary(self, summary: RunSummary) -> None:
        screen, refused = self.screen, summary.invalid_rows
        screen.section("rows")
        counts = {
            "read": summary.total_rows,
            "refused": refused,
            "valid": summary.total_rows - refused,
            **{
                f"  of {name}": count
                for name, count in summary.vendor_record_counts.items()
            },
            "in the merged feed": summary.record_count,
            "SKUs without a price, left out": summary.unpriced_skus,
        }
        if summary.quarantined is not None:
            counts["SKUs that keep their published price"] = summary.quarantined
        _show_counts(screen, counts)
        if summary.quarantined:
            screen.say(
                "quarantine.csv has them; the next run publishes the new prices after",
                indent=2,
            )
            screen.say(
                f"relay accept {self.run.run_id} --all --reason ...",
                indent=4,
                whole=True,
            )
        screen.say(f"warnings: {counted(summary.warnings)}", indent=2)
        if self.run.rows:
            show_rows(screen, self.run.rows)
        screen.section("stages")
        for stage, seconds in summary.stage_times.items():
            screen.say(f"{duration(seconds):>11}  {stage}", indent=2)
        screen.say(f"{duration(summary.duration_seconds):>11}  in all", indent=2)


def show_rows(screen: Screen, rows: Mapping[str, RowCounts]) -> None:
    """Write where each vendor's rows went: a column a fate that any row has."""
    screen.section("where the rows went")
    fates = [
        name
        for name in RowCounts.model_fields
        if name in ("read", "won") or any(getattr(each, name) for each in rows.values())
    ]
    shown = [
        (vendor_id, *(cell_of_count(getattr(counts, name)) for name in fates))
        for vendor_id, counts in rows.items()
    ]
    screen.table(("vendor_id", *fates), shown, folded=("vendor_id",))


def show_changes(screen: Screen, changes: FeedChanges) -> None:
    """Write how many SKUs a feed changes against another."""
    screen.section(f"changed against the feed of run {changes.baseline_run_id}")
    counts = {
        "SKUs added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "  price up": changes.price_up,
        "  price down": changes.price_down,
        "  came in stock": changes.came_in_stock,
        "  went out of stock": changes.went_out_of_stock,
        "  from another vendor": changes.vendor_changed,
        "unchanged": changes.unchanged,
    }
    _show_counts(screen, counts)


def _show_counts(screen: Screen, counts: Mapping[str, int]) -> None:
    for what, count in counts.items():
        screen.say(f"{count:>11,}  {what}", indent=2)


def _standing(run: Run) -> str:
    if run.succeeded:
        return f"{run.status} in {between(run.started_at, run.finished_at)}"
    if run.is_held:
        return f"{run.status}: its feed is not published"
    if run.has_ended:
        return f"{run.status} in {run.failed_stage or run.stage}"
    return f"{run.status}, stage {run.stage}"


def _facts(run: Run) -> Iterable[str]:
    if run.error_code:
        yield cause_of(run)
    if run.next_action:
        yield f"{run.failure_class}; to do: {run.next_action}"
    version = "none found" if run.config_version is None else str(run.config_version)
    vendors = (
        "all vendors" if run.vendors is None else f"vendors {', '.join(run.vendors)}"
    )
    yield f"config version {version}, {vendors}, attempt {run.attempt}, started by {run.trigger}"
    moments = {"started": run.started_at, "finished": run.finished_at}
    moments_shown = [
        f"{what} {instant(moment)}" for what, moment in moments.items() if moment
    ]
    yield ", ".join([f"requested {instant(run.requested_at)}", *moments_shown[:-1]])
    yield from moments_shown[-1:]
    if run.next_attempt_at:
        yield f"the next attempt starts at {instant(run.next_attempt_at)}"
    if run.cancel_requested_at and not run.has_ended:
        yield f"asked to be cancelled at {instant(run.cancel_requested_at)}"
    if run.released_at:
        yield f"released {instant(run.released_at)} by {run.released_by}: {run.release_reason}"
    if run.dagster_url:
        yield f"in Dagster: {run.dagster_url}"
    if run.has_ended and run.error_code:
        yield f"causes and samples: relay errors {run.run_id}"


_SHOWN = 3


# --- what went wrong ---------------------------------------------------------------------------


@command(commands)
def errors(session: Session, run_id: RunId) -> Shown:
    """Show what went wrong in a run: each cause once, with its count, samples and what to do."""
    found = session.api.run(run_id).run
    links = session.api.artifacts(run_id)
    report = (
        read_report(ErrorReport, "errors", links["errors"])
        if "errors" in links
        else None
    )

    def show() -> None:
        session.screen.say(headline(found, report))
        if report is not None:
            show_causes(session.screen, found, report, links)

    document = {
        "run_id": found.run_id,
        "tenant_id": found.tenant_id,
        "status": found.status,
        "error_code": found.error_code,
        "error_message": found.error_message,
        "failure_class": found.failure_class,
        "next_action": found.next_action,
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
        "invalid_rows": links.get("invalid_rows"),
    }
    return Shown(document, show)


class Place(NamedTuple):
    """What matters of a run have in common."""

    error_code: str
    vendor_id: str | None


def matters_of(report: ErrorReport) -> list[tuple[Place, list[ReportEntry]]]:
    """Return the entries that are about the run and not about a row, in the report's order."""
    entries = (entry for entry in report.entries if entry.row_number is None)
    grouped = groupby(entries, lambda entry: Place(entry.error_code, entry.vendor_id))
    return [(place, list(some)) for place, some in grouped]


def show_causes(
    screen: Screen, run: Run, report: ErrorReport, links: dict[str, str]
) -> None:
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
        of_vendor = f" (vendor {place.vendor_id})" if place.vendor_id else ""
        screen.section(f"{len(entries):,} x {place.error_code}{of_vendor}")
        for entry in entries[:_SHOWN]:
            screen.say(entry.error_message, indent=4)
        _show_more(screen, len(entries) - _SHOWN)
    screen.say()
    if report.truncated:
        kept = Counter(entry.error_code for entry in report.entries)
        cut = {code: n for code, n in report.counts.items() if n > kept[code]}
        totals = ", ".join(f"{code} {n:,}" for code, n in cut.items())
        screen.say(
            f"errors.json keeps the first entries alone; all there were: {totals}"
        )
    if link := links.get("invalid_rows"):
        text = "every refused record, as it stood in its file: invalid_rows.csv"
        screen.say(text if screen.is_terminal else f"{text}: {link}", href=link)


def _show_more(screen: Screen, count: int) -> None:
    if count > 0:
        screen.say(f"and {count:,} more", indent=4)


def headline(run: Run, report: ErrorReport | None) -> str:
    """Return the first line: the run's end, and its error where no entry of the report has it."""
    if not run.has_ended:
        return f"run {run.run_id} is {run.status}; its errors are reported when it has ended"
    how = f"run {run.run_id} of {run.tenant_id}: {run.status}"
    listed = {entry.error_code for entry in report.entries} if report else set()
    if run.succeeded:
        return how if listed else f"{how}, with nothing to tell"
    how = f"{how} in {run.failed_stage or run.stage}"
    if run.error_code is None:
        return how
    return f"{how}, {run.error_code if run.error_code in listed else cause_of(run)}"
