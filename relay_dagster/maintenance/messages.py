"""Lost messages, and dead letters that SQS itself moved.

A run's record has the time when the run has waited long enough for its message
(`DueQueue.MESSAGE`). While the queue has a backlog, that clock stands still. A message is sent
again if it was sent before the queue was seen empty, and was not received for
``RELAY_MESSAGE_LOST_SECONDS`` since then. A second message for a run does no harm.

A dead letter is sent again if its run goes on; otherwise its run ends. A dead letter with a cause
was moved on purpose, and stays until an operator resolves it. The sweep reads the whole queue
every few minutes, and at once when the number of its messages has changed.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from relay_dagster.aws.job_queue import CAUSE, Message, read_dead_letters
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.logs import event_log
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.runs.errors import (
    JobExpiredError,
    RunError,
    TenantClosingError,
)
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.runs.new_records import is_job_of
from relay_dagster.runs.poll_schedule import DEAD_LETTER_LIFE
from relay_dagster.wiring import Platform

MAX_RUNS = 100
_INSTANTS_PER_WAIT = 10
AT_LEAST_EVERY_SECONDS = 240
_log = event_log()


@dataclass
class QueueWatch(Memory):
    """About ten instants at which the queue was seen empty, oldest first."""

    empty_at: list[float] = field(default_factory=list)

    def note_empty(self, now: datetime, lost_seconds: float) -> None:
        """Note that the queue is empty; keep the last instant over ``lost_seconds`` ago."""
        instant = now.timestamp()
        spacing = lost_seconds / _INSTANTS_PER_WAIT
        if not self.empty_at or instant - self.empty_at[-1] >= spacing:
            self.empty_at.append(instant)
        oldest = self._last_before(instant - lost_seconds) or 0
        self.empty_at = [
            empty_instant
            for empty_instant in self.empty_at
            if empty_instant >= oldest
        ]

    def due_until(self, now: datetime, lost_seconds: float) -> datetime | None:
        """Return the time up to which runs that wait for their message are due, or None."""
        instant = self._last_before(now.timestamp() - lost_seconds)
        if instant is None:
            return None
        return datetime.fromtimestamp(instant, UTC) + timedelta(
            seconds=lost_seconds,
        )

    def _last_before(self, instant: float) -> float | None:
        earlier = [
            empty_instant
            for empty_instant in self.empty_at
            if empty_instant <= instant
        ]
        return max(earlier, default=None)


def send_lost_again(occasion: Occasion, watch: QueueWatch) -> int:
    """Send lost messages again; return the number of runs that waited long enough."""
    platform = occasion.platform
    if platform.queue.count():
        return 0
    lost_seconds = platform.settings.message_lost_seconds
    watch.note_empty(occasion.now, lost_seconds)
    due_until = watch.due_until(occasion.now, lost_seconds)
    if due_until is None:
        return 0

    def postpone(record: RunRecord, error: Exception) -> None:
        facts = record.log_facts
        if isinstance(error, RunError):
            _log.info("message_not_lost", reason=str(error), **facts)
            return
        report_fault(platform.metrics, "message_not_sent_again", error, **facts)
        platform.ledger.postpone(record)

    records = platform.runs.due(DueQueue.MESSAGE, due_until, MAX_RUNS)
    return len(drain(records, platform.submission.send_again, postpone))


@dataclass
class DeadLetterCount(Memory):
    """The number of dead letters at the last reading of the queue, and its time."""

    count: int = 0
    read_at: float = 0


def sweep(occasion: Occasion, memory: DeadLetterCount) -> str:
    """Resolve the dead letters that SQS moved, if it is time; return a summary."""
    platform = occasion.platform
    instant = occasion.now.timestamp()
    count = platform.queue.dead.count()
    is_late = instant - memory.read_at >= AT_LEAST_EVERY_SECONDS
    if not count or (count == memory.count and not is_late):
        return f"{count} dead letters"
    resolved = resolve_dead_letters(platform, occasion.deadline)
    memory.count = count - resolved
    memory.read_at = instant
    note_expired(platform, occasion.now)
    return f"{resolved} of {count} dead letters resolved"


@dataclass(frozen=True, slots=True)
class _DeadJob:
    """A dead letter with its job, and the job's record if there is one."""

    message: Message
    job: Job
    record: RunRecord | None


