"""The chapter on a feed on hold, which the reader releases or discards."""

from __future__ import annotations

from collections.abc import Iterable

from relay_core.domain.codes import RunStatus
from relay_core.report.blocks import Action, Sentence, text_of
from relay_core.report.ended_run import EndedRun
from relay_core.report.report import Chapter

_EXPLANATION = "Review the guards and the changes above before you decide."


def chapter(run: EndedRun) -> Chapter | None:
    """Return the decision on the feed, or None if it is not on hold."""
    if run.status is not RunStatus.HELD:
        return None
    guards = (result.guard for result in run.findings.tripped)
    return chapter_of(run.context.run_id, guards)


def chapter_of(run_id: str, guards: Iterable[str]) -> Chapter:
    """Return the decision on the feed of a run on hold.

    ``guards`` are the guards that tripped.
    """
    release = Action(
        name="release",
        title="Release feed",
        text="If the changes are correct",
        command=f"relay feed release {run_id}",
        parameters={"run_id": run_id, "guards": list(dict.fromkeys(guards))},
        reason="Reason for the release",
    )
    discard = Action(
        name="discard",
        title="Discard feed",
        text="If something is wrong",
        command=f"relay runs cancel {run_id}",
        parameters={"run_id": run_id},
        reason="Reason for discarding the feed",
        tone="bad",
    )
    blocks = (Sentence(text_of(_EXPLANATION)), release, discard)
    return Chapter("decision", "Your decision", blocks)
