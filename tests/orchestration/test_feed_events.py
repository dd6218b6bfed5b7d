"""Publications as Dagster is told of them, each once, and the verdict whether a feed is late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from relay_dagster.drain import Deadline
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.intake.trigger_check import take_due
from relay_dagster.maintenance.housekeeping import scheduled_feeds
from relay_dagster.orchestration.build import build_defs
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import DagsterOccasion
from relay_dagster.orchestration.feed_events import (
    judge_freshness,
    report_publications,
)
from relay_dagster.runs.model import Release
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE
from support.builders import feed
from support.dagster_storages import STORAGES
from support.fakes import embedded_platform
from support.run_world import TENANT, World

FIRST, SECOND, THIRD = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "123"
)
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]
PUBLISHED = "published_feed"
MERGED = "merged_inventory"
FRESH = "feed_is_fresh"


@pytest.fixture(params=STORAGES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Yield a world whose instance has a database of each kind."""
    with (
        embedded_platform() as platform,
        request.param(tmp_path) as (instance, _),
    ):
        yield World(platform, instance)


def sync(world: World, run_id: str, *rows: str) -> None:
    world.upload("vendor_1", feed(*rows), name=f"{run_id[0]}.csv")
    world.run(run_id)


def report(
    world: World,
    platform: Platform | None = None,
    later: timedelta = timedelta(),
) -> int:
    deadline = Deadline.after(60)
    now = utc_now() + later
    on = DagsterOccasion(
        platform or world.platform, now, deadline, lambda: world.instance
    )
    return report_publications(on)


def events(world: World, asset: str = PUBLISHED) -> list[Mapping[str, Any]]:
    """Return the metadata of an asset's materializations, the last first."""
    record_filter = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[TENANT]
    )
    records = world.instance.fetch_materializations(
        record_filter, limit=99
    ).records
    events = [record.asset_materialization for record in records]
    return [
        {k: v.value for k, v in event.metadata.items()}
        for event in events
        if event is not None
    ]


def release(world: World, run_id: str) -> None:
    hold = world.record(run_id).hold
    assert hold is not None
    decision = Release(hold.sha256, hold.guard_names, "a planned sale", "ops")
    world.platform.ledger.feeds.release(run_id, decision)


def pointer(world: World) -> FeedPointer:
    feed = world.platform.runs.feed(TENANT)
    assert feed is not None
    return feed


def test_a_publication_a_release_and_a_rollback_are_an_event_each(
    kept: World,
) -> None:
    kept.store_config()
    sync(kept, FIRST, *WHOLE)
    assert report(kept) == 1
    sync(kept, SECOND, *WHOLE[:2])
    assert report(kept) == 0  # it is held
    release(kept, SECOND)
    assert report(kept) == 1
    kept.platform.ledger.feeds.roll_back(
        TENANT, FIRST, "the prices were right", by="admin"
    )
    assert report(kept) == 1
    reported = events(kept)
    assert [
        (event["how"], event["by"], event["run_id"]) for event in reported
    ] == [
        ("rollback", "admin", FIRST),
        ("release", "ops", SECOND),
        ("run", "its run", FIRST),
    ]
    assert (
        reported[0]["sha256"]
        == pointer(kept).in_force.sha256
        == reported[2]["sha256"]
    )
    assert [event["record_count"] for event in reported] == [20, 2, 20]
    assert reported[1]["report"] == f"/reports/{TENANT}/{SECOND}"
    assert (pointer(kept).pending, pointer(kept).due_at) == ((), None)
    assert report(kept, later=2 * LEASE) == 0


def test_those_that_came_while_nobody_reported_come_in_their_order(
    world: World,
) -> None:
    world.store_config()
    for run_id in (FIRST, SECOND):
        sync(world, run_id, *WHOLE)
    world.platform.ledger.feeds.roll_back(TENANT, FIRST)
    assert report(world) == 3
    assert [event["run_id"] for event in reversed(events(world))] == [
        FIRST,
        SECOND,
        FIRST,
    ]


