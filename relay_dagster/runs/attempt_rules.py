"""The rules of a run's attempts: dispatched, claimed, from stage to stage, and lost."""

from datetime import datetime
from typing import Any

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import Stage
from relay_dagster.runs import errors, transitions
from relay_dagster.runs.end_rules import MAX_MESSAGE, poisoned
from relay_dagster.runs.model import Fence, LockState, RunRecord
from relay_dagster.runs.poll_schedule import LostAttempt, PollSchedule
from relay_dagster.runs.transitions import rule

_STAGE_INDEX = {stage: index for index, stage in enumerate(Stage)}
_BETWEEN_ATTEMPTS: dict[str, Any] = {
    "stage": Stage.QUEUE,
    "dispatched_at": None,
    "dagster_run_id": None,
    "stage_entered_at": {},
    "watched_as": None,
    "watched_at": None,
}


@rule
def dispatched(record: RunRecord, attempt: int, now: datetime) -> RunRecord:
    """Open the next attempt; a run that waits takes the tenant's lock.

    Raises:
        RunAlreadyFinishedError: the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
        DispatchRefusedError: an attempt is in progress, or this is not the next one.
    """
    transitions.refuse_ended(record)
    transitions.refuse_cancelled(record)
    if record.is_dispatched or attempt != record.attempt + 1:
        raise errors.DispatchRefusedError(
            record.run_id,
            f"attempt {attempt} does not follow attempt {record.attempt}",
        )
    return transitions.transition(
        "dispatched",
        record,
        attempt=attempt,
        dispatched_at=now,
        dagster_run_id=None,
        next_attempt_at=None,
        lock_state=LockState.OWNER,
    )


@rule
def claimed(
    record: RunRecord, attempt: int, dagster_run_id: str, now: datetime
) -> RunRecord:
    """Give an attempt to one Dagster run for good; the same Dagster run may ask again.

    Raises:
        ClaimRefusedError: the attempt is over, or another Dagster run has it.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    if record.attempt != attempt or not record.is_dispatched:
        raise errors.ClaimRefusedError(
            record.run_id, f"attempt {attempt} is over"
        )
    if record.dagster_run_id not in (None, dagster_run_id):
        raise errors.ClaimRefusedError(
            record.run_id,
            f"attempt {attempt} belongs to Dagster run {record.dagster_run_id}",
        )
    transitions.refuse_cancelled(record)
    if record.dagster_run_id == dagster_run_id:
        return record
    return transitions.transition(
        "claimed",
        record,
        dagster_run_id=dagster_run_id,
        stage=Stage.FETCH_INPUTS,
        stage_entered_at={Stage.FETCH_INPUTS.value: now},
        started_at=record.started_at or now,
        error_code=None,
        error_message=None,
    )


@rule
def entered(
    record: RunRecord, fence: Fence, stage: Stage, now: datetime
) -> RunRecord:
    """Move on to a later stage; the stage that the run is in changes nothing.

    Raises:
        FenceLostError: a newer attempt executes the run, or the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
        TransitionRefusedError: the stage is an earlier one, or the last.
    """
    transitions.refuse_unfenced(record, fence)
    if stage is record.stage:
        return record
    is_earlier = _STAGE_INDEX[stage] < _STAGE_INDEX[record.stage]
    if is_earlier or stage is Stage.COMPLETE:
        raise errors.TransitionRefusedError(
            record.run_id, f"{record.stage} does not go to {stage}"
        )
    stage_entered_at = {**record.stage_entered_at, stage.value: now}
    return transitions.transition(
        "entered", record, stage=stage, stage_entered_at=stage_entered_at
    )


@rule
def pinned(
    record: RunRecord,
    fence: Fence,
    config_version: int | None,
    baseline_run_id: str | None,
) -> RunRecord:
    """Fix the config version and the baseline for all attempts; fixed ones stay.

    Raises:
        FenceLostError: a newer attempt executes the run, or the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    transitions.refuse_unfenced(record, fence)
    # A posted run has its config version from the start, but no baseline.
    version = record.config_version or config_version
    baseline = record.baseline_run_id or baseline_run_id
    if (version, baseline) == (record.config_version, record.baseline_run_id):
        return record
    return transitions.transition(
        "pinned", record, config_version=version, baseline_run_id=baseline
    )


@rule
def attempt_lost(
    record: RunRecord, lost_attempt: LostAttempt, schedule: PollSchedule
) -> RunRecord:
    """End an attempt without a verdict.

    The run is queued until ``retry_at``, or ends as poison after its last attempt.

    Raises:
        FenceLostError: the record is no longer at this attempt.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    transitions.refuse_other_attempt(
        record, lost_attempt.fence, lost_attempt.attempt
    )
    transitions.refuse_cancelled(record)
    if not schedule.has_attempts_left(record):
        max_attempts = schedule.attempts_of(record)
        message = (
            f"attempts used up ({record.attempt} of {max_attempts}); "
            f"the last ended with: {lost_attempt.message}"
        )
        poison = poisoned(message, lost_attempt.now, lost_attempt.error_code)
        return poison(record)
    return transitions.transition(
        "attempt_lost",
        record,
        **_BETWEEN_ATTEMPTS,
        error_code=lost_attempt.error_code,
        error_message=cut(lost_attempt.message, MAX_MESSAGE, "..."),
        next_attempt_at=lost_attempt.retry_at,
    )
