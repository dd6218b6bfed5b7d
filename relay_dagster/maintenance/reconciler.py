"""One tick over the due runs: gather facts, decide, act, set the next check.

`decide` is pure: facts in, actions out. Each action is safe to repeat. Each transition is
conditional, so a decision from facts that have changed since does nothing.

Records themselves have the time when they are due (``runs/poll_schedule.py``), so a tick leaves
nothing to the next. A run that cannot be handled is put off, and a later tick checks it again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import zip_longest

from relay_core.domain.codes import RunStatus
from relay_core.domain.errors import RelayError
from relay_core.publish.findings import RunFindings
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline, drain
from relay_dagster.execution.run_files import (
    ConcurrentIO,
    RunReports,
    remove_superseded,
    unpublish,
)
from relay_dagster.external_errors import ThrottledError
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import DueQueue, LockState, Outcome, RunRecord, Trigger
from relay_dagster.runs.poll_schedule import UNSENT_AFTER, WAITS_HIDDEN, PollSchedule
from relay_dagster.runs.ports import AttemptState, Executions, utc_now
from relay_dagster.wiring import Platform

MAX_RECORDS = 200
_ROUNDS = 5
LOST_DISPATCH_AFTER = timedelta(seconds=60)
FORCE_CANCEL_AFTER = timedelta(seconds=60)
REPORTS_GIVEN_UP_AFTER = timedelta(hours=1)
REPLACE_AFTER = timedelta(hours=11)
# Until something that was asked for has happened.
SOON = timedelta(seconds=5)
log = event_log()


# --- the decision ---------------------------------------------------------------------------------


class Act(StrEnum):
    """An action without arguments."""

    SEND = "send the message that was never sent"
    REPLACE = "send the message again and delete the old one"
    HAND_OVER = "leave the attempt to the intake, which asks Dagster for it"
    TERMINATE = "ask Dagster to end the run"
    STOP = "end a process that gives no sign, or let it end itself when it wakes up"
    FORCE_CANCELLED = "tell Dagster that the run is cancelled"
    CANCEL = "end the run as cancelled"
    POISON = "end the run as poison: it has had all of its attempts"
    SEND_TO_DLQ = "put the message of a poisoned run into the dead-letter queue"
    REPORT = "write the reports that the run could not write"
    SETTLE = "delete the message and acknowledge the run"


@dataclass(frozen=True, slots=True)
class Extend:
    """Keep the message hidden for so many seconds from now."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReportFailed:
    """Report to Dagster that the run is dead."""

    message: str


@dataclass(frozen=True, slots=True)
class Lose:
    """End the attempt: the next one follows, or the run is poison."""

    error_code: str
    message: str


ReconcileAction = Act | Extend | ReportFailed | Lose


