"""The one state machine of a run: the table of statuses and transitions, and the rules of each.

A rule takes a record and returns the next one, or raises why not; pure; `RunLedger` applies it.
No rule writes a status itself: `transition` takes it from the table. The rules of a feed that is
held back are ``ledger/feeds.py``. Notes of a message and of reports change no status.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import FailureCode, RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_core.domain.run_faults import next_action
from relay_dagster.runs.errors import (
    CancelRequestedError,
    ClaimRefusedError,
    DispatchRefusedError,
    FenceLostError,
    JobConflictError,
    RunAlreadyFinishedError,
    TransitionRefusedError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    Fence,
    Idempotency,
    LockState,
    NewRun,
    Outcome,
    RunRecord,
    Trigger,
)
from relay_dagster.runs.poll_schedule import Loss, PollSchedule
from relay_dagster.tenants.audit import (
    SYSTEM,
    Action,
    AuditEntry,
    Origin,
    dagster_origin,
)

Rule = Callable[[RunRecord], RunRecord]
"""Returns the next record, or raises why there is none."""
_Facts = ParamSpec("_Facts")
_Kept = TypeVar("_Kept")
_After = TypeVar("_After")
_QUEUED, _RUNNING = RunStatus.QUEUED, RunStatus.RUNNING
_UNFINISHED, _HELD = (_QUEUED, _RUNNING), RunStatus.HELD
_SUCCEEDED, _FAILED = RunStatus.SUCCEEDED, RunStatus.FAILED
_CANCELLED = RunStatus.CANCELLED
TOMBSTONE_LIFE = timedelta(days=30)
"""Longer than a message can live: the tombstone must meet every late copy of its message."""
_MAX_MESSAGE = 20_000
_ORDER = {stage: place for place, stage in enumerate(Stage)}
_BETWEEN_ATTEMPTS: dict[str, Any] = {
    "stage": Stage.QUEUE,
    "dispatched_at": None,
    "dagster_run_id": None,
    "stage_entered_at": {},
    "watched_as": None,
    "watched_at": None,
}


def rule(
    step: Callable[Concatenate[_Kept, _Facts], _After],
) -> Callable[_Facts, Callable[[_Kept], _After]]:
    """Turn a function of a stored value and of facts into one of the facts that returns a rule."""

    @wraps(step)
    def with_facts(
        *facts: _Facts.args, **named: _Facts.kwargs
    ) -> Callable[[_Kept], _After]:
        return lambda kept: step(kept, *facts, **named)

    return with_facts


# --- the table ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transition:
    """A way from a status (none: the beginning of a record) to another (None: the one it has)."""

    name: str
    sources: tuple[RunStatus, ...]
    target: RunStatus | None
    made_by: str
    meaning: str


_TABLE = (
    Transition("requested", (), _QUEUED, "submission", "a caller asks for the run"),
    Transition("adopted", (), _QUEUED, "intake", "a job came straight to the queue"),
    Transition("started_by_hand", (), _RUNNING, "run", "Dagster started it on its own"),
    Transition(
        "tombstoned", (_QUEUED,), _CANCELLED, "submission", "its message was not sent"
    ),
    Transition(
        "dispatched",
        (_QUEUED,),
        _QUEUED,
        "intake",
        "the next attempt is Dagster's to begin",
    ),
    Transition(
        "claimed", (_QUEUED,), _RUNNING, "run", "a Dagster run takes the attempt"
    ),
    Transition("entered", (_RUNNING,), _RUNNING, "run", "the next stage begins"),
    Transition(
        "pinned", (_RUNNING,), _RUNNING, "run", "config version and baseline are fixed"
    ),
    Transition("succeeded", (_RUNNING,), _SUCCEEDED, "run", "all is written"),
    Transition(
        "failed", (_RUNNING,), _FAILED, "run", "its data are at fault, or it is late"
    ),
    Transition(
        "attempt_lost",
        _UNFINISHED,
        _QUEUED,
        "run, reconciler",
        "the attempt ended undecided",
    ),
    Transition(
        "poisoned", _UNFINISHED, _FAILED, "run, reconciler", "no attempt is left"
    ),
    Transition(
        "cancel_requested",
        _UNFINISHED,
        None,
        "API",
        "it is to end, and an attempt is under way",
    ),
    Transition(
        "cancelled", _UNFINISHED, _CANCELLED, "API, run, reconciler", "it ends as asked"
    ),
    Transition(
        "held", (_RUNNING,), _HELD, "run", "guards trip: its feed waits for a person"
    ),
    Transition("released", (_HELD,), _SUCCEEDED, "API", "a person publishes its feed"),
    Transition("discarded", (_HELD,), _CANCELLED, "API", "a person discards its feed"),
    Transition("superseded", (_HELD,), _CANCELLED, "run, API", "another feed is newer"),
    Transition(
        "expired", (_HELD,), _CANCELLED, "reconciler", "nobody has decided in time"
    ),
)
TRANSITIONS = {each.name: each for each in _TABLE}


# --- how a record comes to be ---------------------------------------------------------------------


def requested(
    wanted: NewRun, now: datetime, idempotency: Idempotency | None
) -> RunRecord:
    """Return the first record of a run that is asked for; it owns the tenant's lock."""
    ids, vendors = (
        (wanted.tenant_id, wanted.run_id),
        wanted.vendors and list(wanted.vendors),
    )
    details: dict[str, Any] = {
        "config_version": wanted.config_version,
        "vendors": vendors or None,
    }
    audit = _posted(wanted.origin, *ids, wanted.trigger, now, **details)
    if wanted.in_place_of is not None:
        whose, redriven = (
            (wanted.tenant_id, wanted.in_place_of),
            Action.DEAD_LETTER_REDRIVEN,
        )
        audit = wanted.origin.entry(redriven, *whose, now, run_id=wanted.run_id)
    return RunRecord(
        run_id=wanted.run_id,
        tenant_id=wanted.tenant_id,
        requested_at=now,
        trigger=wanted.trigger,
        vendors=wanted.vendors or None,
        asked_version=wanted.config_version,
        config_version=wanted.config_version,
        request_id=wanted.request_id,
        idempotency_id=idempotency.id if idempotency else None,
        lock_state=LockState.OWNER,
        pending_audit=audit,
    )


