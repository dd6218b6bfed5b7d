"""The chapter on the warnings of a run: the number of each, for programs."""

from __future__ import annotations

from relay_core.report.display import listed_counts
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter


def chapter(run: EndedRun) -> Chapter | None:
    """Return the number of each warning, or None if there are none.

    Other chapters say in sentences what the warnings are about, so this one has no blocks.
    """
    counts = run.findings.counted_warnings()
    if not counts:
        return None
    facts = {f"warnings/{code}": counts[code] for code in sorted(counts)}
    lines = (f"warnings{listed_counts(counts)}",)
    return Chapter("warnings", "Warnings", facts=facts, lines=lines)
