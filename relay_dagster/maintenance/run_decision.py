"""The reconciler's decision: facts of one run in, actions out.

`decide` is pure. Each action is safe to repeat, and each transition is conditional, so a decision
from facts that have changed since does nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from relay_dagster.runs.model import LockState, RunRecord, Trigger
from relay_dagster.runs.poll_schedule import (
    UNSENT_AFTER,
    WAITS_HIDDEN,
    PollSchedule,
)
from relay_dagster.runs.ports import AttemptState

LOST_DISPATCH_AFTER = timedelta(seconds=60)
FORCE_CANCEL_AFTER = timedelta(seconds=60)
REPORTS_GIVEN_UP_AFTER = timedelta(hours=1)
REPLACE_AFTER = timedelta(hours=11)
"""SQS keeps no message invisible for longer than 12 hours."""
SOON = timedelta(seconds=5)
"""The time until the next check of a run whose action is not complete yet."""


class Act(StrEnum):
    """An action without arguments."""

    SEND = "send the message that was never sent"
    REPLACE = "send the message again and delete the old one"
    HAND_OVER = "leave the attempt to the intake, which asks Dagster for it"
    TERMINATE = "ask Dagster to end the run"
    STOP = "end a silent process, or let it end itself when it wakes up"
    FORCE_CANCELLED = "report the run to Dagster as canceled"
    CANCEL = "end the run as cancelled"
    POISON = "end the run as poison: its attempts are used up"
    SEND_TO_DLQ = "put the message of a poisoned run into the dead-letter queue"
    REPORT = "write the reports that the run could not write"
    SETTLE = "delete the message and acknowledge the run"


@dataclass(frozen=True, slots=True)
class Extend:
    """Hide the message for this many seconds from now."""

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
    record: RunRecord,
    heartbeats: int,
    execution: AttemptState,
    now: datetime,
) -> RunRecord:
    """Return the record with its attempt's sign of life, and since when the sign is unchanged.

    An attempt is silent while its sign does not change. Dagster's status is part of the sign,
    because a run that has only now begun to execute was not silent before. So is the claim,
    because the first heartbeat comes an interval after it.
    """
    parts = (record.attempt, heartbeats, execution, record.dagster_run_id)
    sign = ":".join(map(str, parts))
    if record.watched_as == sign and record.watched_at is not None:
        return record
    return replace(record, watched_as=sign, watched_at=now)


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A record and the state of its run; ``execution/attempt.py`` describes heartbeats."""

    record: RunRecord
    execution: AttemptState
    now: datetime
    silent_seconds: float = 0  # since the last change of its sign of life
    # The tenant is free, and no other run has waited longer.
    is_its_turn: bool = False

    def since(self, instant: datetime | None) -> timedelta:
        """Return the time since an instant, zero if there is none."""
        return self.now - (instant or self.now)


def decide(facts: RunFacts, schedule: PollSchedule) -> list[ReconcileAction]:
    """Return the actions for one run, in order."""
    record = facts.record
    if record.has_ended:
        actions = _of_ended(facts, schedule)
    elif record.cancel_requested_at is not None:
        actions = _of_cancelled(facts, record.cancel_requested_at, schedule)
    elif record.is_claimed:
        actions = _of_claimed(facts, schedule)
    elif record.is_dispatched:
        actions = _of_dispatched(facts, schedule)
    else:
        actions = _of_queued(facts, schedule)
    return [*actions]


def next_check(facts: RunFacts, schedule: PollSchedule) -> timedelta:
    """Return the time until the next check of a run that stays as it is."""
    record = facts.record
    if record.has_ended or record.cancel_requested_at is not None:
        return SOON
    if not record.is_dispatched:
        return schedule.until_next(record, facts.now)
    if facts.execution is AttemptState.ABSENT:
        return max(
            LOST_DISPATCH_AFTER - facts.since(record.dispatched_at),
            SOON,
        )
    seconds_until_stale = (
        max(schedule.stale_seconds - facts.silent_seconds, 0) + 1
    )
    return min(schedule.between_checks, timedelta(seconds=seconds_until_stale))


