"""The run's ledger: every change of a run record, whoever asks, and no other place.

Each method reads the record consistently, applies one rule of `state_machine` or `message_state`,
and commits the result on condition that nothing has changed since; where something has, it reads
and decides again (`commits`). The tenant's lock changes in the same transaction. ``known`` is the
record as the caller read or wrote it last: it is tried first, and spares a read.

`UnknownRunError` is raised for a run_id without a record, `ExternalServiceError` where the store
fails; other refusals are named in each method.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure
from relay_dagster.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.runs import state_machine
from relay_dagster.runs.admission import Admission, Reservation
from relay_dagster.runs.commits import Commits, LookPolicy
from relay_dagster.runs.feeds import rules
from relay_dagster.runs.feeds.decisions import FeedDecisions
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    NOTHING_KNOWN,
    Fence,
    Idempotency,
    NewRun,
    Outcome,
    RunRecord,
)
from relay_dagster.runs.ports import RunRecords, utc_now
from relay_dagster.runs.retry_policy import Loss, RetryPolicy
from relay_dagster.runs.triggers.state import TriggerMove


class RunLedger(FeedDecisions):
    """Every transition of a run record; decisions of feeds, and mere notes, are inherited.

    Args:
        runs: where records are kept.
        policy: attempts and back-off.
        looks: when a record is to be looked at next; it knows the same attempts.
        keep_published: how many publications of a tenant can be published again.
        clock: tells the time, aware.
        chance: a random number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        runs: RunRecords,
        policy: RetryPolicy | None = None,
        looks: LookPolicy | None = None,
        *,
        keep_published: int = 10,
        clock: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self.looks = looks or LookPolicy(retries=self.policy)
        super().__init__(Commits(runs, self.looks, clock), keep_published)
        self._admission = Admission(self._commits)
        self._chance = chance

    # --- asked for ------------------------------------------------------------------------------

    def earlier_run(self, idempotency: Idempotency) -> RunRecord | None:
        """Return the run of an earlier request with this key, or None.

        Raises:
            IdempotencyKeyReusedError: the earlier request had another body.
        """
        return self._admission.earlier_run(idempotency)

    def reserve(
        self, wanted: NewRun, idempotency: Idempotency | None = None, most: int | None = None
    ) -> Reservation:
        """Make the record, take the tenant's lock and remember the key, all or nothing.

        The key is looked at first: an earlier request's run is returned, active or not. ``most`` is
        how many runs the tenant may be given in an hour, this one among them.

        Raises:
            TenantBusyError: the tenant has a run that is queued or running.
            RunQuotaExceededError, IdempotencyKeyReusedError: as they say.
        """
        return self._admission.reserve(wanted, idempotency, most)

    def start_wanted(self, wanted: NewRun, move: TriggerMove) -> RunRecord:
        """Reserve what triggers want, and take it from them; `CommitLostError` where it is gone."""
        return self._admission.start_wanted(wanted, move)

    def uncount(self, record: RunRecord) -> None:
        """Take a run that could not be sent out of the count of its hour."""
        self._commits.runs.writes.uncount(record)

    def tombstone(self, run_id: str) -> RunRecord:
        """End and hide a run whose message could not be sent; the tenant and the key are free.

        Returns:
            The record; not ``hidden`` where the message had arrived and the run is under way.
        """
        return self._change(run_id, state_machine.tombstoned(self._clock()))

    def request_cancel(self, run_id: str, *, origin: Origin = SYSTEM) -> RunRecord:
        """Cancel at once where no attempt is under way, else set ``cancel_requested_at``.

        A feed that is held is given up.

        Raises:
            RunAlreadyFinishedError: the run has ended otherwise.
        """
        now = self._clock()

        def entry(record: RunRecord) -> AuditEntry:
            return origin.entry(Action.RUN_CANCELLED, record.tenant_id, run_id, now)

        rule = state_machine.cancel_requested(now)
        return self._change(run_id, rule, move=self._feeds.discard, entry=entry)

    # --- from the queue -------------------------------------------------------------------------

    def adopt(
        self, job: Job, request_id: str | None = None, sent_at: datetime | None = None
    ) -> RunRecord:
        """Return the record of a message's run; make one for a job sent straight to the queue.

        A new one takes the tenant's lock where it is free (``lock_state`` is ``OWNER``), else it
        waits (``QUEUED``) and `dispatch` takes the lock later.

        Raises:
            JobConflictError: the record was made for another body.
            TenantClosingError: its tenant is being deleted, or was after the message was sent.
        """
        return self._admission.adopt(job, request_id, sent_at)

    def adopt_dead(
        self, job: Job, message: str, dlq_message_id: str, sent_at: datetime | None = None
    ) -> RunRecord:
        """Make the record of a job that was found in the dead-letter queue and had none: poison.

        Raises:
            CommitLostError: it has a record after all.
            TenantClosingError: as for `adopt`.
        """
        return self._admission.adopt_dead(job, message, dlq_message_id, sent_at)

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

        ``message_id`` and ``receipt_handle`` are those of the message that asks for it, where one
        does.

        Raises:
            TenantBusyError: the run waits for its tenant.
            DispatchRefusedError: another attempt is under way, or this one is not the next.
            CancelRequestedError, RunAlreadyFinishedError: there is nothing to dispatch.
        """
        open_attempt = state_machine.dispatched(attempt, self._clock())
        if message_id is None:
            return self._change(run_id, open_attempt, known)
        note = self._received(message_id, receipt_handle)
        return self._change(run_id, lambda record: note(open_attempt(record)), known)

    # --- by the run -----------------------------------------------------------------------------

    def claim(self, run_id: str, attempt: int, dagster_run_id: str) -> RunRecord:
        """Give the attempt to one Dagster run: ``RUNNING``, ``FETCH_INPUTS``. Repeatable by it.

        Raises:
            ClaimRefusedError: the attempt is over or belongs to another Dagster run.
            CancelRequestedError: the run is to be cancelled.
        """
        return self._change(run_id, state_machine.claimed(attempt, dagster_run_id, self._clock()))

    def start_by_hand(
        self, dagster_run_id: str, tenant_id: str, config_version: int | None = None
    ) -> RunRecord:
        """Make the record of a run that Dagster started on its own, claimed. Repeatable by it.

        Raises:
            TenantBusyError: the tenant has an unfinished run; no record is left.
            ClaimRefusedError: the record is there and no longer this Dagster run's to go on with.
        """
        made = self._admission.start_by_hand(dagster_run_id, tenant_id, config_version)
        return made or self.claim(dagster_run_id, 1, dagster_run_id)

    def enter_stage(
        self, fence: Fence, stage: Stage, *, known: RunRecord | None = None
    ) -> RunRecord:
        """Move the run on to a stage; the one it is in only tells whether the fence holds.

        Raises:
            FenceLostError: a newer attempt executes the run, or it is final.
            CancelRequestedError: the run is to be cancelled; go on to `cancel`.
            TransitionRefusedError: the stage lies behind.
        """
        return self._change(fence.run_id, state_machine.entered(fence, stage, self._clock()), known)

    def pin(
        self,
        fence: Fence,
        config_version: int | None,
        baseline_run_id: str | None = None,
        *,
        known: RunRecord | None = None,
    ) -> RunRecord:
        """Fix config version and baseline, unless they are fixed; the record has the answer.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        return self._change(
            fence.run_id, state_machine.pinned(fence, config_version, baseline_run_id), known
        )

    def succeed(
        self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None
    ) -> RunRecord:
        """End the run ``SUCCEEDED``, free the tenant, and move its feed to a run of all vendors.

        Its reports are written.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`; nothing was published.
        """
        rule = state_machine.succeeded(fence, outcome, self._clock())
        return self._change(fence.run_id, rule, known, self._feeds.publish)

    def hold(self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None) -> RunRecord:
        """End the run ``HELD`` and free the tenant; its feed waits. Its reports are written.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        rule = rules.held(fence, outcome, self._clock())
        return self._change(fence.run_id, rule, known, self._feeds.hold)

    def fail(
        self, fence: Fence, failure: RunFailure, outcome: Outcome | None = NOTHING_KNOWN
    ) -> RunRecord:
        """End the run ``FAILED`` and free the tenant.

        Its reports are written; with None they are not, and the reconciler writes them.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        rule = state_machine.failed(fence, failure, outcome, self._clock())
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
        return self._change(run_id, state_machine.cancelled(self._clock()))

    def poison(self, run_id: str, error_message: str) -> RunRecord:
        """End the run ``FAILED`` with ``POISON_JOB`` and free the tenant, whoever executes it.

        Raises:
            RunAlreadyFinishedError: the run has ended.
        """
        return self._change(run_id, state_machine.poisoned(error_message, self._clock()))

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
        return self._change(run_id, state_machine.attempt_lost(loss, self.policy))