def resolve_dead_letters(
    platform: Platform,
    deadline: Deadline | None = None,
) -> int:
    """Resolve dead letters that SQS moved, delete those an operator resolved; count them."""

    def resolve(dead_job: _DeadJob) -> bool:
        return _resolve(platform, dead_job)

    def report(dead_job: _DeadJob, error: Exception) -> None:
        message_id = dead_job.message.message_id
        metrics = platform.metrics
        report_fault(
            metrics,
            "dead_letter_not_resolved",
            error,
            message_id=message_id,
        )

    resolved = 0
    for messages in read_dead_letters(platform.queue, deadline):
        jobs: list[tuple[Message, Job]] = []
        for message in messages:
            with suppress(NotAJobError):
                jobs.append((message, Job.parse(message.body)))
        records = platform.runs.get_many({job.run_id for _, job in jobs})
        dead_jobs = [
            _DeadJob(message, job, records.get(job.run_id))
            for message, job in jobs
        ]
        resolved += sum(map(bool, drain(dead_jobs, resolve, report)))
    return resolved


def note_expired(platform: Platform, now: datetime) -> None:
    """Note that dead letters are resolved which the queue no longer keeps."""
    expired = platform.runs.due(DueQueue.DEAD_LETTER, now - DEAD_LETTER_LIFE)
    for record in expired:
        platform.ledger.messages.resolve_dead_letter(record.run_id)


def _resolve(platform: Platform, dead_job: _DeadJob) -> bool:
    """Resolve a dead letter; return False if it stays."""
    message = dead_job.message
    record = dead_job.record
    if CAUSE in message.attributes:
        return _delete_if_resolved(platform, dead_job)
    if record is None:
        if platform.runs.has_expired(dead_job.job.run_id):
            return _give_expired_cause(platform, dead_job)
        return _end_unknown(platform, dead_job)
    if not is_job_of(record, dead_job.job):
        return False  # a conflicting job belongs in the dead-letter queue
    _send_again_or_delete(platform, record, message)
    return True


def _delete_if_resolved(platform: Platform, dead_job: _DeadJob) -> bool:
    """Delete a dead letter that was moved on purpose if an operator has resolved it since."""
    record = dead_job.record
    message = dead_job.message
    if record is None or record.dlq_message_id != message.message_id:
        return False
    if record.dead_letter_resolved_at is None:
        return False
    platform.queue.dead.delete(message.receipt_handle)
    return True


def _end_unknown(platform: Platform, dead_job: _DeadJob) -> bool:
    """Create an ended run for a job without a record; its message stays a dead letter."""
    cause = "the message was received too often without a run of its own"
    message = dead_job.message
    try:
        record = platform.ledger.adopt_dead(
            dead_job.job,
            cause,
            message.message_id,
            message.sent_at,
        )
    except TenantClosingError as error:
        # The letter is deleted with its tenant; until then it stays.
        if not error.is_deleted:
            return False
        return platform.queue.dead.delete(message.receipt_handle)
    platform.metrics.run_finished(record)
    _log.error("poison_job_detected", **record.log_facts)
    return True


def _give_expired_cause(platform: Platform, dead_job: _DeadJob) -> bool:
    """Give the dead letter of a run whose record is gone its cause; it stays a dead letter."""
    error = JobExpiredError(dead_job.job.run_id)
    message = dead_job.message
    platform.queue.send_dead(
        message.body,
        cause=f"{error.error_code}: {error}",
        run_id=dead_job.job.run_id,
        request_id=message.request_id,
    )
    platform.queue.dead.delete(message.receipt_handle)
    return False


def _send_again_or_delete(
    platform: Platform,
    record: RunRecord,
    message: Message,
) -> None:
    queue = platform.queue
    if record.needs_dlq:
        platform.ledger.messages.record_dlq(record.run_id, message.message_id)
    elif record.has_ended:
        is_its_letter = (
            record.has_dead_letter
            and record.dlq_message_id == message.message_id
        )
        if not is_its_letter:
            queue.dead.delete(message.receipt_handle)
    else:
        message_id = queue.send_again(message)
        platform.ledger.messages.mark_sent(record.run_id, message_id)
        queue.dead.delete(message.receipt_handle)
        _log.info("message_replaced", message_id=message_id, **record.log_facts)
