"""The decision about a message of the queue: facts in, actions out, and nothing else.

Only the messages of runs that have ended are deleted: a message lives as long as its
run.
"""

from dataclasses import dataclass
from datetime import datetime

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.model import LockState, RunRecord
from relay_dagster.runs.poll_schedule import WAITS_HIDDEN
from relay_dagster.runs.ports import AttemptState

RECEIVE_AGAIN_SECONDS = 5
"""The delay of a message that is replaced after its only receive."""


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
    """Delete the message: its run has ended, and nobody needs the message any more."""


@dataclass(frozen=True, slots=True)
class KeepWaiting:
    """Store the newer receipt handle, and hide the message."""

    # How long; None for the queue's visibility timeout.
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Ask Dagster for an attempt."""

    attempt: int
    is_new: bool  # whether the record is not at this attempt yet


@dataclass(frozen=True, slots=True)
class Replace:
    """Send the body again, store the new message's id, then delete this message."""

    delay_seconds: int = 0


IntakeAction = Refuse | Forget | Discard | KeepWaiting | Dispatch | Replace


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """One receive of a message, and the state of its run at that moment."""

    receive_count: int
    now: datetime
    record: RunRecord | None = None  # None for a message that is refused
    refusal: Refuse | Forget | None = None  # why no run can have the message
    # False while the run's tenant is busy, or other runs have waited longer
    is_its_turn: bool = True
    # The state of the latest attempt.
    execution: AttemptState = AttemptState.ABSENT


def decide(facts: MessageFacts, max_attempts: int) -> tuple[IntakeAction, ...]:
    """Return the actions for one message, in order.

    A message is replaced before SQS gives it up for too many receives.
    """
    if facts.refusal is not None:
        return (facts.refusal,)
    if facts.record is None:
        raise ValueError("a job that is not refused has a record")
    action = next_action(facts.record, facts, max_attempts)
    if isinstance(action, Discard) or facts.receive_count < max_attempts:
        return (action,)
    # With one attempt, a message has one receive: it is replaced after each, with a
    # delay.
    delay_seconds = RECEIVE_AGAIN_SECONDS if max_attempts == 1 else 0
    return action, Replace(delay_seconds)


def next_action(
    record: RunRecord, facts: MessageFacts, max_attempts: int
) -> IntakeAction:
    """Return the next action for a run, with or without a message."""
    if record.has_ended:
        return KeepWaiting() if record.needs_dlq else Discard()
    if (
        record.cancel_requested_at is not None
        or record.status is RunStatus.RUNNING
    ):
        return KeepWaiting()
    if record.is_dispatched:
        if facts.execution is AttemptState.ABSENT:
            return Dispatch(record.attempt, is_new=False)
        return KeepWaiting()
    if (
        record.next_attempt_at is not None
        and facts.now < record.next_attempt_at
    ):
        wait = record.next_attempt_at - facts.now
        return KeepWaiting(wait.total_seconds())
    if record.attempt >= max_attempts:
        return KeepWaiting()
    if record.lock_state is LockState.QUEUED and not facts.is_its_turn:
        return KeepWaiting(WAITS_HIDDEN.total_seconds())
    return Dispatch(record.attempt + 1, is_new=True)
