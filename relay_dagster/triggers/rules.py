"""A tenant's triggers, and when they want a run: state and config in, the next state out.

Pure: no clock, no AWS. A due time, or uploads that have waited long enough, set ``wanted``. If the
run cannot start at once, it is the tenant's one follow-up. ``aws/dynamodb/trigger_store.py`` keeps
the state.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from relay_core.config import TenantConfig
from relay_core.config.triggers import OnUploadConfig, ScheduleConfig
from relay_dagster.runs.model import Trigger

MAX_QUIET_TIMES = 10
"""Uploads may put their run off by at most so many quiet times."""
BETWEEN_UPLOAD_RUNS = timedelta(minutes=1)
LATE_AFTER = timedelta(hours=1)
"""A scheduled run may take so long to publish its feed."""
MAX_EVENT_AGE = timedelta(days=14)
"""The longest that a queue keeps an event."""
# The longer a run has waited, the longer until its next check.
_MIN_INTERVAL, _MAX_INTERVAL = timedelta(seconds=5), timedelta(seconds=30)


class TriggerQueue(StrEnum):
    """Which queue of the due index a tenant's triggers stand in.

    ``DUE`` is of those with a due time or uploads, ``WANTED`` of those whose run waits for its
    tenant or for the end of a pause: however many wait, what falls due does not wait behind them.
    """

    DUE = "trigger"
    WANTED = "follow_up"


@dataclass(frozen=True, slots=True, order=True)
class UploadEvent:
    """An upload as its event tells of it: when it was made, aware, and its key."""

    at: datetime
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerState:
    """The state of a tenant's triggers. Instants are aware, UTC.

    ``cron`` and ``timezone`` are those that ``next_run_at`` was reckoned with, the due time that
    nobody has taken. ``uploads`` are the vendors that have uploaded something since the last run
    for an upload, which was made at ``upload_run_at``; their first and last events stand beside,
    and each vendor's ``newest``.
    ``wanted`` is the run whose time has come, ``wanted_since`` when it had: one where many times
    have come. ``due_at`` is when to check again, None for never.
    """

    tenant_id: str
    cron: str | None = None
    timezone: str | None = None
    next_run_at: datetime | None = None
    uploads: frozenset[str] = frozenset()
    first_upload_at: datetime | None = None
    last_upload_at: datetime | None = None
    newest: Mapping[str, UploadEvent] = field(default_factory=dict)
    upload_run_at: datetime | None = None
    wanted: Trigger | None = None
    wanted_since: datetime | None = None
    due_at: datetime | None = None
    revision: int = 0

    @property
    def queue(self) -> TriggerQueue:
        """Where to be found once it is due."""
        return TriggerQueue.DUE if self.wanted is None else TriggerQueue.WANTED


@dataclass(frozen=True, slots=True)
class TriggerUpdate:
    """What a run takes from its tenant's triggers in the transaction that makes its record."""

    before: TriggerState
    after: TriggerState


@dataclass(frozen=True, slots=True)
class Plan:
    """The triggers of a tenant's config (None: none to be read), and when that was stored."""

    config: TenantConfig | None
    stored_at: datetime

    @property
    def on_upload(self) -> OnUploadConfig | None:
        """The settings of runs that uploads start; None where uploads start none."""
        return None if self.config is None else self.config.triggers.on_upload

    @property
    def schedule(self) -> tuple[str | None, str | None]:
        """The cron and the time zone; None where there is none."""
        if self.config is None:
            return None, None
        schedule = self.config.triggers.schedule
        return None if schedule is None else schedule.cron, self.config.timezone

    @property
    def prefixes(self) -> Mapping[str, str]:
        """The prefix of each vendor that uploads."""
        vendors = () if self.config is None else self.config.vendors
        return {
            v.vendor_id: v.inbound.s3_prefix for v in vendors if v.inbound.s3_prefix
        }

    def vendors_of(self, key: str) -> set[str]:
        """Return the vendors under whose prefix a key lies, if uploads start runs."""
        if self.on_upload is None:
            return set()
        return {
            vendor for vendor, prefix in self.prefixes.items() if key.startswith(prefix)
        }


def late_at(state: TriggerState, published_at: datetime) -> datetime | None:
    """Return when a feed is late: an hour after the next due time, if there is a schedule."""
    if state.cron is None or state.timezone is None:
        return None
    schedule = ScheduleConfig.model_construct(
        cron=state.cron
    )  # checked before it was stored
    upcoming = schedule.next_after(published_at, ZoneInfo(state.timezone))
    return upcoming + LATE_AFTER


