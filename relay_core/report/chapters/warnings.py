"""The chapter on the warnings of a run: the number of each."""

from __future__ import annotations

from relay_core.report.blocks import Cell, Column
from relay_core.report.display import listed_counts
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_TABLE_ROWS, table
from relay_core.report.report import Chapter

_COLUMNS = (
    Column("warning", "Warning", "code"),
    Column("entries", "Count", "count"),
)


def chapter(run: EndedRun) -> Chapter | None:
    """Return the number of each warning, or None if there are none."""
    counts = run.findings.counted_warnings()
    if not counts:
        return None
    by_code = sorted(counts.items())
    warnings = table(
        "warnings",
        "Number of each warning",
        _COLUMNS,
        ((Cell(str(code)), Cell(count)) for code, count in by_code),
        limit=MAX_TABLE_ROWS,
        total=len(by_code),
        artifact="errors",
    )
    lines = (f"warnings{listed_counts(counts)}",)
    return Chapter("warnings", "Warnings", (warnings,), lines=lines)
