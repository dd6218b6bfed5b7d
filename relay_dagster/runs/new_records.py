"""The first record of a run, and whether a message belongs to a record."""

from datetime import datetime
from typing import Any

from relay_dagster.runs.attempt_rules import claimed
from relay_dagster.runs.errors import JobConflictError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    Idempotency,
    LockState,
    NewRun,
    RunRecord,
    Trigger,
)
from relay_dagster.tenants import audit


def requested(
    new_run: NewRun, now: datetime, idempotency: Idempotency | None
) -> RunRecord:
    """Return the first record of a requested run, which owns the tenant's lock."""
    return RunRecord(
        run_id=new_run.run_id,
        tenant_id=new_run.tenant_id,
        requested_at=now,
        trigger=new_run.trigger,
        vendors=new_run.vendors or None,
        asked_version=new_run.config_version,
        config_version=new_run.config_version,
        request_id=new_run.request_id,
        idempotency_id=idempotency.id if idempotency else None,
        lock_state=LockState.OWNER,
        pending_audit=_request_entry(new_run, now),
    )


def adopted(
    job: Job, now: datetime, request_id: str | None, lock_state: LockState
) -> RunRecord:
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
        pending_audit=_posted_entry(
            audit.SYSTEM, job.tenant_id, job.run_id, Trigger.QUEUE, now
        ),
    )


def started_by_hand(
    dagster_run_id: str,
    tenant_id: str,
    now: datetime,
    config_version: int | None,
) -> RunRecord:
    """Return the first record of a run that Dagster started, its attempt claimed."""
    origin = audit.dagster_origin(dagster_run_id)
    queued = RunRecord(
        run_id=dagster_run_id,
        tenant_id=tenant_id,
        requested_at=now,
        trigger=Trigger.DAGSTER,
        config_version=config_version,
        attempt=1,
        dispatched_at=now,
        lock_state=LockState.OWNER,
        pending_audit=_posted_entry(
            origin, tenant_id, dagster_run_id, Trigger.DAGSTER, now
        ),
    )
    return claimed(1, dagster_run_id, now)(queued)


def is_job_of(record: RunRecord, job: Job) -> bool:
    """Return True if the record was made for a message with this body."""
    return record.trigger is not Trigger.DAGSTER and record.job == job


def matched(record: RunRecord, job: Job) -> RunRecord:
    """Return the record that a message names.

    Raises:
        JobConflictError: the record was made for a message with another body.
    """
    if not is_job_of(record, job):
        raise JobConflictError(record.run_id)
    return record


def _request_entry(new_run: NewRun, now: datetime) -> audit.AuditEntry:
    if new_run.in_place_of is not None:
        return new_run.origin.entry(
            audit.Action.DEAD_LETTER_REDRIVEN,
            new_run.tenant_id,
            new_run.in_place_of,
            now,
            run_id=new_run.run_id,
        )
    return _posted_entry(
        new_run.origin,
        new_run.tenant_id,
        new_run.run_id,
        new_run.trigger,
        now,
        config_version=new_run.config_version,
        vendors=list(new_run.vendors) if new_run.vendors else None,
    )


def _posted_entry(
    origin: audit.Origin,
    tenant_id: str,
    run_id: str,
    trigger: Trigger,
    now: datetime,
    **details: Any,
) -> audit.AuditEntry:
    return origin.entry(
        audit.Action.RUN_POSTED,
        tenant_id,
        run_id,
        now,
        trigger=str(trigger),
        **details,
    )
