"""The rules of a run's life: from one record to the next, or the refusal.

Pure; `lifecycle` applies them. How a record comes to be and how its message is settled is
`settling`.

::

    QUEUED/QUEUE ──dispatched──> QUEUED/QUEUE ──claimed──> RUNNING/FETCH_INPUTS ──entered──> ...
         ^                            │                          │
         └────── attempt lost ────────┴──────────────────────────┤
                                                                 └──> SUCCEEDED/COMPLETE
    any of these ──> FAILED or CANCELLED, in the stage it was in (``failed_stage``)

Nothing leaves a final status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from relay_core.domain.models import FailureCode, RunFailure, RunStatus, Stage
from relay_dagster.runs.errors import (
    CancelRequestedError,
    ClaimRefusedError,
    DispatchRefusedError,
    FenceLostError,
    RunAlreadyFinishedError,
    TransitionRefusedError,
)
from relay_dagster.runs.model import Fence, LockState, Outcome, RunRecord
from relay_dagster.runs.retry_policy import Loss, RetryPolicy

Rule = Callable[[RunRecord], RunRecord]

_MAX_MESSAGE = 20_000
_ORDER = {stage: place for place, stage in enumerate(Stage)}
_BETWEEN_ATTEMPTS: dict[str, Any] = {
    "status": RunStatus.QUEUED,
    "stage": Stage.QUEUE,
    "dispatched_at": None,
    "dagster_run_id": None,
    "stage_entered_at": {},
}


def dispatched(attempt: int, message_id: str, receipt_handle: str, now: datetime) -> Rule:
    """Open the next attempt, with nothing under way; a run that waits takes the lock."""

    def rule(record: RunRecord) -> RunRecord:
        refuse_final(record)
        _refuse_cancelled(record)
        if record.is_dispatched or attempt != record.attempt + 1:
            raise DispatchRefusedError(
                record.run_id, f"attempt {attempt} does not follow attempt {record.attempt}"
            )
        return replace(
            record,
            message_id=message_id,
            sent_at=record.sent_at or now,
            receipt_handle=receipt_handle,
            received_at=now,
            attempt=attempt,
            dispatched_at=now,
            dagster_run_id=None,
            next_attempt_at=None,
            lock_state=LockState.OWNER,
        )

    return rule


def claimed(attempt: int, dagster_run_id: str, now: datetime) -> Rule:
    """Give the attempt to one Dagster run, for good; the same one may ask again."""

    def rule(record: RunRecord) -> RunRecord:
        if record.is_final or record.attempt != attempt or not record.is_dispatched:
            raise ClaimRefusedError(record.run_id, f"attempt {attempt} is over")
        if record.dagster_run_id not in (None, dagster_run_id):
            raise ClaimRefusedError(
                record.run_id, f"attempt {attempt} belongs to Dagster run {record.dagster_run_id}"
            )
        _refuse_cancelled(record)
        if record.dagster_run_id == dagster_run_id:
            return record
        return replace(
            record,
            dagster_run_id=dagster_run_id,
            status=RunStatus.RUNNING,
            stage=Stage.FETCH_INPUTS,
            stage_entered_at={Stage.FETCH_INPUTS.value: now},
            started_at=record.started_at or now,
            error_code=None,
            error_message=None,
        )

    return rule


def entered(fence: Fence, stage: Stage, now: datetime) -> Rule:
    """Move on to a stage; never back. The stage it is in is no change."""

    def rule(record: RunRecord) -> RunRecord:
        _refuse_unfenced(record, fence)
        if stage is record.stage:
            return record
        if _ORDER[stage] < _ORDER[record.stage] or stage is Stage.COMPLETE:
            raise TransitionRefusedError(record.run_id, f"{record.stage} does not go to {stage}")
        entered_at = {**record.stage_entered_at, stage.value: now}
        return replace(record, stage=stage, stage_entered_at=entered_at)

    return rule


def pinned(fence: Fence, config_version: int | None) -> Rule:
    """Fix the config version that takes effect; later attempts find it fixed."""

    def rule(record: RunRecord) -> RunRecord:
        _refuse_unfenced(record, fence)
        if record.config_version is not None or config_version is None:
            return record
        return replace(record, config_version=config_version)

    return rule


def succeeded(fence: Fence, outcome: Outcome, now: datetime) -> Rule:
    """End the run well; its reports are written."""

    def rule(record: RunRecord) -> RunRecord:
        _refuse_unfenced(record, fence)
        complete = {**record.stage_entered_at, Stage.COMPLETE.value: now}
        done = replace(record, stage=Stage.COMPLETE, stage_entered_at=complete)
        return with_reports(ended(done, RunStatus.SUCCEEDED, now), outcome, now)

    return rule


def failed(fence: Fence, failure: RunFailure, outcome: Outcome, now: datetime) -> Rule:
    """End the run for a fault of its data or config, in the stage that the failure names.

    Its reports are written.
    """

    def rule(record: RunRecord) -> RunRecord:
        _refuse_unfenced(record, fence)
        stopped = replace(
            record,
            stage=failure.stage,
            error_code=str(failure.error_code),
            error_message=_cut(failure.error_message),
        )
        return with_reports(ended(stopped, RunStatus.FAILED, now), outcome, now)

    return rule


def lost(loss: Loss, policy: RetryPolicy) -> Rule:
    """End an attempt: back to the queue until ``retry_at``, or poison where it was the last."""

    def rule(record: RunRecord) -> RunRecord:
        _refuse_other_attempt(record, loss.fence, loss.attempt)
        _refuse_cancelled(record)
        if not policy.has_attempts_left(record):
            spent = f"attempts used up ({record.attempt} of {policy.attempts_of(record)})"
            return _poison(record, f"{spent}; the last ended with: {loss.message}", loss.now)
        return replace(
            record,
            **_BETWEEN_ATTEMPTS,
            error_code=loss.error_code,
            error_message=_cut(loss.message),
            next_attempt_at=loss.retry_at,
        )

    return rule


def poisoned(message: str, now: datetime) -> Rule:
    """End the run as poison, in the stage it reached."""

    def rule(record: RunRecord) -> RunRecord:
        refuse_final(record)
        return _poison(record, message, now)

    return rule


def cancel_requested(now: datetime) -> Rule:
    """Cancel at once where no attempt is under way; else ask for it."""

    def rule(record: RunRecord) -> RunRecord:
        refuse_final(record)
        if not record.is_dispatched:
            return cancelled(now)(replace(record, cancel_requested_at=now))
        if record.cancel_requested_at is not None:
            return record
        return replace(record, cancel_requested_at=now)

    return rule


def cancelled(now: datetime) -> Rule:
    """End the run ``CANCELLED``, in the stage it reached; whoever executes it loses its fence."""

    def rule(record: RunRecord) -> RunRecord:
        refuse_final(record)
        return ended(record, RunStatus.CANCELLED, now)

    return rule


def ended(record: RunRecord, status: RunStatus, now: datetime) -> RunRecord:
    """Return the record with a final status; the tenant is free."""
    return replace(
        record,
        status=status,
        finished_at=now,
        failed_stage=None if status is RunStatus.SUCCEEDED else record.stage,
        next_attempt_at=None,
        lock_state=LockState.NONE,
    )


def _cut(message: str) -> str:
    """Return a message that surely fits into the record; the reports have all of it."""
    if len(message) <= _MAX_MESSAGE:
        return message
    return f"{message[:_MAX_MESSAGE]}..."


def _poison(record: RunRecord, message: str, now: datetime) -> RunRecord:
    told = replace(record, error_code=FailureCode.POISON_JOB.value, error_message=_cut(message))
    return ended(told, RunStatus.FAILED, now)


def with_reports(record: RunRecord, outcome: Outcome, now: datetime) -> RunRecord:
    """Return the record of a run whose reports are written, with what it knows of itself added."""
    return replace(
        record,
        reports_written_at=now,
        artifacts={**record.artifacts, **outcome.artifacts},
        errors_artifact_key=outcome.errors_artifact_key or record.errors_artifact_key,
        counts={**record.counts, **outcome.counts},
    )


def refuse_final(record: RunRecord) -> None:
    """Raise `RunAlreadyFinishedError` where the record is final."""
    if record.is_final:
        raise RunAlreadyFinishedError(record.run_id, record.status)


def _refuse_cancelled(record: RunRecord) -> None:
    if record.cancel_requested_at is not None:
        raise CancelRequestedError(record.run_id)


def _refuse_unfenced(record: RunRecord, fence: Fence) -> None:
    _refuse_other_attempt(record, fence, fence.attempt)
    _refuse_cancelled(record)


def _refuse_other_attempt(record: RunRecord, fence: Fence | None, attempt: int) -> None:
    owner = fence.dagster_run_id if fence else None
    if not record.is_dispatched or record.attempt != attempt or record.dagster_run_id != owner:
        raise FenceLostError(
            record.run_id,
            f"attempt {attempt} of Dagster run {owner} is over; the record is at attempt "
            f"{record.attempt}, {record.status}",
        )