def _posted(
    origin: Origin,
    tenant_id: str,
    run_id: str,
    trigger: Trigger,
    now: datetime,
    **details: Any,
) -> AuditEntry:
    return origin.entry(
        Action.RUN_POSTED, tenant_id, run_id, now, trigger=str(trigger), **details
    )


def adopted(
    job: Job, now: datetime, request_id: str | None, lock_state: LockState
) -> RunRecord:
    """Return the first record of a job that somebody sent straight to the queue."""
    return RunRecord(
        run_id=job.run_id,
        tenant_id=job.tenant_id,
        requested_at=now,
        trigger=Trigger.QUEUE,
        vendors=job.vendors,
        asked_version=job.config_version,
        config_version=job.config_version,
        request_id=request_id,
        lock_state=lock_state,
        pending_audit=_posted(SYSTEM, job.tenant_id, job.run_id, Trigger.QUEUE, now),
    )


def started_by_hand(
    dagster_run_id: str, tenant_id: str, now: datetime, config_version: int | None
) -> RunRecord:
    """Return the first record of a run that Dagster started: claimed, its only attempt."""
    origin = dagster_origin(dagster_run_id)
    queued = RunRecord(
        run_id=dagster_run_id,
        tenant_id=tenant_id,
        requested_at=now,
        trigger=Trigger.DAGSTER,
        config_version=config_version,
        attempt=1,
        dispatched_at=now,
        lock_state=LockState.OWNER,
        pending_audit=_posted(origin, tenant_id, dagster_run_id, Trigger.DAGSTER, now),
    )
    return claimed(1, dagster_run_id, now)(queued)


