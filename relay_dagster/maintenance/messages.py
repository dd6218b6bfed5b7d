"""Messages that are gone, and dead letters that SQS itself has moved.

A run's record has the time when it has waited long enough (`DueQueue.MESSAGE`). While the queue
has a backlog that clock stands still. A message that was sent before the queue was seen empty, and
not received for ``RELAY_MESSAGE_LOST_SECONDS`` since then, is sent again. A second message for a
run does no harm.

A dead letter is sent again if its run goes on; else its run ends. One with a cause was sent there
on purpose, and stays until an operator has resolved it. The sweep reads the whole queue every few
minutes, and at once when the number of its messages has changed.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from relay_dagster.aws.job_queue import CAUSE, Message, read_dead_letters
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.logs import event_log
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.runs.errors import JobExpiredError, RunError, TenantClosingError
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.runs.new_records import is_job_of
from relay_dagster.runs.poll_schedule import DEAD_LETTER_LIFE
from relay_dagster.wiring import Platform

MAX_RUNS = 100
_NOTES = 10
AT_LEAST_EVERY_SECONDS = 240
log = event_log()


@dataclass
class QueueWatch(Memory):
    """About ten instants at which the queue was seen empty, oldest first."""

    empty_at: list[float] = field(default_factory=list)

    def note_empty(self, now: datetime, lost_seconds: float) -> None:
        """Store that the queue is empty; keep the last instant over ``lost_seconds`` ago."""
        instant = now.timestamp()
        if not self.empty_at or instant - self.empty_at[-1] >= lost_seconds / _NOTES:
            self.empty_at.append(instant)
        matters_since = self._last_before(instant - lost_seconds)
        self.empty_at = [at for at in self.empty_at if at >= (matters_since or 0)]

    def due_until(self, now: datetime, lost_seconds: float) -> datetime | None:
        """Return the time up to which runs that wait for their message are due; None for no run."""
        seen = self._last_before(now.timestamp() - lost_seconds)
        if seen is None:
            return None
        return datetime.fromtimestamp(seen, UTC) + timedelta(seconds=lost_seconds)

    def _last_before(self, instant: float) -> float | None:
        return max((at for at in self.empty_at if at <= instant), default=None)


def send_lost_again(on: Occasion, watch: QueueWatch) -> int:
    """Send lost messages again; return how many runs had waited long enough for theirs."""
    platform, now = on.platform, on.now
    if platform.queue.count():
        return 0
    lost_seconds = platform.settings.message_lost_seconds
    watch.note_empty(now, lost_seconds)
    until = watch.due_until(now, lost_seconds)
    if until is None:
        return 0

    def put_off(record: RunRecord, error: Exception) -> None:
        if isinstance(error, RunError):
            log.info("message_not_lost", reason=str(error), **record.log_facts)
            return
        report_fault(
            platform.metrics, "message_not_sent_again", error, **record.log_facts
        )
        platform.ledger.postpone(record)

    records = platform.runs.due(DueQueue.MESSAGE, until, MAX_RUNS)
    return len(drain(records, platform.submission.send_again, put_off))


@dataclass
class DeadLetterCount(Memory):
    """The number of dead letters at the last reading of the queue, and its time."""

    count: int = 0
    read_at: float = 0


def sweep(on: Occasion, last: DeadLetterCount) -> str:
    """Resolve the dead letters that SQS has moved, if it is time; return a summary."""
    platform, now = on.platform, on.now
    count = platform.queue.dead.count()
    is_late = now.timestamp() - last.read_at >= AT_LEAST_EVERY_SECONDS
    if not count or (count == last.count and not is_late):
        return f"{count} dead letters"
    resolved = resolve_dead_letters(platform, on.deadline)
    last.count, last.read_at = count - resolved, now.timestamp()
    note_expired(platform, now)
    return f"{resolved} of {count} dead letters resolved"


def resolve_dead_letters(platform: Platform, deadline: Deadline | None = None) -> int:
    """Resolve dead letters that SQS has moved, delete those that an operator has; count them."""

    def report(each: tuple[Message, Job, RunRecord | None], error: Exception) -> None:
        message_id = each[0].message_id
        report_fault(
            platform.metrics, "dead_letter_not_resolved", error, message_id=message_id
        )

    resolved = 0
    for messages in read_dead_letters(platform.queue, deadline):
        jobs: list[tuple[Message, Job]] = []
        for message in messages:
            with suppress(NotAJobError):
                jobs.append((message, Job.parse(message.body)))
        records = platform.runs.get_many({job.run_id for _, job in jobs})
        found = [(message, job, records.get(job.run_id)) for message, job in jobs]
        resolved += sum(
            map(bool, drain(found, lambda each: _resolve(platform, *each), report))
        )
    return resolved


def note_expired(platform: Platform, now: datetime) -> None:
    """Store that dead letters are resolved which the queue no longer keeps."""
    for record in platform.runs.due(DueQueue.DEAD_LETTER, now - DEAD_LETTER_LIFE):
        platform.ledger.resolve_dead_letter(record.run_id)


def _resolve(
    platform: Platform, message: Message, job: Job, record: RunRecord | None
) -> bool:
    """Resolve a dead letter; return False where it stays."""
    if CAUSE in message.attributes:  # it was sent there on purpose
        is_its_own = record is not None and record.dlq_message_id == message.message_id
        if record is None or not is_its_own or record.dead_letter_resolved_at is None:
            return False
        # An operator has resolved it while the queue did not return it.
        platform.queue.dead.delete(message.receipt_handle)
        return True
    if record is None:
        has_expired = platform.runs.has_expired(job.run_id)
        return (_say_expired if has_expired else _end_unknown)(platform, job, message)
    if not is_job_of(record, job):
        return False  # job_conflict: the dead-letter queue is where it belongs
    _send_again_or_delete(platform, record, message)
    return True


def _end_unknown(platform: Platform, job: Job, message: Message) -> bool:
    """Create an ended run for a job without a record; its message stays a dead letter."""
    cause = "the message was received too often without a run of its own"
    try:
        dead = platform.ledger.adopt_dead(
            job, cause, message.message_id, message.sent_at
        )
    except TenantClosingError as error:
        # It goes with its tenant; until then it is where it belongs.
        return error.is_deleted and platform.queue.dead.delete(message.receipt_handle)
    platform.metrics.run_finished(dead)
    log.error("poison_job_detected", **dead.log_facts)
    return True


def _say_expired(platform: Platform, job: Job, message: Message) -> bool:
    """Give the dead letter of a run whose record is gone its cause; it stays a dead letter."""
    error = JobExpiredError(job.run_id)
    queue, cause = platform.queue, f"{error.error_code}: {error}"
    queue.send_dead(
        message.body, cause=cause, run_id=job.run_id, request_id=message.request_id
    )
    queue.dead.delete(message.receipt_handle)
    return False


def _send_again_or_delete(
    platform: Platform, record: RunRecord, message: Message
) -> None:
    queue = platform.queue
    if record.needs_dlq:
        platform.ledger.record_dlq(record.run_id, message.message_id)
    elif record.has_ended:
        if not record.has_dead_letter or record.dlq_message_id != message.message_id:
            queue.dead.delete(message.receipt_handle)
    else:
        sent = queue.send_again(message)
        platform.ledger.mark_sent(record.run_id, sent)
        queue.dead.delete(message.receipt_handle)
        log.info("message_replaced", message_id=sent, **record.log_facts)
