"""The run's ledger: every change of a run record, whoever asks, and no other place.

Each method reads the record consistently, applies one rule of `transitions`, and writes the result
on condition that nothing has changed since; where something has, it reads and decides again. Who
has the record in hand gives it, and spares the first of these reads. The tenant's lock changes
in the same transaction. `UnknownRunError` is raised for a run_id without a record,
`ExternalServiceError` where DynamoDB fails; other refusals are named in each method.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from relay_core.domain.models import RunFailure, Stage
from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs import settling
from relay_dagster.runs import state_machine as transitions
from relay_dagster.runs.admission import Admission, Reservation
from relay_dagster.runs.errors import CommitLostError, UnknownRunError
from relay_dagster.runs.model import (
    NOTHING_KNOWN,
    FeedPointer,
    Fence,
    Idempotency,
    Job,
    LockState,
    NewRun,
    Outcome,
    RunRecord,
)
from relay_dagster.runs.ports import Runs, utc_now
from relay_dagster.runs.retry_policy import Loss, RetryPolicy

_FeedOf = Callable[[RunRecord], FeedPointer | None]
# Writers of one record are few; each lost round means that another one got through.
_ROUNDS = 20


class RunLedger:
    """Every transition of a run record.

    Args:
        runs: where records are kept.
        policy: attempts and back-off.
        clock: tells the time, aware.
        chance: a random number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        runs: Runs,
        policy: RetryPolicy | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._runs = runs
        self._admission = Admission(runs, clock)
        self.policy = policy or RetryPolicy()
        self._clock = clock
        self._chance = chance

    # --- asked for ------------------------------------------------------------------------------

    def earlier_run(self, idempotency: Idempotency) -> RunRecord | None:
        """Return the run of an earlier request with this key, or None.

        Raises:
            IdempotencyKeyReusedError: the earlier request had another body.
        """
        return self._admission.earlier_run(idempotency)

    def reserve(self, request: NewRun, idempotency: Idempotency | None = None) -> Reservation:
        """Make the record, take the tenant's lock and remember the key, all or nothing.

        The key is looked at first: an earlier request's run is returned, active or not.

        Raises:
            TenantBusyError: the tenant has a run that is queued or running.
            IdempotencyKeyReusedError: the key came with another body.
        """
        return self._admission.reserve(request, idempotency)

    def mark_sent(
        self, run_id: str, message_id: str, *, held: RunRecord | None = None
    ) -> RunRecord:
        """Note the message that now stands for the run: the first, or one sent in its place.

        A run that has ended meanwhile stays as it is: the message will find it final. ``held`` is
        as for `enter_stage`.
        """
        return self._change(run_id, settling.sent(message_id, self._clock()), held)

    def claim_send(self, run_id: str, wait: timedelta = timedelta(seconds=60)) -> RunRecord:
        """Take the right to send the message of a run that has had none for ``wait``.

        Raises:
            TransitionRefusedError: it has one, or somebody is sending it.
            RunAlreadyFinishedError: the run has ended.
        """
        return self._change(run_id, settling.send_claimed(self._clock(), wait))

    def tombstone(self, run_id: str) -> RunRecord:
        """End and hide a run whose message could not be sent; the tenant and the key are free.

        Returns:
            The record; not ``hidden`` where the message had arrived and the run is under way.
        """
        return self._change(run_id, settling.entombed(self._clock()))

    def request_cancel(self, run_id: str) -> RunRecord:
        """Cancel at once where no attempt is under way, else set ``cancel_requested_at``.

        Raises:
            RunAlreadyFinishedError: the run has ended.
        """
        return self._change(run_id, transitions.cancel_requested(self._clock()))

    # --- from the queue -------------------------------------------------------------------------

    def adopt(self, job: Job, request_id: str | None = None) -> RunRecord:
        """Return the record of a message's run; make one for a job sent straight to the queue.

        A new one takes the tenant's lock where it is free (``lock_state`` is ``OWNER``), else it
        waits (``QUEUED``) and `dispatch` takes the lock later.

        Raises:
            JobConflictError: the record was made for another body.
        """
        return self._admission.adopt(job, request_id)

    def adopt_dead(self, job: Job, message: str, dlq_message_id: str) -> RunRecord:
        """Make the record of a job that was found in the dead-letter queue and had none: poison.

        Raises:
            CommitLostError: it has a record after all.
        """
        now = self._clock()
        queued = settling.adopted(job, now, None, LockState.NONE)
        dead = settling.dead_lettered(dlq_message_id)(transitions.poisoned(message, now)(queued))
        return self._runs.commit(None, dead, now=now)

    def note_receive(self, run_id: str, message_id: str, receipt_handle: str) -> RunRecord:
        """Store the newest receipt handle of the run's message."""
        rule = settling.received(message_id, receipt_handle, self._clock())
        return self._change(run_id, rule)

    def dispatch(
        self,
        run_id: str,
        attempt: int,
        *,
        message_id: str,
        receipt_handle: str,
        held: RunRecord | None = None,
    ) -> RunRecord:
        """Open the next attempt, before Dagster is asked for a run. A waiting run takes the lock.

        ``held`` is the record as the caller has just read it.

        Raises:
            TenantBusyError: the run waits for its tenant.
            DispatchRefusedError: another attempt is under way, or this one is not the next.
            CancelRequestedError, RunAlreadyFinishedError: there is nothing to dispatch.
        """
        rule = transitions.dispatched(attempt, message_id, receipt_handle, self._clock())
        return self._change(run_id, rule, held)

    # --- by the run -----------------------------------------------------------------------------

    def claim(self, run_id: str, attempt: int, dagster_run_id: str) -> RunRecord:
        """Give the attempt to one Dagster run: ``RUNNING``, ``FETCH_INPUTS``. Repeatable by it.

        Raises:
            ClaimRefusedError: the attempt is over or belongs to another Dagster run.
            CancelRequestedError: the run is to be cancelled.
        """
        return self._change(run_id, transitions.claimed(attempt, dagster_run_id, self._clock()))

    def start_by_hand(
        self, dagster_run_id: str, tenant_id: str, config_version: int | None = None
    ) -> RunRecord:
        """Make the record of a run that Dagster started on its own, claimed. Repeatable by it.

        Raises:
            TenantBusyError: the tenant has an unfinished run; no record is left.
            ClaimRefusedError: the record is there and no longer this Dagster run's to go on with.
        """
        known = self._runs.get(dagster_run_id)
        if known is None:
            now = self._clock()
            wanted = settling.started_by_hand(dagster_run_id, tenant_id, now, config_version)
            try:
                return self._runs.commit(None, wanted, now=now, yield_to_waiters=True)
            except CommitLostError:
                pass
        return self.claim(dagster_run_id, 1, dagster_run_id)

    def enter_stage(
        self, fence: Fence, stage: Stage, *, held: RunRecord | None = None
    ) -> RunRecord:
        """Move the run on to a stage; the one it is in only tells whether the fence holds.

        ``held`` is the record as the caller wrote it last: tried before it is read.

        Raises:
            FenceLostError: a newer attempt executes the run, or it is final.
            CancelRequestedError: the run is to be cancelled; go on to `cancel`.
            TransitionRefusedError: the stage lies behind.
        """
        return self._change(fence.run_id, transitions.entered(fence, stage, self._clock()), held)

    def pin_config(
        self, fence: Fence, config_version: int | None, *, held: RunRecord | None = None
    ) -> RunRecord:
        """Fix the config version that takes effect, unless it is fixed; the record has the answer.

        ``held`` is as for `enter_stage`.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        return self._change(fence.run_id, transitions.pinned(fence, config_version), held)

    def succeed(
        self, fence: Fence, outcome: Outcome, *, held: RunRecord | None = None
    ) -> RunRecord:
        """End the run ``SUCCEEDED``, free the tenant, and move its feed to a run of all vendors.

        Its reports are written. ``held`` is as for `enter_stage`.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`; nothing was published.
        """
        now = self._clock()

        def feed(record: RunRecord) -> FeedPointer | None:
            if record.vendors is not None or not (outcome.feed_key and outcome.feed_sha256):
                return None
            return FeedPointer(
                record.tenant_id, record.run_id, outcome.feed_key, outcome.feed_sha256, now
            )

        return self._change(fence.run_id, transitions.succeeded(fence, outcome, now), held, feed)

    def fail(
        self, fence: Fence, failure: RunFailure, outcome: Outcome = NOTHING_KNOWN
    ) -> RunRecord:
        """End the run ``FAILED`` and free the tenant. Its reports are written.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        rule = transitions.failed(fence, failure, outcome, self._clock())
        return self._change(fence.run_id, rule)

    def retry_later(self, fence: Fence, error_code: str, error_message: str) -> RunRecord:
        """End the attempt for a retryable fault: back to the queue until ``next_attempt_at``.

        Returns:
            The record; ``FAILED`` with ``POISON_JOB`` where this was the last attempt.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        return self._lose(fence.run_id, fence.attempt, fence, error_code, error_message)

    # --- by the reconciler ----------------------------------------------------------------------

    def lose_attempt(self, seen: RunRecord, error_code: str, error_message: str) -> RunRecord:
        """End an attempt whose Dagster run is dead or never came to be; else as `retry_later`.

        Args:
            seen: the record that the verdict was made from; its attempt and Dagster run must
                still be the record's.
            error_code: what happened, in a word.
            error_message: what happened, in a sentence.

        Raises:
            FenceLostError: the attempt has moved on since.
            CancelRequestedError: the run is to be cancelled; go on to `cancel`.
        """
        fence = seen.fence if seen.dagster_run_id else None
        return self._lose(seen.run_id, seen.attempt, fence, error_code, error_message)

    def cancel(self, run_id: str) -> RunRecord:
        """End the run ``CANCELLED`` and free the tenant, whoever executes it.

        Raises:
            RunAlreadyFinishedError: the run has ended otherwise.
        """
        return self._change(run_id, transitions.cancelled(self._clock()))

    def poison(self, run_id: str, error_message: str) -> RunRecord:
        """End the run ``FAILED`` with ``POISON_JOB`` and free the tenant, whoever executes it.

        Raises:
            RunAlreadyFinishedError: the run has ended.
        """
        return self._change(run_id, transitions.poisoned(error_message, self._clock()))

    def record_dlq(self, run_id: str, dlq_message_id: str) -> RunRecord:
        """Note that the run's message is in the dead-letter queue."""
        return self._change(run_id, settling.dead_lettered(dlq_message_id))

    def note_reports(self, run_id: str, outcome: Outcome = NOTHING_KNOWN) -> RunRecord:
        """Note that a final run's reports are written; ``outcome`` adds to what is known.

        Raises:
            TransitionRefusedError: the run is not final.
        """
        return self._change(run_id, settling.reported(outcome, self._clock()))

    def acknowledge(self, run_id: str) -> RunRecord:
        """Note that a final run's message is deleted and nothing is left to do.

        Raises:
            TransitionRefusedError: the run is not final, or poison that is not in the DLQ yet.
        """
        return self._change(run_id, settling.acknowledged(self._clock()))

    # --- how ------------------------------------------------------------------------------------

    def _lose(
        self, run_id: str, attempt: int, fence: Fence | None, code: str, message: str
    ) -> RunRecord:
        now = self._clock()
        loss = Loss(
            attempt=attempt,
            fence=fence,
            error_code=code,
            message=message,
            now=now,
            retry_at=now + self.policy.delay(attempt, self._chance()),
        )
        return self._change(run_id, transitions.lost(loss, self.policy))

    def _change(
        self,
        run_id: str,
        rule: transitions.Rule,
        held: RunRecord | None = None,
        feed: _FeedOf = lambda _: None,
    ) -> RunRecord:
        for _ in range(_ROUNDS):
            before, held = held or self._get(run_id), None
            after = rule(before)
            if after is before:
                return before
            try:
                return self._runs.commit(before, after, now=self._clock(), feed=feed(after))
            except CommitLostError:
                continue
        raise ThrottledError("change", f"run {run_id}: too many writers at once")

    def _get(self, run_id: str) -> RunRecord:
        if (record := self._runs.get(run_id)) is None:
            raise UnknownRunError(run_id)
        return record