def is_job_of(record: RunRecord, job: Job) -> bool:
    """Return whether a message's body is the one that the record was made for."""
    return record.trigger is not Trigger.DAGSTER and record.job == job


def matched(record: RunRecord, job: Job) -> RunRecord:
    """Return the record, or refuse a message whose body is not the one that it was made for."""
    if not is_job_of(record, job):
        raise JobConflictError(record.run_id)
    return record


# --- the rules ----------------------------------------------------------------------------------


@rule
def tombstoned(record: RunRecord, now: datetime) -> RunRecord:
    """End a run whose message could not be sent, hidden; one that is under way stays as it is."""
    if record.has_ended or record.message_id is not None or record.attempt > 0:
        return record
    over = ended("tombstoned", record, now)
    return replace(over, hidden=True, expires_at=now + TOMBSTONE_LIFE)


@rule
def dispatched(record: RunRecord, attempt: int, now: datetime) -> RunRecord:
    """Open the next attempt, with nothing under way; a run that waits takes the lock."""
    refuse_ended(record)
    _refuse_cancelled(record)
    if record.is_dispatched or attempt != record.attempt + 1:
        raise DispatchRefusedError(
            record.run_id, f"attempt {attempt} does not follow attempt {record.attempt}"
        )
    return transition(
        "dispatched",
        record,
        attempt=attempt,
        dispatched_at=now,
        dagster_run_id=None,
        next_attempt_at=None,
        lock_state=LockState.OWNER,
    )


@rule
def claimed(
    record: RunRecord, attempt: int, dagster_run_id: str, now: datetime
) -> RunRecord:
    """Give the attempt to one Dagster run, for good; the same one may ask again."""
    if record.attempt != attempt or not record.is_dispatched:
        raise ClaimRefusedError(record.run_id, f"attempt {attempt} is over")
    if record.dagster_run_id not in (None, dagster_run_id):
        raise ClaimRefusedError(
            record.run_id,
            f"attempt {attempt} belongs to Dagster run {record.dagster_run_id}",
        )
    _refuse_cancelled(record)
    if record.dagster_run_id == dagster_run_id:
        return record
    return transition(
        "claimed",
        record,
        dagster_run_id=dagster_run_id,
        stage=Stage.FETCH_INPUTS,
        stage_entered_at={Stage.FETCH_INPUTS.value: now},
        started_at=record.started_at or now,
        error_code=None,
        error_message=None,
    )


@rule
def entered(record: RunRecord, fence: Fence, stage: Stage, now: datetime) -> RunRecord:
    """Move on to a stage; never back. The stage it is in is no change."""
    refuse_unfenced(record, fence)
    if stage is record.stage:
        return record
    if _ORDER[stage] < _ORDER[record.stage] or stage is Stage.COMPLETE:
        raise TransitionRefusedError(
            record.run_id, f"{record.stage} does not go to {stage}"
        )
    entered_at = {**record.stage_entered_at, stage.value: now}
    return transition("entered", record, stage=stage, stage_entered_at=entered_at)


@rule
def pinned(
    record: RunRecord,
    fence: Fence,
    config_version: int | None,
    baseline_run_id: str | None,
) -> RunRecord:
    """Fix config version and baseline for all attempts; a posted run has only its version yet."""
    refuse_unfenced(record, fence)
    version = record.config_version or config_version
    baseline = record.baseline_run_id or baseline_run_id
    if (version, baseline) == (record.config_version, record.baseline_run_id):
        return record
    return transition(
        "pinned", record, config_version=version, baseline_run_id=baseline
    )


@rule
def succeeded(
    record: RunRecord, fence: Fence, outcome: Outcome, now: datetime
) -> RunRecord:
    """End the run well; its reports are written."""
    refuse_unfenced(record, fence)
    complete = {**record.stage_entered_at, Stage.COMPLETE.value: now}
    done = replace(record, stage=Stage.COMPLETE, stage_entered_at=complete)
    return ended("succeeded", done, now).with_reports(outcome, now)


