"""The dead letters for their operators: list, redrive, discard.

The commands of ``relay dlq`` come here; the reconciler's sweep handles the others. The records name
the runs that ended as dead letters, whatever the queue returns. The queue is read for those without
a record.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from relay_dagster.aws.job_queue import CAUSE, RUN_ID, Message, read_dead_letters
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.runs.poll_schedule import DEAD_LETTER_LIFE
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.wiring import Platform

_ALL = 1_000_000
_MAX_CAUSE_LENGTH = 1000
log = event_log()


class DeadLetterError(Exception):
    """There is nothing to redrive or to discard; the text gives the reason, and the remedy."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: its message (None: its record alone names it), and its run, where known."""

    run_id: str | None
    job: Job | None
    record: RunRecord | None
    message: Message | None = None

    @property
    def tenant_id(self) -> str | None:
        """The tenant of the job; None where the body is no job."""
        return None if self.job is None else self.job.tenant_id

    @property
    def message_id(self) -> str | None:
        """Its message's id; None where that is not known."""
        if self.message is not None:
            return self.message.message_id
        return None if self.record is None else self.record.dlq_message_id

    @property
    def is_on_record(self) -> bool:
        """Whether its run's record names it."""
        return self.record is not None and self.record.has_dead_letter

    @property
    def has_cause(self) -> bool:
        """Whether whoever moved it to the dead-letter queue gave a reason."""
        return self.message is not None and CAUSE in self.message.attributes

    @property
    def cause(self) -> str:
        """The reason why it is a dead letter."""
        if self.message is not None and CAUSE in self.message.attributes:
            return self.message.attributes[CAUSE]
        if self.record is None or self.record.error_message is None:
            return "moved here by the queue itself"
        return f"{self.record.error_code}: {self.record.error_message}"

    @property
    def since(self) -> datetime | None:
        """When it was sent to the dead-letter queue, or its run ended."""
        if self.message is not None:
            return self.message.sent_at
        return None if self.record is None else self.record.finished_at


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The acts of an operator, the origin of the audit's entries, on dead letters."""

    platform: Platform
    origin: Origin = SYSTEM

    def all(self) -> list[DeadLetter]:
        """Return all dead letters, the oldest first."""
        now = utc_now()
        recorded = {
            each.dlq_message_id: each
            for each in self.platform.runs.due(DueQueue.DEAD_LETTER, now, _ALL)
            if each.due_at and each.due_at > now - DEAD_LETTER_LIFE
        }
        others = [each for each in self._received() if each.message_id not in recorded]
        found = [
            *(DeadLetter(each.run_id, each.job, each) for each in recorded.values()),
            *(self._dead_letter(each) for each in others),
        ]
        return sorted(found, key=lambda each: each.since or utc_now())

    def redrive(self, run_id: str) -> RunRecord:
        """Start a new run of the job's tenant and vendors, then delete the dead letter.

        The run takes the latest config, which the operator has mended. `DeadLetterError` where
        there is none, or its run has not ended; where no run starts (`RunError`) it stays.
        """
        found = self._of(run_id)
        job = found[0].job
        if job is None:
            raise DeadLetterError(f"the message of {run_id} is no job; discard it")
        started = self.platform.submission.resubmit(
            job.tenant_id, job.vendors, in_place_of=run_id, origin=self.origin
        )
        self._remove(found)
        log.info(
            "dead_letter_redriven",
            run_id=run_id,
            tenant_id=job.tenant_id,
            by=started.run_id,
        )
        return started

    def discard(self, name: str) -> None:
        """Delete a dead letter by run or message id; `DeadLetterError` where there is none."""
        found = self._of(name)
        run_id = found[0].run_id or name
        tenant_id, cause = found[0].tenant_id, found[0].cause[:_MAX_CAUSE_LENGTH]
        discarded = Action.DEAD_LETTER_DISCARDED
        entry = self.origin.entry(discarded, tenant_id, run_id, utc_now(), cause=cause)
        if not any(each.is_on_record for each in found):
            self.platform.audit.add(entry)
        self._remove(found, entry)
        log.info("dead_letter_discarded", run_id=run_id)

    def _of(self, name: str) -> list[DeadLetter]:
        """Return the dead letters of a run, or of a message and its run; received ones first."""
        received = list(map(self._dead_letter, self._received()))
        named = [each for each in received if each.message_id == name]
        run_id = next((each.run_id for each in named if each.run_id is not None), name)
        found = named or [each for each in received if each.run_id == run_id]
        record = self.platform.runs.get(run_id)
        if record is not None and record.has_dead_letter:
            found.append(DeadLetter(run_id, record.job, record))
        if not found:
            raise DeadLetterError(
                f"the dead-letter queue has no message of run {name}, nor one with that id; see "
                "relay dlq list"
            )
        if record is not None and not record.has_ended:
            raise DeadLetterError(
                f"run {run_id} has not ended; it is settled by itself in minutes"
            )
        return found

    def _received(self) -> Iterator[Message]:
        return chain.from_iterable(read_dead_letters(self.platform.queue))

    def _remove(
        self,
        found: Sequence[DeadLetter],
        entry: AuditEntry | None = None,
    ) -> None:
        """Resolve dead letters; the sweep deletes one that the queue has not returned here."""
        for each in found:
            if each.record is not None and each.is_on_record:
                self.platform.ledger.resolve_dead_letter(each.record.run_id, entry)
            if each.message is not None:
                self.platform.queue.dead.delete(each.message.receipt_handle)

    def _dead_letter(self, message: Message) -> DeadLetter:
        try:
            job = Job.parse(message.body)
        except NotAJobError:
            return DeadLetter(message.attributes.get(RUN_ID), None, None, message)
        return DeadLetter(job.run_id, job, self.platform.runs.get(job.run_id), message)


def describe(error: Exception) -> str:
    """Return a refusal in one line, for the command line."""
    code = f"{error.error_code}: " if isinstance(error, RunError) else ""
    return " ".join(f"{code}{error}".split())
