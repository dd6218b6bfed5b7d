"""Notes about a run's message and its reports, once the run itself has changed.

Every verb raises `UnknownRunError` if there is no record of the run, and
`ExternalServiceError` if the store fails. The other errors are named in each method.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from relay_dagster.ledger.record_writer import RecordWriter, RequestedChange
from relay_dagster.runs import message_rules
from relay_dagster.runs.model import NOTHING_KNOWN, Outcome, RunRecord
from relay_dagster.runs.poll_schedule import UNSENT_AFTER, PollSchedule
from relay_dagster.runs.transitions import Rule
from relay_dagster.tenants.audit import AuditEntry


class MessageLedger:
    """The notes about runs' messages, dead letters, and reports."""

    def __init__(
        self,
        writer: RecordWriter,
        schedule: PollSchedule,
        clock: Callable[[], datetime],  # returns the current instant, aware
    ) -> None:
        self._writer = writer
        self._schedule = schedule
        self._clock = clock

    def mark_sent(
        self,
        run_id: str,
        message_id: str,
        *,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """Note the message that represents the run now; a run that has ended stays."""
        rule = message_rules.sent(message_id, self._clock())
        return self._writer.apply_rule(run_id, rule, cached_record)

    def claim_send(
        self,
        run_id: str,
        wait: timedelta = UNSENT_AFTER,
    ) -> RunRecord:
        """Take the right to send a run's message.

        Raises:
            TransitionRefusedError: the message is sent, or somebody is sending it.
        """
        rule = message_rules.send_claimed(self._clock(), wait)
        return self._writer.apply_rule(run_id, rule)

    def note_receive(
        self,
        run_id: str,
        message_id: str,
        receipt_handle: str,
        *,
        hidden_for: timedelta | None = None,
    ) -> RunRecord:
        """Store the receipt handle of the run's message, and how long it is hidden."""
        rule = self.received_rule(message_id, receipt_handle, hidden_for)
        return self._writer.apply_rule(run_id, rule)

    def record_dlq(self, run_id: str, dlq_message_id: str) -> RunRecord:
        """Note that the run's message is in the dead-letter queue."""
        rule = message_rules.dead_lettered(dlq_message_id)
        return self._writer.apply_rule(run_id, rule)

    def resolve_dead_letter(
        self,
        run_id: str,
        entry: AuditEntry | None = None,
    ) -> RunRecord:
        """Note that the run's dead letter was redriven or discarded."""
        change = RequestedChange(
            run_id=run_id,
            rule=message_rules.dead_letter_resolved(self._clock()),
            audit_entry=lambda _: entry,
        )
        return self._writer.apply(change).record

    def note_reports(
        self,
        run_id: str,
        outcome: Outcome = NOTHING_KNOWN,
    ) -> RunRecord:
        """Note that the reports of a run that has ended are written."""
        rule = message_rules.reported(outcome, self._clock())
        return self._writer.apply_rule(run_id, rule)

    def acknowledge(
        self,
        run_id: str,
        *,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """Note that a run that has ended is settled: its message is gone."""
        rule = message_rules.acknowledged(self._clock())
        return self._writer.apply_rule(run_id, rule, cached_record)

    def received_rule(
        self,
        message_id: str,
        receipt_handle: str,
        hidden_for: timedelta | None = None,
    ) -> Rule:
        """Return the rule that stores a receipt handle; ``hidden_for`` is from now on."""
        now = self._clock()
        visibility = timedelta(seconds=self._schedule.visibility_seconds)
        hidden_until = now + (hidden_for or visibility)
        return message_rules.received(
            message_id,
            receipt_handle,
            now,
            hidden_until,
        )
