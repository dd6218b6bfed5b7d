"""What is kept for its time: run records with what belongs to them, and versions of configs."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from relay_dagster.drain import Deadline
from relay_dagster.execution.published_copies import remove_superseded
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.maintenance.expiry import Round, expire_configs, expire_runs
from relay_dagster.maintenance.housekeeping import Occasion
from relay_dagster.runs.errors import JobExpiredError
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.fakes import FakeClock, embedded_platform, published_outcome

DAYS = timedelta(days=30)


@pytest.fixture
def world() -> Iterator[ApiWorld]:
    with embedded_platform(keep_published=2) as platform:
        yield ApiWorld(platform)


def expire(
    platform: Platform, now: datetime, place: Round | None = None
) -> int:
    return expire_runs(
        Occasion(platform, now, Deadline.after(60)), place or Round()
    )


def settled(world: ApiWorld, record: RunRecord) -> RunRecord:
    world.platform.ledger.messages.acknowledge(record.run_id)
    record_now = world.platform.runs.get(record.run_id)
    assert record_now is not None
    return record_now


def publish(world: ApiWorld) -> RunRecord:
    return settled(world, world.succeed(world.post_run().json()["run_id"]))


def fail(world: ApiWorld) -> RunRecord:
    return settled(world, world.fail(world.post_run().json()["run_id"]))


def left(world: ApiWorld, *records: RunRecord) -> list[bool]:
    return [
        world.platform.runs.get(record.run_id) is not None for record in records
    ]


def test_a_record_goes_so_many_days_after_its_end_and_its_body_is_known_no_more(
    world: ApiWorld,
) -> None:
    failed = fail(world)
    platform = world.platform
    finished_at = failed.finished_at
    assert finished_at is not None
    assert expire(platform, finished_at + DAYS) == 0
    assert expire(platform, finished_at + DAYS + timedelta(seconds=1)) == 1
    assert left(world, failed) == [False]
    with pytest.raises(JobExpiredError):
        platform.ledger.adopt(failed.job)
    tombstone = platform.database.runs.item(f"GONE#{failed.run_id}") or {}
    lasts = timedelta(
        seconds=int(tombstone["expires_at"]["N"]) - finished_at.timestamp()
    )
    assert lasts.days == 430
    assert (
        platform.ledger.adopt(Job(str(uuid.uuid4()), "acme")).status == "QUEUED"
    )


def test_a_record_goes_whose_dead_letter_the_queue_keeps_no_more(
    world: ApiWorld,
) -> None:
    run_id = world.post_run().json()["run_id"]
    platform = world.platform
    finished_at = platform.ledger.poison(run_id, "attempts used up").finished_at
    assert finished_at is not None
    platform.ledger.messages.record_dlq(run_id, "a letter of 14 days")
    platform.ledger.messages.acknowledge(run_id)
    place = Round()
    assert (
        expire(platform, finished_at + DAYS + timedelta(seconds=1), place) == 1
    )
    assert platform.runs.get(run_id) is None


def test_records_stay_for_15_days_at_the_least() -> None:
    with embedded_platform(
        retention_days=3, dagster_retention_days=3
    ) as platform:
        world = ApiWorld(platform)
        failed = fail(world)
        assert failed.finished_at is not None
        assert expire(platform, failed.finished_at + timedelta(days=15)) == 0
        assert (
            expire(platform, failed.finished_at + timedelta(days=15, seconds=1))
            == 1
        )


def test_records_stay_that_a_feed_pointer_leads_to_and_what_kept_feeds_were_compared_with(
    world: ApiWorld,
) -> None:
    first = publish(world)
    ledger = world.platform.ledger
    records = [first]
    for _ in range(3):
        claimed = world.claim(world.post_run().json()["run_id"])
        ledger.pin(claimed.fence, 1, records[-1].run_id)
        records.append(settled(world, _succeeded(world, claimed.run_id)))
    held = settled(world, world.hold(world.post_run().json()["run_id"]))
    late = utc_now() + timedelta(days=400)
    assert expire(world.platform, late) == 1
    # Two are kept, and the older of them was compared with the one before.
    assert left(world, *records, held) == [False, True, True, True, True]


@pytest.mark.parametrize(("days", "stays"), [(0.9, True), (1.1, False)])
def test_a_feed_that_is_pushed_out_late_stays_a_day_longer_with_its_record(
    world: ApiWorld, days: float, stays: bool
) -> None:
    platform = world.platform
    first = publish(world)
    clock = FakeClock(utc_now() + 3 * DAYS)
    ledger = RunLedger(platform.runs, keep_published=2, clock=clock)
    world.platform = replace(platform, ledger=ledger)
    for _ in range(2):
        publish(world)
    now = clock.advance(days=days)
    expire(platform, now)
    remove_superseded(platform, "acme", now)
    assert left(world, first) == [stays]
    assert platform.objects.exists(str(first.feed_key)) == stays


def _succeeded(world: ApiWorld, run_id: str) -> RunRecord:
    record = world.platform.runs.get(run_id)
    assert record is not None
    outcome = published_outcome(world.platform, record)
    return world.platform.ledger.succeed(record.fence, outcome)


def test_a_run_that_is_not_settled_stays(world: ApiWorld) -> None:
    open_run = world.fail(world.post_run().json()["run_id"])
    assert expire(world.platform, utc_now() + timedelta(days=400)) == 0
    assert left(world, open_run) == [True]


def test_a_round_goes_on_where_it_was_late_and_the_next_begins_after_ten_minutes(
    world: ApiWorld,
) -> None:
    failed = [fail(world) for _ in range(3)]
    late = utc_now() + timedelta(days=400)
    place = Round()
    seconds = itertools.count(step=40)
    deadline = Deadline.after(30, lambda: next(seconds))
    assert expire_runs(Occasion(world.platform, late, deadline), place) == 1
    assert left(world, *failed) == [False, True, True]
    assert expire(world.platform, late, place) == 2
    assert left(world, *failed) == [False] * 3
    fail(world)
    assert expire(world.platform, late, place) == 0
    assert expire(world.platform, late + timedelta(minutes=10), place) == 1


def test_of_configs_the_newest_50_stay_and_those_that_a_record_names(
    world: ApiWorld,
) -> None:
    platform = world.platform
    place = Round()
    now = utc_now()
    for number in range(53):
        platform.tenants.put("acme", f'{{"number": {number}}}')
    platform.ledger.adopt(Job(str(uuid.uuid4()), "acme", config_version=2))
    deadline = Deadline.after(60)
    assert expire_configs(Occasion(platform, now, deadline), place) == 2
    numbers = [
        number
        for number in range(1, 54)
        if platform.tenants.version("acme", number)
    ]
    assert numbers == [2, *range(4, 54)]
    assert expire_configs(Occasion(platform, now, deadline), place) == 0
    listed = []
    cursor = ""
    while cursor is not None:
        page = world.client.get(
            f"/v1/tenants/acme/versions?limit=1{cursor}"
        ).json()
        listed += [version["config_version"] for version in page["versions"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert listed == numbers[::-1]
    assert [
        version.version
        for version in platform.tenants.versions("acme", limit=100)
    ] == numbers[::-1]