@rule
def failed(
    record: RunRecord,
    fence: Fence,
    failure: RunFailure,
    outcome: Outcome | None,
    now: datetime,
) -> RunRecord:
    """End the run for a fault of its data or config; without an outcome no reports are written."""
    refuse_unfenced(record, fence)
    over = _failed("failed", record, failure, now)
    return over if outcome is None else over.with_reports(outcome, now)


@rule
def attempt_lost(record: RunRecord, loss: Loss, schedule: PollSchedule) -> RunRecord:
    """End an attempt: back to the queue until ``retry_at``, or poison where it was the last."""
    _refuse_other_attempt(record, loss.fence, loss.attempt)
    _refuse_cancelled(record)
    if not schedule.has_attempts_left(record):
        spent = f"attempts used up ({record.attempt} of {schedule.attempts_of(record)})"
        why = f"{spent}; the last ended with: {loss.message}"
        return poisoned(why, loss.now, loss.error_code)(record)
    return transition(
        "attempt_lost",
        record,
        **_BETWEEN_ATTEMPTS,
        error_code=loss.error_code,
        error_message=cut(loss.message, _MAX_MESSAGE, "..."),
        next_attempt_at=loss.retry_at,
    )


@rule
def poisoned(
    record: RunRecord, message: str, now: datetime, attempt_code: str | None = None
) -> RunRecord:
    """End the run as poison, in the stage it reached; an attempt may have ended just before."""
    refuse_ended(record)
    code = attempt_code or record.error_code
    poison = RunFailure(
        FailureCode.POISON_JOB, message, record.stage, attempt_code=code
    )
    return _failed("poisoned", record, poison, now)


@rule
def cancel_requested(record: RunRecord, now: datetime) -> RunRecord:
    """Cancel at once where no attempt is under way, or discard what is held; else ask for it."""
    if record.status is _HELD:
        return given_up("discarded", record, cancel_requested_at=now)
    refuse_ended(record)
    if not record.is_dispatched:
        return cancelled(now)(replace(record, cancel_requested_at=now))
    if record.cancel_requested_at is not None:
        return record
    return transition("cancel_requested", record, cancel_requested_at=now)


@rule
def cancelled(record: RunRecord, now: datetime) -> RunRecord:
    """End the run ``CANCELLED``, in the stage it reached; whoever executes it loses its fence."""
    refuse_ended(record)
    return ended("cancelled", record, now)


def terminated_entry(over: RunRecord) -> AuditEntry | None:
    """Return the audit's entry of a cancelled run that was terminated in Dagster's UI, or None."""
    if over.cancel_requested_at is not None or over.finished_at is None:
        return None
    origin = dagster_origin(over.dagster_run_id or over.run_id)
    return origin.entry(
        Action.RUN_CANCELLED, over.tenant_id, over.run_id, over.finished_at
    )


def transition(name: str, record: RunRecord, **changes: Any) -> RunRecord:
    """Return the record after a transition of the table, which must start from its status."""
    way = TRANSITIONS[name]
    if record.status not in way.sources:
        raise TransitionRefusedError(
            record.run_id, f"{record.status} is not to be {name}"
        )
    return replace(record, status=way.target or record.status, **changes)


def ended(name: str, record: RunRecord, now: datetime) -> RunRecord:
    """Return the record after a transition to a final status; the tenant is free."""
    end = transition(
        name, record, finished_at=now, next_attempt_at=None, lock_state=LockState.NONE
    )
    return replace(
        end, failed_stage=None if end.status is RunStatus.SUCCEEDED else record.stage
    )


def given_up(name: str, record: RunRecord, **changes: Any) -> RunRecord:
    """Return a held record that ends after all; its published copies are yet to be removed."""
    return transition(
        name, record, failed_stage=record.stage, acknowledged_at=None, **changes
    )


