"""The dead letters for those who operate them: list, redrive, discard.

The commands of ``relay dlq`` come here; what nobody operates on is the reconciler's sweep. The
records say which runs ended as dead letters, whatever the queue hands out; the queue itself is read
for those that no record knows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay_dagster.aws.job_queue import CAUSE, RUN_ID, Message
from relay_dagster.intake.dead_letter_queue import read_whole
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.runs.poll_schedule import DEAD_LETTER_LIFE
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.wiring import Platform

_ALL = 1_000_000
_MOST_TOLD = 1000

log = event_log()


class DeadLetterError(Exception):
    """There is nothing to redrive or to discard; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter, as far as it is known: its message, the run that it was for.

    ``message`` is None where only the record tells of it.
    """

    run_id: str | None
    job: Job | None
    record: RunRecord | None
    message: Message | None = None

    @property
    def tenant_id(self) -> str | None:
        """Whose job it was; None where the body is no job."""
        return None if self.job is None else self.job.tenant_id

    @property
    def is_on_record(self) -> bool:
        """Whether its run's record says that it is here."""
        return self.record is not None and self.record.has_dead_letter

    @property
    def cause(self) -> str:
        """Why it is here."""
        if self.message is not None and CAUSE in self.message.attributes:
            return self.message.attributes[CAUSE]
        if self.record is None or self.record.error_message is None:
            return "moved here by the queue itself"
        return f"{self.record.error_code}: {self.record.error_message}"

    @property
    def since(self) -> datetime | None:
        """When it came here, or its run ended."""
        if self.message is not None:
            return self.message.sent_at
        return None if self.record is None else self.record.finished_at


class DeadLetters:
    """What an operator does with dead letters.

    Args:
        platform: the stores, the queues and the ledger.
        origin: who does it.
    """

    def __init__(self, platform: Platform, origin: Origin = SYSTEM) -> None:
        self._platform = platform
        self._origin = origin

    def all(self) -> list[DeadLetter]:
        """Return the letters that are there, the oldest first."""
        buried = {each.dlq_message_id: each for each in self._buried()}
        met = [each for each in self._met() if each.message_id not in buried]
        letters = [
            *(DeadLetter(each.run_id, each.job, each) for each in buried.values()),
            *(self._letter(each) for each in met),
        ]
        return sorted(letters, key=lambda letter: letter.since or utc_now())

    def redrive(self, run_id: str) -> RunRecord:
        """Start a new run of the job's tenant and vendors, then delete the dead letter.

        The new run takes the tenant's latest config, which is what was mended.

        Raises:
            DeadLetterError: there is no such letter, or its run has not ended yet.
            TenantBusyError: the tenant has an unfinished run; the letter stays.
            QueueUnavailableError: no run is left behind, the letter stays.
        """
        letters = self._of(run_id)
        job = letters[0].job
        if job is None:
            raise DeadLetterError(f"the message of {run_id} is no job; discard it")
        started = self._platform.submission.resubmit(
            job.tenant_id, job.vendors, in_place_of=run_id, origin=self._origin
        )
        self._remove(letters)
        log.info("dead_letter_redriven", run_id=run_id, tenant_id=job.tenant_id, by=started.run_id)
        return started

    def discard(self, run_id: str) -> None:
        """Delete the dead letter; the run's record stays as it is.

        Raises:
            DeadLetterError: there is no such letter, or its run has not ended yet.
        """
        letters = self._of(run_id)
        whose, cause = letters[0].tenant_id, letters[0].cause[:_MOST_TOLD]
        discarded = Action.DEAD_LETTER_DISCARDED
        entry = self._origin.entry(discarded, whose, run_id, utc_now(), cause=cause)
        if not any(letter.is_on_record for letter in letters):
            self._platform.audit.add(entry)
        self._remove(letters, lambda _: entry)
        log.info("dead_letter_discarded", run_id=run_id)

    def _of(self, run_id: str) -> list[DeadLetter]:
        """Return the letters of a run, those first that the queue has just handed out."""
        letters = [
            letter for message in self._met() if (letter := self._letter(message)).run_id == run_id
        ]
        record = self._platform.runs.get(run_id)
        if record is not None and record.has_dead_letter:
            letters.append(DeadLetter(run_id, record.job, record))
        if not letters:
            raise DeadLetterError(
                f"the dead-letter queue has no message of run {run_id}; see relay dlq list"
            )
        if record is not None and not record.has_ended:
            raise DeadLetterError(f"run {run_id} has not ended; it is settled by itself in minutes")
        return letters

    def _buried(self) -> Sequence[RunRecord]:
        """Return the records of runs that ended as dead letters which are still kept."""
        now = utc_now()
        found = self._platform.runs.due(DueQueue.DEAD_LETTER, now, _ALL)
        return [each for each in found if each.due_at and each.due_at > now - DEAD_LETTER_LIFE]

    def _met(self) -> Iterator[Message]:
        for letters in read_whole(self._platform.queue):
            yield from letters

    def _remove(
        self, letters: Sequence[DeadLetter], entry: Callable[[RunRecord], AuditEntry] | None = None
    ) -> None:
        """Let go of letters; one that the queue did not hand out goes when the sweep meets it."""
        for letter in letters:
            if letter.record is not None and letter.is_on_record:
                self._platform.ledger.resolve_dead_letter(letter.record.run_id, entry)
            if letter.message is not None:
                self._platform.queue.delete_dead(letter.message.receipt_handle)

    def _letter(self, message: Message) -> DeadLetter:
        try:
            job = Job.parse(message.body)
        except NotAJobError:
            return DeadLetter(message.attributes.get(RUN_ID), None, None, message)
        return DeadLetter(job.run_id, job, self._platform.runs.get(job.run_id), message)


def describe(error: Exception) -> str:
    """Return a refusal in one line, for the command line."""
    code = f"{error.error_code}: " if isinstance(error, RunError) else ""
    return " ".join(f"{code}{error}".split())
