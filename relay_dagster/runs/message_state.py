"""What a record knows of its message and its reports: rules that leave its status as it is.

The rules are pure, like those of `state_machine`; these alone may still touch a final record.
`MessageNotes` commits them: it is the half of `ledger` that makes no transition.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.runs.commits import UNSENT_AFTER, Commits, EntryOf, Rule
from relay_dagster.runs.errors import TransitionRefusedError
from relay_dagster.runs.model import NOTHING_KNOWN, Lane, Outcome, RunRecord
from relay_dagster.runs.state_machine import refuse_ended

# --- the rules ----------------------------------------------------------------------------------


def sent(message_id: str, now: datetime) -> Rule:
    """Note the message that now stands for the run; what was known of an older one is void.

    The message may have been received, and its run even have ended, before its sender comes here.
    """

    def rule(record: RunRecord) -> RunRecord:
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

    return rule


def send_claimed(now: datetime, wait: timedelta) -> Rule:
    """Take the right to send a message that was never sent; it lapses after ``wait``."""

    def rule(record: RunRecord) -> RunRecord:
        refuse_ended(record)
        since = record.send_claimed_at or record.requested_at
        if record.message_id is not None or record.is_dispatched or now - since < wait:
            raise TransitionRefusedError(record.run_id, "its message is sent, or being sent")
        return replace(record, send_claimed_at=now)

    return rule


def received(message_id: str, receipt_handle: str, now: datetime, hidden_until: datetime) -> Rule:
    """Note a receive, so that the message can be kept invisible and deleted in the end."""

    def rule(record: RunRecord) -> RunRecord:
        return replace(
            record,
            message_id=message_id,
            sent_at=record.sent_at or now,
            receipt_handle=receipt_handle,
            received_at=now,
            hidden_until=hidden_until,
        )

    return rule


def dead_lettered(dlq_message_id: str) -> Rule:
    """Note that the run's message is in the dead-letter queue."""

    def rule(record: RunRecord) -> RunRecord:
        return replace(record, dlq_message_id=dlq_message_id)

    return rule


def letter_settled(now: datetime) -> Rule:
    """Note that the run's dead letter is redriven or discarded."""

    def rule(record: RunRecord) -> RunRecord:
        return replace(record, letter_settled_at=now) if record.has_letter else record

    return rule


def reported(outcome: Outcome, now: datetime) -> Rule:
    """Note that an ended run's reports are written, and which artifacts there are."""

    def rule(record: RunRecord) -> RunRecord:
        if not record.has_ended:
            raise TransitionRefusedError(record.run_id, "it has not ended, it has no reports yet")
        return record.with_reports(outcome, now)

    return rule


def acknowledged(now: datetime) -> Rule:
    """Note that an ended run's message is gone and nothing is left to do."""

    def rule(record: RunRecord) -> RunRecord:
        if record.acknowledged_at is not None:
            return record
        if not record.has_ended or record.needs_dlq:
            raise TransitionRefusedError(record.run_id, "it is not settled yet")
        return replace(record, acknowledged_at=now)

    return rule


# --- their commits ------------------------------------------------------------------------------


class MessageNotes:
    """Notes on records. `UnknownRunError` is raised for a run_id without one.

    Args:
        commits: where records are kept, and how.
    """

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._change = commits.change
        self._clock = commits.clock

    def mark_sent(
        self, run_id: str, message_id: str, *, known: RunRecord | None = None
    ) -> RunRecord:
        """Note the message that now stands for the run: the first, or one sent in its place.

        A run that has ended meanwhile stays as it is: the message will find it final.
        """
        return self._change(run_id, sent(message_id, self._clock()), known)

    def claim_send(self, run_id: str, wait: timedelta = UNSENT_AFTER) -> RunRecord:
        """Take the right to send the message of a run that has had none for ``wait``.

        Raises:
            TransitionRefusedError: it has one, or somebody is sending it.
            RunAlreadyFinishedError: the run has ended.
        """
        return self._change(run_id, send_claimed(self._clock(), wait))

    def note_receive(
        self,
        run_id: str,
        message_id: str,
        receipt_handle: str,
        *,
        hidden_for: timedelta | None = None,
    ) -> RunRecord:
        """Store the newest receipt handle of the run's message.

        ``hidden_for`` is how long it stays out of sight, by default the queue's own time.
        """
        rule = self._received(message_id, receipt_handle, hidden_for)
        return self._change(run_id, rule)

    def record_dlq(self, run_id: str, dlq_message_id: str) -> RunRecord:
        """Note that the run's message is in the dead-letter queue."""
        return self._change(run_id, dead_lettered(dlq_message_id))

    def settle_letter(self, run_id: str, entry: EntryOf | None = None) -> RunRecord:
        """Note that the run's dead letter is redriven or discarded: it is to go when it is met."""
        return self._change(run_id, letter_settled(self._clock()), entry=entry)

    def note_reports(self, run_id: str, outcome: Outcome = NOTHING_KNOWN) -> RunRecord:
        """Note that a final run's reports are written; ``outcome`` adds to what is known.

        Raises:
            TransitionRefusedError: the run is not final.
        """
        return self._change(run_id, reported(outcome, self._clock()))

    def acknowledge(self, run_id: str, *, known: RunRecord | None = None) -> RunRecord:
        """Note that a final run's message is deleted and nothing is left to do.

        Raises:
            TransitionRefusedError: the run is not final, or poison that is not in the DLQ yet.
        """
        return self._change(run_id, acknowledged(self._clock()), known)

    def look_again(
        self, record: RunRecord, after: timedelta, *, lane: Lane | None = None, **seen: Any
    ) -> bool:
        """Note when a record that stays as it is wants to be looked at again, and what was seen.

        Its revision stays, so that this is in nobody's way.

        Args:
            record: as it was read.
            after: from now on.
            lane: whose it is then, by default whose it was.
            seen: what looks alone know: ``watched_as``, ``hidden_until``, ...

        Returns:
            False where the record has changed meanwhile; that change has said when.
        """
        return self._commits.look_again(record, after, lane, seen)

    def put_off(self, record: RunRecord) -> None:
        """Let others go first after a fault; where not even that can be noted it stays due."""
        with suppress(ExternalServiceError):
            self.look_again(record, AFTER_A_FAULT)

    def _received(
        self, message_id: str, receipt_handle: str, hidden_for: timedelta | None = None
    ) -> Rule:
        now = self._clock()
        hidden_until = now + (hidden_for or self._commits.looks.visibility)
        return received(message_id, receipt_handle, now, hidden_until)
