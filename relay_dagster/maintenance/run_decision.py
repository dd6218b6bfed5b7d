"""The decision about a run that is not settled: facts in, actions out.

Pure: no clock, no AWS, no Dagster; `tick` gathers the facts and carries out the actions. Each
action is safe to repeat. Each transition is conditional, so a decision from facts that have changed
since does nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from relay_dagster.runs.model import LockState, RunRecord, Trigger
from relay_dagster.runs.poll_schedule import UNSENT_AFTER, WAITS_HIDDEN, PollSchedule
from relay_dagster.runs.ports import AttemptState

LOST_DISPATCH_AFTER = timedelta(seconds=60)
FORCE_CANCEL_AFTER = timedelta(seconds=60)
REPORTS_GIVEN_UP_AFTER = timedelta(hours=1)
REPLACE_AFTER = timedelta(hours=11)
# Until something that was asked for has happened.
SOON = timedelta(seconds=5)


class Act(StrEnum):
    """An action without arguments."""

    SEND = "send the message that was never sent"
    REPLACE = "send the message again and delete the old one"
    HAND_OVER = "leave the attempt to the intake, which asks Dagster for it"
    TERMINATE = "ask Dagster to end the run"
    STOP = "end a process that gives no sign, or let it end itself when it wakes up"
    FORCE_CANCELLED = "tell Dagster that the run is cancelled"
    CANCEL = "end the run as cancelled"
    POISON = "end the run as poison: it has had all of its attempts"
    SEND_TO_DLQ = "put the message of a poisoned run into the dead-letter queue"
    REPORT = "write the reports that the run could not write"
    SETTLE = "delete the message and acknowledge the run"


@dataclass(frozen=True, slots=True)
class Extend:
    """Keep the message hidden for so many seconds from now."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ReportFailed:
    """Report to Dagster that the run is dead."""

    message: str


@dataclass(frozen=True, slots=True)
class Lose:
    """End the attempt: the next one follows, or the run is poison."""

    error_code: str
    message: str


ReconcileAction = Act | Extend | ReportFailed | Lose