def noted(
    state: TriggerState,
    uploads: Iterable[tuple[str, UploadEvent]],
    plan: Plan,
    now: datetime,
) -> TriggerState:
    """Return the state with uploads by vendors, in any order; they put nothing else off."""
    new, newest = [], dict(state.newest)
    for vendor_id, event in uploads:
        new.append(min(max(event.at, now - MAX_EVENT_AGE), now))
        newest[vendor_id] = max(event, newest.get(vendor_id, event))
    known = [
        each
        for each in (state.first_upload_at, state.last_upload_at)
        if each is not None
    ]
    after = resting(
        replace(
            state,
            uploads=state.uploads | newest.keys(),
            newest=newest,
            first_upload_at=min(new + known),
            last_upload_at=max(new + known),
        ),
        plan,
        now,
    )
    return replace(after, due_at=_earliest(state.due_at, after.due_at))


def caught_up(state: TriggerState, plan: Plan, now: datetime) -> TriggerState:
    """Return the state after all due times and quiet times up to now."""
    state = _with_schedule(state, plan, now)
    if plan.on_upload is None:
        return dropped(state)
    is_due = state.wanted is None and _has_come(_uploads_due_at(state, plan), now)
    return _wanting(state, Trigger.UPLOAD, now) if is_due else state


def started(state: TriggerState, now: datetime) -> TriggerState:
    """Return the state once its run is created; a scheduled run consumes uploads at its end."""
    if state.wanted is Trigger.UPLOAD:
        state = replace(dropped(state), upload_run_at=now)
    return replace(state, wanted=None, wanted_since=None)


def dropped(state: TriggerState) -> TriggerState:
    """Return the state without its uploads, and without the run that they want."""
    wants = state.wanted is Trigger.UPLOAD
    return replace(
        state,
        uploads=frozenset(),
        first_upload_at=None,
        last_upload_at=None,
        newest={},
        wanted=None if wants else state.wanted,
        wanted_since=None if wants else state.wanted_since,
    )


def resting(state: TriggerState, plan: Plan, now: datetime) -> TriggerState:
    """Return the state with the instant of its next check."""
    if state.wanted is not None:
        waited = now - (state.wanted_since or now)
        return replace(
            state, due_at=now + min(max(waited / 4, _MIN_INTERVAL), _MAX_INTERVAL)
        )
    return replace(
        state, due_at=_earliest(state.next_run_at, _uploads_due_at(state, plan))
    )


def _with_schedule(state: TriggerState, plan: Plan, now: datetime) -> TriggerState:
    """Return the state with all due times that have come as one wanted run.

    A new schedule begins when it was stored. An earlier due time of the old schedule still counts.
    """
    config = plan.config
    cron, zone = plan.schedule
    is_same = (state.cron, state.timezone) == (cron, zone)
    is_due = _has_come(state.next_run_at, now if is_same else min(now, plan.stored_at))
    upcoming = state.next_run_at
    if config is None or cron is None:
        upcoming = None
    elif not is_same or upcoming is None:
        upcoming = config.next_run_after(plan.stored_at)
    if config is not None and _has_come(upcoming, now):
        is_due, upcoming = True, config.next_run_after(now)
    state = replace(state, cron=cron, timezone=zone, next_run_at=upcoming)
    return _wanting(state, Trigger.SCHEDULE, now) if is_due else state


def _wanting(state: TriggerState, trigger: Trigger, now: datetime) -> TriggerState:
    return replace(state, wanted=trigger, wanted_since=state.wanted_since or now)


def _uploads_due_at(state: TriggerState, plan: Plan) -> datetime | None:
    """Return when uploads have been quiet long enough, or have put their run off for too long.

    That is at least a minute after the last run that uploads started.
    """
    first, last, settings = state.first_upload_at, state.last_upload_at, plan.on_upload
    if first is None or last is None or settings is None:
        return None
    quiet = timedelta(seconds=settings.quiet_seconds)
    due_at = min(last + quiet, first + MAX_QUIET_TIMES * quiet)
    if state.upload_run_at is not None:
        due_at = max(due_at, state.upload_run_at + BETWEEN_UPLOAD_RUNS)
    return due_at


def _has_come(instant: datetime | None, now: datetime) -> bool:
    return instant is not None and instant <= now


def _earliest(*instants: datetime | None) -> datetime | None:
    return min((each for each in instants if each is not None), default=None)
