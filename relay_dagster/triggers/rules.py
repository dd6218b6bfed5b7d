"""A tenant's triggers: the rules by which they want a run, from state and config.

Pure: no clock, no AWS. A due time, or uploads that have waited long enough, set
``wanted``. A run that cannot start at once is the tenant's one follow-up.
``aws/dynamodb/trigger_store.py`` stores the state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from relay_core.config.triggers import ScheduleConfig
from relay_dagster.runs.model import Trigger
from relay_dagster.triggers.plan import Plan

MAX_QUIET_TIMES = 10
"""The most quiet times by which uploads may postpone their run."""
BETWEEN_UPLOAD_RUNS = timedelta(minutes=1)
LATE_AFTER = timedelta(hours=1)
"""How long a scheduled run may take to publish its feed."""
MAX_EVENT_AGE = timedelta(days=14)
"""The longest that a queue stores an event."""
# The longer a run has waited, the longer it waits for its next check.
_MIN_INTERVAL = timedelta(seconds=5)
_MAX_INTERVAL = timedelta(seconds=30)


class TriggerQueue(StrEnum):
    """The queue of the due index in which a tenant's triggers are.

    There are two, so that triggers that fall due do not wait behind many that wait.
    """

    DUE = "trigger"  # triggers with a due time or uploads
    WANTED = "follow_up"  # triggers whose run waits for its tenant, or for a pause to end


@dataclass(frozen=True, slots=True, order=True)
class UploadEvent:
    """An upload, as its event describes it."""

    at: datetime  # when it was made, aware
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """The state of a tenant's triggers. Instants are aware, UTC."""

    tenant_id: str
    # The schedule that `next_run_at` was computed with
    cron: str | None = None
    timezone: str | None = None
    # The due time that no run has taken yet.
    next_run_at: datetime | None = None
    # The names of the inputs with uploads since the last run for an upload
    uploads: frozenset[str] = frozenset()
    first_upload_at: datetime | None = None
    last_upload_at: datetime | None = None
    # The newest upload of each of these inputs
    newest: Mapping[str, UploadEvent] = field(default_factory=dict)
    # When the last run for an upload was made.
    upload_run_at: datetime | None = None
    # The run whose time has come: one run, however often its time has come
    wanted: Trigger | None = None
    wanted_since: datetime | None = None
    due_at: datetime | None = None  # the time of the next check; None for never
    revision: int = 0

    @property
    def queue(self) -> TriggerQueue:
        """The queue in which the triggers are once they are due."""
        return TriggerQueue.DUE if self.wanted is None else TriggerQueue.WANTED


@dataclass(frozen=True, slots=True)
class TriggerUpdate:
    """A run's change of its tenant's triggers, in the transaction of its record."""

    before: TriggerState
    after: TriggerState


def late_at(state: TriggerState, published_at: datetime) -> datetime | None:
    """Return when a feed is late: an hour after the next due time; None for never."""
    if state.cron is None or state.timezone is None:
        return None
    # The expression was checked before it was stored.
    schedule = ScheduleConfig.model_construct(cron=state.cron)
    next_due_at = schedule.next_after(published_at, ZoneInfo(state.timezone))
    return next_due_at + LATE_AFTER


def noted(
    state: TriggerState,
    uploads: Iterable[tuple[str, UploadEvent]],
    plan: Plan,
    now: datetime,
) -> TriggerState:
    """Return the state with uploads, by input and in any order.

    They never postpone the next check.
    """
    newest = dict(state.newest)
    upload_times = [
        upload_time
        for upload_time in (state.first_upload_at, state.last_upload_at)
        if upload_time is not None
    ]
    for input_name, event in uploads:
        # A clock that is far off must not hold up a run, or start it at once.
        upload_times.append(min(max(event.at, now - MAX_EVENT_AGE), now))
        newest[input_name] = max(event, newest.get(input_name, event))
    after = replace(
        state,
        uploads=state.uploads | newest.keys(),
        newest=newest,
        first_upload_at=min(upload_times),
        last_upload_at=max(upload_times),
    )
    after = resting(after, plan, now)
    return replace(after, due_at=_earliest(state.due_at, after.due_at))