def watched(
    record: RunRecord, heartbeats: int, execution: AttemptState, now: datetime
) -> RunRecord:
    """Return the record with the sign of life of its attempt, and since when it is the same.

    While the sign stays, the attempt is silent. Dagster's status is part of it: a run that has only
    now begun to execute was not silent before. The claim is another part: the first heartbeat comes
    an interval after it.
    """
    sign = ":".join(map(str, (record.attempt, heartbeats, execution, record.dagster_run_id)))
    if record.watched_as == sign and record.watched_at is not None:
        return record
    return replace(record, watched_as=sign, watched_at=now)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A record, and the state of its run; ``execution/attempt.py`` describes heartbeats."""

    record: RunRecord
    execution: AttemptState
    now: datetime
    silent_seconds: float = 0  # since the last change of its heartbeat
    is_its_turn: bool = False  # the tenant is free, and no other run has waited longer


def decide(facts: RunFacts, schedule: PollSchedule) -> list[ReconcileAction]:
    """Return the actions for one run, in order."""
    record = facts.record
    if record.has_ended:
        return [*_of_final(facts, schedule)]
    if record.cancel_requested_at is not None:
        return [*_of_cancelled(facts, record.cancel_requested_at, schedule)]
    if record.is_claimed:
        return [*_of_claimed(facts, schedule)]
    return [*(_of_dispatched if record.is_dispatched else _of_queued)(facts, schedule)]


def next_check(facts: RunFacts, schedule: PollSchedule) -> timedelta:
    """Return the time until the next check of a run that stays as it is."""
    record = facts.record
    if record.has_ended or record.cancel_requested_at is not None:
        return SOON
    if not record.is_dispatched:
        return schedule.until_next(record, facts.now)
    if facts.execution is AttemptState.ABSENT:
        return max(LOST_DISPATCH_AFTER - _since(facts, record.dispatched_at), SOON)
    stale_in = timedelta(seconds=max(schedule.stale_seconds - facts.silent_seconds, 0) + 1)
    return min(schedule.between_checks, stale_in)


def _of_final(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    """Settle a run, last of all its message; a process that is still there is waited for."""
    record = facts.record
    if record.needs_dlq:
        yield Act.SEND_TO_DLQ
    if facts.execution is AttemptState.EXECUTING:
        if facts.silent_seconds <= schedule.stale_seconds:
            return
        yield Act.STOP
        yield ReportFailed("the run is final and its process is silent")
    if record.needs_reports and _since(facts, record.reports_tried_at) < REPORTS_GIVEN_UP_AFTER:
        yield Act.REPORT
    yield Act.SETTLE


def _of_cancelled(
    facts: RunFacts, requested_at: datetime, schedule: PollSchedule
) -> Iterator[ReconcileAction]:
    """End a run as requested; a process that seems frozen is not asked, only waited for."""
    if facts.execution.is_alive and _since(facts, requested_at) < FORCE_CANCEL_AFTER:
        if facts.silent_seconds <= schedule.stale_seconds / 4:
            yield Act.TERMINATE
        return
    if facts.execution.is_alive:
        yield Act.STOP
        yield Act.FORCE_CANCELLED
    yield Act.CANCEL


def _of_claimed(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    if facts.execution is AttemptState.CANCELLED:
        yield Act.CANCEL
    elif not facts.execution.is_alive:
        yield Lose("run_process_lost", f"the Dagster run is {facts.execution}, the run has no end")
    elif facts.silent_seconds > schedule.stale_seconds:
        yield from _stale(facts)
    else:
        yield from _keep_hidden(facts, schedule)


def _of_dispatched(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    if facts.execution is AttemptState.CANCELLED:
        yield Act.CANCEL
    elif facts.execution is AttemptState.ABSENT:
        if _since(facts, facts.record.dispatched_at) > LOST_DISPATCH_AFTER:
            yield Act.HAND_OVER
    elif not facts.execution.is_alive:
        yield Lose("run_not_started", f"the Dagster run is {facts.execution}, it never began")
    elif (
        facts.execution is AttemptState.EXECUTING and facts.silent_seconds > schedule.stale_seconds
    ):
        yield from _stale(facts)
    else:
        yield from _keep_hidden(facts, schedule)


def _of_queued(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    record = facts.record
    if not schedule.has_attempts_left(record):
        yield Act.POISON
    elif record.next_attempt_at is not None:
        yield Act.HAND_OVER
    elif record.message_id is None:
        since = record.send_claimed_at or record.requested_at
        if record.trigger is not Trigger.DAGSTER and _since(facts, since) >= UNSENT_AFTER:
            yield Act.SEND
    elif record.lock_state is LockState.QUEUED:
        if facts.is_its_turn:
            yield Act.HAND_OVER
        elif record.receipt_handle is not None:
            yield Extend(WAITS_HIDDEN.total_seconds())


def _stale(facts: RunFacts) -> Iterator[ReconcileAction]:
    silence = f"no heartbeat for {facts.silent_seconds:.0f} seconds"
    yield Act.STOP
    yield ReportFailed(silence)
    yield Lose("heartbeat_stale", silence)


def _keep_hidden(facts: RunFacts, schedule: PollSchedule) -> Iterator[ReconcileAction]:
    """Extend the message's time-out, or replace a message near SQS's limit of 12 hours."""
    if facts.record.receipt_handle is None:
        return
    if _since(facts, facts.record.received_at) > REPLACE_AFTER:
        yield Act.REPLACE
        return
    left = (facts.record.hidden_until or facts.now) - facts.now
    if left <= timedelta(seconds=schedule.visibility_seconds) * 0.75:
        yield Extend(schedule.visibility_seconds)


def _since(facts: RunFacts, instant: datetime | None) -> timedelta:
    return facts.now - (instant or facts.now)