def watched(
    record: RunRecord, heartbeats: int, execution: AttemptState, now: datetime
) -> RunRecord:
    """Return the record with the sign of life of its attempt, and since when it is the same.

    While the sign stays, the attempt is silent. Dagster's status is part of it: a run that has only
    now begun to execute was not silent before. The claim is another part: the first heartbeat comes
    an interval after it.
    """
    sign = ":".join(
        map(str, (record.attempt, heartbeats, execution, record.dagster_run_id))
    )
    if record.watched_as == sign and record.watched_at is not None:
        return record
    return replace(record, watched_as=sign, watched_at=now)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A record, and the state of its run; ``execution/attempt.py`` describes heartbeats."""

    record: RunRecord
    execution: AttemptState
    now: datetime
    silent_seconds: float = 0  # since the last change of its heartbeat
    is_its_turn: bool = False  # the tenant is free, and no other run has waited longer


def decide(facts: RunFacts, schedule: PollSchedule) -> list[ReconcileAction]:
    """Return the actions for one run, in order."""
    record = facts.record
    if record.has_ended:
        return [*_of_final(facts, schedule)]
    if record.cancel_requested_at is not None:
        return [*_of_cancelled(facts, record.cancel_requested_at, schedule)]
    if record.is_claimed:
        return [*_of_claimed(facts, schedule)]
    return [*(_of_dispatched if record.is_dispatched else _of_queued)(facts, schedule)]


def next_check(facts: RunFacts, schedule: PollSchedule) -> timedelta:
    """Return the time until the next check of a run that stays as it is."""
    record = facts.record
    if record.has_ended or record.cancel_requested_at is not None:
        return SOON
    if not record.is_dispatched:
        return schedule.until_next(record, facts.now)
    if facts.execution is AttemptState.ABSENT:
        return max(LOST_DISPATCH_AFTER - _since(facts, record.dispatched_at), SOON)
    stale_in = timedelta(
        seconds=max(schedule.stale_seconds - facts.silent_seconds, 0) + 1
    )
    return min(schedule.between_checks, stale_in)


def _of_final(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    """Settle a run, last of all its message; a process that is still there is waited for."""
    record = facts.record
    if record.needs_dlq:
        yield Act.SEND_TO_DLQ
    if facts.execution is AttemptState.EXECUTING:
        if facts.silent_seconds <= schedule.stale_seconds:
            return
        yield Act.STOP
        yield ReportFailed("the run is final and its process is silent")
    if (
        record.needs_reports
        and _since(facts, record.reports_tried_at) < REPORTS_GIVEN_UP_AFTER
    ):
        yield Act.REPORT
    yield Act.SETTLE


def _of_cancelled(
    facts: RunFacts, requested_at: datetime, schedule: PollSchedule
) -> Iterator[ReconcileAction]:
    """End a run as requested; a process that seems frozen is not asked, only waited for."""
    if facts.execution.is_alive and _since(facts, requested_at) < FORCE_CANCEL_AFTER:
        if facts.silent_seconds <= schedule.stale_seconds / 4:
            yield Act.TERMINATE
        return
    if facts.execution.is_alive:
        yield Act.STOP
        yield Act.FORCE_CANCELLED
    yield Act.CANCEL


def _of_claimed(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    if facts.execution is AttemptState.CANCELLED:
        yield Act.CANCEL
    elif not facts.execution.is_alive:
        yield Lose(
            "run_process_lost",
            f"the Dagster run is {facts.execution}, the run has no end",
        )
    elif facts.silent_seconds > schedule.stale_seconds:
        yield from _stale(facts)
    else:
        yield from _keep_hidden(facts, schedule)


def _of_dispatched(
    facts: RunFacts, schedule: PollSchedule
) -> Iterator[ReconcileAction]:
    if facts.execution is AttemptState.CANCELLED:
        yield Act.CANCEL
    elif facts.execution is AttemptState.ABSENT:
        if _since(facts, facts.record.dispatched_at) > LOST_DISPATCH_AFTER:
            yield Act.HAND_OVER
    elif not facts.execution.is_alive:
        yield Lose(
            "run_not_started", f"the Dagster run is {facts.execution}, it never began"
        )
    elif (
        facts.execution is AttemptState.EXECUTING
        and facts.silent_seconds > schedule.stale_seconds
    ):
        yield from _stale(facts)
    else:
        yield from _keep_hidden(facts, schedule)


def _of_queued(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    record = facts.record
    if not schedule.has_attempts_left(record):
        yield Act.POISON
    elif record.next_attempt_at is not None:
        yield Act.HAND_OVER
    elif record.message_id is None:
        since = record.send_claimed_at or record.requested_at
        if (
            record.trigger is not Trigger.DAGSTER
            and _since(facts, since) >= UNSENT_AFTER
        ):
            yield Act.SEND
    elif record.lock_state is LockState.QUEUED:
        if facts.is_its_turn:
            yield Act.HAND_OVER
        elif record.receipt_handle is not None:
            yield Extend(WAITS_HIDDEN.total_seconds())


def _stale(facts: RunFacts) -> Iterator[ReconcileAction]:
    silence = f"no heartbeat for {facts.silent_seconds:.0f} seconds"
    yield Act.STOP
    yield ReportFailed(silence)
    yield Lose("heartbeat_stale", silence)


def _keep_hidden(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    """Extend the message's time-out, or replace a message near SQS's limit of 12 hours."""
    if facts.record.receipt_handle is None:
        return
    if _since(facts, facts.record.received_at) > REPLACE_AFTER:
        yield Act.REPLACE
        return
    left = (facts.record.hidden_until or facts.now) - facts.now
    if left <= timedelta(seconds=schedule.visibility_seconds) * 0.75:
        yield Extend(schedule.visibility_seconds)


def _since(facts: RunFacts, instant: datetime | None) -> timedelta:
    return facts.now - (instant or facts.now)


# --- the tick -------------------------------------------------------------------------------------


@dataclass
class ReconcileTick:
    """Checks up to 200 runs of each queue, longest due first, and carries out their actions."""

    platform: Platform  # the stores, the queue and the ledger
    executions: Executions  # Dagster's runs
    clock: Callable[[], datetime] = utc_now  # returns the time, aware
    monotonic: Callable[[], float] = time.monotonic  # returns seconds that only grow

    def run(self, seconds: float = TICK_SECONDS) -> int:
        """Handle due runs for at most so many seconds; return how many were due."""
        deadline, runs = Deadline.after(seconds, self.monotonic), self.platform.runs
        # One of each queue in turn: many runs that have ended hold up none under way.
        queues = [
            runs.due(each, self.clock(), MAX_RECORDS)
            for each in (DueQueue.ATTEMPT, DueQueue.END)
        ]
        records = [
            one for pair in zip_longest(*queues) for one in pair if one is not None
        ]
        heartbeats = runs.heartbeats([one for one in records if one.attempt])
        waiting = [each for each in records if each.lock_state is LockState.QUEUED]
        locks = runs.locks({each.tenant_id for each in waiting})

        def check(record: RunRecord) -> None:
            # What belongs to a run and cannot be read is a fault of this run alone.
            beats = heartbeats[record.run_id] if record.attempt else 0
            is_waiting = record.lock_state is LockState.QUEUED
            is_its_turn = is_waiting and locks[record.tenant_id].is_turn_of(
                record.run_id
            )
            self._check(record, beats, is_its_turn)

        return len(drain(records, check, self._put_off, deadline=deadline))

    def _put_off(self, record: RunRecord, error: Exception) -> None:
        """Report a run that could not be handled, and let a later tick check it."""
        if isinstance(
            error, RunError
        ):  # Another process has changed the run meanwhile.
            log.warning("run_not_reconciled", error=str(error), **record.log_facts)
        else:
            report_fault(
                self.platform.metrics, "run_not_reconciled", error, **record.log_facts
            )
        self.platform.ledger.postpone(record)

    def _check(self, record: RunRecord, heartbeats: int, is_its_turn: bool) -> None:
        now, schedule = self.clock(), self.platform.ledger.schedule
        execution = AttemptState.ABSENT
        if record.is_dispatched or (record.has_ended and record.attempt):
            execution = self.executions.state(record)
        seen = watched(record, heartbeats, execution, now)
        facts = RunFacts(
            record=seen,
            execution=execution,
            now=now,
            silent_seconds=(now - (seen.watched_at or now)).total_seconds(),
            is_its_turn=is_its_turn,
        )
        after = seen
        for action in decide(facts, schedule):
            if action is Act.HAND_OVER:  # the intake asks Dagster for the next attempt
                queue = (
                    DueQueue.TURN
                    if after.lock_state is LockState.QUEUED
                    else DueQueue.READY
                )
                self.platform.ledger.check_again(after, timedelta(0), queue=queue)
                return
            after = self._act(action, after, now)
        if after.revision == record.revision:  # the run stays as it is
            self.platform.ledger.check_again(
                after,
                next_check(replace(facts, record=after), schedule),
                watched_as=after.watched_as,
                watched_at=after.watched_at,
                hidden_until=after.hidden_until,
            )

    def _act(
        self, action: ReconcileAction, record: RunRecord, now: datetime
    ) -> RunRecord:
        if isinstance(action, Extend):
            if record.receipt_handle is not None:
                self.platform.queue.extend(record.receipt_handle, action.seconds)
            return replace(record, hidden_until=now + timedelta(seconds=action.seconds))
        if isinstance(action, ReportFailed):
            self.executions.report_failed(record, action.message)
            return record
        if isinstance(action, Lose):
            return self._lose(record, action)
        executions = self.executions
        ended = "cancelled on request; its process did not end"
        acts: dict[Act, Callable[[RunRecord], RunRecord | None]] = {
            Act.SEND: lambda run: self.platform.submission.send_unsent(run.run_id),
            Act.REPLACE: self._replace,
            Act.TERMINATE: executions.terminate,
            Act.STOP: self._stop,
            Act.FORCE_CANCELLED: lambda run: executions.report_cancelled(run, ended),
            Act.CANCEL: self._cancel,
            Act.POISON: self._poison,
            Act.SEND_TO_DLQ: self._send_to_dlq,
            Act.REPORT: self._report,
            Act.SETTLE: self._settle,
        }
        return acts[action](record) or record

    def _lose(self, record: RunRecord, action: Lose) -> RunRecord:
        try:
            lost = self.platform.ledger.lose_attempt(
                record, action.error_code, action.message
            )
        except CancelRequestedError:
            return self._cancel(record)
        facts = {
            "attempt": record.attempt,
            "error_code": action.error_code,
            **record.log_facts,
        }
        log.warning("run_retryable_error", error_message=action.message, **facts)
        self.platform.metrics.worker_error(action.error_code)
        return self._report_poison(lost) if lost.has_ended else lost

    def _poison(self, record: RunRecord) -> RunRecord:
        attempts = f"{record.attempt} of {self.platform.settings.max_attempts}"
        message = f"attempts used up ({attempts}); the last ended with: {record.error_message}"
        return self._report_poison(self.platform.ledger.poison(record.run_id, message))

    def _report_poison(self, record: RunRecord) -> RunRecord:
        """Log and count a run that has just ended here, since its attempts are used up."""
        facts = {"attempt": record.attempt, **record.log_facts}
        log.error("poison_job_detected", error_message=record.error_message, **facts)
        log.info("run_failed", error_code=record.error_code, **facts)
        self.platform.metrics.run_finished(record)
        return record

    def _replace(self, record: RunRecord) -> RunRecord:
        queue = self.platform.queue
        message_id = queue.send(record.job, request_id=record.request_id)
        after = self.platform.ledger.mark_sent(record.run_id, message_id)
        if record.receipt_handle is not None:
            queue.delete(record.receipt_handle)
        return after

    def _stop(self, record: RunRecord) -> None:
        self.platform.runs.stop_heartbeats(record.run_id, record.attempt)
        self.executions.stop(record)

    def _cancel(self, record: RunRecord) -> RunRecord:
        cancelled = self.platform.ledger.cancel(record.run_id)
        log.info("run_cancelled", **record.log_facts)
        return cancelled

    def _send_to_dlq(self, record: RunRecord) -> RunRecord:
        message_id = self.platform.queue.send_dead(
            record.job.body(),
            cause=f"{record.error_code}: {record.error_message}",
            run_id=record.run_id,
            request_id=record.request_id,
        )
        return self.platform.ledger.record_dlq(record.run_id, message_id)

    def _report(self, record: RunRecord) -> RunRecord:
        if record.reports_tried_at is None:
            tried_at = self.clock()
            self.platform.ledger.check_again(record, SOON, reports_tried_at=tried_at)
        return write_reports(self.platform, record)

    def _settle(self, record: RunRecord) -> RunRecord:
        if record.receipt_handle is not None and record.trigger is not Trigger.DAGSTER:
            self.platform.queue.delete(record.receipt_handle)
        self._call_next(record.tenant_id)
        if record.hold is not None and record.status is RunStatus.CANCELLED:
            unpublish(
                self.platform.objects, record
            )  # nobody checks a settled run again
        settled = self.platform.ledger.acknowledge(record.run_id, cached_record=record)
        if record.status is RunStatus.SUCCEEDED:
            remove_superseded(self.platform, record.tenant_id, self.clock())
        return settled

    def _call_next(self, tenant_id: str) -> None:
        """Make the tenant's next run due for the intake, now that its run has ended."""
        runs = self.platform.runs
        for _ in range(_ROUNDS):
            lock = runs.lock(tenant_id)
            waiting = runs.get(lock.next_run_id) if lock.next_run_id else None
            if (
                lock.holder
                or waiting is None
                or waiting.lock_state is not LockState.QUEUED
            ):
                return
            if self.platform.ledger.check_again(
                waiting, timedelta(0), queue=DueQueue.TURN
            ):
                return
        raise ThrottledError(
            "call_next", f"tenant {tenant_id}: too many writers at once"
        )


