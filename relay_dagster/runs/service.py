"""The run's ledger: every change of a run record, whoever asks, and no other place.

Each method reads the record consistently, applies one rule of `transitions` or `message_state`, and
commits the result on condition that nothing has changed since; where something has, it reads
and decides again (`commits`). The tenant's lock changes in the same transaction. ``known`` is the
record as the caller read or wrote it last: it is tried first, and spares a read.

`UnknownRunError` is raised for a run_id without a record, `ExternalServiceError` where the store
fails; other refusals are named in each method.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure
from relay_dagster.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.runs import message_state, transitions
from relay_dagster.runs.admission import Admission, Reservation
from relay_dagster.runs.commits import UNSENT_AFTER, Commits, EntryOf, PollSchedule, Rule
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.feeds import rules as feed_rules
from relay_dagster.runs.feeds.hold import Release
from relay_dagster.runs.feeds.moves import FeedMoves
from relay_dagster.runs.feeds.pointer import FeedPointer
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    NOTHING_KNOWN,
    Fence,
    Idempotency,
    Lane,
    NewRun,
    Outcome,
    RunRecord,
)
from relay_dagster.runs.ports import RunRecords, utc_now
from relay_dagster.runs.retry_policy import Loss, RetryPolicy
from relay_dagster.runs.triggers.state import TriggerMove


class RunService:
    """Every change of a run record.

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
        looks: PollSchedule | None = None,
        *,
        keep_published: int = 10,
        clock: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.policy = policy or RetryPolicy()
        self.looks = looks or PollSchedule(retries=self.policy)
        self._commits = Commits(runs, self.looks, clock)
        self._change, self._clock = self._commits.change, clock
        self._feeds = FeedMoves(runs, keep_published, clock)
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
        return self._change(run_id, transitions.tombstoned(self._clock()))

    def request_cancel(self, run_id: str, *, origin: Origin = SYSTEM) -> RunRecord:
        """Cancel at once where no attempt is under way, else set ``cancel_requested_at``.

        A feed that is held is given up.

        Raises:
            RunAlreadyFinishedError: the run has ended otherwise.
        """
        now = self._clock()

        def entry(record: RunRecord) -> AuditEntry:
            return origin.entry(Action.RUN_CANCELLED, record.tenant_id, run_id, now)

        rule = transitions.cancel_requested(now)
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
        open_attempt = transitions.dispatched(attempt, self._clock())
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
        return self._change(run_id, transitions.claimed(attempt, dagster_run_id, self._clock()))

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
        return self._change(fence.run_id, transitions.entered(fence, stage, self._clock()), known)

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
            fence.run_id, transitions.pinned(fence, config_version, baseline_run_id), known
        )

    def succeed(
        self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None
    ) -> RunRecord:
        """End the run ``SUCCEEDED``, free the tenant, and move its feed to a run of all vendors.

        Its reports are written.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`; nothing was published.
        """
        rule = transitions.succeeded(fence, outcome, self._clock())
        return self._change(fence.run_id, rule, known, self._feeds.publish)

    def hold(self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None) -> RunRecord:
        """End the run ``HELD`` and free the tenant; its feed waits. Its reports are written.

        Raises:
            FenceLostError, CancelRequestedError: as for `enter_stage`.
        """
        rule = feed_rules.held(fence, outcome, self._clock())
        return self._change(fence.run_id, rule, known, self._feeds.hold)

    def fail(
        self, fence: Fence, failure: RunFailure, outcome: Outcome | None = NOTHING_KNOWN
    ) -> RunRecord:
        """End the run ``FAILED`` and free the tenant.

        Its reports are written; with None they are not, and the reconciler writes them.

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

    # --- feeds that are held back, or published again ---------------------------------------------

    def release(self, run_id: str, decision: Release, *, origin: Origin = SYSTEM) -> RunRecord:
        """Publish what is held: ``SUCCEEDED``. The same decision again changes nothing.

        Raises:
            RunNotHeldError: nothing of the run is held back.
            HoldMismatchError: what is held is not what was reviewed.
            TenantBusyError: the tenant has a run that is queued or running.
        """
        now = self._clock()

        def entry(record: RunRecord) -> AuditEntry:
            return origin.entry(
                Action.RUN_RELEASED,
                record.tenant_id,
                run_id,
                now,
                sha256=decision.sha256,
                guards=sorted(decision.guards),
                reason=decision.reason,
            )

        rule = feed_rules.released(decision, now)
        return self._change(run_id, rule, move=self._feeds.publish, while_idle=True, entry=entry)

    def expire_hold(self, run_id: str, retention_days: int) -> RunRecord:
        """Give a held feed up that is older than artifacts are kept: ``CANCELLED``.

        Raises:
            TransitionRefusedError: the run is not held any more.
        """
        return self._change(run_id, feed_rules.expired(retention_days), move=self._feeds.discard)

    def roll_back(
        self, tenant_id: str, run_id: str, reason: str = "", *, origin: Origin = SYSTEM
    ) -> FeedPointer:
        """Publish a feed again that was in force; the one that is in force is no change.

        Raises:
            FeedNotKeptError: it is none of the tenant's last publications.
            TenantBusyError: the tenant has a run that is queued or running.
        """
        runs = self._commits.runs
        feed = runs.feed(tenant_id)
        if feed is None or feed.kept(run_id) is None:
            raise FeedNotKeptError(tenant_id, run_id)
        before, now = feed.in_force.run_id, self._clock()

        def entry(_: RunRecord) -> AuditEntry:
            told = {"run_id_before": before, "reason": reason}
            return origin.entry(Action.FEED_ROLLED_BACK, tenant_id, run_id, now, **told)

        if before != run_id:
            self._change(run_id, replace, move=self._feeds.publish, while_idle=True, entry=entry)
        return runs.feed(tenant_id) or feed

    # --- messages, reports, and the next check ----------------------------------------------------

    def mark_sent(
        self, run_id: str, message_id: str, *, known: RunRecord | None = None
    ) -> RunRecord:
        """Note the message that now stands for the run: the first, or one sent in its place.

        A run that has ended meanwhile stays as it is: the message will find it final.
        """
        return self._change(run_id, message_state.sent(message_id, self._clock()), known)

    def claim_send(self, run_id: str, wait: timedelta = UNSENT_AFTER) -> RunRecord:
        """Take the right to send the message of a run that has had none for ``wait``.

        Raises:
            TransitionRefusedError: it has one, or somebody is sending it.
            RunAlreadyFinishedError: the run has ended.
        """
        return self._change(run_id, message_state.send_claimed(self._clock(), wait))

    def note_receive(
        self,
        run_id: str,
        message_id: str,
        receipt_handle: str,
        *,
        hidden_for: timedelta | None = None,
    ) -> RunRecord:
        """Store the newest receipt handle of the run's message.

        ``hidden_for`` is how long it stays out of sight, by default the queue's own time.
        """
        rule = self._received(message_id, receipt_handle, hidden_for)
        return self._change(run_id, rule)

    def record_dlq(self, run_id: str, dlq_message_id: str) -> RunRecord:
        """Note that the run's message is in the dead-letter queue."""
        return self._change(run_id, message_state.dead_lettered(dlq_message_id))

    def settle_letter(self, run_id: str, entry: EntryOf | None = None) -> RunRecord:
        """Note that the run's dead letter is redriven or discarded: it is to go when it is met."""
        return self._change(run_id, message_state.letter_settled(self._clock()), entry=entry)

    def note_reports(self, run_id: str, outcome: Outcome = NOTHING_KNOWN) -> RunRecord:
        """Note that a final run's reports are written; ``outcome`` adds to what is known.

        Raises:
            TransitionRefusedError: the run is not final.
        """
        return self._change(run_id, message_state.reported(outcome, self._clock()))

    def acknowledge(self, run_id: str, *, known: RunRecord | None = None) -> RunRecord:
        """Note that a final run's message is deleted and nothing is left to do.

        Raises:
            TransitionRefusedError: the run is not final, or poison that is not in the DLQ yet.
        """
        return self._change(run_id, message_state.acknowledged(self._clock()), known)

    def look_again(
        self, record: RunRecord, after: timedelta, *, lane: Lane | None = None, **seen: Any
    ) -> bool:
        """Note when a record that stays as it is wants to be looked at again, and what was seen.

        Its revision stays, so that this is in nobody's way.

        Args:
            record: as it was read.
            after: from now on.
            lane: whose it is then, by default whose it was.
            seen: what looks alone know: ``watched_as``, ``hidden_until``, ...

        Returns:
            False where the record has changed meanwhile; that change has said when.
        """
        return self._commits.look_again(record, after, lane, seen)

    def put_off(self, record: RunRecord) -> None:
        """Let others go first after a fault; where not even that can be noted it stays due."""
        with suppress(ExternalServiceError):
            self.look_again(record, AFTER_A_FAULT)

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
        return self._change(run_id, transitions.attempt_lost(loss, self.policy))

    def _received(
        self, message_id: str, receipt_handle: str, hidden_for: timedelta | None = None
    ) -> Rule:
        now = self._clock()
        hidden_until = now + (hidden_for or self._commits.looks.visibility)
        return message_state.received(message_id, receipt_handle, now, hidden_until)
