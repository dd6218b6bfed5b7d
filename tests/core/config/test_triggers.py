"""Crons: which are read, and when they are due, on the days too on which clocks are changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from relay_core.config.triggers import ScheduleConfig
from support.builders import tenant_config
from support.config_documents import changed, faults_of

# The nights on which each zone's clock goes forward, and back; Lord Howe's by half an hour.
NIGHTS = {
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/Chicago": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),
}
CRONS = (
    "*/30 1 * * *",
    "0 */2 * * *",
    "15 * * * *",
    "30 2 * * *",
    "*/10 1-3 * * *",
    "5 0,2,3 * * *",
)


def due(cron: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Return the due times after one instant and up to another, by the clock of the zone."""
    schedule = ScheduleConfig(cron=cron)
    instant = begin
    instants = []
    while (instant := schedule.next_after(instant, ZoneInfo(zone))) <= end:
        instants.append(instant)
    return instants


def clock(instants: list[datetime], zone: str) -> list[str]:
    return [
        f"{instant.astimezone(ZoneInfo(zone)):%d %H:%M %z}"
        for instant in instants
    ]


def night(zone: str, day: date) -> tuple[datetime, datetime]:
    midnight = datetime.combine(day, time(), ZoneInfo(zone))
    begin = midnight.astimezone(UTC) - timedelta(minutes=1)
    return begin, begin + timedelta(hours=30)


def minutes(begin: datetime, end: datetime) -> Iterator[datetime]:
    instant = begin + timedelta(minutes=1)
    while instant <= end:
        yield instant
        instant += timedelta(minutes=1)


def by_hand(
    cron: str, zone: str, begin: datetime, end: datetime
) -> list[datetime]:
    """Return the same minute by minute, with no knowledge of how clocks are changed."""
    here = ZoneInfo(zone)
    shown_before = set()
    instants = []
    schedule = CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC))
    before = begin.astimezone(here).replace(tzinfo=None)
    for instant in minutes(begin, end):
        wall = instant.astimezone(here).replace(tzinfo=None)
        forward = (wall - before) // timedelta(minutes=1)
        passed = [
            before + timedelta(minutes=n) for n in range(1, forward + 1)
        ] or [wall]
        matches = [
            minute
            for minute in passed
            if minute.minute in schedule.minutes
            and minute.hour in schedule.hours
        ]
        if cron.split()[1].startswith("*"):
            is_due = wall in matches
        else:
            is_due = any(match not in shown_before for match in matches)
            shown_before.update(passed)
        if is_due:
            instants.append(instant)
        before = wall
    return instants


@pytest.mark.parametrize("cron", CRONS)
@pytest.mark.parametrize("forward", [True, False], ids=["forward", "back"])
@pytest.mark.parametrize("zone", NIGHTS)
def test_due_times_are_those_that_a_minute_by_minute_look_finds(
    zone: str, forward: bool, cron: str
) -> None:
    begin, end = night(zone, NIGHTS[zone][not forward])
    instants = due(cron, zone, begin, end)
    assert instants == by_hand(cron, zone, begin, end)
    assert instants
    assert all(later > earlier for earlier, later in pairwise(instants))


@pytest.mark.parametrize(
    ("cron", "zone", "day", "expected"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            date(2026, 3, 29),
            ["29 03:00 +0200", "30 02:30 +0200"],
        ),
        (
            "30 2 * * *",
            "Europe/Berlin",
            date(2026, 10, 25),
            ["25 02:30 +0200", "26 02:30 +0100"],
        ),
        (
            "30 1 * * *",
            "America/Chicago",
            date(2026, 11, 1),
            ["01 01:30 -0500", "02 01:30 -0600"],
        ),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            date(2026, 10, 4),
            ["04 02:30 +1100", "05 02:15 +1100"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            date(2026, 4, 5),
            ["05 01:45 +1100", "06 01:45 +1030"],
        ),
    ],
)
def test_a_time_of_day_runs_once_on_each_day(
    cron: str, zone: str, day: date, expected: list[str]
) -> None:
    begin, _ = night(zone, day)
    assert (
        clock(due(cron, zone, begin, begin + timedelta(days=2)), zone)[:2]
        == expected
    )


def test_hours_that_begin_with_a_star_follow_elapsed_time() -> None:
    begin, _ = night("Europe/Berlin", date(2026, 10, 25))
    instants = due(
        "0 * * * *", "Europe/Berlin", begin, begin + timedelta(hours=5)
    )
    assert {later - earlier for earlier, later in pairwise(instants)} == {
        timedelta(hours=1)
    }


