"""The verbs of a run's life: every change of a run record, whoever asks, and no other place.

Each verb reads the record consistently, applies one rule of `transitions`, and commits the result
on condition that nothing has changed since; where something has, it reads and decides again. Lock,
feed pointer, events and audit change in the same transaction. ``known`` is the record as the caller
read or wrote it last: it is tried first, and spares a read. What people decide of feeds is
``ledger/feeds.py``.

`UnknownRunError` is raised for a run_id without a record, `ExternalServiceError` where the store
fails; other refusals are named in each method.
"""

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.table import Write
from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.external_errors import ExternalServiceError, ThrottledError
from relay_dagster.feeds.pointer import FeedUpdate, FeedUpdateOf, no_update
from relay_dagster.ledger.feeds import FeedLedger
from relay_dagster.runs import transitions
from relay_dagster.runs.errors import (
    CommitLostError,
    IdempotencyKeyReusedError,
    JobExpiredError,
    TenantBusyError,
    UnknownRunError,
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
from relay_dagster.runs.poll_schedule import (
    DEFAULT_SCHEDULE,
    UNSENT_AFTER,
    Loss,
    PollSchedule,
)
from relay_dagster.runs.ports import Change, utc_now
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.triggers.rules import TriggerUpdate
from relay_dagster.webhooks.model import events_of

_MAX_ROUNDS, _BUSY = 20, "too many writers at once"


class RunLedger:
    """The ledger of runs: every change of a run record.

    ``keep_published`` publications of a tenant can be published again. The clock is aware, ``rng``
    returns numbers from 0 to 1.

    What takes a fence raises `FenceLostError` where a newer attempt executes the run, or it is
    final, and `CancelRequestedError` where the run is to be cancelled: go on to `cancel`.
    """

    def __init__(
        self,
        runs: RunStore,
        schedule: PollSchedule = DEFAULT_SCHEDULE,
        *,
        keep_published: int = 10,
        clock: Callable[[], datetime] = utc_now,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.schedule = schedule
        self._runs, self._clock, self._rng = runs, clock, rng
        self.feeds = FeedLedger(runs, self._change, keep_published, clock)

    def earlier_run(self, idempotency: Idempotency) -> RunRecord | None:
        """Return the run of an earlier request, or None; else `IdempotencyKeyReusedError`."""
        if (found := self._runs.idempotent_run(idempotency.id, self._clock())) is None:
            return None
        run_id, fingerprint = found
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReusedError(run_id)
        return self._runs.get(run_id)

    def reserve(
        self,
        wanted: NewRun,
        idempotency: Idempotency | None = None,
        most: int | None = None,
    ) -> Reservation:
        """Make the record, take the tenant's lock and remember the key, all or nothing.

        An earlier request's run is returned, active or not. ``most`` is the tenant's runs an hour.
        `TenantBusyError`, `QuotaExceededError`, `IdempotencyKeyReusedError`: as they say.
        """
        for _ in range(_MAX_ROUNDS):
            earlier = self.earlier_run(idempotency) if idempotency else None
            if earlier is not None:
                return Reservation(earlier, created=False)
            now, writes, also = self._clock(), self._runs.writes, []
            record = transitions.requested(wanted, now, idempotency)
            if idempotency is not None:
                also.append(writes.remember(record, idempotency, now))
            if most is not None:
                also.append(writes.quota(record, most))
            with suppress(CommitLostError):
                made = self._commit(None, record, also, yield_to_waiters=True)
                return Reservation(made, created=True)
            known = self._runs.get(wanted.run_id)
            if known is not None:
                # An earlier try of this very request got through, though its answer did not.
                return Reservation(transitions.matched(known, record.job), created=True)
            # The key was taken meanwhile: its run is found in the next round.
        raise ThrottledError("reserve", f"run {wanted.run_id}: {_BUSY}")

    def start_wanted(self, wanted: NewRun, update: TriggerUpdate) -> RunRecord:
        """Reserve what triggers want, and take it from them; `CommitLostError` where it is gone."""
        record = transitions.requested(wanted, self._clock(), None)
        taken = self._runs.writes.triggers(update)
        return self._commit(None, record, [taken], yield_to_waiters=True)

    def uncount(self, record: RunRecord) -> None:
        """Take a run that could not be sent out of the count of its hour."""
        self._runs.writes.uncount(record)

    def tombstone(self, run_id: str) -> RunRecord:
        """End and hide a run that was not sent, free tenant and key; not one that is under way."""
        return self._change(run_id, transitions.tombstoned(self._clock()))

    def request_cancel(
        self, run_id: str, *, origin: Origin = SYSTEM, **why: str
    ) -> RunRecord:
        """Cancel, or discard what is held, at once where nothing is under way; else ask for it."""
        now = self._clock()

        def entry(record: RunRecord) -> AuditEntry:
            return origin.entry(
                Action.RUN_CANCELLED, record.tenant_id, run_id, now, **why
            )

        rule = transitions.cancel_requested(now)
        return self._change(run_id, rule, feed=self.feeds.discarding, entry=entry)

    # --- from the queue -------------------------------------------------------------------------

    def adopt(
        self, job: Job, request_id: str | None = None, sent_at: datetime | None = None
    ) -> RunRecord:
        """Return the record of a message's run; make one for a job sent straight to the queue.

        A new one takes the tenant's lock where it is free, else it waits, and `dispatch` takes it.

        `JobConflictError`, `JobExpiredError`: the record is of another body, or no longer kept.
        `TenantClosingError`: its tenant is being deleted, or was after the message was sent.
        """
        for _ in range(_MAX_ROUNDS):
            if (known := self._runs.get(job.run_id)) is not None:
                return transitions.matched(known, job)
            if self._runs.has_expired(job.run_id):
                raise JobExpiredError(job.run_id)
            record = transitions.adopted(
                job, self._clock(), request_id, LockState.OWNER
            )
            with suppress(CommitLostError):
                try:
                    return self._commit(
                        None, record, yield_to_waiters=True, sent_at=sent_at
                    )
                except TenantBusyError:
                    waiting = replace(record, lock_state=LockState.QUEUED)
                    return self._commit(None, waiting, sent_at=sent_at)
        raise ThrottledError("adopt", f"run {job.run_id}: {_BUSY}")

    def adopt_dead(
        self,
        job: Job,
        message: str,
        dlq_message_id: str,
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Make the record of a dead letter, as poison; `CommitLostError` where it has one."""
        now = self._clock()
        queued = transitions.adopted(job, now, None, LockState.NONE)
        poison = transitions.poisoned(message, now)(queued)
        dead = transitions.dead_lettered(dlq_message_id)(poison)
        return self._commit(None, dead, sent_at=sent_at)

    def dispatch(
        self,
        run_id: str,
        attempt: int,
        *,
        message_id: str | None = None,
        receipt_handle: str = "",
        known: RunRecord | None = None,
    ) -> RunRecord:
        """Open the next attempt, before Dagster is asked for a run. A waiting run takes the lock.

        The message is the one that asks for it, where one does. `TenantBusyError` where the run
        waits for its tenant; `DispatchRefusedError` where it is not the next attempt's turn.
        """
        open_attempt = transitions.dispatched(attempt, self._clock())
        if message_id is None:
            return self._change(run_id, open_attempt, known)
        note = self._received(message_id, receipt_handle)
        return self._change(run_id, lambda record: note(open_attempt(record)), known)

    # --- by the run -----------------------------------------------------------------------------

    def claim(self, run_id: str, attempt: int, dagster_run_id: str) -> RunRecord:
        """Give the attempt to one Dagster run, which may ask again; else `ClaimRefusedError`."""
        return self._change(
            run_id, transitions.claimed(attempt, dagster_run_id, self._clock())
        )

    def start_by_hand(
        self, dagster_run_id: str, tenant_id: str, config_version: int | None = None
    ) -> RunRecord:
        """Make the record of a run that Dagster started, claimed; `TenantBusyError` leaves none."""
        if self._runs.get(dagster_run_id) is None:
            now = self._clock()
            record = transitions.started_by_hand(
                dagster_run_id, tenant_id, now, config_version
            )
            with suppress(CommitLostError):
                return self._commit(None, record, yield_to_waiters=True)
        return self.claim(dagster_run_id, 1, dagster_run_id)

    def enter_stage(
        self, fence: Fence, stage: Stage, *, known: RunRecord | None = None
    ) -> RunRecord:
        """Move on to a stage, never back; its own only tells whether the fence holds."""
        return self._change(
            fence.run_id, transitions.entered(fence, stage, self._clock()), known
        )

    def pin(
        self,
        fence: Fence,
        config_version: int | None,
        baseline_run_id: str | None = None,
        *,
        known: RunRecord | None = None,
    ) -> RunRecord:
        """Fix config version and baseline, unless they are fixed; the record has the answer."""
        rule = transitions.pinned(fence, config_version, baseline_run_id)
        return self._change(fence.run_id, rule, known)

    def succeed(
        self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None
    ) -> RunRecord:
        """End the run ``SUCCEEDED``, reported, its feed in force; free the tenant."""
        rule = transitions.succeeded(fence, outcome, self._clock())
        return self._change(fence.run_id, rule, known, self.feeds.publishing)

    def fail(
        self, fence: Fence, failure: RunFailure, outcome: Outcome | None = NOTHING_KNOWN
    ) -> RunRecord:
        """End the run ``FAILED`` and free the tenant; without an outcome it has no reports yet."""
        rule = transitions.failed(fence, failure, outcome, self._clock())
        return self._change(fence.run_id, rule)

    def retry_later(
        self, fence: Fence, error_code: str, error_message: str
    ) -> RunRecord:
        """End the attempt for a fault that may pass: queued until then, poison after the last."""
        return self._lose(fence.run_id, fence.attempt, fence, error_code, error_message)

    # --- by the reconciler ----------------------------------------------------------------------

    def lose_attempt(
        self, seen: RunRecord, error_code: str, error_message: str
    ) -> RunRecord:
        """End the attempt of ``seen``, whose Dagster run is dead, as `retry_later` does."""
        fence = seen.fence if seen.dagster_run_id else None
        return self._lose(seen.run_id, seen.attempt, fence, error_code, error_message)

    def cancel(self, run_id: str) -> RunRecord:
        """End the run ``CANCELLED``, whoever executes it; else `RunAlreadyFinishedError`."""
        rule = transitions.cancelled(self._clock())
        return self._change(run_id, rule, entry=transitions.terminated_entry)

    def poison(self, run_id: str, error_message: str) -> RunRecord:
        """End the run with ``POISON_JOB``, whoever executes it; else `RunAlreadyFinishedError`."""
        return self._change(run_id, transitions.poisoned(error_message, self._clock()))

    # --- messages, reports, and the next check ----------------------------------------------------

    def mark_sent(
        self, run_id: str, message_id: str, *, known: RunRecord | None = None
    ) -> RunRecord:
        """Note the message that now stands for the run; a run that has ended stays as it is."""
        return self._change(run_id, transitions.sent(message_id, self._clock()), known)

    def claim_send(self, run_id: str, wait: timedelta = UNSENT_AFTER) -> RunRecord:
        """Take the right to send a run's message, or `TransitionRefusedError`: somebody has it."""
        return self._change(run_id, transitions.send_claimed(self._clock(), wait))

    def note_receive(
        self,
        run_id: str,
        message_id: str,
        receipt_handle: str,
        *,
        hidden_for: timedelta | None = None,
    ) -> RunRecord:
        """Store the newest receipt handle of the run's message, out of sight for ``hidden_for``."""
        return self._change(
            run_id, self._received(message_id, receipt_handle, hidden_for)
        )

    def record_dlq(self, run_id: str, dlq_message_id: str) -> RunRecord:
        """Note that the run's message is in the dead-letter queue."""
        return self._change(run_id, transitions.dead_lettered(dlq_message_id))

    def resolve_dead_letter(
        self, run_id: str, entry: Callable[[RunRecord], AuditEntry | None] = no_update
    ) -> RunRecord:
        """Note that the run's dead letter is redriven or discarded: it is to go when it is met."""
        return self._change(
            run_id, transitions.dead_letter_resolved(self._clock()), entry=entry
        )

    def note_reports(self, run_id: str, outcome: Outcome = NOTHING_KNOWN) -> RunRecord:
        """Note that an ended run's reports are written; ``outcome`` adds to what is known."""
        return self._change(run_id, transitions.reported(outcome, self._clock()))

    def acknowledge(self, run_id: str, *, known: RunRecord | None = None) -> RunRecord:
        """Note that an ended run's message is deleted, in the DLQ if poison: nothing is left."""
        return self._change(run_id, transitions.acknowledged(self._clock()), known)

    def check_again(
        self,
        record: RunRecord,
        after: timedelta,
        *,
        queue: DueQueue | None = None,
        **seen: Any,
    ) -> bool:
        """Note when a record that stays as it is wants to be checked again, and what was seen.

        Its revision stays, so that this is in nobody's way. ``seen`` is what checks alone know
        (``watched_as``, ``hidden_until``, ...). Without a ``queue`` it stays in its own. False
        where the record has changed meanwhile; that change has said when.
        """
        due_at = self._clock() + after
        noted = replace(
            record, due_at=due_at, due_queue=queue or record.due_queue, **seen
        )
        return self._runs.note_check(noted)

    def postpone(self, record: RunRecord) -> None:
        """Let others go first after a fault; where not even that can be noted it stays due."""
        with suppress(ExternalServiceError):
            self.check_again(record, AFTER_A_FAULT)

    def _change(
        self,
        run_id: str,
        rule: transitions.Rule,
        known: RunRecord | None = None,
        feed: FeedUpdateOf = no_update,
        *,
        while_idle: bool = False,
        entry: Callable[[RunRecord], AuditEntry | None] = no_update,
        then: Callable[[RunRecord], object] = no_update,
    ) -> RunRecord:
        """Apply a rule to a record; return it as it was committed, or as the rule leaves it.

        No waiting: a lost round means that another writer got through, and writers of a record are
        few. ``entry`` makes the audit's entry; a change of nothing has none. ``then`` is given the
        record where this very call has changed it. Who asked for the run is in the audit with the
        first change that does not withdraw it: until its message is sent, there may be no run.
        """
        writes = self._runs.writes
        for _ in range(_MAX_ROUNDS):
            before, known = known or self._runs.get(run_id), None
            if before is None:
                raise UnknownRunError(run_id)
            after = rule(before)
            if after is before:
                return before
            update, also = feed(after), []
            if update is not None:
                after, update = update.noted(after, self._scheduled)
                also += writes.feed(update)
            if while_idle:
                also += [
                    writes.tenant_idle(Change(before, after)),
                    writes.tenant_active(after),
                ]
            entries = [entry(after)]
            if after.pending_audit is not None and not after.hidden:
                entries = [after.pending_audit, *entries]
                after = replace(after, pending_audit=None)
            audit = [each for each in entries if each is not None]
            with suppress(CommitLostError):
                done = self._commit(before, after, also, update, audit)
                then(done)
                return done
        raise ThrottledError("change", f"run {run_id}: {_BUSY}")

    def _commit(
        self,
        before: RunRecord | None,
        record: RunRecord,
        also: Sequence[Write] = (),
        update: FeedUpdate | None = None,
        audit: Sequence[AuditEntry] = (),
        *,
        yield_to_waiters: bool = False,
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Commit a record with the writes that follow from its change: of lock, key and events."""
        after, writes = self._scheduled(before, record), self._runs.writes
        events = events_of(before, after, update, self._clock())
        change = Change(before, after, tuple(events), tuple(audit))
        own = writes.lock(
            change, yield_to_waiters=yield_to_waiters
        ) + writes.vendor_results(after)
        takes_lock = (
            before is not None
            and before.lock_state is not LockState.OWNER is after.lock_state
        )
        if before is None or takes_lock:
            own.append(writes.tenant_active(after, sent_at))
        elif after.hidden and not before.hidden and after.idempotency_id:
            own.append(writes.forget(after))
        return self._runs.commit(change, [*own, *also])

    def _scheduled(self, before: RunRecord | None, after: RunRecord) -> RunRecord:
        return self.schedule.scheduled(before, after, self._clock())

    def _lose(
        self, run_id: str, attempt: int, fence: Fence | None, code: str, message: str
    ) -> RunRecord:
        now = self._clock()
        retry_at = now + self.schedule.delay(attempt, self._rng())
        loss = Loss(attempt, fence, code, message, now, retry_at)
        return self._change(run_id, transitions.attempt_lost(loss, self.schedule))

    def _received(
        self, message_id: str, receipt_handle: str, hidden_for: timedelta | None = None
    ) -> transitions.Rule:
        now = self._clock()
        hidden_until = now + (
            hidden_for or timedelta(seconds=self.schedule.visibility_seconds)
        )
        return transitions.received(message_id, receipt_handle, now, hidden_until)