class Part:
    """A part of a platform, of which a test exchanges what it likes."""

    def __init__(self, part: Any, **changes: Any) -> None:
        self._part = part
        self.__dict__.update(changes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


def with_queue(platform: Platform, **changes: Any) -> Platform:
    """Return a platform whose queue of publications does something else."""
    queue = Part(platform.runs.publications, **changes)
    runs: Any = Part(platform.runs, publications=queue)
    return replace(platform, runs=runs)


def test_whoever_dies_before_the_report_is_noted_leaves_no_second_event(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)

    class DiedError(BaseException):
        pass

    def die(*_: Any) -> None:
        raise DiedError

    with pytest.raises(DiedError):
        report(world, with_queue(world.platform, change=die))
    assert len(events(world)) == 1
    assert report(world) == 0  # it is taken
    assert len(pointer(world).pending) == 1
    assert report(world, later=2 * LEASE) == 0
    assert len(events(world)) == 1
    assert (pointer(world).pending, pointer(world).due_at) == ((), None)


def test_of_two_daemons_one_reports(world: World) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    due_items = world.platform.runs.publications.due(utc_now(), 9)
    late = with_queue(world.platform, due=lambda *_: due_items)
    assert [report(world), report(world, late)] == [1, 0]
    assert len(events(world)) == 1


def test_a_publication_that_comes_while_others_are_reported_is_reported_too(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    change = world.platform.runs.publications.change

    def publish_meanwhile(*asked: Any) -> Any:
        sync(world, SECOND, *WHOLE)
        return change(*asked)

    assert (
        report(world, with_queue(world.platform, change=publish_meanwhile)) == 1
    )
    assert report(world) == 1
    assert [event["run_id"] for event in events(world)] == [SECOND, FIRST]


def test_a_tenant_that_is_being_deleted_is_not_told_of(world: World) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    world.platform.closing.ask(TENANT)
    assert report(world) == 0
    assert events(world) == []


def test_with_nothing_to_report_nothing_is_asked_of_dagster(
    world: World,
) -> None:
    def closed() -> dg.DagsterInstance:
        raise AssertionError("nobody asks")

    on = DagsterOccasion(world.platform, utc_now(), Deadline.after(60), closed)
    assert report_publications(on) == 0


def test_after_a_release_the_merged_feed_s_page_says_so(world: World) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    sync(world, SECOND, *WHOLE[:2])
    report(world)
    held = events(world, MERGED)[0]
    assert (held["status"], held["run_id"]) == ("HELD", SECOND)
    release(world, SECOND)
    report(world)
    released, before, _ = events(world, MERGED)
    assert before == held
    assert (released["status"], released["released_by"]) == ("SUCCEEDED", "ops")
    assert released["release_reason"] == "a planned sale"
    assert "to_release" not in released
    assert released["rows_merged"] == held["rows_merged"] == 2


def test_a_newer_run_s_page_does_not_say_that_an_older_one_was_released(
    world: World,
) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    sync(world, SECOND, *WHOLE[:2])
    release(world, SECOND)
    sync(world, THIRD, *WHOLE[:2])
    assert report(world) == 3
    assert [event["run_id"] for event in events(world, MERGED)] == [
        THIRD,
        SECOND,
        FIRST,
    ]


# --- freshness ------------------------------------------------------------------------------------

HOURLY = {"schedule": {"cron": "0 * * * *"}}


def judge(world: World, now: datetime) -> int:
    feeds = scheduled_feeds(world.platform)
    on = DagsterOccasion(
        world.platform, now, Deadline.after(60), lambda: world.instance
    )
    return judge_freshness(on, feeds)


def verdicts(world: World) -> dict[str, bool]:
    return DagsterHistory(world.instance).verdicts(
        dg.AssetKey(PUBLISHED), FRESH
    )


def test_a_feed_is_late_an_hour_after_its_schedule_was_due(kept: World) -> None:
    kept.store_config(triggers=HOURLY)
    take_due(kept.platform)
    sync(kept, FIRST, *WHOLE)
    hour = pointer(kept).in_force.published_at.replace(
        minute=0, second=0, microsecond=0
    )
    assert judge(kept, hour + timedelta(hours=1, minutes=59)) == 1
    assert verdicts(kept) == {TENANT: True}
    assert judge(kept, hour + timedelta(hours=2)) == 0
    assert judge(kept, hour + timedelta(hours=2, seconds=1)) == 1
    assert verdicts(kept) == {TENANT: False}
    assert judge(kept, hour + timedelta(hours=3)) == 0
    key = dg.AssetCheckKey(dg.AssetKey(PUBLISHED), FRESH)
    (check_record,) = (
        kept.instance.event_log_storage.get_asset_check_execution_history(
            key, limit=9
        )
    )
    assert check_record.event is not None
    assert check_record.event.dagster_event is not None
    verdict: Any = check_record.event.dagster_event.event_specific_data
    assert (verdict.partition, verdict.severity) == (
        TENANT,
        dg.AssetCheckSeverity.WARN,
    )
    assert verdict.metadata["run_id"].value == FIRST
    sync(kept, SECOND, *WHOLE)
    assert judge(kept, utc_now()) == 1
    assert verdicts(kept) == {TENANT: True}


def test_a_tenant_whose_schedule_is_gone_has_no_verdict(kept: World) -> None:
    kept.store_config(triggers=HOURLY)
    take_due(kept.platform)
    sync(kept, FIRST, *WHOLE)
    assert (judge(kept, utc_now()), verdicts(kept)) == (1, {TENANT: True})
    kept.store_config()
    take_due(kept.platform)
    assert (judge(kept, utc_now()), verdicts(kept)) == (0, {})


def test_the_check_can_be_executed_by_hand(world: World) -> None:
    world.store_config()
    sync(world, FIRST, *WHOLE)
    check = dg.AssetCheckKey(dg.AssetKey(PUBLISHED), FRESH)
    job = build_defs(
        connect_run=world.connect
    ).resolve_implicit_global_asset_job_def()
    result = job.get_subset(asset_check_selection={check}).execute_in_process(
        instance=world.instance, partition_key=TENANT
    )
    (verdict,) = result.get_asset_check_evaluations()
    assert verdict.passed
    assert "no schedule" in str(verdict.description)
