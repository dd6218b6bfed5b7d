"""The duties of housekeeping: one table of the work that is about no single run.

Duties ask Dagster for no run. Each has its interval, its deadline and its own place in the sensor's
cursor. A duty that fails is reported by its name, keeps its place, and holds up no other.
"""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import dagster as dg

from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.doctor import report_broken
from relay_dagster.maintenance.housekeeping import (
    Memory,
    PartitionSync,
    Round,
    check_queue,
    count_holds,
    delete_old_runs,
    expire_configs,
    expire_runs,
    report_feed_ages,
    scheduled_feeds,
    sync_partitions,
)
from relay_dagster.maintenance.messages import DeadLetterCount, QueueWatch, send_lost_again, sweep
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import DagsterPartitions
from relay_dagster.orchestration.feed_events import judge_freshness, report_publications
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

ALL_SECONDS = 45.0
"""The time of all duties of a tick; Dagster gives a tick 60 seconds."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a duty works with: the platform, Dagster's instance, the time, and until when."""

    platform: Platform
    open_instance: Callable[[], dg.DagsterInstance]
    now: datetime
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Duty:
    """A row of the table."""

    name: str  # its place in the cursor and in the log
    interval: float  # seconds from one time to the next; 0 for each tick
    seconds: float  # how long it may take
    act: Callable[[Occasion, Any], str]  # does it, and returns a sentence about it
    memory: type[Memory] = Memory  # what it remembers from one time to the next


def _tenant_partitions(on: Occasion, memory: PartitionSync) -> str:
    partitions = DagsterPartitions(on.open_instance)
    return f"partitions added: {len(sync_partitions(on.platform, partitions, memory, on.now))}"


def _tenant_deletions(on: Occasion, _: Memory) -> str:
    if on.platform.settings.deletions_apart:
        return "left to relay deletions"
    return DeletionTick(on.platform, DagsterHistory(on.open_instance)).run(on.deadline)


def _lost_messages(on: Occasion, memory: QueueWatch) -> str:
    return f"messages sent again: {send_lost_again(on.platform, memory, on.now)}"


def _dead_letters(on: Occasion, memory: DeadLetterCount) -> str:
    return sweep(on.platform, memory, on.now, on.deadline)


def _queue_settings(on: Occasion, _: Memory) -> str:
    return f"queue_misconfigured: {'; '.join(check_queue(on.platform)) or 'no'}"


def _held_runs(on: Occasion, _: Memory) -> str:
    return f"runs held: {count_holds(on.platform, on.now)}"


def _feed_ages(on: Occasion, _: Memory) -> str:
    feeds = scheduled_feeds(on.platform)
    report_feed_ages(on.platform, feeds, on.now)
    changed = judge_freshness(feeds, on.open_instance, on.now, on.deadline)
    return f"feeds told of: {len(feeds)}, verdicts changed: {changed}"


def _publications(on: Occasion, _: Memory) -> str:
    count = report_publications(on.platform, on.open_instance, on.now, on.deadline)
    return f"publications reported: {count}"


def _dagster_history(on: Occasion, _: Memory) -> str:
    history = DagsterHistory(on.open_instance)
    return f"old runs deleted: {delete_old_runs(on.platform, history, on.now, on.deadline)}"


def _invariants(on: Occasion, _: Memory) -> str:
    return f"invariants broken: {report_broken(on.platform, on.now, on.deadline)}"


def _run_records(on: Occasion, memory: Round) -> str:
    return f"records expired: {expire_runs(on.platform, memory, on.now, on.deadline)}"


def _config_versions(on: Occasion, memory: Round) -> str:
    return f"configs expired: {expire_configs(on.platform, memory, on.now, on.deadline)}"


DUTIES = (
    Duty("tenant_partitions", 0, 10, _tenant_partitions, PartitionSync),
    Duty("tenant_deletions", 0, 20, _tenant_deletions),
    Duty("lost_messages", 0, 10, _lost_messages, QueueWatch),
    Duty("dead_letters", 60, 30, _dead_letters, DeadLetterCount),
    Duty("queue_settings", 60, 10, _queue_settings),
    Duty("held_runs", 60, 10, _held_runs),
    Duty("publications", 15, 15, _publications),
    Duty("feed_ages", 300, 20, _feed_ages),
    Duty("dagster_history", 60, 20, _dagster_history),
    Duty("invariants", 3600, 45, _invariants),
    Duty("run_records", 60, 10, _run_records, Round),
    Duty("config_versions", 60, 10, _config_versions, Round),
)


@dataclass
class _Place:
    """A duty's place in the cursor: when it is due, in seconds since 1970, and what it knows."""

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

    Returns:
        A line for each, and the next cursor.
    """
    places = _read(cursor, duties)
    deadline, now = Deadline.after(ALL_SECONDS), clock()
    due = [each for each in duties if places[each.name].due_at <= now.timestamp()]
    due.sort(key=lambda duty: places[duty.name].due_at)
    lines = []

    def act(duty: Duty) -> None:
        place = places[duty.name]
        place.due_at = now.timestamp() + duty.interval
        own, memory = Deadline.after(duty.seconds, deadline.monotonic), deepcopy(place.memory)
        occasion = Occasion(platform, open_instance, clock(), min(own, deadline, key=_instant))
        lines.append(f"{duty.name}: {duty.act(occasion, memory)}")
        place.memory = memory

    def report(duty: Duty, error: Exception) -> None:
        report_fault(platform.metrics, "duty_error", error, duty=duty.name)
        lines.append(f"{duty.name} FAILED: {error}")

    drain(due, act, report, deadline=deadline)
    return "\n".join(lines) or "nothing is due", _written(places)


def _instant(deadline: Deadline) -> float:
    return deadline.at


def _read(cursor: str | None, duties: Sequence[Duty]) -> dict[str, _Place]:
    """Return the places of a cursor; a duty that it does not name, or badly, is due now."""
    try:
        stored = dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        stored = {}
    places = {}
    for duty in duties:
        given = stored.get(duty.name)
        place = given if isinstance(given, dict) else {}
        due_at = place.get("due_at")
        places[duty.name] = _Place(
            due_at if isinstance(due_at, int | float) else 0.0,
            duty.memory.read(place.get("memory")),
        )
    return places


def _written(places: dict[str, _Place]) -> str:
    stored = {
        name: {"due_at": place.due_at, "memory": place.memory.values()}
        for name, place in places.items()
    }
    return json.dumps(stored, separators=(",", ":"))
