"""What the queue itself has moved to the dead letters, as its last resort: sent again, or ended.

A letter with a cause was put there on purpose and stays. Nothing is hidden from an operator who
looks into the dead-letter queue at the same moment.
"""

from relay_dagster.aws.sqs.job_queue import CAUSE, Message
from relay_dagster.intake.dead_letters import look
from relay_dagster.logs import event_log
from relay_dagster.runs.admission import is_job_of
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

log = event_log()


def settle_dead_letters(platform: Platform) -> int:
    """Settle the letters that nobody has put there.

    Returns:
        How many were settled.
    """
    settled = 0
    for message in look(platform.queue):
        if CAUSE not in message.attributes:  # else it was put there on purpose
            settled += _settle_stray(platform, message)
    return settled


def _settle_stray(platform: Platform, message: Message) -> int:
    try:
        job = Job.parse(message.body)
    except NotAJobError:
        return 0
    record = platform.runs.get(job.run_id)
    if record is not None and not is_job_of(record, job):
        return 0  # job_conflict: the dead letters are where it belongs
    if record is not None:
        _settle(platform, record, message)
        return 1
    cause = "the message was received too often without a run of its own"
    dead = platform.ledger.adopt_dead(job, cause, message.message_id)
    platform.metrics.run_finished(dead)
    log.error("poison_job_detected", **dead.log_facts)
    return 1


def _settle(platform: Platform, record: RunRecord, message: Message) -> None:
    queue = platform.queue
    if record.needs_dlq:
        platform.ledger.record_dlq(record.run_id, message.message_id)
    elif record.has_ended:
        if record.dlq_message_id != message.message_id:
            queue.delete_dead(message.receipt_handle)
    else:
        sent = queue.send_again(message)
        platform.ledger.mark_sent(record.run_id, sent)
        queue.delete_dead(message.receipt_handle)
        log.info("message_replaced", message_id=sent, **record.log_facts)
