"""One tick of the intake: take due runs and messages of the queue, decide, act.

`decide` is pure: facts in, actions out. Only messages of final runs are deleted: a message lives as
long as its run.

Second and later attempts come first. Then runs whose turn with their tenant has come and messages
of the queue share the places, half each; a half that is not used goes to the other. A run or
message that fails affects no other, and comes again.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.clients import LONG_POLL_SECONDS
from relay_dagster.aws.job_queue import MAX_MESSAGES, Message
from relay_dagster.aws.metrics import WORKER_HEARTBEAT, report_fault
from relay_dagster.drain import drain
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import (
    JobConflictError,
    JobExpiredError,
    RunError,
    TenantClosingError,
)
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, LockState, RunRecord
from relay_dagster.runs.poll_schedule import WAITS_HIDDEN
from relay_dagster.runs.ports import AttemptState, Executions, utc_now
from relay_dagster.wiring import Platform

POLL_SECONDS = 20
# A tick may last 60 seconds; messages that it receives late must still be handled.
RECEIVE_UNTIL_SECONDS = 25
RECEIVED_HIDDEN_SECONDS = 30
"""For so long a message is out of sight until something is decided of it: should the intake die
meanwhile, it comes again after that."""

SERVED_LATELY = timedelta(minutes=10)
log = event_log()


# --- the decision ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send the message to the dead-letter queue with its cause, then delete it."""

    error_code: str
    cause: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the message: its tenant is deleted, and no other trace of it is left."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete the message: its run is final, and nobody needs it any more."""


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """Store the newer receipt handle; with ``seconds``, hide the message for so long."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Ask Dagster for an attempt; ``is_new``: after a transition of the record."""

    attempt: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Replace:
    """Send the body again, after a delay; store the new message's id, then delete this one."""

    delay_seconds: int = 0


# With one attempt a message has one receive: while it waits, it is replaced after each.
RECEIVE_AGAIN_SECONDS = 5