def caught_up(state: TriggerState, plan: Plan, now: datetime) -> TriggerState:
    """Return the state after all due times and quiet times up to now.

    A tenant without vendors wants no run.
    """
    state = _with_schedule(state, plan, now)
    if plan.has_no_vendors:
        return replace(dropped(state), wanted=None, wanted_since=None)
    if plan.on_upload is None:
        return dropped(state)
    if state.wanted is None and _has_come(_uploads_due_at(state, plan), now):
        return _wanting(state, Trigger.UPLOAD, now)
    return state


def started(state: TriggerState, now: datetime) -> TriggerState:
    """Return the state once its run is created; a scheduled run leaves the uploads."""
    if state.wanted is Trigger.UPLOAD:
        state = replace(dropped(state), upload_run_at=now)
    return replace(state, wanted=None, wanted_since=None)


def dropped(state: TriggerState) -> TriggerState:
    """Return the state without its uploads, and without the run that they want."""
    without_uploads = replace(
        state,
        uploads=frozenset(),
        first_upload_at=None,
        last_upload_at=None,
        newest={},
    )
    if state.wanted is Trigger.UPLOAD:
        return replace(without_uploads, wanted=None, wanted_since=None)
    return without_uploads


def resting(state: TriggerState, plan: Plan, now: datetime) -> TriggerState:
    """Return the state with the time of its next check."""
    if state.wanted is not None:
        waited = now - (state.wanted_since or now)
        interval = min(max(waited / 4, _MIN_INTERVAL), _MAX_INTERVAL)
        return replace(state, due_at=now + interval)
    due_at = _earliest(state.next_run_at, _uploads_due_at(state, plan))
    return replace(state, due_at=due_at)


def _with_schedule(
    state: TriggerState, plan: Plan, now: datetime
) -> TriggerState:
    """Return the state with all due times that have come as one wanted run.

    A new schedule begins when it was stored. An earlier due time of the old schedule
    still counts.
    """
    config = plan.config
    cron, timezone = plan.schedule
    is_same = (state.cron, state.timezone) == (cron, timezone)
    old_schedule_ends_at = now if is_same else min(now, plan.stored_at)
    is_due = _has_come(state.next_run_at, old_schedule_ends_at)
    next_run_at = state.next_run_at
    if config is None or cron is None:
        next_run_at = None
    elif not is_same or next_run_at is None:
        next_run_at = config.next_run_after(plan.stored_at)
    if config is not None and _has_come(next_run_at, now):
        is_due = True
        next_run_at = config.next_run_after(now)
    state = replace(
        state, cron=cron, timezone=timezone, next_run_at=next_run_at
    )
    return _wanting(state, Trigger.SCHEDULE, now) if is_due else state


def _wanting(
    state: TriggerState, trigger: Trigger, now: datetime
) -> TriggerState:
    return replace(
        state, wanted=trigger, wanted_since=state.wanted_since or now
    )


def _uploads_due_at(state: TriggerState, plan: Plan) -> datetime | None:
    """Return when uploads have been quiet, or have postponed their run, long enough.

    That is at least a minute after the last run that uploads started.
    """
    first_upload_at = state.first_upload_at
    last_upload_at = state.last_upload_at
    if (
        first_upload_at is None
        or last_upload_at is None
        or plan.on_upload is None
    ):
        return None
    quiet = timedelta(seconds=plan.on_upload.quiet_seconds)
    latest_at = first_upload_at + MAX_QUIET_TIMES * quiet
    due_at = min(last_upload_at + quiet, latest_at)
    if state.upload_run_at is not None:
        due_at = max(due_at, state.upload_run_at + BETWEEN_UPLOAD_RUNS)
    return due_at


def _has_come(instant: datetime | None, now: datetime) -> bool:
    return instant is not None and instant <= now


def _earliest(*instants: datetime | None) -> datetime | None:
    present = [instant for instant in instants if instant is not None]
    return min(present, default=None)
