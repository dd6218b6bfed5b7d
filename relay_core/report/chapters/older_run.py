"""The report of a run without report.json: of an older release, or one that is in progress.

Its one chapter has the numbers of the run's record and of run_summary.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import GuardResult
from relay_core.report.blocks import Block, File, Files, Heading, Verdict
from relay_core.report.chapters import (
    catalog,
    changes,
    guards,
    next_steps,
    quarantine,
    rows,
    summary,
)
from relay_core.report.report import Chapter, Report


def report_of_older_run(
    run: Mapping[str, Any],
    run_summary: Mapping[str, Any],
    *,
    timezone: str = "UTC",
    currency: str = "",
) -> Report:
    """Return what is known of a run that wrote no report.json. It has no verdict.

    Args:
        run: The run, as the API answers it.
        run_summary: The content of run_summary.json; empty if there is none.
        timezone: The tenant's time zone.
        currency: The currency of amounts.
    """
    blocks = tuple(_blocks(run, run_summary))
    chapter = Chapter("older_run", "Summary", blocks)
    return Report(
        run_id=run["run_id"],
        tenant_id=run["tenant_id"],
        status=run["status"],
        requested_at=run["requested_at"],
        timezone=timezone,
        currency=currency,
        config_version=run["config_version"],
        engine_version=run_summary.get("engine_version") or "",
        is_compiled=True,
        verdict=Verdict("", "", "", ""),
        chapters=(chapter,) if blocks else (),
    )


def _blocks(
    run: Mapping[str, Any], run_summary: Mapping[str, Any]
) -> Iterator[Block]:
    """Yield the blocks of each subject below its heading."""
    run_id = run["run_id"]
    if "total_rows" in run_summary:
        has_feed = run["status"] != RunStatus.FAILED
        yield summary.figures_of(run_summary, has_feed=has_feed)
    if run_summary.get("quarantined"):
        yield Heading("Prices to review")
        yield from quarantine.unlisted(run_id, run_summary["quarantined"])
    for chapter in _comparisons(run, run_summary):
        if chapter is not None:
            yield Heading(chapter.title)
            yield from chapter.blocks
    if run_summary.get("catalog") is not None:
        yield Heading("Your products")
        yield from catalog.blocks_of_summary(run_summary["catalog"])
    for channel_id, count in (run_summary.get("channels") or {}).items():
        yield Heading(channel_id, total=count, unit="row")
        yield Files((File(f"channel_{channel_id}", channel_id, ""),))
    if run["status"] == RunStatus.HELD:
        yield from next_steps.actions_on_hold(run_id, ())


def _comparisons(
    run: Mapping[str, Any], run_summary: Mapping[str, Any]
) -> tuple[Chapter | None, ...]:
    """Return the guards, the changes, and the outcomes of rows, where there are any."""
    hold = run["hold"] or {}
    results = run_summary.get("guards") or hold.get("guards") or ()
    counts = run["changes"]
    return (
        guards.chapter_of(map(GuardResult.of_dict, results), {}),
        None if counts is None else changes.chapter_of(counts),
        rows.chapter_of(run_summary.get("rows") or {}),
    )
