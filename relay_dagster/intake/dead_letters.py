"""The dead-letter queue for those who operate it: look without hiding, redrive, discard.

The commands of ``relay dlq`` come here; what nobody operates on is the reconciler's sweep.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from relay_dagster.aws.sqs.job_queue import CAUSE, RUN_ID, JobQueue, Message
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

# A look finds at most ten messages, and not always the same ones.
LOOKS = 5

log = event_log()


class DeadLetterError(Exception):
    """There is nothing to redrive or to discard; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue and the run that it was for, as far as they are known."""

    message: Message
    run_id: str | None
    job: Job | None
    record: RunRecord | None

    @property
    def tenant_id(self) -> str | None:
        """Whose job it was; None where the body is no job."""
        return None if self.job is None else self.job.tenant_id

    @property
    def cause(self) -> str:
        """Why it is here."""
        known = self.record.error_message if self.record is not None else None
        return self.message.attributes.get(CAUSE) or known or "moved here by the queue itself"


def look(queue: JobQueue) -> Iterator[Message]:
    """Yield each dead letter that a few looks find, once; nothing is hidden from anybody."""
    seen: set[str] = set()
    for _ in range(LOOKS):
        found = [one for one in queue.peek_dead() if one.message_id not in seen]
        if not found:
            return
        seen.update(one.message_id for one in found)
        yield from found


class DeadLetters:
    """What an operator does with dead letters.

    Args:
        platform: the stores, the queues and the ledger.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def all(self) -> list[DeadLetter]:
        """Return the messages that are there, the oldest first."""
        letters = [self._letter(message) for message in look(self._platform.queue)]
        return sorted(letters, key=lambda letter: letter.message.sent_at)

    def redrive(self, run_id: str) -> RunRecord:
        """Start a new run of the job's tenant and vendors, then delete the dead letter.

        The new run takes the tenant's latest config, which is what was mended.

        Raises:
            DeadLetterError: there is no such letter, or its run has not ended yet.
            TenantBusyError: the tenant has an unfinished run; the letter stays.
            QueueUnavailableError: no run is left behind, the letter stays.
        """
        letters = self._of(run_id)
        job, record = letters[0].job, letters[0].record
        if job is None:
            raise DeadLetterError(f"the message of {run_id} is no job; discard it")
        if record is not None and not record.has_ended:
            raise DeadLetterError(f"run {run_id} has not ended; it is settled by itself in minutes")
        started = self._platform.submission.resubmit(job.tenant_id, job.vendors)
        self._delete(letters)
        log.info("dead_letter_redriven", run_id=run_id, tenant_id=job.tenant_id, by=started.run_id)
        return started

    def discard(self, run_id: str) -> None:
        """Delete the dead letter; the run's record stays as it is.

        Raises:
            DeadLetterError: there is no such letter.
        """
        self._delete(self._of(run_id))
        log.info("dead_letter_discarded", run_id=run_id)

    def _of(self, run_id: str) -> list[DeadLetter]:
        letters = [letter for letter in self.all() if letter.run_id == run_id]
        if not letters:
            raise DeadLetterError(
                f"the dead-letter queue has no message of run {run_id}; see relay dlq list"
            )
        return letters

    def _delete(self, letters: list[DeadLetter]) -> None:
        for letter in letters:
            self._platform.queue.delete_dead(letter.message.receipt_handle)

    def _letter(self, message: Message) -> DeadLetter:
        try:
            job = Job.parse(message.body)
        except NotAJobError:
            return DeadLetter(message, message.attributes.get(RUN_ID), None, None)
        return DeadLetter(message, job.run_id, job, self._platform.runs.get(job.run_id))


def describe(error: Exception) -> str:
    """Return a refusal in one line, for the command line."""
    code = f"{error.error_code}: " if isinstance(error, RunError) else ""
    return " ".join(f"{code}{error}".split())