IntakeAction = Refuse | Forget | Discard | KeepWaiting | Dispatch | Replace


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One receive of a message, and the state of its run at that moment.

    With a ``refusal`` no run can have the message; else there is a record. ``is_its_turn`` is False
    while the run's tenant is busy, or others have waited longer.
    """

    receive_count: int
    now: datetime
    record: RunRecord | None = None
    refusal: Refuse | Forget | None = None
    is_its_turn: bool = True
    execution: AttemptState = AttemptState.ABSENT


def decide(facts: MessageFacts, max_attempts: int) -> tuple[IntakeAction, ...]:
    """Return the actions for one message, in order; it is replaced before SQS gives it up."""
    if facts.refusal is not None:
        return (facts.refusal,)
    if facts.record is None:
        raise ValueError("a job that is not refused has a record")
    first = next_action(facts.record, facts, max_attempts)
    if isinstance(first, Discard) or facts.receive_count < max_attempts:
        return (first,)
    return (first, Replace(RECEIVE_AGAIN_SECONDS if max_attempts == 1 else 0))


def next_action(
    record: RunRecord, facts: MessageFacts, max_attempts: int
) -> IntakeAction:
    """Return the next action for a run, with or without a message."""
    if record.has_ended:
        return KeepWaiting() if record.needs_dlq else Discard()
    if record.cancel_requested_at is not None or record.status is RunStatus.RUNNING:
        return KeepWaiting()
    if record.is_dispatched:
        lost = facts.execution is AttemptState.ABSENT
        return Dispatch(record.attempt, is_new=False) if lost else KeepWaiting()
    if record.next_attempt_at is not None and facts.now < record.next_attempt_at:
        return KeepWaiting((record.next_attempt_at - facts.now).total_seconds())
    if record.attempt >= max_attempts:
        return KeepWaiting()
    if record.lock_state is LockState.QUEUED and not facts.is_its_turn:
        return KeepWaiting(WAITS_HIDDEN.total_seconds())
    return Dispatch(record.attempt + 1, is_new=True)


# --- the tick -------------------------------------------------------------------------------------


@dataclass
class IntakeTick:
    """Dispatches as many attempts as there is room for."""

    platform: Platform  # the stores, the queue and the ledger
    executions: Executions  # Dagster's runs
    room: int  # how many attempts may be dispatched
    # The odd place goes to a run that has waited for its tenant, else to the queue; callers
    # alternate it from tick to tick
    turns_first: bool = False
    clock: Callable[[], datetime] = utc_now  # returns the time, aware
    monotonic: Callable[[], float] = time.monotonic  # returns seconds that only grow
    dispatched: list[RunRecord] = field(default_factory=list)
    seen: int = 0
    fault: str = ""

    def run(self, poll_seconds: int = POLL_SECONDS) -> list[RunRecord]:
        """Handle due runs and messages; return the records whose attempts Dagster shall start."""
        self.platform.metrics.count(WORKER_HEARTBEAT)
        try:
            self._take_due(DueQueue.READY, self._left)
            self._take_due(DueQueue.TURN, (self._left + self.turns_first) // 2)
            drain(self._messages(poll_seconds), self._handle, self._report_fault)
        except ExternalServiceError as error:
            self.fault = f"queue_receive_error: {error}"
            self.platform.metrics.worker_error("queue_receive_error")
            log.error(
                "queue_receive_error", error_code=error.error_code, error=str(error)
            )
        return self.dispatched

    def summary(self) -> str:
        """Return the outcome of the tick in a sentence, for Dagster's UI."""
        if self.room <= 0:
            return "as many runs as RELAY_INTAKE_LIMIT allows are unfinished"
        return (
            self.fault
            or f"{self.seen} messages, {len(self.dispatched)} attempts dispatched"
        )

    def _messages(self, poll_seconds: int) -> Iterator[Message]:
        """Yield messages: wait for the first, then take all; take due runs in between."""
        now = started = self.monotonic()
        while self._left > 0 and now - started <= RECEIVE_UNTIL_SECONDS:
            wait = 0 if self.seen or self.dispatched else poll_seconds - (now - started)
            received = self.platform.queue.receive(
                min(MAX_MESSAGES, self._left),
                wait_seconds=max(0, min(int(wait), LONG_POLL_SECONDS)),
                hidden_seconds=min(RECEIVED_HIDDEN_SECONDS, self._visibility),
            )
            yield from received
            now = self.monotonic()
            if not received:
                self._take_due(DueQueue.READY, self._left)
                self._take_due(DueQueue.TURN, self._left)
                if self.seen or self.dispatched or now - started >= poll_seconds:
                    return

    def is_served_lately(self, record: RunRecord) -> bool:
        """Return whether a run's tenant had a run, or this one, lately: then others are first."""
        if record.attempt > 1:
            return True
        try:
            served_at = self.platform.runs.lock(record.tenant_id).served_at
        except ExternalServiceError as error:
            report_fault(
                self.platform.metrics, "lock_unread", error, **record.log_facts
            )
            return False
        return served_at is not None and served_at >= self.clock() - SERVED_LATELY

    @property
    def _left(self) -> int:
        return self.room - len(self.dispatched)

    def _take_due(self, queue: DueQueue, limit: int) -> None:
        """Dispatch the attempts that need no message, the longest due first."""

        def take(record: RunRecord) -> None:
            action = next_action(record, self._facts_of(record), self._max_attempts)
            if isinstance(action, Dispatch):
                self._dispatch(action, record)
            else:
                self._leave_alone(record)

        def put_off(record: RunRecord, error: Exception) -> None:
            report_fault(
                self.platform.metrics,
                "attempt_not_dispatched",
                error,
                **record.log_facts,
            )
            self.platform.ledger.postpone(record)

        if limit <= 0:
            return
        try:
            due = self.platform.runs.due(queue, self.clock(), limit)
        except ExternalServiceError as error:
            # They stay due; the queue must not wait for them.
            report_fault(self.platform.metrics, "due_attempts_unread", error)
            return
        drain(due, take, put_off)

    def _handle(self, message: Message) -> None:
        self.seen += 1
        facts = self._facts(message)
        for action in decide(facts, self._max_attempts):
            self._act(action, message, facts.record)

    def _report_fault(self, message: Message, error: Exception) -> None:
        """Report a message that could not be handled; it comes again, once others have come."""
        report_fault(
            self.platform.metrics, "message_not_handled", error, **_about(message)
        )
        with suppress(ExternalServiceError):
            self.platform.queue.extend(message.receipt_handle, self._visibility)

    def _facts(self, message: Message) -> MessageFacts:
        count, now = message.receive_count, self.clock()
        try:
            job = Job.parse(message.body)
            record = self.platform.ledger.adopt(
                job, message.request_id, message.sent_at
            )
        except NotAJobError as error:
            return MessageFacts(count, now, refusal=Refuse("invalid_job", str(error)))
        except (JobConflictError, JobExpiredError) as error:
            return MessageFacts(
                count, now, refusal=Refuse(error.error_code, str(error))
            )
        except TenantClosingError as error:
            refused = Refuse(error.error_code, str(error))
            return MessageFacts(
                count, now, refusal=Forget() if error.is_deleted else refused
            )
        return self._facts_of(record, count)

    def _facts_of(self, record: RunRecord, receive_count: int = 0) -> MessageFacts:
        is_its_turn = record.lock_state is not LockState.QUEUED or (
            self.platform.runs.lock(record.tenant_id).is_turn_of(record.run_id)
        )
        execution = AttemptState.ABSENT
        if any(one.run_id == record.run_id for one in self.dispatched):
            execution = AttemptState.WAITING  # Dagster starts it only after this tick.
        elif record.is_dispatched:
            execution = self.executions.state(record)
        return MessageFacts(
            receive_count,
            self.clock(),
            record,
            is_its_turn=is_its_turn,
            execution=execution,
        )

    @property
    def _visibility(self) -> int:
        return self.platform.settings.visibility_timeout_seconds

    @property
    def _max_attempts(self) -> int:
        return self.platform.settings.max_attempts

    def _act(
        self, action: IntakeAction, message: Message, record: RunRecord | None
    ) -> None:
        if isinstance(action, Refuse):
            queue, about = self.platform.queue, _about(message)
            queue.send_dead(
                message.body,
                cause=f"{action.error_code}: {action.cause}",
                run_id=about.get("run_id"),
                request_id=message.request_id,
            )
            queue.delete(message.receipt_handle)
            log.error(
                "job_refused", error_code=action.error_code, cause=action.cause, **about
            )
            if action.error_code != TenantClosingError.error_code:  # nobody's fault
                self.platform.metrics.worker_error(action.error_code)
            return
        if isinstance(action, Forget):
            self.platform.queue.delete(message.receipt_handle)
            log.info("job_of_deleted_tenant", **_about(message))
            return
        if record is None:
            raise ValueError(f"{action} needs a record")
        if isinstance(action, Discard):
            self.platform.queue.delete(message.receipt_handle)
            log.info("run_already_processed", **record.log_facts)
        elif isinstance(action, KeepWaiting):
            self._keep_waiting(message, record.run_id, action.seconds)
        elif isinstance(action, Dispatch):
            self._dispatch(action, record, message)
        elif isinstance(action, Replace):
            queue = self.platform.queue
            sent = queue.send_again(message, delay_seconds=action.delay_seconds)
            self.platform.ledger.mark_sent(record.run_id, sent)
            queue.delete(message.receipt_handle)
            log.info("message_replaced", message_id=sent, **record.log_facts)

    def _keep_waiting(
        self, message: Message, run_id: str, seconds: float | None = None
    ) -> None:
        ledger, queue = self.platform.ledger, self.platform.queue
        seconds = self._visibility if seconds is None else seconds
        hidden_for = timedelta(seconds=seconds)
        ledger.note_receive(
            run_id, message.message_id, message.receipt_handle, hidden_for=hidden_for
        )
        queue.extend(message.receipt_handle, seconds)

    def _leave_alone(self, record: RunRecord, message: Message | None = None) -> None:
        """Leave a run to the reconciler, and its message, if there is one, hidden."""
        if message is not None:
            self._keep_waiting(message, record.run_id)
            return
        ledger = self.platform.ledger
        after = ledger.schedule.until_next(record, self.clock())
        ledger.check_again(record, after, queue=DueQueue.ATTEMPT)

    def _dispatch(
        self, action: Dispatch, record: RunRecord, message: Message | None = None
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
        except RunError as error:
            # Its tenant is busy, or it was cancelled meanwhile: the reconciler goes on with it.
            log.info("run_waits", reason=str(error), **record.log_facts)
            self._leave_alone(record, message)
            return
        self.dispatched.append(record)
        log.info("run_dispatched", attempt=record.attempt, **record.log_facts)
        if message is not None:
            self.platform.queue.extend(message.receipt_handle, self._visibility)


def _about(message: Message) -> dict[str, str | None]:
    """Return a message's facts for the log; of a job also its run and tenant."""
    about = {"message_id": message.message_id, "request_id": message.request_id}
    try:
        job = Job.parse(message.body)
    except NotAJobError:
        return about
    return {**about, "run_id": job.run_id, "tenant_id": job.tenant_id}
