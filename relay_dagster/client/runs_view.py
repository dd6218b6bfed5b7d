"""Runs as tables and pages: what there is to know of them, and where the rest lies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relay_dagster.client.answers import Run, RunSummary
from relay_dagster.client.api_client import download, read_file
from relay_dagster.client.failures import ClientError
from relay_dagster.client.screen import (
    Screen,
    between,
    counted,
    duration,
    instant,
    status_style,
)
from relay_dagster.client.session import Session

_COLUMNS = ("run_id", "tenant_id", "status", "requested_at", "took", "error_code")
_ROOM_FOR_ALL = 112


def show_runs(screen: Screen, runs: Sequence[Run]) -> None:
    """Write a table of runs; a narrow terminal gets fewer columns, never part of a run_id."""
    if not runs:
        screen.say("no run")
        return
    narrow = screen.is_terminal and screen.out.width < _ROOM_FOR_ALL
    if not narrow:
        screen.table(_COLUMNS, [_row(run) for run in runs], whole=("run_id", "status"))
        return
    rows = []
    for run in runs:
        run_id, tenant_id, status, requested_at, _, error_code = _row(run)
        rows.append((run_id, tenant_id, f"{status} {error_code}".removesuffix(" -"), requested_at))
    screen.table(_COLUMNS[:4], rows, whole=("run_id",))


def _row(run: Run) -> tuple[str, ...]:
    status = run.status if run.is_final else f"{run.status} {run.stage}"
    took = between(run.started_at, run.finished_at)
    requested_at = instant(run.requested_at)
    return (run.run_id, run.tenant_id, status, requested_at, took, run.error_code or "-")


class RunPage:
    """One run with its summary and links; what cannot be had is a note, not an end.

    Args:
        session: where it is asked for and shown.
        run: the run.
    """

    def __init__(self, session: Session, run: Run) -> None:
        self._screen = session.screen
        self.run = run
        self.links = session.api.artifacts(run.run_id)
        self.summary, self.note = _summary(self.links)

    def as_json(self) -> dict[str, Any]:
        """Return all of it for programs."""
        summary = None if self.summary is None else self.summary.as_json()
        return {"run": self.run.as_json(), "summary": summary, "artifacts": self.links}

    def show(self) -> None:
        """Write it for people."""
        run, screen = self.run, self._screen
        screen.say(f"run {run.run_id} of {run.tenant_id}")
        screen.say(_standing(run), indent=2, style=status_style(run.status))
        for line in _facts(run):
            screen.say(line, indent=2)
        if self.summary is not None:
            self._show_summary(self.summary)
        if self.note:
            screen.say(self.note, indent=2)
        self._show_links()

    def _show_summary(self, summary: RunSummary) -> None:
        screen, refused = self._screen, summary.invalid_rows
        screen.say()
        screen.say("rows", style="bold")
        counts = {
            "read": summary.total_rows,
            "refused": refused,
            "valid": summary.total_rows - refused,
            "in the merged feed": summary.record_count,
            "SKUs without a price, left out": summary.unpriced_skus,
        }
        for what, count in counts.items():
            screen.say(f"{count:>11,}  {what}", indent=2)
        for vendor, count in summary.vendor_record_counts.items():
            screen.say(f"{count:>11,}  valid of {vendor}", indent=2)
        screen.say(f"warnings: {counted(summary.warnings)}", indent=2)
        screen.say()
        screen.say("stages", style="bold")
        for stage, seconds in summary.stage_times.items():
            screen.say(f"{duration(seconds):>11}  {stage}", indent=2)
        screen.say(f"{duration(summary.duration_seconds):>11}  in all", indent=2)

    def _show_links(self) -> None:
        if not self.links:
            return
        screen = self._screen
        screen.say()
        if screen.is_terminal:
            screen.say("artifacts", style="bold")
            for name, link in self.links.items():
                screen.say(name, indent=2, href=link)
            again = f"relay show {self.run.run_id} --json"
            screen.say(f"the names are links, good for an hour; as text: {again}", style="dim")
            return
        screen.say("artifacts, with links that are good for an hour")
        width = max(map(len, self.links))
        for name, link in self.links.items():
            screen.say(f"{name.ljust(width)}  {link}", indent=2)


def _summary(links: Mapping[str, str]) -> tuple[RunSummary | None, str]:
    link = links.get("run_summary")
    if link is None:
        return None, ""
    name = "run_summary.json"
    try:
        return read_file(RunSummary, name, download(name, link)), ""
    except ClientError as error:
        return None, error.lines[0]


def _standing(run: Run) -> str:
    if run.succeeded:
        return f"{run.status} in {between(run.started_at, run.finished_at)}"
    if run.is_final:
        return f"{run.status} in {run.failed_stage or run.stage}"
    return f"{run.status}, stage {run.stage}"


def _facts(run: Run) -> Iterable[str]:
    if run.error_code:
        yield run.cause
    version = "none found" if run.config_version is None else str(run.config_version)
    vendors = "all vendors" if run.vendors is None else f"vendors {', '.join(run.vendors)}"
    yield f"config version {version}, {vendors}, attempt {run.attempt}, started by {run.trigger}"
    yield (
        f"requested {instant(run.requested_at)}, started {instant(run.started_at)}, "
        f"finished {instant(run.finished_at)}"
    )
    if run.next_attempt_at:
        yield f"the next attempt starts at {instant(run.next_attempt_at)}"
    if run.cancel_requested_at and not run.is_final:
        yield f"asked to be cancelled at {instant(run.cancel_requested_at)}"
    if run.dagster_url:
        yield f"in Dagster: {run.dagster_url}"
    if run.is_final and not run.succeeded:
        yield f"causes and samples: relay errors {run.run_id}"
