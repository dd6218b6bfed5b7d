"""The rules of a run whose feed is held back: held, released, expired, superseded.

The table of ``runs/transitions.py`` has their transitions. A discard is a cancellation,
so its rule is in ``runs/end_rules.py``.
"""

from dataclasses import replace
from datetime import datetime

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.runs import transitions
from relay_dagster.runs.errors import HoldMismatchError, RunNotHeldError
from relay_dagster.runs.model import Fence, Hold, Outcome, Release, RunRecord
from relay_dagster.runs.transitions import rule

HOLD_SUPERSEDED = "HOLD_SUPERSEDED"
HOLD_EXPIRED = "HOLD_EXPIRED"


@rule
def held(
    record: RunRecord,
    fence: Fence,
    outcome: Outcome,
    now: datetime,
) -> RunRecord:
    """End the run ``HELD``, with its reports written and its feed held back.

    Raises:
        FenceLostError: a newer attempt executes the run, or the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    transitions.refuse_unfenced(record, fence)
    hold = Hold(
        str(outcome.feed_sha256),
        str(record.baseline_run_id),
        outcome.guards,
    )
    record_after = replace(
        transitions.ended("held", record, now),
        failed_stage=None,
        hold=hold,
    )
    return record_after.with_reports(outcome, now)


@rule
def released(record: RunRecord, decision: Release, now: datetime) -> RunRecord:
    """Publish the held feed; the same decision again changes nothing.

    Raises:
        RunNotHeldError: no feed of the run is held back.
        HoldMismatchError: another feed or other guards were reviewed.
    """
    hold = record.hold
    if hold is None or record.status not in (
        RunStatus.HELD,
        RunStatus.SUCCEEDED,
    ):
        raise RunNotHeldError(record.run_id, record.status)
    is_same_feed = hold.sha256 == decision.sha256
    is_reviewed = is_same_feed and hold.guard_names == decision.guards
    if record.status is RunStatus.SUCCEEDED:
        if is_reviewed:
            return record
        raise RunNotHeldError(record.run_id, record.status)
    if not is_reviewed:
        guard_names = ", ".join(sorted(hold.guard_names))
        raise HoldMismatchError(record.run_id, hold.sha256, guard_names)
    return transitions.transition(
        "released",
        record,
        stage=Stage.COMPLETE,
        stage_entered_at={**record.stage_entered_at, Stage.COMPLETE.value: now},
        released_at=now,
        released_by=decision.by,
        release_reason=decision.reason,
    )


@rule
def expired(record: RunRecord, retention_days: int) -> RunRecord:
    """Give up a held feed that nobody has released while its artifacts were kept."""
    message = f"nobody has released the feed within {retention_days} days"
    return transitions.given_up(
        "expired",
        record,
        error_code=HOLD_EXPIRED,
        error_message=message,
    )


@rule
def superseded(record: RunRecord, newer_run_id: str) -> RunRecord:
    """Give up a held feed for the feed of another run, which was published or held."""
    message = f"the feed of run {newer_run_id} came after it"
    return transitions.given_up(
        "superseded",
        record,
        error_code=HOLD_SUPERSEDED,
        error_message=message,
    )
