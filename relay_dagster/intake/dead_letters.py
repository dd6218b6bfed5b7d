"""The dead letters for operators: list, redrive, discard.

The commands of ``relay server dlq`` use this; the reconciler's sweep handles the other dead
letters. The records name the runs that ended as dead letters, whatever the queue
returns. The queue is read for the dead letters without a record.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from relay_dagster.aws import job_queue
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.runs.poll_schedule import DEAD_LETTER_LIFE
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants import audit
from relay_dagster.wiring import Platform

_ALL = 1_000_000
_MAX_CAUSE_LENGTH = 1000
_log = event_log()


class DeadLetterError(Exception):
    """No dead letter can be redriven or discarded; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter."""

    run_id: str | None  # None for a message that is not a job and names no run
    job: Job | None  # None for a message that is not a job
    record: RunRecord | None  # the record of the run, if it has one
    # None for a dead letter that only its record names
    message: job_queue.Message | None = None

    @property
    def tenant_id(self) -> str | None:
        """Return the tenant of the job; None for a message that is not a job."""
        return None if self.job is None else self.job.tenant_id

    @property
    def message_id(self) -> str | None:
        """Return the id of the message, or None if it is not known."""
        if self.message is not None:
            return self.message.message_id
        return None if self.record is None else self.record.dlq_message_id

    @property
    def is_on_record(self) -> bool:
        """Return True if the run's record names the dead letter."""
        return self.record is not None and self.record.has_dead_letter

    @property
    def has_cause(self) -> bool:
        """Return True if the dead letter has a cause."""
        return (
            self.message is not None
            and job_queue.CAUSE in self.message.attributes
        )

    @property
    def cause(self) -> str:
        """Return the reason why the message is a dead letter."""
        if (
            self.message is not None
            and job_queue.CAUSE in self.message.attributes
        ):
            return self.message.attributes[job_queue.CAUSE]
        if self.record is None or self.record.error_message is None:
            return "moved here by the queue itself"
        return f"{self.record.error_code}: {self.record.error_message}"

    @property
    def since(self) -> datetime | None:
        """Return when the message became a dead letter, or its run ended."""
        if self.message is not None:
            return self.message.sent_at
        return None if self.record is None else self.record.finished_at


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The acts of an operator on dead letters."""

    platform: Platform
    origin: audit.Origin = audit.SYSTEM  # the operator, for the audit

    def all(self) -> list[DeadLetter]:
        """Return all dead letters, the oldest first."""
        now = utc_now()
        dead_letters = []
        message_ids = set()
        for record in self.platform.runs.due(DueQueue.DEAD_LETTER, now, _ALL):
            if record.due_at and record.due_at > now - DEAD_LETTER_LIFE:
                dead_letters.append(
                    DeadLetter(record.run_id, record.job, record)
                )
                message_ids.add(record.dlq_message_id)
        for message in self._messages():
            if message.message_id not in message_ids:
                dead_letters.append(self._dead_letter(message))
        return sorted(
            dead_letters, key=lambda dead_letter: dead_letter.since or now
        )

    def redrive(self, run_id: str) -> RunRecord:
        """Start a new run of the job's tenant and vendors, then delete the dead letter.

        The run takes the latest config, which the operator has fixed. If no run
        starts, the dead letter stays.

        Raises:
            DeadLetterError: there is no such dead letter, or its run has not ended.
            RunError: no run can be started.
        """
        dead_letters = self._of(run_id)
        job = dead_letters[0].job
        if job is None:
            raise DeadLetterError(
                f"the message of {run_id} is no job; discard it"
            )
        new_run = self.platform.submission.resubmit(
            job.tenant_id, job.vendors, in_place_of=run_id, origin=self.origin
        )
        self._remove(dead_letters)
        _log.info(
            "dead_letter_redriven",
            run_id=run_id,
            tenant_id=job.tenant_id,
            by=new_run.run_id,
        )
        return new_run

    def discard(self, name: str) -> None:
        """Delete a dead letter by the id of its run or of its message.

        Raises:
            DeadLetterError: there is no such dead letter, or its run has not ended.
        """
        dead_letters = self._of(name)
        newest = dead_letters[0]
        run_id = newest.run_id or name
        entry = self.origin.entry(
            audit.Action.DEAD_LETTER_DISCARDED,
            newest.tenant_id,
            run_id,
            utc_now(),
            cause=newest.cause[:_MAX_CAUSE_LENGTH],
        )
        if not any(dead_letter.is_on_record for dead_letter in dead_letters):
            self.platform.audit.add(entry)
        self._remove(dead_letters, entry)
        _log.info("dead_letter_discarded", run_id=run_id)

    def _of(self, name: str) -> list[DeadLetter]:
        """Return the dead letters of a run or of a message, received ones first.

        A message's name also leads to the dead letter on the record of its run.
        """
        received = [self._dead_letter(message) for message in self._messages()]
        dead_letters = [
            letter for letter in received if letter.message_id == name
        ]
        run_id = name
        for dead_letter in dead_letters:
            if dead_letter.run_id is not None:
                run_id = dead_letter.run_id
                break
        if not dead_letters:
            dead_letters = [
                letter for letter in received if letter.run_id == run_id
            ]
        record = self.platform.runs.get(run_id)
        if record is not None and record.has_dead_letter:
            dead_letters.append(DeadLetter(run_id, record.job, record))
        if not dead_letters:
            raise DeadLetterError(
                f"the dead-letter queue has no message of run {name}, nor one with that id; see "
                "relay server dlq list"
            )
        if record is not None and not record.has_ended:
            raise DeadLetterError(
                f"run {run_id} has not ended; it is settled by itself in minutes"
            )
        return dead_letters

    def _messages(self) -> Iterator[job_queue.Message]:
        return chain.from_iterable(
            job_queue.read_dead_letters(self.platform.queue)
        )

    def _remove(
        self,
        dead_letters: Sequence[DeadLetter],
        entry: audit.AuditEntry | None = None,
    ) -> None:
        """Resolve dead letters and delete those that the queue has returned.

        The reconciler's sweep deletes the others when it receives them.
        """
        for dead_letter in dead_letters:
            if dead_letter.record is not None and dead_letter.is_on_record:
                run_id = dead_letter.record.run_id
                self.platform.ledger.messages.resolve_dead_letter(run_id, entry)
            if dead_letter.message is not None:
                receipt_handle = dead_letter.message.receipt_handle
                self.platform.queue.dead.delete(receipt_handle)

    def _dead_letter(self, message: job_queue.Message) -> DeadLetter:
        try:
            job = Job.parse(message.body)
        except NotAJobError:
            return DeadLetter(
                message.attributes.get(job_queue.RUN_ID), None, None, message
            )
        record = self.platform.runs.get(job.run_id)
        return DeadLetter(job.run_id, job, record, message)


def describe(error: Exception) -> str:
    """Return a refusal in one line, for the command line."""
    code = f"{error.error_code}: " if isinstance(error, RunError) else ""
    return " ".join(f"{code}{error}".split())