def _failed(
    name: str, record: RunRecord, failure: RunFailure, now: datetime
) -> RunRecord:
    message, code = (
        cut(failure.error_message, _MAX_MESSAGE, "..."),
        str(failure.error_code),
    )
    failed = replace(
        record, stage=failure.stage, error_code=code, error_message=message
    )
    action, attempt_code = next_action(failure), failure.attempt_code
    return ended(
        name, replace(failed, next_action=action, attempt_code=attempt_code), now
    )


def refuse_ended(record: RunRecord) -> None:
    """Raise `RunAlreadyFinishedError` where the run has ended."""
    if record.has_ended:
        raise RunAlreadyFinishedError(record.run_id, record.status)


def _refuse_cancelled(record: RunRecord) -> None:
    if record.cancel_requested_at is not None:
        raise CancelRequestedError(record.run_id)


def refuse_unfenced(record: RunRecord, fence: Fence) -> None:
    """Raise where the writer no longer executes the run, or is to end it."""
    _refuse_other_attempt(record, fence, fence.attempt)
    _refuse_cancelled(record)


def _refuse_other_attempt(record: RunRecord, fence: Fence | None, attempt: int) -> None:
    owner = fence.dagster_run_id if fence else None
    if (
        not record.is_dispatched
        or record.attempt != attempt
        or record.dagster_run_id != owner
    ):
        raise FenceLostError(
            record.run_id,
            f"attempt {attempt} of Dagster run {owner} is over; the record is at attempt "
            f"{record.attempt}, {record.status}",
        )


@rule
def sent(record: RunRecord, message_id: str, now: datetime) -> RunRecord:
    """Note the message that stands for the run now; by then the run may even have ended."""
    if record.has_ended or record.message_id == message_id:
        return record
    return replace(
        record,
        message_id=message_id,
        sent_at=now,
        receipt_handle=None,
        received_at=None,
        hidden_until=None,
    )


@rule
def send_claimed(record: RunRecord, now: datetime, wait: timedelta) -> RunRecord:
    """Take the right to send a message that was never sent; it lapses after ``wait``."""
    refuse_ended(record)
    since = record.send_claimed_at or record.requested_at
    if record.message_id is not None or record.is_dispatched or now - since < wait:
        raise TransitionRefusedError(
            record.run_id, "its message is sent, or being sent"
        )
    return replace(record, send_claimed_at=now)


@rule
def received(
    record: RunRecord,
    message_id: str,
    receipt_handle: str,
    now: datetime,
    hidden_until: datetime,
) -> RunRecord:
    """Note a receive, so that the message can be kept invisible and deleted in the end."""
    return replace(
        record,
        message_id=message_id,
        sent_at=record.sent_at or now,
        receipt_handle=receipt_handle,
        received_at=now,
        hidden_until=hidden_until,
    )


@rule
def dead_lettered(record: RunRecord, dlq_message_id: str) -> RunRecord:
    """Note that the run's message is in the dead-letter queue."""
    return replace(record, dlq_message_id=dlq_message_id)


@rule
def dead_letter_resolved(record: RunRecord, now: datetime) -> RunRecord:
    """Note that the run's dead letter is redriven or discarded."""
    return (
        replace(record, dead_letter_resolved_at=now)
        if record.has_dead_letter
        else record
    )


@rule
def reported(record: RunRecord, outcome: Outcome, now: datetime) -> RunRecord:
    """Note that an ended run's reports are written, and which artifacts there are."""
    if not record.has_ended:
        raise TransitionRefusedError(
            record.run_id, "it has not ended, it has no reports yet"
        )
    return record.with_reports(outcome, now)


@rule
def acknowledged(record: RunRecord, now: datetime) -> RunRecord:
    """Note that an ended run's message is gone and nothing is left to do."""
    if record.acknowledged_at is not None:
        return record
    if not record.has_ended or record.needs_dlq:
        raise TransitionRefusedError(record.run_id, "it is not settled yet")
    return replace(record, acknowledged_at=now)
