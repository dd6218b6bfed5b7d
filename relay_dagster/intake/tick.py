"""One tick of the intake: it takes due runs and messages, decides, and acts.

Second and later attempts come first. Then the runs whose turn with their tenant has
come and the messages of the queue share the room for attempts, half each; what one half
does not use goes to the other. A run or a message that fails affects no other, and
comes again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay_dagster.aws.clients import LONG_POLL_SECONDS
from relay_dagster.aws.job_queue import MAX_MESSAGES, Message
from relay_dagster.aws.metrics import WORKER_HEARTBEAT, report_fault
from relay_dagster.drain import drain
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.intake import decision
from relay_dagster.logs import event_log
from relay_dagster.runs import errors
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.runs.ports import AttemptState, Executions, utc_now
from relay_dagster.wiring import Platform

POLL_SECONDS = 20
"""How long a tick waits for the first message."""

RECEIVE_UNTIL_SECONDS = 25
"""How long a tick receives messages; it has 60 seconds to handle all of them."""

RECEIVED_HIDDEN_SECONDS = 30
"""How long a message is hidden before it is decided about.

If the intake dies in between, the message comes again after that time.
"""

SERVED_LATELY = timedelta(minutes=10)
"""The time after its last run in which a tenant gives way to others."""

_log = event_log()


@dataclass
class IntakeTick:
    """Dispatches as many attempts as there is room for."""

    platform: Platform  # the stores, the queue and the ledger
    executions: Executions  # Dagster's runs
    room: int  # the number of attempts that may be dispatched
    # Whether an odd place goes to a run that has waited for its tenant, and not to the
    # queue; callers alternate it from tick to tick
    turns_first: bool = False
    # Returns the current instant, aware.
    clock: Callable[[], datetime] = utc_now
    # Returns seconds that only grow.
    monotonic: Callable[[], float] = time.monotonic
    # The records so far.
    dispatched: list[RunRecord] = field(default_factory=list)
    seen: int = 0  # the number of messages so far
    fault: str = ""  # the fault that ended the tick

    def run(self, poll_seconds: int = POLL_SECONDS) -> list[RunRecord]:
        """Handle due runs and messages; return the records of the attempts to start."""
        self.platform.metrics.count(WORKER_HEARTBEAT)
        try:
            self._take_due(DueQueue.READY, self._remaining_room)
            half = (self._remaining_room + self.turns_first) // 2
            self._take_due(DueQueue.TURN, half)
            drain(
                self._messages(poll_seconds), self._handle, self._report_fault
            )
        except ExternalServiceError as error:
            self.fault = f"queue_receive_error: {error}"
            self.platform.metrics.worker_error("queue_receive_error")
            _log.error(
                "queue_receive_error",
                error_code=error.error_code,
                error=str(error),
            )
        return self.dispatched

    def summary(self) -> str:
        """Return the outcome of the tick in a sentence, for Dagster's UI."""
        if self.room <= 0:
            return "as many runs as RELAY_INTAKE_LIMIT allows are unfinished"
        if self.fault:
            return self.fault
        return (
            f"{self.seen} messages, {len(self.dispatched)} attempts dispatched"
        )

    def is_served_lately(self, record: RunRecord) -> bool:
        """Return True if the tenant had a run lately, or this run an attempt.

        The runs of other tenants go first then.
        """
        if record.attempt > 1:
            return True
        try:
            served_at = self.platform.runs.lock(record.tenant_id).served_at
        except ExternalServiceError as error:
            report_fault(
                self.platform.metrics, "lock_unread", error, **record.log_facts
            )
            return False
        return (
            served_at is not None and served_at >= self.clock() - SERVED_LATELY
        )

    @property
    def _remaining_room(self) -> int:
        return self.room - len(self.dispatched)

    # --- due runs ---------------------------------------------------------------------

    def _take_due(self, queue: DueQueue, limit: int) -> None:
        """Dispatch the attempts that need no message, the longest due first."""
        if limit <= 0:
            return
        try:
            records = self.platform.runs.due(queue, self.clock(), limit)
        except ExternalServiceError as error:
            # They stay due; the queue must not wait for them.
            report_fault(self.platform.metrics, "due_attempts_unread", error)
            return
        drain(records, self._take, self._postpone)

    def _take(self, record: RunRecord) -> None:
        facts = self._facts_of_run(record)
        action = decision.next_action(
            record, facts, self.platform.settings.max_attempts
        )
        if isinstance(action, decision.Dispatch):
            self._dispatch(action, record)
        else:
            self._leave_alone(record)

    def _postpone(self, record: RunRecord, error: Exception) -> None:
        report_fault(
            self.platform.metrics,
            "attempt_not_dispatched",
            error,
            **record.log_facts,
        )
        self.platform.ledger.postpone(record)

    # --- messages ---------------------------------------------------------------------

    def _messages(self, poll_seconds: int) -> Iterator[Message]:
        """Wait for the first message, then yield all; take due runs in between."""
        started = self.monotonic()
        elapsed = 0.0
        while self._remaining_room > 0 and elapsed <= RECEIVE_UNTIL_SECONDS:
            wait = (
                0
                if self.seen or self.dispatched
                else int(poll_seconds - elapsed)
            )
            messages = self.platform.queue.receive(
                min(MAX_MESSAGES, self._remaining_room),
                wait_seconds=max(0, min(wait, LONG_POLL_SECONDS)),
                hidden_seconds=min(
                    RECEIVED_HIDDEN_SECONDS,
                    self.platform.settings.visibility_timeout_seconds,
                ),
            )
            yield from messages
            elapsed = self.monotonic() - started
            if not messages:
                self._take_due(DueQueue.READY, self._remaining_room)
                self._take_due(DueQueue.TURN, self._remaining_room)
                if self.seen or self.dispatched or elapsed >= poll_seconds:
                    return

    def _handle(self, message: Message) -> None:
        self.seen += 1
        try:
            job = Job.parse(message.body)
            record = self.platform.ledger.adopt(
                job, message.request_id, message.sent_at
            )
        except (
            NotAJobError,
            errors.JobConflictError,
            errors.JobExpiredError,
            errors.TenantClosingError,
        ) as error:
            facts = decision.MessageFacts(
                message.receive_count,
                self.clock(),
                refusal=_refusal_of(error),
            )
        else:
            facts = self._facts_of_run(record, message.receive_count)
        for action in decision.decide(
            facts, self.platform.settings.max_attempts
        ):
            self._act(action, message, facts.record)

    def _report_fault(self, message: Message, error: Exception) -> None:
        """Report a message that could not be handled, and let others come before it."""
        report_fault(
            self.platform.metrics,
            "message_not_handled",
            error,
            **_log_facts(message),
        )
        with suppress(ExternalServiceError):
            self.platform.queue.extend(
                message.receipt_handle,
                self.platform.settings.visibility_timeout_seconds,
            )

    def _facts_of_run(
        self, record: RunRecord, receive_count: int = 0
    ) -> decision.MessageFacts:
        is_its_turn = True
        if record.lock_state is LockState.QUEUED:
            lock = self.platform.runs.lock(record.tenant_id)
            is_its_turn = lock.is_turn_of(record.run_id)
        execution = AttemptState.ABSENT
        if any(record.run_id == sibling.run_id for sibling in self.dispatched):
            # Dagster starts it only after this tick.
            execution = AttemptState.WAITING
        elif record.is_dispatched:
            execution = self.executions.state(record)
        return decision.MessageFacts(
            receive_count,
            self.clock(),
            record,
            is_its_turn=is_its_turn,
            execution=execution,
        )

    # --- actions ----------------------------------------------------------------------

    def _act(
        self,
        action: decision.IntakeAction,
        message: Message,
        record: RunRecord | None,
    ) -> None:
        queue = self.platform.queue
        if isinstance(action, decision.Refuse):
            self._refuse(action, message)
            return
        if isinstance(action, decision.Forget):
            queue.delete(message.receipt_handle)
            _log.info("job_of_deleted_tenant", **_log_facts(message))
            return
        if record is None:
            raise ValueError(f"{action} needs a record")
        if isinstance(action, decision.Discard):
            queue.delete(message.receipt_handle)
            _log.info("run_already_processed", **record.log_facts)
        elif isinstance(action, decision.KeepWaiting):
            self._keep_waiting(message, record.run_id, action.seconds)
        elif isinstance(action, decision.Dispatch):
            self._dispatch(action, record, message)
        elif isinstance(action, decision.Replace):
            message_id = queue.send_again(
                message, delay_seconds=action.delay_seconds
            )
            self.platform.ledger.messages.mark_sent(record.run_id, message_id)
            queue.delete(message.receipt_handle)
            _log.info(
                "message_replaced", message_id=message_id, **record.log_facts
            )

    def _refuse(self, refusal: decision.Refuse, message: Message) -> None:
        log_facts = _log_facts(message)
        self.platform.queue.send_dead(
            message.body,
            cause=f"{refusal.error_code}: {refusal.cause}",
            run_id=log_facts.get("run_id"),
            request_id=message.request_id,
        )
        self.platform.queue.delete(message.receipt_handle)
        _log.error(
            "job_refused",
            error_code=refusal.error_code,
            cause=refusal.cause,
            **log_facts,
        )
        # A message of a tenant that is being deleted is nobody's fault.
        if refusal.error_code != errors.TenantClosingError.error_code:
            self.platform.metrics.worker_error(refusal.error_code)

    def _keep_waiting(
        self, message: Message, run_id: str, seconds: float | None = None
    ) -> None:
        if seconds is None:
            seconds = self.platform.settings.visibility_timeout_seconds
        self.platform.ledger.messages.note_receive(
            run_id,
            message.message_id,
            message.receipt_handle,
            hidden_for=timedelta(seconds=seconds),
        )
        self.platform.queue.extend(message.receipt_handle, seconds)

    def _leave_alone(
        self, record: RunRecord, message: Message | None = None
    ) -> None:
        """Leave a run to the reconciler, and its message, if there is one, hidden."""
        if message is not None:
            self._keep_waiting(message, record.run_id)
            return
        ledger = self.platform.ledger
        wait = ledger.schedule.until_next(record, self.clock())
        ledger.check_again(record, wait, queue=DueQueue.ATTEMPT)

    def _dispatch(
        self,
        action: decision.Dispatch,
        record: RunRecord,
        message: Message | None = None,
    ) -> None:
        if not action.is_new:
            self._leave_alone(record, message)
            self.dispatched.append(record)
            return
        try:
            record = self.platform.ledger.dispatch(
                record.run_id,
                action.attempt,
                message_id=message.message_id if message else None,
                receipt_handle=message.receipt_handle if message else "",
                cached_record=record,
            )
        except errors.RunError as error:
            # Its tenant is busy, or it was cancelled in the meantime: the reconciler takes
            # over.
            _log.info("run_waits", reason=str(error), **record.log_facts)
            self._leave_alone(record, message)
            return
        self.dispatched.append(record)
        _log.info("run_dispatched", attempt=record.attempt, **record.log_facts)
        if message is not None:
            self.platform.queue.extend(
                message.receipt_handle,
                self.platform.settings.visibility_timeout_seconds,
            )


def _refusal_of(
    error: NotAJobError | errors.RunError,
) -> decision.Refuse | decision.Forget:
    """Return the reason why no run can have a message."""
    if isinstance(error, NotAJobError):
        return decision.Refuse("invalid_job", str(error))
    if isinstance(error, errors.TenantClosingError) and error.is_deleted:
        return decision.Forget()
    return decision.Refuse(error.error_code, str(error))


def _log_facts(message: Message) -> dict[str, str | None]:
    """Return a message's facts for the log, with the run and tenant of a job."""
    facts = {"message_id": message.message_id, "request_id": message.request_id}
    try:
        job = Job.parse(message.body)
    except NotAJobError:
        return facts
    return {**facts, "run_id": job.run_id, "tenant_id": job.tenant_id}
