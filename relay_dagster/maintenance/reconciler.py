"""One tick over the due runs: gather facts, decide, act, set the next check.

``run_decision.py`` decides. Records have the time of their next check themselves
(``runs/poll_schedule.py``), so a tick leaves nothing to the next one. A run that cannot be
handled is postponed, and a later tick checks it again.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import zip_longest

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline, drain
from relay_dagster.execution.published_copies import (
    remove_superseded,
    unpublish,
)
from relay_dagster.external_errors import ThrottledError
from relay_dagster.logs import event_log
from relay_dagster.maintenance import run_decision
from relay_dagster.maintenance.run_decision import (
    Act,
    Extend,
    Lose,
    ReconcileAction,
    ReportFailed,
    RunFacts,
)
from relay_dagster.maintenance.run_reports import write_reports
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import (
    DueQueue,
    LockState,
    RunRecord,
    TenantLock,
    Trigger,
)
from relay_dagster.runs.ports import AttemptState, Executions, utc_now
from relay_dagster.wiring import Platform

MAX_RECORDS = 200
_MAX_CALL_ROUNDS = 5
_NOT_ENDED = "cancelled on request; its process did not end"
_log = event_log()


@dataclass
class ReconcileTick:
    """Checks up to 200 runs of each queue, the longest due first, and carries out actions."""

    platform: Platform  # the stores, the queue, and the ledger
    executions: Executions  # Dagster's runs
    clock: Callable[[], datetime] = utc_now  # returns the time, aware
    # Returns seconds that only grow
    monotonic: Callable[[], float] = time.monotonic

    def run(self, seconds: float = TICK_SECONDS) -> int:
        """Handle due runs for at most this many seconds; return how many were handled."""
        deadline = Deadline.after(seconds, self.monotonic)
        runs = self.platform.runs
        records = [*self._due_records()]
        heartbeats = runs.heartbeats(
            [record for record in records if record.attempt],
        )
        waiting_tenants = {
            record.tenant_id
            for record in records
            if record.lock_state is LockState.QUEUED
        }
        locks = runs.locks(waiting_tenants)
        check = partial(self._check, heartbeats, locks)
        return len(drain(records, check, self._postpone, deadline=deadline))

    def _due_records(self) -> Iterator[RunRecord]:
        """Yield a due record of each queue in turn: ended runs delay no unfinished ones."""
        now = self.clock()
        runs = self.platform.runs
        unfinished = runs.due(DueQueue.ATTEMPT, now, MAX_RECORDS)
        ended = runs.due(DueQueue.END, now, MAX_RECORDS)
        for turn in zip_longest(unfinished, ended):
            for record in turn:
                if record is not None:
                    yield record

    def _postpone(self, record: RunRecord, error: Exception) -> None:
        """Report a run that could not be handled, and let a later tick check it."""
        if isinstance(error, RunError):
            # Another process has changed the run in the meantime.
            _log.warning(
                "run_not_reconciled",
                error=str(error),
                **record.log_facts,
            )
        else:
            metrics = self.platform.metrics
            report_fault(
                metrics,
                "run_not_reconciled",
                error,
                **record.log_facts,
            )
        self.platform.ledger.postpone(record)

    def _check(
        self,
        heartbeats: Mapping[str, int],
        locks: Mapping[str, TenantLock],
        record: RunRecord,
    ) -> None:
        """Decide about a run, and act; ``heartbeats`` are by run ID, ``locks`` by tenant."""
        now = self.clock()
        # If a run's heartbeats or lock cannot be read, only this run's check fails.
        heartbeat = heartbeats[record.run_id] if record.attempt else 0
        is_its_turn = False
        if record.lock_state is LockState.QUEUED:
            is_its_turn = locks[record.tenant_id].is_turn_of(record.run_id)
        ledger = self.platform.ledger
        schedule = ledger.schedule
        execution = AttemptState.ABSENT
        if record.is_dispatched or (record.has_ended and record.attempt):
            execution = self.executions.state(record)
        watched = run_decision.watched(record, heartbeat, execution, now)
        silence = now - (watched.watched_at or now)
        facts = RunFacts(
            record=watched,
            execution=execution,
            now=now,
            silent_seconds=silence.total_seconds(),
            is_its_turn=is_its_turn,
        )
        current = watched
        for action in run_decision.decide(facts, schedule):
            if action is Act.HAND_OVER:
                is_waiting = current.lock_state is LockState.QUEUED
                queue = DueQueue.TURN if is_waiting else DueQueue.READY
                ledger.check_again(current, timedelta(0), queue=queue)
                return
            current = self._act(action, current, now)
        if current.revision == record.revision:
            # The run stays as it is.
            delay = run_decision.next_check(
                replace(facts, record=current),
                schedule,
            )
            ledger.check_again(
                current,
                delay,
                watched_as=current.watched_as,
                watched_at=current.watched_at,
                hidden_until=current.hidden_until,
            )

    def _act(
        self,
        action: ReconcileAction,
        record: RunRecord,
        now: datetime,
    ) -> RunRecord:
        """Carry out an action; return the record as it is afterwards."""
        if isinstance(action, Extend):
            return self._extend(record, action.seconds, now)
        if isinstance(action, ReportFailed):
            self.executions.report_failed(record, action.message)
            return record
        if isinstance(action, Lose):
            return self._lose(record, action)
        acts: dict[Act, Callable[[RunRecord], RunRecord | None]] = {
            Act.SEND: self._send,
            Act.REPLACE: self._replace,
            Act.TERMINATE: self.executions.terminate,
            Act.STOP: self._stop,
            Act.FORCE_CANCELLED: self._force_cancelled,
            Act.CANCEL: self._cancel,
            Act.POISON: self._poison,
            Act.SEND_TO_DLQ: self._send_to_dlq,
            Act.REPORT: self._report,
            Act.SETTLE: self._settle,
        }
        return acts[action](record) or record

    # --- messages ----------------------------------------------------------------------

    def _extend(
        self,
        record: RunRecord,
        seconds: float,
        now: datetime,
    ) -> RunRecord:
        if record.receipt_handle is not None:
            self.platform.queue.extend(record.receipt_handle, seconds)
        return replace(record, hidden_until=now + timedelta(seconds=seconds))

    def _send(self, record: RunRecord) -> RunRecord:
        return self.platform.submission.send_unsent(record.run_id)

    def _replace(self, record: RunRecord) -> RunRecord:
        queue = self.platform.queue
        message_id = queue.send(record.job, request_id=record.request_id)
        sent = self.platform.ledger.messages.mark_sent(
            record.run_id,
            message_id,
        )
        if record.receipt_handle is not None:
            queue.delete(record.receipt_handle)
        return sent

    def _send_to_dlq(self, record: RunRecord) -> RunRecord:
        message_id = self.platform.queue.send_dead(
            record.job.body(),
            cause=f"{record.error_code}: {record.error_message}",
            run_id=record.run_id,
            request_id=record.request_id,
        )
        return self.platform.ledger.messages.record_dlq(
            record.run_id,
            message_id,
        )

    # --- attempts ----------------------------------------------------------------------

    def _lose(self, record: RunRecord, action: Lose) -> RunRecord:
        try:
            lost = self.platform.ledger.lose_attempt(
                record,
                action.error_code,
                action.message,
            )
        except CancelRequestedError:
            return self._cancel(record)
        _log.warning(
            "run_retryable_error",
            error_message=action.message,
            attempt=record.attempt,
            error_code=action.error_code,
            **record.log_facts,
        )
        self.platform.metrics.worker_error(action.error_code)
        return self._report_poison(lost) if lost.has_ended else lost

    def _poison(self, record: RunRecord) -> RunRecord:
        attempts = f"{record.attempt} of {self.platform.settings.max_attempts}"
        message = (
            f"attempts used up ({attempts}); "
            f"the last ended with: {record.error_message}"
        )
        return self._report_poison(
            self.platform.ledger.poison(record.run_id, message),
        )

    def _report_poison(self, record: RunRecord) -> RunRecord:
        """Log and count a run that has just ended because its attempts are used up."""
        facts = {"attempt": record.attempt, **record.log_facts}
        _log.error(
            "poison_job_detected",
            error_message=record.error_message,
            **facts,
        )
        _log.info("run_failed", error_code=record.error_code, **facts)
        self.platform.metrics.run_finished(record)
        return record

    def _stop(self, record: RunRecord) -> None:
        self.platform.runs.stop_heartbeats(record.run_id, record.attempt)
        self.executions.stop(record)

    def _force_cancelled(self, record: RunRecord) -> None:
        self.executions.report_cancelled(record, _NOT_ENDED)

    def _cancel(self, record: RunRecord) -> RunRecord:
        cancelled = self.platform.ledger.cancel(record.run_id)
        _log.info("run_cancelled", **record.log_facts)
        return cancelled

    # --- ended runs --------------------------------------------------------------------

    def _report(self, record: RunRecord) -> RunRecord:
        if record.reports_tried_at is None:
            self.platform.ledger.check_again(
                record,
                run_decision.SOON,
                reports_tried_at=self.clock(),
            )
        return write_reports(self.platform, record)

    def _settle(self, record: RunRecord) -> RunRecord:
        if (
            record.receipt_handle is not None
            and record.trigger is not Trigger.DAGSTER
        ):
            self.platform.queue.delete(record.receipt_handle)
        self._call_next(record.tenant_id)
        if record.hold is not None and record.status is RunStatus.CANCELLED:
            # Nobody checks a settled run again.
            unpublish(self.platform.objects, record)
        settled = self.platform.ledger.messages.acknowledge(
            record.run_id,
            cached_record=record,
        )
        if record.status is RunStatus.SUCCEEDED:
            remove_superseded(self.platform, record.tenant_id, self.clock())
        return settled

    def _call_next(self, tenant_id: str) -> None:
        """Make the tenant's next run due for the intake, now that its run has ended."""
        runs = self.platform.runs
        for _ in range(_MAX_CALL_ROUNDS):
            lock = runs.lock(tenant_id)
            if lock.holder or not lock.next_run_id:
                return
            waiting_run = runs.get(lock.next_run_id)
            if (
                waiting_run is None
                or waiting_run.lock_state is not LockState.QUEUED
            ):
                return
            # The record is read again if it has changed in the meantime.
            ledger = self.platform.ledger
            turn = DueQueue.TURN
            if ledger.check_again(waiting_run, timedelta(0), queue=turn):
                return
        raise ThrottledError(
            "call_next",
            f"tenant {tenant_id}: too many writers at once",
        )
