"""The verbs of a run's life: every change of a run record, no matter who asks for it.

`RecordWriter` reads the record, applies one rule of ``runs/``, and commits the result if
nothing has changed since. Every verb that takes a run_id raises `UnknownRunError` if there
is no such record, and `ExternalServiceError` if the store fails.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.external_errors import ExternalServiceError, ThrottledError
from relay_dagster.ledger import record_writer
from relay_dagster.ledger.feed_updates import FeedUpdates
from relay_dagster.ledger.feeds import FeedLedger
from relay_dagster.ledger.messages import MessageLedger
from relay_dagster.ledger.record_writer import RecordWriter, RequestedChange
from relay_dagster.runs import (
    attempt_rules,
    end_rules,
    errors,
    message_rules,
    new_records,
    poll_schedule,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    NOTHING_KNOWN,
    DueQueue,
    Fence,
    Idempotency,
    LockState,
    NewRun,
    Outcome,
    Reservation,
    RunRecord,
)
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants import audit
from relay_dagster.triggers.rules import TriggerUpdate


class RunLedger:
    """The ledger of runs: every change of a run record.

    A verb that takes a ``fence`` raises `FenceLostError` if a newer attempt executes
    the run, or the run has ended, and `CancelRequestedError` if the run is to be
    cancelled: its writer goes on to `cancel`. A ``cached_record`` is the record as the
    caller read or wrote it last; it is tried first, and spares a read.
    """

    def __init__(
        self,
        runs: RunStore,
        schedule: poll_schedule.PollSchedule = poll_schedule.DEFAULT_SCHEDULE,
        *,
        # The publications of a tenant that are kept for a rollback
        keep_published: int = 10,
        # Returns the current instant, aware
        clock: Callable[[], datetime] = utc_now,
        # Returns numbers from 0 to 1
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.schedule = schedule
        self._runs = runs
        self._clock = clock
        self._rng = rng
        self._writer = RecordWriter(runs, schedule, clock)
        self._feed_updates = FeedUpdates(runs, keep_published, clock)
        self.feeds = FeedLedger(runs, self._writer, self._feed_updates, clock)
        self.messages = MessageLedger(self._writer, schedule, clock)

    # --- by callers, triggers and operators -------------------------------------------

    def earlier_run(self, idempotency: Idempotency) -> RunRecord | None:
        """Return the run of an earlier request with the same key, or None.

        Raises:
            IdempotencyKeyReusedError: the earlier request had another body.
        """
        remembered = self._runs.idempotent_run(idempotency.id, self._clock())
        if remembered is None:
            return None
        run_id, fingerprint = remembered
        if fingerprint != idempotency.fingerprint:
            raise errors.IdempotencyKeyReusedError(run_id)
        return self._runs.get(run_id)

    def reserve(
        self,
        new_run: NewRun,
        idempotency: Idempotency | None = None,
        runs_per_hour: int | None = None,
    ) -> Reservation:
        """Create a record, take the tenant's lock and remember the key, all or nothing.

        The run of an earlier request with the same key is returned, active or not.
        ``runs_per_hour`` is the tenant's quota; None counts no run.

        Raises:
            IdempotencyKeyReusedError: the key came with another body.
            TenantBusyError: the tenant has an active run.
            TenantClosingError: the tenant is being deleted.
            QuotaExceededError: the tenant has had its runs of this hour.
        """
        for _ in range(record_writer.MAX_ROUNDS):
            earlier_run = self.earlier_run(idempotency) if idempotency else None
            if earlier_run is not None:
                return Reservation(earlier_run, created=False)
            now = self._clock()
            requested = new_records.requested(new_run, now, idempotency)
            maker = self._writer.item_writes
            writes = []
            if idempotency is not None:
                writes.append(maker.remember(requested, idempotency, now))
            if runs_per_hour is not None:
                writes.append(maker.quota(requested, runs_per_hour))
            with suppress(errors.CommitLostError):
                record = self._writer.create(
                    requested,
                    further_writes=writes,
                    yield_to_waiters=True,
                )
                return Reservation(record, created=True)
            stored_record = self._runs.get(new_run.run_id)
            if stored_record is not None:
                # An earlier try of this very request got through, but not its response.
                record = new_records.matched(stored_record, requested.job)
                return Reservation(record, created=True)
            # Another request took the key in the meantime: the next round finds its run.
        raise ThrottledError(
            "reserve",
            f"run {new_run.run_id}: {record_writer.TOO_MANY_WRITERS}",
        )

    def start_triggered(
        self,
        new_run: NewRun,
        update: TriggerUpdate,
    ) -> RunRecord:
        """Create the record of a run that triggers want, and take the run from them.

        Raises:
            CommitLostError: the triggers have changed; somebody else was first.
            TenantBusyError: the tenant has an active run.
            TenantClosingError: the tenant is being deleted.
        """
        record = new_records.requested(new_run, self._clock(), None)
        trigger_write = self._writer.item_writes.triggers(update)
        return self._writer.create(
            record,
            further_writes=[trigger_write],
            yield_to_waiters=True,
        )

    def uncount(self, record: RunRecord) -> None:
        """Take a run whose message was not sent out of the count of its hour."""
        self._writer.item_writes.uncount(record)

    def tombstone(self, run_id: str) -> RunRecord:
        """End and hide a run whose message was not sent; free its tenant and its key.

        A run that is in progress stays as it is.
        """
        rule = end_rules.tombstoned(self._clock())
        return self._writer.apply_rule(run_id, rule)

    def request_cancel(
        self,
        run_id: str,
        *,
        origin: audit.Origin = audit.SYSTEM,
        **details: str,
    ) -> RunRecord:
        """Ask for the end of a run.

        A run without an attempt in progress is cancelled at once, and a held feed is
        discarded. ``details`` are for the audit.

        Raises:
            RunAlreadyFinishedError: the run has ended.
        """
        now = self._clock()

        def cancelled_entry(record: RunRecord) -> audit.AuditEntry:
            return origin.entry(
                audit.Action.RUN_CANCELLED,
                record.tenant_id,
                run_id,
                now,
                **details,
            )

        change = RequestedChange(
            run_id=run_id,
            rule=end_rules.cancel_requested(now),
            feed_update=self._feed_updates.discard,
            audit_entry=cancelled_entry,
        )
        return self._writer.apply(change).record

    # --- from the queue ---------------------------------------------------------------

    def adopt(
        self,
        job: Job,
        request_id: str | None = None,
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Return the record of a message's run; create one for a job sent to the queue.

        A new run takes the tenant's lock if it is free; else it waits, and `dispatch`
        takes the lock.

        Raises:
            JobConflictError: the record was made for another body.
            JobExpiredError: the run's record is no longer kept.
            TenantClosingError: the tenant is being deleted, or was after ``sent_at``.
        """
        for _ in range(record_writer.MAX_ROUNDS):
            stored_record = self._runs.get(job.run_id)
            if stored_record is not None:
                return new_records.matched(stored_record, job)
            if self._runs.has_expired(job.run_id):
                raise errors.JobExpiredError(job.run_id)
            with suppress(errors.CommitLostError):
                return self._adopted(job, request_id, sent_at)
        raise ThrottledError(
            "adopt",
            f"run {job.run_id}: {record_writer.TOO_MANY_WRITERS}",
        )

    def _adopted(
        self,
        job: Job,
        request_id: str | None,
        sent_at: datetime | None,
    ) -> RunRecord:
        owner = new_records.adopted(
            job,
            self._clock(),
            request_id,
            LockState.OWNER,
        )
        try:
            return self._writer.create(
                owner,
                yield_to_waiters=True,
                sent_at=sent_at,
            )
        except errors.TenantBusyError:
            waiter = replace(owner, lock_state=LockState.QUEUED)
            return self._writer.create(waiter, sent_at=sent_at)

    def adopt_dead(
        self,
        job: Job,
        message: str,
        dlq_message_id: str,
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Create the record of a dead letter without one, as poison.

        Raises:
            CommitLostError: the run has a record.
            TenantClosingError: the tenant is being deleted, or was after ``sent_at``.
        """
        now = self._clock()
        queued = new_records.adopted(job, now, None, LockState.NONE)
        poison = end_rules.poisoned(message, now)(queued)
        dead_letter = message_rules.dead_lettered(dlq_message_id)(poison)
        return self._writer.create(dead_letter, sent_at=sent_at)

    def dispatch(
        self,
        run_id: str,
        attempt: int,
        *,
        message_id: str | None = None,
        receipt_handle: str = "",
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """Open the next attempt, before Dagster creates a run for it.

        A run that waits takes the tenant's lock. The message is the one that asks for
        the attempt, if there is one.

        Raises:
            TenantBusyError: the run waits for its tenant, which has an active run.
            DispatchRefusedError: an attempt is in progress, or this is not the next one.
        """
        open_attempt = attempt_rules.dispatched(attempt, self._clock())
        if message_id is None:
            return self._writer.apply_rule(run_id, open_attempt, cached_record)
        note_message = self.messages.received_rule(message_id, receipt_handle)

        def open_for_message(record: RunRecord) -> RunRecord:
            return note_message(open_attempt(record))

        return self._writer.apply_rule(run_id, open_for_message, cached_record)

    # --- by the run -------------------------------------------------------------------

    def claim(
        self,
        run_id: str,
        attempt: int,
        dagster_run_id: str,
    ) -> RunRecord:
        """Give an attempt to one Dagster run, which may ask again.

        Raises:
            ClaimRefusedError: the attempt is over, or another Dagster run has it.
            CancelRequestedError: somebody has asked for the run's cancellation.
        """
        rule = attempt_rules.claimed(attempt, dagster_run_id, self._clock())
        return self._writer.apply_rule(run_id, rule)

    def start_by_hand(
        self,
        dagster_run_id: str,
        tenant_id: str,
        config_version: int | None = None,
    ) -> RunRecord:
        """Create the record of a run that Dagster started, and claim its only attempt.

        Raises:
            TenantBusyError: the tenant has an active run; no record is created.
            TenantClosingError: the tenant is being deleted; no record is created.
        """
        if self._runs.get(dagster_run_id) is None:
            record = new_records.started_by_hand(
                dagster_run_id,
                tenant_id,
                self._clock(),
                config_version,
            )
            with suppress(errors.CommitLostError):
                return self._writer.create(record, yield_to_waiters=True)
        return self.claim(dagster_run_id, 1, dagster_run_id)

    def enter_stage(
        self,
        fence: Fence,
        stage: Stage,
        *,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """Move on to a stage, never back; the run's own stage only checks the fence."""
        rule = attempt_rules.entered(fence, stage, self._clock())
        return self._writer.apply_rule(fence.run_id, rule, cached_record)

    def pin(
        self,
        fence: Fence,
        config_version: int | None,
        baseline_run_id: str | None = None,
        *,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """Fix config version and baseline; return the record with those in effect."""
        rule = attempt_rules.pinned(fence, config_version, baseline_run_id)
        return self._writer.apply_rule(fence.run_id, rule, cached_record)

    def succeed(
        self,
        fence: Fence,
        outcome: Outcome,
        *,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """End the run ``SUCCEEDED``, reported; publish its feed and free its tenant."""
        change = RequestedChange(
            run_id=fence.run_id,
            rule=end_rules.succeeded(fence, outcome, self._clock()),
            cached_record=cached_record,
            feed_update=self._feed_updates.publish,
        )
        return self._writer.apply(change).record

    def fail(
        self,
        fence: Fence,
        failure: RunFailure,
        outcome: Outcome | None = NOTHING_KNOWN,
    ) -> RunRecord:
        """End the run ``FAILED``; without an outcome, no reports are written yet."""
        rule = end_rules.failed(fence, failure, outcome, self._clock())
        return self._writer.apply_rule(fence.run_id, rule)

    def retry_later(
        self,
        fence: Fence,
        error_code: str,
        error_message: str,
    ) -> RunRecord:
        """End an attempt without a verdict; queue the run, or end it as poison."""
        return self._lose(
            fence.run_id,
            fence.attempt,
            fence,
            error_code,
            error_message,
        )

    # --- by the reconciler ------------------------------------------------------------

    def lose_attempt(
        self,
        record: RunRecord,
        error_code: str,
        error_message: str,
    ) -> RunRecord:
        """End the attempt of a dead Dagster run, as `retry_later` does."""
        fence = record.fence if record.dagster_run_id else None
        return self._lose(
            record.run_id,
            record.attempt,
            fence,
            error_code,
            error_message,
        )

    def cancel(self, run_id: str) -> RunRecord:
        """End the run ``CANCELLED``, no matter which process executes it.

        Raises:
            RunAlreadyFinishedError: the run has ended.
        """
        change = RequestedChange(
            run_id=run_id,
            rule=end_rules.cancelled(self._clock()),
            audit_entry=end_rules.terminated_entry,
        )
        return self._writer.apply(change).record

    def poison(self, run_id: str, error_message: str) -> RunRecord:
        """End the run with ``POISON_JOB``, no matter which process executes it.

        Raises:
            RunAlreadyFinishedError: the run has ended.
        """
        rule = end_rules.poisoned(error_message, self._clock())
        return self._writer.apply_rule(run_id, rule)

    def check_again(
        self,
        record: RunRecord,
        wait: timedelta,
        *,
        queue: DueQueue | None = None,
        **findings: Any,
    ) -> bool:
        """Note when a record that stays as it is has to be checked again.

        The revision stays, so that this disturbs no other writer. ``findings`` are
        fields that only checks write, such as ``watched_as``. Without a ``queue``, the
        record stays in its own.

        Return False if the record has changed in the meantime; that change has set the next
        check.
        """
        checked = replace(
            record,
            due_at=self._clock() + wait,
            due_queue=queue or record.due_queue,
            **findings,
        )
        return self._runs.note_check(checked)

    def postpone(self, record: RunRecord) -> None:
        """Check a record later after a fault; one that cannot be written stays due."""
        with suppress(ExternalServiceError):
            self.check_again(record, AFTER_A_FAULT)

    def _lose(
        self,
        run_id: str,
        attempt: int,
        fence: Fence | None,
        code: str,
        message: str,
    ) -> RunRecord:
        lost_attempt = self.schedule.lost_attempt(
            attempt,
            fence,
            code,
            message,
            self._clock(),
            self._rng(),
        )
        rule = attempt_rules.attempt_lost(lost_attempt, self.schedule)
        return self._writer.apply_rule(run_id, rule)