def _of_ended(
    facts: RunFacts,
    schedule: PollSchedule,
) -> Iterator[ReconcileAction]:
    """Settle a run, its message last; wait for a process that is still there."""
    record = facts.record
    if record.needs_dlq:
        yield Act.SEND_TO_DLQ
    if facts.execution is AttemptState.EXECUTING:
        if facts.silent_seconds <= schedule.stale_seconds:
            return
        yield Act.STOP
        yield ReportFailed("the run is final and its process is silent")
    waited = facts.since(record.reports_tried_at)
    if record.needs_reports and waited < REPORTS_GIVEN_UP_AFTER:
        yield Act.REPORT
    yield Act.SETTLE


def _of_cancelled(
    facts: RunFacts,
    requested_at: datetime,
    schedule: PollSchedule,
) -> Iterator[ReconcileAction]:
    """End a run as requested; a process that seems frozen is not asked but waited for."""
    is_alive = facts.execution.is_alive
    if is_alive and facts.since(requested_at) < FORCE_CANCEL_AFTER:
        if facts.silent_seconds <= schedule.stale_seconds / 4:
            yield Act.TERMINATE
        return
    if is_alive:
        yield Act.STOP
        yield Act.FORCE_CANCELLED
    yield Act.CANCEL


def _of_claimed(
    facts: RunFacts,
    schedule: PollSchedule,
) -> Iterator[ReconcileAction]:
    if facts.execution is AttemptState.CANCELLED:
        yield Act.CANCEL
    elif not facts.execution.is_alive:
        message = f"the Dagster run is {facts.execution}, the run has no end"
        yield Lose("run_process_lost", message)
    elif facts.silent_seconds > schedule.stale_seconds:
        yield from _of_stale(facts)
    else:
        yield from _keep_hidden(facts, schedule)


def _of_dispatched(
    facts: RunFacts,
    schedule: PollSchedule,
) -> Iterator[ReconcileAction]:
    is_executing = facts.execution is AttemptState.EXECUTING
    if facts.execution is AttemptState.CANCELLED:
        yield Act.CANCEL
    elif facts.execution is AttemptState.ABSENT:
        if facts.since(facts.record.dispatched_at) > LOST_DISPATCH_AFTER:
            yield Act.HAND_OVER
    elif not facts.execution.is_alive:
        message = f"the Dagster run is {facts.execution}, it never began"
        yield Lose("run_not_started", message)
    elif is_executing and facts.silent_seconds > schedule.stale_seconds:
        yield from _of_stale(facts)
    else:
        yield from _keep_hidden(facts, schedule)


def _of_queued(
    facts: RunFacts,
    schedule: PollSchedule,
) -> Iterator[ReconcileAction]:
    record = facts.record
    if not schedule.has_attempts_left(record):
        yield Act.POISON
    elif record.next_attempt_at is not None:
        yield Act.HAND_OVER
    elif record.message_id is None:
        waited = facts.since(record.send_claimed_at or record.requested_at)
        if record.trigger is not Trigger.DAGSTER and waited >= UNSENT_AFTER:
            yield Act.SEND
    elif record.lock_state is LockState.QUEUED:
        if facts.is_its_turn:
            yield Act.HAND_OVER
        elif record.receipt_handle is not None:
            yield Extend(WAITS_HIDDEN.total_seconds())


def _of_stale(facts: RunFacts) -> Iterator[ReconcileAction]:
    message = f"no heartbeat for {facts.silent_seconds:.0f} seconds"
    yield Act.STOP
    yield ReportFailed(message)
    yield Lose("heartbeat_stale", message)


def _keep_hidden(
    facts: RunFacts,
    schedule: PollSchedule,
) -> Iterator[ReconcileAction]:
    """Extend the message's time-out, or replace a message near SQS's limit of 12 hours."""
    record = facts.record
    if record.receipt_handle is None:
        return
    if facts.since(record.received_at) > REPLACE_AFTER:
        yield Act.REPLACE
        return
    hidden_for = (record.hidden_until or facts.now) - facts.now
    if hidden_for <= timedelta(seconds=schedule.visibility_seconds) * 0.75:
        yield Extend(schedule.visibility_seconds)
