"""The duties of housekeeping: one table of the work that belongs to no single run.

Duties ask Dagster for no run. Each has an interval, a time limit, and a state in the sensor's
cursor. A duty that fails is reported by its name, keeps its state, and delays no other duty.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.maintenance import expiry, housekeeping, messages
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.doctor import ExaminationMemory, report_broken
from relay_dagster.maintenance.housekeeping import Memory
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import (
    DagsterOccasion,
    DagsterPartitions,
)
from relay_dagster.orchestration.feed_events import (
    judge_freshness,
    report_publications,
)
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

TICK_SECONDS = 45.0
"""The time of all duties of a tick; Dagster gives a tick 60 seconds."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A row of the table."""

    name: str  # in the cursor and in the log
    interval: float  # seconds from one time to the next; 0 for each tick
    seconds: float  # its time limit
    # Does the duty; the result goes into the sentence
    act: Callable[[DagsterOccasion, Any], object]
    # The values that are kept until the next time.
    memory: type[Memory] = Memory
    sentence: str = "{}"  # for the tick's line


def _tenant_partitions(
    occasion: DagsterOccasion,
    memory: housekeeping.PartitionSync,
) -> int:
    partitions = DagsterPartitions(occasion.open_instance)
    added = housekeeping.sync_partitions(
        occasion.platform,
        partitions,
        memory,
        occasion.now,
    )
    return len(added)


def _tenant_deletions(occasion: DagsterOccasion, _: Memory) -> str:
    if occasion.platform.settings.deletions_apart:
        return "left to relay server deletions"
    history = DagsterHistory(occasion.open_instance)
    return DeletionTick(occasion.platform, history).run(occasion.deadline)


def _queue_settings(occasion: DagsterOccasion, _: Memory) -> str:
    differences = housekeeping.check_queue(occasion.platform)
    return "; ".join(differences) or "no"


def _feed_ages(occasion: DagsterOccasion, _: Memory) -> str:
    feeds = housekeeping.scheduled_feeds(occasion.platform)
    housekeeping.report_feed_ages(occasion, feeds)
    changed = judge_freshness(occasion, feeds)
    return f"{len(feeds)}, verdicts changed: {changed}"


def _dagster_history(occasion: DagsterOccasion, _: Memory) -> int:
    history = DagsterHistory(occasion.open_instance)
    return expiry.delete_old_runs(occasion, history)


DUTIES = (
    Duty(
        name="tenant_partitions",
        interval=0,
        seconds=10,
        act=_tenant_partitions,
        memory=housekeeping.PartitionSync,
        sentence="partitions added: {}",
    ),
    Duty(
        name="tenant_deletions",
        interval=0,
        seconds=20,
        act=_tenant_deletions,
    ),
    Duty(
        name="lost_messages",
        interval=0,
        seconds=10,
        act=messages.send_lost_again,
        memory=messages.QueueWatch,
        sentence="messages sent again: {}",
    ),
    Duty(
        name="dead_letters",
        interval=60,
        seconds=30,
        act=messages.sweep,
        memory=messages.DeadLetterCount,
    ),
    Duty(
        name="queue_settings",
        interval=60,
        seconds=10,
        act=_queue_settings,
        sentence="queue_misconfigured: {}",
    ),
    Duty(
        name="held_runs",
        interval=60,
        seconds=10,
        act=housekeeping.count_holds,
        sentence="runs held: {}",
    ),
    Duty(
        name="publications",
        interval=15,
        seconds=15,
        act=report_publications,
        sentence="publications reported: {}",
    ),
    Duty(
        name="feed_ages",
        interval=300,
        seconds=20,
        act=_feed_ages,
        sentence="feeds reported: {}",
    ),
    Duty(
        name="dagster_history",
        interval=60,
        seconds=20,
        act=_dagster_history,
        sentence="old runs deleted: {}",
    ),
    Duty(
        name="invariants",
        interval=3600,
        seconds=45,
        act=report_broken,
        memory=ExaminationMemory,
        sentence="invariants broken: {}",
    ),
    Duty(
        name="run_records",
        interval=60,
        seconds=10,
        act=expiry.expire_runs,
        memory=expiry.Round,
        sentence="records expired: {}",
    ),
    Duty(
        name="config_versions",
        interval=60,
        seconds=10,
        act=expiry.expire_configs,
        memory=expiry.Round,
        sentence="configs expired: {}",
    ),
)


@dataclass
class _DutyState:
    """A duty's state in the cursor: when it is due, in seconds since 1970, and its memory."""

    due_at: float
    memory: Memory


def keep_house(
    platform: Platform,
    open_instance: Callable[[], dg.DagsterInstance],
    cursor: str | None,
    *,
    clock: Callable[[], datetime] = utc_now,
    duties: Sequence[Duty] = DUTIES,
) -> tuple[str, str]:
    """Do the duties that are due, the longest due first.

    Args:
        platform: The platform.
        open_instance: Opens Dagster's instance, for the duties that need it.
        cursor: The cursor that the last tick left.
        clock: Returns the time, aware.
        duties: The table of duties.

    Returns:
        A line per duty that was due, and the cursor for the next tick.
    """
    states = _read_cursor(cursor, duties)
    deadline = Deadline.after(TICK_SECONDS)
    now = clock()
    due = [
        duty for duty in duties if states[duty.name].due_at <= now.timestamp()
    ]
    due.sort(key=lambda duty: states[duty.name].due_at)
    lines = []

    def act(duty: Duty) -> None:
        state = states[duty.name]
        state.due_at = now.timestamp() + duty.interval
        # A duty that fails halfway keeps the memory that it had before.
        memory = deepcopy(state.memory)
        until = _deadline_of(duty, deadline)
        occasion = DagsterOccasion(platform, clock(), until, open_instance)
        summary = duty.sentence.format(duty.act(occasion, memory))
        lines.append(f"{duty.name}: {summary}")
        state.memory = memory

    def report(duty: Duty, error: Exception) -> None:
        report_fault(platform.metrics, "duty_error", error, duty=duty.name)
        lines.append(f"{duty.name} FAILED: {error}")

    drain(due, act, report, deadline=deadline)
    summary = "\n".join(lines) or "nothing is due"
    return summary, _write_cursor(states)


def _deadline_of(duty: Duty, tick_deadline: Deadline) -> Deadline:
    """Return the end of a duty's own time, or that of the tick if it comes first."""
    deadline = Deadline.after(duty.seconds, tick_deadline.monotonic)
    return deadline if deadline.at < tick_deadline.at else tick_deadline


def _write_cursor(states: Mapping[str, _DutyState]) -> str:
    document = {
        name: {"due_at": state.due_at, "memory": state.memory.values()}
        for name, state in states.items()
    }
    return json.dumps(document, separators=(",", ":"))


def _read_cursor(
    cursor: str | None,
    duties: Sequence[Duty],
) -> dict[str, _DutyState]:
    """Return the state of each duty; a duty that the cursor does not have is due now."""
    try:
        document = dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        document = {}
    states = {}
    for duty in duties:
        stored = document.get(duty.name)
        if not isinstance(stored, dict):
            stored = {}
        due_at = stored.get("due_at")
        if not isinstance(due_at, int | float):
            due_at = 0.0
        states[duty.name] = _DutyState(
            due_at,
            duty.memory.read(stored.get("memory")),
        )
    return states
