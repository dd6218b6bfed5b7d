"""A run's report as it is of use later, when people may have decided on the run."""

from __future__ import annotations

from collections.abc import Callable

from relay_core.report.blocks import Action, Block, Sentence, Steps
from relay_core.report.report import Report


def current_report(
    report: Report, status: str, allows: Callable[[Action], bool]
) -> Report:
    """Return the report of a run with what a reader can still do.

    Left out are actions that are not possible, and the next steps if the run now has
    another status than its report. A chapter goes with them if only sentences remain.

    Args:
        report: The report that the run wrote.
        status: The status that the run has now.
        allows: Whether an action is possible.
    """

    def is_kept(block: Block) -> bool:
        match block:
            case Action():
                return allows(block)
            case Steps():
                return report.status == status
        return True

    chapters = []
    for chapter in report.chapters:
        kept = tuple(filter(is_kept, chapter.blocks))
        is_whole = len(kept) == len(chapter.blocks)
        if is_whole or not all(isinstance(block, Sentence) for block in kept):
            chapters.append(chapter._replace(blocks=kept))
    return report._replace(chapters=tuple(chapters))
