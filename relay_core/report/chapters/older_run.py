"""The report of a run without report.json: of an older release, or one that is in progress.

Its one chapter has the numbers of the run's record and of run_summary.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import GuardResult
from relay_core.report.blocks import Block, Heading, Verdict
from relay_core.report.chapters import (
    catalog,
    changes,
    channels,
    decision,
    guards,
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
    """Return a report of the facts about a run that wrote no report.json.

    The report has no verdict.

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
    if "total_rows" in run_summary:
        has_feed = run["status"] != RunStatus.FAILED
        yield summary.figures_of(run_summary, has_feed=has_feed)
    for chapter in _chapters(run, run_summary):
        if chapter is not None:
            yield Heading(chapter.title)
            yield from chapter.blocks


def _chapters(
    run: Mapping[str, Any], run_summary: Mapping[str, Any]
) -> Iterator[Chapter | None]:
    """Yield what the chapters say that need no more than these numbers."""
    run_id = run["run_id"]
    hold = run["hold"] or {}
    results = run_summary.get("guards") or hold.get("guards") or ()
    yield guards.chapter_of(map(GuardResult.of_dict, results), {})
    if run["changes"] is not None:
        yield changes.chapter_of(run["changes"])
    yield rows.chapter_of(run_summary.get("rows") or {})
    if run["status"] == RunStatus.HELD:
        names = [result["guard"] for result in hold.get("guards") or ()]
        yield decision.chapter_of(run_id, names)
    quarantined = run_summary.get("quarantined")
    if quarantined:
        prices = quarantine.unlisted_prices(quarantined)
        yield quarantine.chapter_of(run_id, prices)
    if run_summary.get("catalog") is not None:
        yield catalog.chapter_of(run_summary["catalog"])
    if run_summary.get("channels"):
        yield channels.chapter_of(run_summary["channels"])
