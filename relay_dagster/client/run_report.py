"""The report on one run: its record, its summary, and links to its artifacts."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from relay_core.domain.input_names import counts_by_input
from relay_dagster.client.artifacts import CatalogSummary, RunSummary
from relay_dagster.client.errors import ClientError
from relay_dagster.client.hold_report import show_hold
from relay_dagster.client.links import read_report
from relay_dagster.client.run_watch import cause_of
from relay_dagster.client.session import Session
from relay_dagster.client.terminal import (
    Screen,
    between,
    cell_of_count,
    duration,
    instant,
    named_counts,
    status_style,
)
from relay_dagster.wire.runs import (
    FeedChanges,
    PartCounts,
    RowCounts,
    Run,
    RunDetails,
)
from relay_dagster.wire.tenants import Tenant


@dataclass(frozen=True)
class RunReport:
    """A run with its summary and its artifacts.

    Attributes:
        screen: The terminal.
        run: The run.
        links: A link to each artifact, by name.
        summary: The run's summary, or None if it cannot be read.
        note: The reason why there is no summary, if it should be there.
        config: The tenant's config, or None if the key may not read it.
    """

    screen: Screen
    run: RunDetails
    links: Mapping[str, str]
    summary: RunSummary | None
    note: str
    config: Tenant | None

    @classmethod
    def fetched(cls, session: Session, run: RunDetails) -> Self:
        """Fetch all parts of a run's report that can be had."""
        links = session.api.artifacts(run.run_id)
        summary = None
        note = ""
        if "run_summary" in links:
            try:
                summary = read_report(
                    RunSummary,
                    "run_summary",
                    links["run_summary"],
                )
            except ClientError as error:
                note = error.lines[0]
        config = None
        with suppress(ClientError):
            config = session.api.config(run.tenant_id, None)
        return cls(session.screen, run, links, summary, note, config)

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
        if run.hold is not None:
            show_hold(screen, run, run.hold)
        if self.summary is not None:
            self._show_summary(self.summary)
        if run.changes is not None:
            show_changes(screen, run.changes)
        if self.note:
            screen.say(self.note, indent=2)
        if self.links:
            screen.section(
                f"artifacts (download one with: relay runs artifacts {run.run_id} NAME)",
            )
        for name, link in self.links.items():
            screen.say(name, indent=2, href=link)

    def _show_summary(self, summary: RunSummary) -> None:
        screen = self.screen
        screen.section("rows")
        counts = {
            "read": summary.total_rows,
            "rejected": summary.invalid_rows,
            "valid": summary.total_rows - summary.invalid_rows,
        }
        for vendor_id, count in summary.vendor_record_counts.items():
            counts[f"  from {vendor_id}"] = count
        counts["in the merged feed"] = summary.record_count
        counts["SKUs without a price (left out)"] = summary.unpriced_skus
        if summary.quarantined is not None:
            counts["SKUs that keep their published price"] = summary.quarantined
        for channel_id, count in (summary.channels or {}).items():
            counts[f"in channel {channel_id}"] = count
        _show_counts(screen, counts)
        if summary.quarantined:
            screen.say(
                "quarantine.csv lists them. To publish their new prices with the next run:",
                indent=2,
            )
            screen.say(
                f"relay runs accept {self.run.run_id} --all --reason ...",
                indent=4,
                whole=True,
            )
        if summary.catalog is not None:
            _show_catalog(screen, summary.catalog)
        screen.say(f"warnings: {named_counts(summary.warnings)}", indent=2)
        if self.run.rows:
            show_rows(screen, self.run.rows)
        screen.section("stages")
        for stage, seconds in summary.stage_times.items():
            screen.say(f"{duration(seconds):>11}  {stage}", indent=2)
        screen.say(f"{duration(summary.duration_seconds):>11}  total", indent=2)


def _show_catalog(screen: Screen, catalog: CatalogSummary) -> None:
    """Write how many rows match the catalog, and which files list the others."""
    screen.section("products")
    counts = {"in the catalog": catalog.rows}
    for vendor_id, matched in catalog.matched_by.items():
        for key, count in matched.items():
            if count:
                counts[f"rows of {vendor_id} matched by {key}"] = count
    counts["rows without a product (unmatched.csv)"] = catalog.unmatched
    if catalog.uncovered is not None:
        counts["products without an offer (uncovered.csv)"] = catalog.uncovered
    _show_counts(screen, counts)


def show_rows(screen: Screen, rows: Mapping[str, RowCounts]) -> None:
    """Write the fates of the rows of each vendor and part.

    There is a column for each fate of any row.
    """
    screen.section("rows by outcome")
    counts_by_name = counts_by_input(
        {vendor_id: counts.model_dump() for vendor_id, counts in rows.items()},
    )
    fates = []
    for name in dict.fromkeys(
        (*RowCounts.model_fields, *PartCounts.model_fields),
    ):
        has_rows = any(counts.get(name) for counts in counts_by_name.values())
        if has_rows or name in ("read", "won"):
            fates.append(name)
    table_rows = []
    for name, counts in counts_by_name.items():
        cells = [cell_of_count(counts.get(fate)) for fate in fates]
        table_rows.append([name, *cells])
    screen.table(("vendor_id", *fates), table_rows, folded=("vendor_id",))


def show_changes(screen: Screen, changes: FeedChanges) -> None:
    """Write the numbers of SKUs that a feed changes, compared with another feed."""
    screen.section(f"changes from the feed of run {changes.baseline_run_id}")
    counts = {
        "SKUs added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "  price up": changes.price_up,
        "  price down": changes.price_down,
        "  back in stock": changes.came_in_stock,
        "  out of stock": changes.went_out_of_stock,
        "  other vendor": changes.vendor_changed,
        "unchanged": changes.unchanged,
    }
    _show_counts(screen, counts)


def _show_counts(screen: Screen, counts: Mapping[str, int]) -> None:
    for title, count in counts.items():
        screen.say(f"{count:>11,}  {title}", indent=2)


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
        yield cause_of(run)
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
        yield f"for causes and samples: relay runs errors {run.run_id}"


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
