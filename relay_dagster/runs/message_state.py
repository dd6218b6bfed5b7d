"""What a record knows of its message and reports: pure rules that also touch final records."""

from dataclasses import replace
from datetime import datetime, timedelta

from relay_dagster.runs.errors import TransitionRefusedError
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.runs.transitions import refuse_ended, rule


@rule
def sent(record: RunRecord, message_id: str, now: datetime) -> RunRecord:
    """Note the message that now stands for the run; what was known of an older one is void.

    The message may have been received, and its run even have ended, before its sender comes here.
    """
    if record.has_ended or record.message_id == message_id:
        return record
    return replace(
        record,
        message_id=message_id,
        sent_at=now,
        receipt_handle=None,
        received_at=None,
        hidden_until=None,
    )


@rule
def send_claimed(record: RunRecord, now: datetime, wait: timedelta) -> RunRecord:
    """Take the right to send a message that was never sent; it lapses after ``wait``."""
    refuse_ended(record)
    since = record.send_claimed_at or record.requested_at
    if record.message_id is not None or record.is_dispatched or now - since < wait:
        raise TransitionRefusedError(record.run_id, "its message is sent, or being sent")
    return replace(record, send_claimed_at=now)


@rule
def received(
    record: RunRecord, message_id: str, receipt_handle: str, now: datetime, hidden_until: datetime
) -> RunRecord:
    """Note a receive, so that the message can be kept invisible and deleted in the end."""
    return replace(
        record,
        message_id=message_id,
        sent_at=record.sent_at or now,
        receipt_handle=receipt_handle,
        received_at=now,
        hidden_until=hidden_until,
    )


@rule
def dead_lettered(record: RunRecord, dlq_message_id: str) -> RunRecord:
    """Note that the run's message is in the dead-letter queue."""
    return replace(record, dlq_message_id=dlq_message_id)


@rule
def dead_letter_resolved(record: RunRecord, now: datetime) -> RunRecord:
    """Note that the run's dead letter is redriven or discarded."""
    return replace(record, dead_letter_resolved_at=now) if record.has_dead_letter else record


@rule
def reported(record: RunRecord, outcome: Outcome, now: datetime) -> RunRecord:
    """Note that an ended run's reports are written, and which artifacts there are."""
    if not record.has_ended:
        raise TransitionRefusedError(record.run_id, "it has not ended, it has no reports yet")
    return record.with_reports(outcome, now)


@rule
def acknowledged(record: RunRecord, now: datetime) -> RunRecord:
    """Note that an ended run's message is gone and nothing is left to do."""
    if record.acknowledged_at is not None:
        return record
    if not record.has_ended or record.needs_dlq:
        raise TransitionRefusedError(record.run_id, "it is not settled yet")
    return replace(record, acknowledged_at=now)
