"""The rules by which a run ends: success, failure, poison, cancellation, never sent."""

from dataclasses import replace
from datetime import datetime, timedelta

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import next_action
from relay_dagster.runs import transitions
from relay_dagster.runs.model import Fence, Outcome, RunRecord
from relay_dagster.runs.transitions import rule
from relay_dagster.tenants import audit

TOMBSTONE_LIFE = timedelta(days=30)
"""How long a tombstone is kept: longer than any late copy of its message can live."""

MAX_MESSAGE = 20_000
"""The most characters of an error message that a record keeps."""


@rule
def succeeded(
    record: RunRecord, fence: Fence, outcome: Outcome, now: datetime
) -> RunRecord:
    """End the run ``SUCCEEDED``, with its reports written.

    Raises:
        FenceLostError: a newer attempt executes the run, or the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    transitions.refuse_unfenced(record, fence)
    stage_entered_at = {**record.stage_entered_at, Stage.COMPLETE.value: now}
    complete = replace(
        record, stage=Stage.COMPLETE, stage_entered_at=stage_entered_at
    )
    return transitions.ended("succeeded", complete, now).with_reports(
        outcome, now
    )


@rule
def failed(
    record: RunRecord,
    fence: Fence,
    failure: RunFailure,
    outcome: Outcome | None,
    now: datetime,
) -> RunRecord:
    """End the run ``FAILED``; None as the outcome says that no reports are written yet.

    Raises:
        FenceLostError: a newer attempt executes the run, or the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    transitions.refuse_unfenced(record, fence)
    record_after = _failed("failed", record, failure, now)
    return (
        record_after
        if outcome is None
        else record_after.with_reports(outcome, now)
    )


@rule
def poisoned(
    record: RunRecord,
    message: str,
    now: datetime,
    attempt_code: str | None = None,
) -> RunRecord:
    """End the run ``FAILED`` as poison, in the stage that it had reached.

    ``attempt_code`` is the error of an attempt that ended just now; without it, the
    record's own error is the one of the last attempt.

    Raises:
        RunAlreadyFinishedError: the run has ended.
    """
    transitions.refuse_ended(record)
    failure = RunFailure(
        FailureCode.POISON_JOB,
        message,
        record.stage,
        attempt_code=attempt_code or record.error_code,
    )
    return _failed("poisoned", record, failure, now)


@rule
def cancel_requested(record: RunRecord, now: datetime) -> RunRecord:
    """Ask for the end of a run.

    A run without an attempt in progress is cancelled at once, and a held feed is
    discarded.

    Raises:
        RunAlreadyFinishedError: the run has ended.
    """
    if record.status is RunStatus.HELD:
        return transitions.given_up(
            "discarded", record, cancel_requested_at=now
        )
    transitions.refuse_ended(record)
    if not record.is_dispatched:
        return cancelled(now)(replace(record, cancel_requested_at=now))
    if record.cancel_requested_at is not None:
        return record
    return transitions.transition(
        "cancel_requested", record, cancel_requested_at=now
    )


@rule
def cancelled(record: RunRecord, now: datetime) -> RunRecord:
    """End the run ``CANCELLED`` in the stage that it had reached.

    The Dagster run that executes it loses its fence.

    Raises:
        RunAlreadyFinishedError: the run has ended.
    """
    transitions.refuse_ended(record)
    return transitions.ended("cancelled", record, now)


@rule
def tombstoned(record: RunRecord, now: datetime) -> RunRecord:
    """End and hide a run whose message was not sent; a run that is in progress stays."""
    if record.has_ended or record.message_id is not None or record.attempt > 0:
        return record
    record_after = transitions.ended("tombstoned", record, now)
    return replace(record_after, hidden=True, expires_at=now + TOMBSTONE_LIFE)


def terminated_entry(record: RunRecord) -> audit.AuditEntry | None:
    """Return the audit entry of a cancelled run that was terminated in Dagster's UI.

    None if somebody had asked Relay for the cancellation: that request has its entry.
    """
    if record.cancel_requested_at is not None or record.finished_at is None:
        return None
    origin = audit.dagster_origin(record.dagster_run_id or record.run_id)
    return origin.entry(
        audit.Action.RUN_CANCELLED,
        record.tenant_id,
        record.run_id,
        record.finished_at,
    )


def _failed(
    name: str, record: RunRecord, failure: RunFailure, now: datetime
) -> RunRecord:
    failing = replace(
        record,
        stage=failure.stage,
        error_code=str(failure.error_code),
        error_message=cut(failure.error_message, MAX_MESSAGE, "..."),
        attempt_code=failure.attempt_code,
        of_catalog=failure.of_catalog,
        next_action=next_action(failure),
    )
    return transitions.ended(name, failing, now)