def test_times_that_fall_on_one_minute_run_once() -> None:
    begin, _ = night("Europe/Berlin", date(2026, 3, 29))
    instants = due(
        "*/15 2,3 * * *", "Europe/Berlin", begin, begin + timedelta(hours=5)
    )
    assert clock(instants, "Europe/Berlin") == [
        f"29 03:{n:02d} +0200" for n in (0, 15, 30, 45)
    ]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 6 * * mon", datetime(2026, 3, 2, 6, tzinfo=UTC)),
        ("0 6 * * 0", datetime(2026, 3, 8, 6, tzinfo=UTC)),
        ("0 6 * * 7", datetime(2026, 3, 8, 6, tzinfo=UTC)),
        ("0 6 4 jul *", datetime(2026, 7, 4, 6, tzinfo=UTC)),
        ("0 6 15 * mon", datetime(2026, 3, 2, 6, tzinfo=UTC)),
        ("0 6 */10 * mon", datetime(2026, 5, 11, 6, tzinfo=UTC)),
        ("0 6 2,4-6/2 * *", datetime(2026, 3, 2, 6, tzinfo=UTC)),
        ("0 0 29 2 *", datetime(2028, 2, 29, tzinfo=UTC)),
        ("  5   23 *  * * ", datetime(2026, 3, 1, 23, 5, tzinfo=UTC)),
    ],
)
def test_the_next_time_is_the_first_after_an_instant(
    cron: str, expected: datetime
) -> None:
    config = tenant_config(triggers={"schedule": {"cron": cron}})
    assert (
        config.next_run_after(datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC))
        == expected
    )


def test_a_due_time_is_not_after_itself() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    config = tenant_config(triggers={"schedule": {"cron": "0 12 * * *"}})
    assert config.next_run_after(noon) == noon + timedelta(days=1)
    assert tenant_config().next_run_after(noon) is None
    hourly = {"schedule": {"cron": "0 * * * *"}}
    without_vendors = tenant_config(vendors=[], triggers=hourly)
    assert without_vendors.next_run_after(noon) is None


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("@daily", "is not a cron of five fields"),
        ("", "is not a cron of five fields"),
        ("0 0 6 * * *", "is not a cron of five fields"),
        ("0 0 L * *", "the day of month"),
        ("0 0 15W * *", "the day of month"),
        ("0 0 * * 1#2", "the day of week"),
        ("0 0 * * 5L", "the day of week"),
        ("0 6 * * monday", "the day of week"),
        ("0 6 ? * *", "the day of month"),
        ("\u0660 6 * * *", "the minute"),
        ("-5 6 * * *", "the minute"),
        ("60 6 * * *", "out of range"),
        ("0 24 * * *", "out of range"),
        ("0 6 0 * *", "out of range"),
        ("0 6 * 13 *", "out of range"),
        ("0 6 * * 8", "out of range"),
        ("0 20-6 * * *", "out of range"),
        ("*/90 * * * *", "must be 1 to 60, not 90"),
        ("0 */0 * * *", "must be 1 to 24, not 0"),
        ("0 0 31 4 *", "never due"),
        ("0 0 30 2 *", "never due"),
        ("* * * * *", "start 1 min apart"),
        ("0,4 * * * *", "start 4 min apart"),
        ("*/7 * * * *", "start 4 min apart"),
        ("0,58 0,23 * * *", "start 2 min apart"),
    ],
)
def test_what_is_no_cron_is_a_fault_with_its_path(cron: str, said: str) -> None:
    (fault,) = faults_of(
        changed("triggers", {"schedule": {"cron": cron}})
    ).items()
    assert fault[0] == "triggers.schedule.cron"
    assert said in fault[1]


@pytest.mark.parametrize("seconds", [-1, 3601, "60", True])
def test_a_quiet_time_is_at_most_an_hour(seconds: object) -> None:
    config_text = changed("triggers", {"on_upload": {"quiet_seconds": seconds}})
    assert list(faults_of(config_text)) == ["triggers.on_upload.quiet_seconds"]


def test_a_snapshot_loads_as_a_config() -> None:
    config = tenant_config(
        triggers={"on_upload": {}, "schedule": {"cron": "0 6 * * *"}}
    )
    assert tenant_config(**config.to_document()) == config
