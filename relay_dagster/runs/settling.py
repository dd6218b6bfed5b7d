"""The rules beside execution: how a record comes to be, and how message and reports are settled.

Pure; `lifecycle` applies them. These alone may still touch a final record.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from relay_core.domain.models import RunStatus
from relay_dagster.runs.errors import JobConflictError, TransitionRefusedError
from relay_dagster.runs.model import (
    Idempotency,
    Job,
    LockState,
    NewRun,
    Outcome,
    RunRecord,
    Trigger,
)
from relay_dagster.runs.state_machine import Rule, claimed, ended, refuse_final, with_reports

# Longer than a message can live: the tombstone must meet every late copy of its message.
TOMBSTONE_LIFE = timedelta(days=30)


def requested(request: NewRun, now: datetime, idempotency: Idempotency | None) -> RunRecord:
    """Return the first record of a run that the API accepts; it holds the tenant's lock."""
    return RunRecord(
        run_id=request.run_id,
        tenant_id=request.tenant_id,
        requested_at=now,
        trigger=Trigger.API,
        vendors=request.vendors or None,
        asked_version=request.config_version,
        config_version=request.config_version,
        request_id=request.request_id,
        idempotency_id=idempotency.id if idempotency else None,
        lock_state=LockState.OWNER,
    )


def adopted(job: Job, now: datetime, request_id: str | None, lock_state: LockState) -> RunRecord:
    """Return the first record of a job that somebody sent straight to the queue."""
    return RunRecord(
        run_id=job.run_id,
        tenant_id=job.tenant_id,
        requested_at=now,
        trigger=Trigger.QUEUE,
        vendors=job.vendors,
        asked_version=job.config_version,
        config_version=job.config_version,
        request_id=request_id,
        lock_state=lock_state,
    )


def started_by_hand(
    dagster_run_id: str, tenant_id: str, now: datetime, config_version: int | None
) -> RunRecord:
    """Return the first record of a run that Dagster started: claimed, its only attempt."""
    queued = RunRecord(
        run_id=dagster_run_id,
        tenant_id=tenant_id,
        requested_at=now,
        trigger=Trigger.DAGSTER,
        config_version=config_version,
        attempt=1,
        dispatched_at=now,
        lock_state=LockState.OWNER,
    )
    return claimed(1, dagster_run_id, now)(queued)


def is_job_of(record: RunRecord, job: Job) -> bool:
    """Tell whether a message's body is the one that the record was made for."""
    return record.trigger is not Trigger.DAGSTER and record.job == job


def matched(job: Job) -> Rule:
    """Refuse a message whose body is not the one that the record was made for."""

    def rule(record: RunRecord) -> RunRecord:
        if not is_job_of(record, job):
            raise JobConflictError(record.run_id)
        return record

    return rule


def sent(message_id: str, now: datetime) -> Rule:
    """Note the message that now stands for the run; what was known of an older one is void.

    The message may have been received, and its run even have ended, before its sender comes here.
    """

    def rule(record: RunRecord) -> RunRecord:
        if record.is_final or record.message_id == message_id:
            return record
        return replace(
            record, message_id=message_id, sent_at=now, receipt_handle=None, received_at=None
        )

    return rule


def send_claimed(now: datetime, wait: timedelta) -> Rule:
    """Take the right to send a message that was never sent; it lapses after ``wait``."""

    def rule(record: RunRecord) -> RunRecord:
        refuse_final(record)
        since = record.send_claimed_at or record.requested_at
        if record.message_id is not None or record.is_dispatched or now - since < wait:
            raise TransitionRefusedError(record.run_id, "its message is sent, or being sent")
        return replace(record, send_claimed_at=now)

    return rule


def entombed(now: datetime) -> Rule:
    """End a run whose message could not be sent, hidden; one that is under way stays as it is."""

    def rule(record: RunRecord) -> RunRecord:
        if record.is_final or record.message_id is not None or record.attempt > 0:
            return record
        over = ended(record, RunStatus.CANCELLED, now)
        return replace(over, hidden=True, acknowledged_at=now, expires_at=now + TOMBSTONE_LIFE)

    return rule


def received(message_id: str, receipt_handle: str, now: datetime) -> Rule:
    """Note a receive, so that the message can be kept invisible and deleted in the end."""

    def rule(record: RunRecord) -> RunRecord:
        return replace(
            record,
            message_id=message_id,
            sent_at=record.sent_at or now,
            receipt_handle=receipt_handle,
            received_at=now,
        )

    return rule


def dead_lettered(dlq_message_id: str) -> Rule:
    """Note that the run's message is in the dead-letter queue."""

    def rule(record: RunRecord) -> RunRecord:
        return replace(record, dlq_message_id=dlq_message_id)

    return rule


def reported(outcome: Outcome, now: datetime) -> Rule:
    """Note that a final run's reports are written, and which artifacts there are."""

    def rule(record: RunRecord) -> RunRecord:
        if not record.is_final:
            raise TransitionRefusedError(record.run_id, "it is not final, it has no reports yet")
        return with_reports(record, outcome, now)

    return rule


def acknowledged(now: datetime) -> Rule:
    """Note that a final run's message is gone and nothing is left to do."""

    def rule(record: RunRecord) -> RunRecord:
        if record.acknowledged_at is not None:
            return record
        if not record.is_final or record.needs_dlq:
            raise TransitionRefusedError(record.run_id, "it is not settled yet")
        return replace(record, acknowledged_at=now)

    return rule
