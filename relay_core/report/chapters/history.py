"""The chapter on the sizes of recent feeds."""

from __future__ import annotations

from relay_core.domain.codes import RunStatus
from relay_core.report.blocks import Bar, Bars
from relay_core.report.display import instant
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter

MAX_FEEDS = 10
"""The number of feeds that a report shows."""


def chapter(run: EndedRun) -> Chapter | None:
    """Return a bar for each recent publication, and one for the run's feed."""
    findings = run.findings
    bars = [
        Bar(
            publication.run_id,
            publication.requested_at,
            publication.skus,
            "idle",
        )
        for publication in findings.history
    ]
    if findings.failure is None:
        context = run.context
        requested_at = instant(context.requested_at)
        bars.append(
            Bar(
                context.run_id,
                requested_at,
                findings.record_count,
                tone="warn" if run.status is RunStatus.HELD else "good",
                note="this run",
            )
        )
    bars = bars[-MAX_FEEDS:]
    if len(bars) < 2:
        return None
    block = Bars(
        "history",
        "SKUs in recent feeds",
        tuple(bars),
        label_kind="time",
        unit="SKU",
    )
    return Chapter("history", "Recent feeds", (block,))
