"""The content of a run's report: its chapters in the order in which readers want them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import ENGINE_VERSION, RunContext
from relay_core.kernel import compiled
from relay_core.report.blocks import File
from relay_core.report.chapters import (
    catalog,
    causes,
    changes,
    channels,
    decision,
    doubts,
    guards,
    history,
    next_steps,
    problems,
    quarantine,
    rows,
    rules,
    summary,
    unpriced,
    vendors,
    warnings,
)
from relay_core.report.display import instant
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter, Report
from relay_core.report.verdicts import verdict_of

if TYPE_CHECKING:
    from relay_core.publish.findings import RunFindings

CHAPTERS: tuple[Callable[[EndedRun], Chapter | None], ...] = (
    problems.chapter,
    next_steps.chapter,
    doubts.chapter,
    summary.chapter,
    rows.chapter,
    changes.chapter,
    guards.chapter,
    decision.chapter,
    history.chapter,
    quarantine.chapter,
    rules.chapter,
    vendors.chapter,
    catalog.chapter,
    channels.chapter,
    causes.chapter,
    unpriced.chapter,
    warnings.chapter,
)
"""The chapters in the order of a report."""


def report_of(
    context: RunContext,
    findings: RunFindings,
    status: RunStatus,
    files: Iterable[File] = (),
) -> Report:
    """Return the report of a run. The same run with the same findings has the same one.

    ``files`` are the files of the run that readers open.
    """
    run = EndedRun.of(context, findings, status)
    chapters = (make(run) for make in _ordered(status))
    return Report(
        run_id=context.run_id,
        tenant_id=context.tenant_id,
        status=str(status),
        requested_at=instant(context.requested_at),
        timezone=findings.scope.timezone,
        currency=findings.currency,
        config_version=context.config_version,
        engine_version=ENGINE_VERSION,
        is_compiled=compiled.is_installed,
        verdict=verdict_of(run),
        chapters=tuple(chapter for chapter in chapters if chapter is not None),
        files=tuple(files),
    )


def _ordered(
    status: RunStatus,
) -> list[Callable[[EndedRun], Chapter | None]]:
    """Return the chapters; a feed on hold shows its guards before its changes."""
    ordered = list(CHAPTERS)
    if status is RunStatus.HELD:
        ordered.remove(guards.chapter)
        ordered.insert(ordered.index(changes.chapter), guards.chapter)
    return ordered
