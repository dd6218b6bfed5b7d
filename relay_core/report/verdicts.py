"""The result of a run in a word, a headline, and a sentence."""

from __future__ import annotations

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.run_faults import counted, listed
from relay_core.report.blocks import Verdict
from relay_core.report.chapters.guards import guard_words
from relay_core.report.chapters.next_steps import vendors_sharing_skus
from relay_core.report.ended_run import EndedRun

NOTHING_PUBLISHED = "Nothing was published, and your shop keeps its live feed."
"""The consequence of a run that publishes no feed."""
REVIEW_ONLY = (
    "A run of some vendors is for review only. It is not published, and your shop keeps "
    "its live feed."
)
"""The consequence of a run of some vendors."""
_ACTIVITIES = {
    Stage.FETCH_INPUTS: "while collecting the vendors' files",
    Stage.NORMALIZE: "while reading the vendors' files",
    Stage.MERGE_PRICE: "while merging offers and calculating prices",
    Stage.WRITE_OUTPUTS: "while writing the feed",
}


def verdict_of(run: EndedRun) -> Verdict:
    """Return the result of a run."""
    match run.status:
        case RunStatus.FAILED:
            return _failed(run)
        case RunStatus.CANCELLED:
            return Verdict(
                tone="idle",
                word="Canceled",
                headline="The run was cancelled",
                sentence=NOTHING_PUBLISHED,
            )
        case RunStatus.SUCCEEDED:
            return _succeeded(run)
    return _held(run)


def _failed(run: EndedRun) -> Verdict:
    failure = run.findings.failure
    stage = failure.stage if failure else Stage.QUEUE
    activity = _ACTIVITIES.get(stage, "before it began")
    return Verdict(
        tone="bad",
        word="Failed",
        headline="No new feed was made",
        sentence=f"The run failed {activity}. {NOTHING_PUBLISHED}",
    )


def _held(run: EndedRun) -> Verdict:
    findings = run.findings
    names = [guard_words(result)[0] for result in findings.tripped]
    guards = counted(len(findings.guards or ()), "guard")
    skus = counted(findings.record_count, "SKU")
    names_in_words = listed(names, ", ", len(names))
    return Verdict(
        tone="warn",
        word="On hold",
        headline="The new feed is on hold",
        sentence="More changed since the previous feed than your settings allow: "
        f"{len(names)} of {guards} tripped ({names_in_words}). The new feed has {skus} "
        "and is not published. Your shop keeps its live feed.",
    )


def _succeeded(run: EndedRun) -> Verdict:
    findings = run.findings
    skus = counted(findings.record_count, "SKU")
    headline = f"The new feed has {skus}"
    sentence = "It replaces the previous feed."
    if findings.changes is None:
        sentence = "There is no previous feed to compare it with."
    if not findings.scope.of_all_vendors:
        headline = f"A feed of some vendors has {skus}"
        sentence = REVIEW_ONLY
    is_doubtful = bool(
        run.vendor_warnings
        or findings.tripped
        or vendors_sharing_skus(run)
        or findings.quarantined
    )
    return Verdict(
        tone="warn" if is_doubtful else "good",
        word="Succeeded, with warnings" if is_doubtful else "Succeeded",
        headline=headline,
        sentence=sentence,
    )
