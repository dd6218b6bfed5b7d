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
from relay_dagster.maintenance.expiry import (
    Round,
    delete_old_runs,
    expire_configs,
    expire_runs,
)
from relay_dagster.maintenance.housekeeping import (
    Memory,
    PartitionSync,
    check_queue,
    count_holds,
    report_feed_ages,
    scheduled_feeds,
    sync_partitions,
)
from relay_dagster.maintenance.messages import (
    DeadLetterCount,
    QueueWatch,
    send_lost_again,
    sweep,
)
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import (
    DagsterOccasion,
    DagsterPartitions,
)
from relay_dagster.orchestration.feed_events import judge_freshness, report_publications
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

ALL_SECONDS = 45.0
"""The time of all duties of a tick; Dagster gives a tick 60 seconds."""


@dataclass(frozen=True, slots=True)
class Duty:
    """A row of the table."""

    name: str  # its place in the cursor and in the log
    interval: float  # seconds from one time to the next; 0 for each tick
    seconds: float  # how long it may take
    act: Callable[
        [DagsterOccasion, Any], object
    ]  # does the duty; the sentence has its result
    memory: type[Memory] = Memory  # its values that are kept until the next time
    sentence: str = "{}"  # for the tick's line


def _tenant_partitions(on: DagsterOccasion, memory: PartitionSync) -> int:
    partitions = DagsterPartitions(on.open_instance)
    return len(sync_partitions(on.platform, partitions, memory, on.now))


def _tenant_deletions(on: DagsterOccasion, _: Memory) -> str:
    if on.platform.settings.deletions_apart:
        return "left to relay deletions"
    return DeletionTick(on.platform, DagsterHistory(on.open_instance)).run(on.deadline)


def _queue_settings(on: DagsterOccasion, _: Memory) -> str:
    return "; ".join(check_queue(on.platform)) or "no"


def _feed_ages(on: DagsterOccasion, _: Memory) -> str:
    feeds = scheduled_feeds(on.platform)
    report_feed_ages(on, feeds)
    return f"{len(feeds)}, verdicts changed: {judge_freshness(on, feeds)}"


def _dagster_history(on: DagsterOccasion, _: Memory) -> int:
    return delete_old_runs(on, DagsterHistory(on.open_instance))


DUTIES = (
    Duty(
        "tenant_partitions",
        0,
        10,
        _tenant_partitions,
        PartitionSync,
        "partitions added: {}",
    ),
    Duty("tenant_deletions", 0, 20, _tenant_deletions),
    Duty(
        "lost_messages", 0, 10, send_lost_again, QueueWatch, "messages sent again: {}"
    ),
    Duty("dead_letters", 60, 30, sweep, DeadLetterCount),
    Duty("queue_settings", 60, 10, _queue_settings, sentence="queue_misconfigured: {}"),
    Duty("held_runs", 60, 10, count_holds, sentence="runs held: {}"),
    Duty(
        "publications",
        15,
        15,
        report_publications,
        sentence="publications reported: {}",
    ),
    Duty("feed_ages", 300, 20, _feed_ages, sentence="feeds reported: {}"),
    Duty("dagster_history", 60, 20, _dagster_history, sentence="old runs deleted: {}"),
    Duty("invariants", 3600, 45, report_broken, sentence="invariants broken: {}"),
    Duty("run_records", 60, 10, expire_runs, Round, "records expired: {}"),
    Duty("config_versions", 60, 10, expire_configs, Round, "configs expired: {}"),
)


@dataclass
class _Place:
    """A duty's place in the cursor: when it is due, in seconds since 1970, and its memory."""

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
    """Do the duties that are due, the longest due first; return a line for each and the cursor."""
    places = _read(cursor, duties)
    deadline, now = Deadline.after(ALL_SECONDS), clock()
    due = [each for each in duties if places[each.name].due_at <= now.timestamp()]
    due.sort(key=lambda duty: places[duty.name].due_at)
    lines = []

    def act(duty: Duty) -> None:
        place = places[duty.name]
        place.due_at = now.timestamp() + duty.interval
        own, memory = (
            Deadline.after(duty.seconds, deadline.monotonic),
            deepcopy(place.memory),
        )
        until = min(own, deadline, key=lambda each: each.at)
        occasion = DagsterOccasion(platform, clock(), until, open_instance)
        summary = duty.sentence.format(duty.act(occasion, memory))
        lines.append(f"{duty.name}: {summary}")
        place.memory = memory

    def report(duty: Duty, error: Exception) -> None:
        report_fault(platform.metrics, "duty_error", error, duty=duty.name)
        lines.append(f"{duty.name} FAILED: {error}")

    drain(due, act, report, deadline=deadline)
    stored = {
        name: {"due_at": place.due_at, "memory": place.memory.values()}
        for name, place in places.items()
    }
    summary = "\n".join(lines) or "nothing is due"
    return summary, json.dumps(stored, separators=(",", ":"))


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
        due_at = (
            place["due_at"] if isinstance(place.get("due_at"), int | float) else 0.0
        )
        places[duty.name] = _Place(due_at, duty.memory.read(place.get("memory")))
    return places
