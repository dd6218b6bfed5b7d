"""How records come to be: for a request, a trigger, a job in the queue, a run by hand.

The rules say what a first record holds; `Admission` commits it, with all that must come with it, in
one transaction. `ledger` is who calls.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from relay_dagster.audit import SYSTEM, Action, Actor, ActorKind, AuditEntry, Origin
from relay_dagster.runs.commits import Commits, until_committed
from relay_dagster.runs.errors import (
    CommitLostError,
    IdempotencyKeyReusedError,
    JobConflictError,
    TenantBusyError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.message_state import dead_lettered
from relay_dagster.runs.model import Idempotency, LockState, NewRun, RunRecord, Trigger
from relay_dagster.runs.transitions import claimed, poisoned
from relay_dagster.runs.triggers.state import TriggerMove

# --- the rules ----------------------------------------------------------------------------------


def requested(wanted: NewRun, now: datetime, idempotency: Idempotency | None) -> RunRecord:
    """Return the first record of a run that is asked for; it owns the tenant's lock."""
    return RunRecord(
        run_id=wanted.run_id,
        tenant_id=wanted.tenant_id,
        requested_at=now,
        trigger=wanted.trigger,
        vendors=wanted.vendors or None,
        asked_version=wanted.config_version,
        config_version=wanted.config_version,
        request_id=wanted.request_id,
        idempotency_id=idempotency.id if idempotency else None,
        lock_state=LockState.OWNER,
        untold=_asked_for(wanted, now),
    )


def _asked_for(wanted: NewRun, now: datetime) -> AuditEntry:
    """Return what the audit tells of a run that is asked for."""
    if wanted.in_place_of is not None:
        return wanted.origin.entry(
            Action.DEAD_LETTER_REDRIVEN,
            wanted.tenant_id,
            wanted.in_place_of,
            now,
            run_id=wanted.run_id,
        )
    vendors = wanted.vendors and list(wanted.vendors)
    told = {"config_version": wanted.config_version, "vendors": vendors or None}
    return _posted(wanted.origin, wanted.tenant_id, wanted.run_id, wanted.trigger, now, **told)


def _posted(
    origin: Origin, tenant_id: str, run_id: str, trigger: Trigger, now: datetime, **told: Any
) -> AuditEntry:
    return origin.entry(Action.RUN_POSTED, tenant_id, run_id, now, trigger=str(trigger), **told)


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
        untold=_posted(SYSTEM, job.tenant_id, job.run_id, Trigger.QUEUE, now),
    )


def started_by_hand(
    dagster_run_id: str, tenant_id: str, now: datetime, config_version: int | None
) -> RunRecord:
    """Return the first record of a run that Dagster started: claimed, its only attempt."""
    origin = Origin(Actor(ActorKind.DAGSTER, dagster_run_id, "Dagster's UI"))
    queued = RunRecord(
        run_id=dagster_run_id,
        tenant_id=tenant_id,
        requested_at=now,
        trigger=Trigger.DAGSTER,
        config_version=config_version,
        attempt=1,
        dispatched_at=now,
        lock_state=LockState.OWNER,
        untold=_posted(origin, tenant_id, dagster_run_id, Trigger.DAGSTER, now),
    )
    return claimed(1, dagster_run_id, now)(queued)


def is_job_of(record: RunRecord, job: Job) -> bool:
    """Tell whether a message's body is the one that the record was made for."""
    return record.trigger is not Trigger.DAGSTER and record.job == job


def matched(record: RunRecord, job: Job) -> RunRecord:
    """Return the record, or refuse a message whose body is not the one that it was made for."""
    if not is_job_of(record, job):
        raise JobConflictError(record.run_id)
    return record


# --- their commits ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reservation:
    """The run that a request leads to; ``created`` is False for the run of an earlier request."""

    record: RunRecord
    created: bool


