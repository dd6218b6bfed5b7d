"""One tick over the due runs: gather facts, let `run_decision` decide, act, set the next check.

Records themselves have the time when they are due (``runs/poll_schedule.py``), so a tick leaves
nothing to the next. A run that cannot be handled is put off, and a later tick checks it again.
"""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import zip_longest

from relay_core.domain.codes import RunStatus
from relay_core.domain.errors import RelayError
from relay_core.publish.findings import RunFindings
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline, drain
from relay_dagster.execution.run_files import ConcurrentIO, RunReports, remove_superseded, withdraw
from relay_dagster.external_errors import ThrottledError
from relay_dagster.logs import event_log
from relay_dagster.maintenance.run_decision import (
    SOON,
    Act,
    Extend,
    Lose,
    ReconcileAction,
    ReportFailed,
    RunFacts,
    decide,
    next_check,
    watched,
)
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import DueQueue, LockState, Outcome, RunRecord, Trigger
from relay_dagster.runs.ports import AttemptState, Executions, utc_now
from relay_dagster.wiring import Platform

MAX_RECORDS = 200
_ROUNDS = 5
log = event_log()


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
            runs.due(each, self.clock(), MAX_RECORDS) for each in (DueQueue.ATTEMPT, DueQueue.END)
        ]
        records = [one for pair in zip_longest(*queues) for one in pair if one is not None]
        heartbeats = runs.heartbeats([one for one in records if one.attempt])
        waiting = [each for each in records if each.lock_state is LockState.QUEUED]
        locks = runs.locks({each.tenant_id for each in waiting})

        def check(record: RunRecord) -> None:
            # What belongs to a run and cannot be read is a fault of this run alone.
            beats = heartbeats[record.run_id] if record.attempt else 0
            is_waiting = record.lock_state is LockState.QUEUED
            is_its_turn = is_waiting and locks[record.tenant_id].is_turn_of(record.run_id)
            self._check(record, beats, is_its_turn)

        return len(drain(records, check, self._put_off, deadline=deadline))

    def _put_off(self, record: RunRecord, error: Exception) -> None:
        """Report a run that could not be handled, and let a later tick check it."""
        if isinstance(error, RunError):  # Another process has changed the run meanwhile.
            log.warning("run_not_reconciled", error=str(error), **record.log_facts)
        else:
            report_fault(self.platform.metrics, "run_not_reconciled", error, **record.log_facts)
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
                queue = DueQueue.TURN if after.lock_state is LockState.QUEUED else DueQueue.READY
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

    def _act(self, action: ReconcileAction, record: RunRecord, now: datetime) -> RunRecord:
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
            lost = self.platform.ledger.lose_attempt(record, action.error_code, action.message)
        except CancelRequestedError:
            return self._cancel(record)
        facts = {"attempt": record.attempt, "error_code": action.error_code, **record.log_facts}
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
            withdraw(self.platform.objects, record)  # nobody checks a settled run again
        settled = self.platform.ledger.acknowledge(record.run_id, known=record)
        if record.status is RunStatus.SUCCEEDED:
            remove_superseded(self.platform, record.tenant_id, self.clock())
        return settled

    def _call_next(self, tenant_id: str) -> None:
        """Make the tenant's next run due for the intake, now that its run has ended."""
        runs = self.platform.runs
        for _ in range(_ROUNDS):
            lock = runs.lock(tenant_id)
            waiting = runs.get(lock.next_run_id) if lock.next_run_id else None
            if lock.holder or waiting is None or waiting.lock_state is not LockState.QUEUED:
                return
            if self.platform.ledger.check_again(waiting, timedelta(0), queue=DueQueue.TURN):
                return
        raise ThrottledError("call_next", f"tenant {tenant_id}: too many writers at once")


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
        artifacts=artifacts, errors_artifact_key=artifacts.get("errors"), counts=outcome.counts
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
