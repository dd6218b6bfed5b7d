"""The report on one run: its record, the chapters of its report, and its artifacts.

The module knows blocks, and none of Relay's features.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from relay_core.report.chapters.older_run import report_of_older_run
from relay_core.report.report import Report, read_report
from relay_dagster.client import links
from relay_dagster.client.artifacts import RunSummary
from relay_dagster.client.errors import ClientError, UnexpectedResponseError
from relay_dagster.client.report_blocks import ReportView
from relay_dagster.client.run_commands import command_of
from relay_dagster.client.run_watch import failure_in_words
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import (
    Screen,
    between,
    duration,
    instant,
    named_counts,
    status_style,
)
from relay_dagster.wire.runs import Run, RunDetails
from relay_dagster.wire.tenants import Tenant


@dataclass(frozen=True)
class RunReport:
    """A run with its report and its artifacts.

    Attributes:
        screen: The terminal.
        run: The run.
        links: A link to each artifact, by name.
        report: The chapters on the run.
        summary: The run's summary, or None if it cannot be read.
        notes: Why a report that should be there is missing.
        config: The tenant's config, or None if the key may not read it.
    """

    screen: Screen
    run: RunDetails
    links: Mapping[str, str]
    report: Report
    summary: RunSummary | None
    notes: tuple[str, ...]
    config: Tenant | None

    @classmethod
    def fetched(cls, session: Session, run: RunDetails) -> Self:
        """Fetch all parts of a run's report that can be had."""
        addresses = session.api.artifacts(run.run_id)
        notes = []
        summary = None
        if "run_summary" in addresses:
            try:
                summary = links.read_report(
                    RunSummary, "run_summary", addresses["run_summary"]
                )
            except ClientError as error:
                notes.append(error.lines[0])
        report = None
        if "report_data" in addresses:
            try:
                report = _downloaded(addresses["report_data"])
            except ClientError as error:
                notes.append(error.lines[0])
        if report is None:
            known = {} if summary is None else summary.as_json()
            report = report_of_older_run(run.model_dump(mode="json"), known)
        config = None
        with suppress(ClientError):
            config = session.api.config(run.tenant_id, None)
        screen = session.screen
        return cls(
            screen, run, addresses, report, summary, tuple(notes), config
        )

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        next_run_at = None
        if self.config is not None:
            next_run_at = self.config.as_json().get("next_run_at")
        return {
            "run": self.run.as_json(),
            "next_run_at": next_run_at,
            "summary": None if self.summary is None else self.summary.as_json(),
            "artifacts": self.links,
        }

    def show(self) -> None:
        """Write the report for people."""
        run = self.run
        screen = self.screen
        screen.say(f"run {run.run_id} of {run.tenant_id}")
        screen.say(_standing(run), indent=2, style=status_style(run.status))
        for line in _facts(run):
            screen.say(line, indent=2)
        if self.config is not None and self.config.next_run_at is not None:
            due_at = instant(self.config.next_run_at)
            screen.say(f"next scheduled run at {due_at}", indent=2)
        ReportView(
            screen,
            self.report,
            self.links,
            status=run.status,
            command_of=lambda action: command_of(action, run),
        ).show()
        if self.summary is not None:
            self._show_stages(self.summary)
        for note in self.notes:
            screen.say(note, indent=2)
        if self.links:
            screen.section(
                f"artifacts (download one with: relay runs artifacts {run.run_id} NAME)",
            )
        for name, link in self.links.items():
            screen.say(name, indent=2, href=link)

    def _show_stages(self, summary: RunSummary) -> None:
        screen = self.screen
        screen.section("stages")
        for stage, seconds in summary.stage_times.items():
            screen.say(f"{duration(seconds):>11}  {stage}", indent=2)
        screen.say(f"{duration(summary.duration_seconds):>11}  total", indent=2)
        screen.say(f"warnings: {named_counts(summary.warnings)}", indent=2)


def _downloaded(link: str) -> Report:
    """Return the report behind a link.

    Raises:
        ClientError: The report cannot be downloaded or read.
    """
    file_name = "report.json"
    try:
        return read_report(links.download(file_name, link))
    except ValueError as error:
        raise UnexpectedResponseError(
            f"{file_name} has a format that this version of relay cannot read.",
        ) from error


def _standing(run: Run) -> str:
    """Return a run's status in a few words."""
    if run.succeeded:
        return f"{run.status} in {between(run.started_at, run.finished_at)}"
    if run.is_held:
        return f"{run.status}: the feed is not published"
    if run.has_ended:
        return f"{run.status} in {run.failed_stage or run.stage}"
    return f"{run.status}, stage {run.stage}"


def _facts(run: Run) -> Iterator[str]:
    """Yield the lines about a run's record."""
    if run.error_code:
        yield failure_in_words(run)
    if run.next_action:
        yield f"{run.failure_class}; next step: {run.next_action}"
    version = "none found" if run.config_version is None else run.config_version
    vendors = "all vendors"
    if run.vendors is not None:
        vendors = f"vendors {', '.join(run.vendors)}"
    yield (
        f"config version {version}, {vendors}, attempt {run.attempt}, started by "
        f"{run.trigger}"
    )
    yield from _moments(run)
    if run.next_attempt_at:
        yield f"next attempt at {instant(run.next_attempt_at)}"
    if run.cancel_requested_at and not run.has_ended:
        yield f"cancellation requested at {instant(run.cancel_requested_at)}"
    if run.released_at:
        released_at = instant(run.released_at)
        yield f"released {released_at} by {run.released_by}: {run.release_reason}"
    if run.dagster_url:
        yield f"Dagster: {run.dagster_url}"
    if run.has_ended and run.error_code:
        yield f"for its errors with samples: relay runs errors {run.run_id}"


def _moments(run: Run) -> Iterator[str]:
    """Yield when a run was requested, started and finished; the latest on its own line."""
    moments = [f"requested {instant(run.requested_at)}"]
    if run.started_at:
        moments.append(f"started {instant(run.started_at)}")
    if run.finished_at:
        moments.append(f"finished {instant(run.finished_at)}")
    if len(moments) == 1:
        yield moments[0]
    else:
        yield ", ".join(moments[:-1])
        yield moments[-1]