@dataclass(frozen=True, slots=True)
class Admission:
    """Makes records. What each method raises is said where `ledger` passes it on.

    Args:
        commits: where records are kept, and how.
    """

    commits: Commits

    def earlier_run(self, idempotency: Idempotency) -> RunRecord | None:
        """Return the run of an earlier request with this key, or None."""
        runs = self.commits.runs
        found = runs.idempotent_run(idempotency.id, self.commits.clock())
        if found is None:
            return None
        run_id, fingerprint = found
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReusedError(run_id)
        return runs.get(run_id)

    def reserve(
        self, wanted: NewRun, idempotency: Idempotency | None, runs_per_hour: int | None = None
    ) -> Reservation:
        """Make the record, take the lock and remember the key; the key is looked at first."""

        def try_once() -> Reservation:
            earlier = self.earlier_run(idempotency) if idempotency else None
            if earlier is not None:
                return Reservation(earlier, created=False)
            record = self._put_requested(wanted, idempotency, runs_per_hour)
            return Reservation(record, created=True)

        return until_committed("reserve", wanted.run_id, try_once)

    def start_wanted(self, wanted: NewRun, move: TriggerMove) -> RunRecord:
        """Make the record of a run that triggers want, and take from them what it is for."""
        record = requested(wanted, self.commits.clock(), None)
        taken = self.commits.runs.writes.triggers(move)
        return self.commits.create(record, [taken], yield_to_waiters=True)

    def adopt(self, job: Job, request_id: str | None, sent_at: datetime | None = None) -> RunRecord:
        """Return the record of a message's run, made where there is none."""

        def try_once() -> RunRecord:
            known = self.commits.runs.get(job.run_id)
            if known is not None:
                return matched(known, job)
            return self._put_adopted(job, request_id, sent_at)

        return until_committed("adopt", job.run_id, try_once)

    def adopt_dead(
        self, job: Job, message: str, dlq_message_id: str, sent_at: datetime | None
    ) -> RunRecord:
        """Make the record of a job that is dead before it had one."""
        now = self.commits.clock()
        queued = adopted(job, now, None, LockState.NONE)
        dead = dead_lettered(dlq_message_id)(poisoned(message, now)(queued))
        return self.commits.create(dead, sent_at=sent_at)

    def start_by_hand(
        self, dagster_run_id: str, tenant_id: str, config_version: int | None
    ) -> RunRecord | None:
        """Make the record of a run that Dagster started; None where there is one already."""
        if self.commits.runs.get(dagster_run_id) is not None:
            return None
        now = self.commits.clock()
        wanted = started_by_hand(dagster_run_id, tenant_id, now, config_version)
        try:
            return self.commits.create(wanted, yield_to_waiters=True)
        except CommitLostError:
            return None

    def _put_requested(
        self, wanted: NewRun, idempotency: Idempotency | None, runs_per_hour: int | None
    ) -> RunRecord:
        now, writes, also = self.commits.clock(), self.commits.runs.writes, []
        record = requested(wanted, now, idempotency)
        if idempotency is not None:
            also.append(writes.remember(record, idempotency, now))
        if runs_per_hour is not None:
            also.append(writes.quota(record, runs_per_hour))
        try:
            return self.commits.create(record, also, yield_to_waiters=True)
        except CommitLostError:
            known = self.commits.runs.get(wanted.run_id)
            if known is None:
                raise  # The key was taken meanwhile: its run is found in the next round.
            # An earlier try of this very request got through, though its answer did not.
            return matched(known, record.job)

    def _put_adopted(self, job: Job, request_id: str | None, sent_at: datetime | None) -> RunRecord:
        """Make the record of a job; it waits where the tenant is busy, or others wait already."""
        wanted = adopted(job, self.commits.clock(), request_id, LockState.OWNER)
        try:
            return self.commits.create(wanted, yield_to_waiters=True, sent_at=sent_at)
        except TenantBusyError:
            waiting = replace(wanted, lock_state=LockState.QUEUED)
            return self.commits.create(waiting, sent_at=sent_at)
