"""The rules of feeds that are held back: a hold, its release, a newer feed in its place.

Rules as those of `transitions`, whose table has their transitions.
"""

from dataclasses import replace
from datetime import datetime

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.feeds.hold import Hold, Release
from relay_dagster.runs.errors import HoldMismatchError, RunNotHeldError
from relay_dagster.runs.model import Fence, Outcome, RunRecord
from relay_dagster.runs.transitions import ended, given_up, refuse_unfenced, rule, transition

HOLD_SUPERSEDED, HOLD_EXPIRED = "HOLD_SUPERSEDED", "HOLD_EXPIRED"


@rule
def held(record: RunRecord, fence: Fence, outcome: Outcome, now: datetime) -> RunRecord:
    """End the run with its feed held back; its reports are written."""
    refuse_unfenced(record, fence)
    hold = Hold(str(outcome.feed_sha256), str(record.baseline_run_id), outcome.guards)
    over = replace(ended("held", record, now), failed_stage=None, hold=hold)
    return over.with_reports(outcome, now)


@rule
def released(record: RunRecord, decision: Release, now: datetime) -> RunRecord:
    """Publish what is held; the same decision again changes nothing."""
    hold = record.hold
    if hold is None or record.status not in (RunStatus.HELD, RunStatus.SUCCEEDED):
        raise RunNotHeldError(record.run_id, record.status)
    is_same = (hold.sha256, hold.guard_names) == (decision.sha256, decision.guards)
    if record.status is not RunStatus.HELD:
        if is_same:
            return record
        raise RunNotHeldError(record.run_id, record.status)
    if not is_same:
        raise HoldMismatchError(record.run_id, hold)
    stages = {**record.stage_entered_at, Stage.COMPLETE.value: now}
    return transition(
        "released",
        record,
        stage=Stage.COMPLETE,
        stage_entered_at=stages,
        released_at=now,
        released_by=decision.by,
        release_reason=decision.reason,
    )


@rule
def expired(record: RunRecord, retention_days: int) -> RunRecord:
    """Give a held feed up that nobody has released while its run's artifacts were kept."""
    message = f"nobody has released the feed within {retention_days} days"
    return given_up("expired", record, error_code=HOLD_EXPIRED, error_message=message)


@rule
def superseded(record: RunRecord, by: str) -> RunRecord:
    """Give a held feed up for another one, which is published or held now."""
    message = f"the feed of run {by} came after it"
    return given_up("superseded", record, error_code=HOLD_SUPERSEDED, error_message=message)
