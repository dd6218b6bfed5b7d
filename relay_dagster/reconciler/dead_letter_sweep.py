"""What the queue itself has moved to the dead letters, as its last resort: sent again, or ended.

A letter with a cause was put there on purpose and stays, until an operator has settled it. The
queue is read whole, now and then: at once when the number of its letters has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from relay_dagster.aws.sqs.job_queue import CAUSE, Message
from relay_dagster.drain import Deadline
from relay_dagster.intake.dead_letter_queue import read_whole
from relay_dagster.logs import event_log
from relay_dagster.reconciler.memory import Memory
from relay_dagster.runs.admission import is_job_of
from relay_dagster.runs.commits import LETTER_LIFE
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import Lane, RunRecord
from relay_dagster.wiring import Platform

AT_LEAST_EVERY_SECONDS = 240

log = event_log()


@dataclass
class LetterCount(Memory):
    """How many letters there were when the queue was last read, and when that was."""

    letters: int = 0
    read_at: float = 0


def sweep(
    platform: Platform, count: LetterCount, now: datetime, deadline: Deadline | None = None
) -> str:
    """Settle the letters that nobody has put there, if it is time to look; tell what was done."""
    letters = platform.queue.count_dead()
    is_late = now.timestamp() - count.read_at >= AT_LEAST_EVERY_SECONDS
    if not letters or (letters == count.letters and not is_late):
        return f"{letters} dead letters"
    settled = settle_dead_letters(platform, deadline)
    count.letters, count.read_at = letters - settled, now.timestamp()
    forget_expired(platform, now)
    return f"{settled} of {letters} dead letters settled"


def settle_dead_letters(platform: Platform, deadline: Deadline | None = None) -> int:
    """Settle the letters that nobody has put there, and delete those that were settled by hand.

    Returns:
        How many were settled.
    """
    settled = 0
    for letters in read_whole(platform.queue, deadline):
        jobs = {each.message_id: job for each in letters if (job := _job_of(each))}
        records = platform.runs.get_many({job.run_id for job in jobs.values()})
        settled += sum(_settle_letter(platform, each, jobs, records) for each in letters)
    return settled


def forget_expired(platform: Platform, now: datetime) -> None:
    """Note of letters that the queue no longer keeps that they are gone."""
    for record in platform.runs.due(Lane.LETTER, now - LETTER_LIFE):
        platform.ledger.settle_letter(record.run_id)


def _job_of(message: Message) -> Job | None:
    try:
        return Job.parse(message.body)
    except NotAJobError:
        return None


def _settle_letter(
    platform: Platform,
    message: Message,
    jobs: Mapping[str, Job],
    records: Mapping[str, RunRecord],
) -> bool:
    job = jobs.get(message.message_id)
    if job is None:
        return False
    record = records.get(job.run_id)
    if CAUSE in message.attributes:  # it was put there on purpose
        return record is not None and _delete_settled(platform, record, message)
    if record is None:
        return _bury(platform, job, message)
    if not is_job_of(record, job):
        return False  # job_conflict: the dead letters are where it belongs
    _settle(platform, record, message)
    return True


def _delete_settled(platform: Platform, record: RunRecord, message: Message) -> bool:
    """Delete a letter that an operator has settled while it was not to be had."""
    if record.dlq_message_id != message.message_id or record.letter_settled_at is None:
        return False
    platform.queue.delete_dead(message.receipt_handle)
    return True


def _bury(platform: Platform, job: Job, message: Message) -> bool:
    cause = "the message was received too often without a run of its own"
    try:
        dead = platform.ledger.adopt_dead(job, cause, message.message_id, message.sent_at)
    except TenantClosingError as error:
        # It goes with its tenant; until then it is where it belongs.
        return error.is_deleted and platform.queue.delete_dead(message.receipt_handle)
    platform.metrics.run_finished(dead)
    log.error("poison_job_detected", **dead.log_facts)
    return True


def _settle(platform: Platform, record: RunRecord, message: Message) -> None:
    queue = platform.queue
    if record.needs_dlq:
        platform.ledger.record_dlq(record.run_id, message.message_id)
    elif record.has_ended:
        if not record.has_letter or record.dlq_message_id != message.message_id:
            queue.delete_dead(message.receipt_handle)
    else:
        sent = queue.send_again(message)
        platform.ledger.mark_sent(record.run_id, sent)
        queue.delete_dead(message.receipt_handle)
        log.info("message_replaced", message_id=sent, **record.log_facts)
