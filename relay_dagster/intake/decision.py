"""The decision about a message of the queue, or a run that needs none: facts in, actions out.

Pure: no clock, no AWS, no Dagster; `tick` gathers the facts and carries out the actions. Only
messages of final runs are deleted: a message lives as long as its run.
"""

from dataclasses import dataclass
from datetime import datetime

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import LockState, RunRecord
from relay_dagster.runs.poll_schedule import WAITS_HIDDEN
from relay_dagster.runs.ports import AttemptState


@dataclass(frozen=True, slots=True)
class Refuse:
    """Send the message to the dead-letter queue with its cause, then delete it."""

    error_code: str
    cause: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Delete the message: its tenant is deleted, and no other trace of it is left."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Delete the message: its run is final, and nobody needs it any more."""


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """Store the newer receipt handle; with ``seconds``, hide the message for so long."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Ask Dagster for an attempt; ``is_new``: after a transition of the record."""

    attempt: int
    is_new: bool


@dataclass(frozen=True, slots=True)
class Replace:
    """Send the body again, after a delay; store the new message's id, then delete this one."""

    delay_seconds: int = 0


# With one attempt a message has one receive: while it waits, it is replaced after each.
RECEIVE_AGAIN_SECONDS = 5

IntakeAction = Refuse | Forget | Discard | KeepWaiting | Dispatch | Replace


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One receive of a message, and the state of its run at that moment.

    With a ``refusal`` no run can have the message; else there is a record. ``is_its_turn`` is False
    while the run's tenant is busy, or others have waited longer.
    """

    receive_count: int
    now: datetime
    record: RunRecord | None = None
    refusal: Refuse | Forget | None = None
    is_its_turn: bool = True
    execution: AttemptState = AttemptState.ABSENT


def decide(facts: MessageFacts, max_attempts: int) -> tuple[IntakeAction, ...]:
    """Return the actions for one message, in order; it is replaced before SQS gives it up."""
    if facts.refusal is not None:
        return (facts.refusal,)
    if facts.record is None:
        raise ValueError("a job that is not refused has a record")
    first = next_action(facts.record, facts, max_attempts)
    if isinstance(first, Discard) or facts.receive_count < max_attempts:
        return (first,)
    return (first, Replace(RECEIVE_AGAIN_SECONDS if max_attempts == 1 else 0))


def next_action(record: RunRecord, facts: MessageFacts, max_attempts: int) -> IntakeAction:
    """Return the next action for a run, with or without a message."""
    if record.has_ended:
        return KeepWaiting() if record.needs_dlq else Discard()
    if record.cancel_requested_at is not None or record.status is RunStatus.RUNNING:
        return KeepWaiting()
    if record.is_dispatched:
        lost = facts.execution is AttemptState.ABSENT
        return Dispatch(record.attempt, is_new=False) if lost else KeepWaiting()
    if record.next_attempt_at is not None and facts.now < record.next_attempt_at:
        return KeepWaiting((record.next_attempt_at - facts.now).total_seconds())
    if record.attempt >= max_attempts:
        return KeepWaiting()
    if record.lock_state is LockState.QUEUED and not facts.is_its_turn:
        return KeepWaiting(WAITS_HIDDEN.total_seconds())
    return Dispatch(record.attempt + 1, is_new=True)
