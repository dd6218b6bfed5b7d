"""The rules of a run's message, its dead letter and its reports; no status changes."""

from dataclasses import replace
from datetime import datetime, timedelta

from relay_dagster.runs.errors import TransitionRefusedError
from relay_dagster.runs.model import Outcome, RunRecord
from relay_dagster.runs.transitions import refuse_ended, rule


@rule
def sent(record: RunRecord, message_id: str, now: datetime) -> RunRecord:
    """Note the message that represents the run now; a run that has ended stays."""
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
def send_claimed(
    record: RunRecord, now: datetime, wait: timedelta
) -> RunRecord:
    """Take the right to send a message that was never sent.

    The right lapses after ``wait``.

    Raises:
        RunAlreadyFinishedError: the run has ended.
        TransitionRefusedError: the message is sent, or somebody is sending it.
    """
    refuse_ended(record)
    claimed_at = record.send_claimed_at or record.requested_at
    is_claimed = now - claimed_at < wait
    if record.message_id is not None or record.is_dispatched or is_claimed:
        raise TransitionRefusedError(
            record.run_id, "its message is sent, or being sent"
        )
    return replace(record, send_claimed_at=now)


@rule
def received(
    record: RunRecord,
    message_id: str,
    receipt_handle: str,
    now: datetime,
    hidden_until: datetime,
) -> RunRecord:
    """Note that the message was received.

    The receipt handle keeps the message invisible, and deletes it in the end.
    """
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
    """Note that the run's dead letter was redriven or discarded."""
    if not record.has_dead_letter:
        return record
    return replace(record, dead_letter_resolved_at=now)


@rule
def reported(record: RunRecord, outcome: Outcome, now: datetime) -> RunRecord:
    """Note that the reports of a run that has ended are written, and its artifacts.

    Raises:
        TransitionRefusedError: the run has not ended.
    """
    if not record.has_ended:
        raise TransitionRefusedError(
            record.run_id, "it has not ended, it has no reports yet"
        )
    return record.with_reports(outcome, now)


@rule
def acknowledged(record: RunRecord, now: datetime) -> RunRecord:
    """Note that the message of a run that has ended is gone and nothing is left to do.

    Raises:
        TransitionRefusedError: the run has not ended, or its message has yet to be
            moved into the dead-letter queue.
    """
    if record.acknowledged_at is not None:
        return record
    if not record.has_ended or record.needs_dlq:
        raise TransitionRefusedError(record.run_id, "it is not settled yet")
    return replace(record, acknowledged_at=now)
