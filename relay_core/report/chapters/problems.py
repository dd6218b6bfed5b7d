"""The chapter on what made a run fail."""

from __future__ import annotations

from relay_core.report.blocks import Item, Items, Span, text_of
from relay_core.report.ended_run import EndedRun
from relay_core.report.excerpts import MAX_EXAMPLES
from relay_core.report.report import Chapter


def chapter(run: EndedRun) -> Chapter | None:
    """Return the faults of the run itself, or None if it has none."""
    faults = run.findings.faults
    if not faults:
        return None
    items = [
        Item(text_of(Span(fault.error_code, "code"), " ", fault.error_message))
        for fault in faults[:MAX_EXAMPLES]
    ]
    block = Items(tuple(items), len(faults), "errors")
    return Chapter("problems", "What went wrong", (block,), "bad")