def write_reports(platform: Platform, record: RunRecord) -> RunRecord:
    """Write an ended run's reports, and store that they are written.

    A run that succeeded, is held, or failed for its data wrote its own before its end.
    """
    outcome = Outcome()
    if record.status not in (RunStatus.SUCCEEDED, RunStatus.HELD):
        # Files there may be of an attempt that was about to end otherwise.
        with closing(ConcurrentIO(threads=2)) as io:
            reports = RunReports(platform.objects, record.context, io)
            reports.withdraw()
            findings = _findings(platform, record)
            if record.status is RunStatus.FAILED:
                findings.fail(record.failure)
            finished = record.finished_at or record.requested_at
            outcome = reports.write_last(findings, record, record.status, finished)
    artifacts = platform.objects.artifacts(record.run_id, record.tenant_id)
    written = Outcome(
        artifacts=artifacts,
        errors_artifact_key=artifacts.get("errors"),
        counts=outcome.counts,
    )
    return platform.ledger.note_reports(record.run_id, written)


def _findings(platform: Platform, record: RunRecord) -> RunFindings:
    tenants, config = platform.tenants, None
    with suppress(RelayError):
        if record.config_version is not None and (
            stored := tenants.version(record.tenant_id, record.config_version)
        ):
            config = tenants.parsed(stored)
    if config is None:
        return RunFindings(vendor_ids=record.vendors or ())
    # A job from elsewhere may name vendors that the config does not have.
    ids = [vendor.vendor_id for vendor in config.vendors]
    chosen = [each for each in ids if record.vendors is None or each in record.vendors]
    return RunFindings(
        vendor_ids=chosen,
        vendor_count=len(ids),
        of_all_vendors=record.vendors is None,
        quarantine_is_set=config.guards.quarantine is not None,
        limits=platform.settings.limits,
    )
