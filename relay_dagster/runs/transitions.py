"""The state machine of a run: the table of transitions, and the mechanics of rules.

A rule takes a record and returns the next one, or raises the error that says why there
is none. Rules are pure; the ledger applies them. No rule sets a status itself:
`transition` reads it from the table. The rules of records that begin are in
`new_records`, those of attempts in `attempt_rules`, of ends in `end_rules`, of messages
and reports in `message_rules`, and those of held feeds in ``feeds/hold_rules.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.errors import (
    CancelRequestedError,
    FenceLostError,
    RunAlreadyFinishedError,
    TransitionRefusedError,
)
from relay_dagster.runs.model import Fence, LockState, RunRecord

Rule = Callable[[RunRecord], RunRecord]
"""Returns the next record, or raises the error that says why there is none."""

_Facts = ParamSpec("_Facts")
_Stored = TypeVar("_Stored")
_Next = TypeVar("_Next")


def rule(
    step: Callable[Concatenate[_Stored, _Facts], _Next],
) -> Callable[_Facts, Callable[[_Stored], _Next]]:
    """Turn a function of a stored value and of facts into one of only the facts.

    It returns a function of the stored value. So a caller gives the facts once, and the
    ledger applies the rule each time that it has read the value again.
    """

    @wraps(step)
    def with_facts(
        *facts: _Facts.args, **named_facts: _Facts.kwargs
    ) -> Callable[[_Stored], _Next]:
        def apply(stored: _Stored) -> _Next:
            return step(stored, *facts, **named_facts)

        return apply

    return with_facts


# --- the table ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    """A named way from one status to another."""

    name: str
    # The statuses it starts from; none for a new record.
    sources: tuple[RunStatus, ...]
    # The status it leads to; None keeps the record's status.
    target: RunStatus | None
    made_by: str  # who makes it
    meaning: str  # the reason for it


_QUEUED = RunStatus.QUEUED
_RUNNING = RunStatus.RUNNING
_SUCCEEDED = RunStatus.SUCCEEDED
_FAILED = RunStatus.FAILED
_CANCELLED = RunStatus.CANCELLED
_HELD = RunStatus.HELD
_UNFINISHED = (_QUEUED, _RUNNING)
_TABLE = (
    Transition(
        "requested", (), _QUEUED, "submission", "a caller asks for the run"
    ),
    Transition(
        "adopted", (), _QUEUED, "intake", "a job came straight to the queue"
    ),
    Transition(
        "started_by_hand", (), _RUNNING, "run", "Dagster started it on its own"
    ),
    Transition(
        "tombstoned",
        (_QUEUED,),
        _CANCELLED,
        "submission",
        "its message was not sent",
    ),
    Transition(
        "dispatched",
        (_QUEUED,),
        _QUEUED,
        "intake",
        "the next attempt is Dagster's to begin",
    ),
    Transition(
        "claimed",
        (_QUEUED,),
        _RUNNING,
        "run",
        "a Dagster run takes the attempt",
    ),
    Transition(
        "entered", (_RUNNING,), _RUNNING, "run", "the next stage begins"
    ),
    Transition(
        "pinned",
        (_RUNNING,),
        _RUNNING,
        "run",
        "config version and baseline are fixed",
    ),
    Transition("succeeded", (_RUNNING,), _SUCCEEDED, "run", "all is written"),
    Transition(
        "failed",
        (_RUNNING,),
        _FAILED,
        "run",
        "its data are at fault, or it is late",
    ),
    Transition(
        "attempt_lost",
        _UNFINISHED,
        _QUEUED,
        "run, reconciler",
        "the attempt ended undecided",
    ),
    Transition(
        "poisoned",
        _UNFINISHED,
        _FAILED,
        "run, reconciler",
        "no attempt is left",
    ),
    Transition(
        "cancel_requested",
        _UNFINISHED,
        None,
        "API",
        "it is to end, and an attempt is running",
    ),
    Transition(
        "cancelled",
        _UNFINISHED,
        _CANCELLED,
        "API, run, reconciler",
        "it ends as asked",
    ),
    Transition(
        "held",
        (_RUNNING,),
        _HELD,
        "run",
        "guards trip: its feed waits for a person",
    ),
    Transition(
        "released", (_HELD,), _SUCCEEDED, "API", "a person publishes its feed"
    ),
    Transition(
        "discarded", (_HELD,), _CANCELLED, "API", "a person discards its feed"
    ),
    Transition(
        "superseded", (_HELD,), _CANCELLED, "run, API", "another feed is newer"
    ),
    Transition(
        "expired",
        (_HELD,),
        _CANCELLED,
        "reconciler",
        "nobody has decided in time",
    ),
)
TRANSITIONS = {transition.name: transition for transition in _TABLE}


# --- the mechanics --------------------------------------------------------------------


def transition(name: str, record: RunRecord, **changes: Any) -> RunRecord:
    """Return a record after a transition of the table, with further changes.

    Raises:
        TransitionRefusedError: the transition does not start from the record's status.
    """
    row = TRANSITIONS[name]
    if record.status not in row.sources:
        raise TransitionRefusedError(
            record.run_id, f"{record.status} is not to be {name}"
        )
    return replace(record, status=row.target or record.status, **changes)


def ended(name: str, record: RunRecord, now: datetime) -> RunRecord:
    """Return a record after a transition that ends the run and frees its tenant.

    Raises:
        TransitionRefusedError: the transition does not start from the record's status.
    """
    record_after = transition(
        name,
        record,
        finished_at=now,
        next_attempt_at=None,
        lock_state=LockState.NONE,
    )
    has_succeeded = record_after.status is RunStatus.SUCCEEDED
    return replace(
        record_after, failed_stage=None if has_succeeded else record.stage
    )


def given_up(name: str, record: RunRecord, **changes: Any) -> RunRecord:
    """Return the record of a held run after a transition that gives its feed up.

    The run is no longer settled: the published copies of its feed have yet to be
    removed.

    Raises:
        TransitionRefusedError: the run is not held.
    """
    return transition(
        name, record, failed_stage=record.stage, acknowledged_at=None, **changes
    )


def refuse_ended(record: RunRecord) -> None:
    """Raise `RunAlreadyFinishedError` if the run has ended."""
    if record.has_ended:
        raise RunAlreadyFinishedError(record.run_id, record.status)


def refuse_cancelled(record: RunRecord) -> None:
    """Raise `CancelRequestedError` if somebody has asked for the run's cancellation."""
    if record.cancel_requested_at is not None:
        raise CancelRequestedError(record.run_id)


def refuse_unfenced(record: RunRecord, fence: Fence) -> None:
    """Refuse a writer that no longer executes the run, or that has to end it.

    Raises:
        FenceLostError: a newer attempt executes the run, or the run has ended.
        CancelRequestedError: somebody has asked for the run's cancellation.
    """
    refuse_other_attempt(record, fence, fence.attempt)
    refuse_cancelled(record)


def refuse_other_attempt(
    record: RunRecord, fence: Fence | None, attempt: int
) -> None:
    """Raise `FenceLostError` unless the writer executes the record's attempt."""
    writer = fence.dagster_run_id if fence else None
    is_under_way = record.is_dispatched and record.attempt == attempt
    if not is_under_way or record.dagster_run_id != writer:
        raise FenceLostError(
            record.run_id,
            f"attempt {attempt} of Dagster run {writer} is over; the record is at "
            f"attempt {record.attempt}, {record.status}",
        )
