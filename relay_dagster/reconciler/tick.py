"""One tick over the runs that are not settled: gather facts, let `rules` decide, act.

One run that cannot be handled spoils only itself: the next tick looks at it again.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.cloudwatch.metrics import report_fault
from relay_dagster.aws.dynamodb.pagination import cursor_after_record
from relay_dagster.execution.publication import remove_superseded
from relay_dagster.logs import event_log
from relay_dagster.reconciler.cursor import ReconcilerCursor
from relay_dagster.reconciler.dead_run_reports import write_reports
from relay_dagster.reconciler.rules import (
    Act,
    Extend,
    Lose,
    ReconcileAction,
    ReconcilePolicy,
    ReportFailed,
    RunFacts,
    decide,
)
from relay_dagster.runs.errors import CancelRequestedError, RunError
from relay_dagster.runs.model import LockState, RunRecord, Trigger
from relay_dagster.runs.ports import AttemptState, Executions, utc_now
from relay_dagster.wiring import Platform

MAX_RECORDS = 200
MAX_SECONDS = 20

log = event_log()


@dataclass
class ReconcileTick:
    """Looks at up to 200 runs, oldest first, and does what each needs.

    Args:
        platform: the stores, the queue and the ledger.
        executions: what executes.
        cursor: what the tick before knew; changed in place.
    """

    platform: Platform
    executions: Executions
    cursor: ReconcilerCursor
    clock: Callable[[], datetime] = utc_now
    stopwatch: Callable[[], float] = time.monotonic

    def run(self) -> int:
        """Handle each run; one that fails spoils only itself. Return how many were seen."""
        until = self.stopwatch() + MAX_SECONDS
        page = self.platform.runs.unacknowledged(MAX_RECORDS, after=self.cursor.page)
        self.cursor.page = page.next_cursor
        beats = self.platform.runs.heartbeats([one for one in page.records if one.attempt])
        in_line = self._next_in_line(page.records)
        for record in page.records:
            self._reconcile(record, beats.get(record.run_id, 0), record.run_id in in_line)
            if self.stopwatch() > until:
                # The next tick goes on from here, or a few slow runs would keep it from the rest.
                self.cursor.page = cursor_after_record(record)
                break
        return len(page.records)

    def _next_in_line(self, records: Iterable[RunRecord]) -> set[str]:
        """Return the runs whose turn it is: their tenant is free, nobody has waited longer."""
        first: dict[str, str] = {}
        for record in records:
            if record.lock_state is LockState.QUEUED:
                first.setdefault(record.tenant_id, record.run_id)
        locks = self.platform.runs.locks(first) if first else {}
        return {run_id for tenant, run_id in first.items() if locks[tenant].holder is None}

    def _reconcile(self, record: RunRecord, beats: int, next_in_line: bool) -> None:
        settings, now = self.platform.settings, self.clock()
        policy = ReconcilePolicy(
            stale_seconds=settings.heartbeat_stale_seconds,
            visibility_seconds=settings.visibility_timeout_seconds,
            max_attempts=settings.max_attempts,
        )
        try:
            state = self._attempt_state(record)
            facts = RunFacts(
                record=record,
                execution=state,
                now=now,
                silent_seconds=self.cursor.silence(record, beats, state, now),
                extended_seconds=self.cursor.since_extended(record.run_id, now),
                next_in_line=next_in_line,
            )
            for action in decide(facts, policy):
                record = self._act(action, record, now)
        except RunError as error:
            # Somebody else has moved the run on meanwhile: the next tick looks at it afresh.
            log.warning("run_not_reconciled", error=str(error), **record.log_facts)
        except Exception as error:  # noqa: BLE001 - the others must not wait for this one
            report_fault(self.platform.metrics, "run_not_reconciled", error, **record.log_facts)

    def _attempt_state(self, record: RunRecord) -> AttemptState:
        if record.is_dispatched or (record.has_ended and record.attempt):
            return self.executions.state(record)
        return AttemptState.ABSENT

    def _act(self, action: ReconcileAction, record: RunRecord, now: datetime) -> RunRecord:
        if isinstance(action, Extend):
            return self._extend(record, action.seconds, now)
        if isinstance(action, ReportFailed):
            self.executions.report_failed(record, action.message)
            return record
        if isinstance(action, Lose):
            return self._lose(record, action)
        acts: dict[Act, Callable[[RunRecord], RunRecord]] = {
            Act.SEND: self._send,
            Act.REPLACE: self._replace,
            Act.TERMINATE: self._terminate,
            Act.FORCE_CANCELLED: self._force_cancelled,
            Act.CANCEL: self._cancel,
            Act.POISON: self._poison,
            Act.BURY: self._bury,
            Act.REPORT: self._report,
            Act.SETTLE: self._settle,
        }
        return acts[action](record)

    def _extend(self, record: RunRecord, seconds: float, now: datetime) -> RunRecord:
        if record.receipt_handle is not None:
            self.platform.queue.extend(record.receipt_handle, seconds)
            self.cursor.note_extended(record.run_id, now)
        return record

    def _lose(self, record: RunRecord, action: Lose) -> RunRecord:
        try:
            lost = self.platform.ledger.lose_attempt(record, action.error_code, action.message)
        except CancelRequestedError:
            return self._cancel(record)
        log.warning(
            "run_retryable_error",
            attempt=record.attempt,
            error_code=action.error_code,
            error_message=action.message,
            **record.log_facts,
        )
        self.platform.metrics.worker_error(action.error_code)
        return self._report_poison(lost) if lost.has_ended else lost

    def _poison(self, record: RunRecord) -> RunRecord:
        attempts = f"{record.attempt} of {self.platform.settings.max_attempts}"
        message = f"attempts used up ({attempts}); the last ended with: {record.error_message}"
        return self._report_poison(self.platform.ledger.poison(record.run_id, message))

    def _report_poison(self, record: RunRecord) -> RunRecord:
        """Let log and metrics know of a run that has just ended here, for want of attempts."""
        facts = {"attempt": record.attempt, **record.log_facts}
        log.error("poison_job_detected", error_message=record.error_message, **facts)
        log.info("run_failed", error_code=record.error_code, **facts)
        self.platform.metrics.run_finished(record)
        return record

    def _send(self, record: RunRecord) -> RunRecord:
        return self.platform.submission.send_unsent(record.run_id)

    def _replace(self, record: RunRecord) -> RunRecord:
        queue = self.platform.queue
        message_id = queue.send(record.job, request_id=record.request_id)
        after = self.platform.ledger.mark_sent(record.run_id, message_id)
        if record.receipt_handle is not None:
            queue.delete(record.receipt_handle)
        return after

    def _terminate(self, record: RunRecord) -> RunRecord:
        self.executions.terminate(record)
        return record

    def _force_cancelled(self, record: RunRecord) -> RunRecord:
        self.executions.report_cancelled(record, "cancelled on request; its process did not end")
        return record

    def _cancel(self, record: RunRecord) -> RunRecord:
        cancelled = self.platform.ledger.cancel(record.run_id)
        log.info("run_cancelled", **record.log_facts)
        return cancelled

    def _bury(self, record: RunRecord) -> RunRecord:
        message_id = self.platform.queue.send_dead(
            record.job.body(),
            cause=f"{record.error_code}: {record.error_message}",
            run_id=record.run_id,
            request_id=record.request_id,
        )
        return self.platform.ledger.record_dlq(record.run_id, message_id)

    def _report(self, record: RunRecord) -> RunRecord:
        return write_reports(self.platform, record)

    def _settle(self, record: RunRecord) -> RunRecord:
        if record.receipt_handle is not None and record.trigger is not Trigger.DAGSTER:
            self.platform.queue.delete(record.receipt_handle)
        self.cursor.forget(record.run_id)
        settled = self.platform.ledger.acknowledge(record.run_id)
        if record.status is RunStatus.SUCCEEDED:
            remove_superseded(self.platform, record.tenant_id, self.clock())
        return settled
