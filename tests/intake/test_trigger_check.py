"""Schedules start runs: each due time once, whoever looks, and after whatever time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.trigger_store import TRIGGER_LEASE
from relay_dagster.drain import WAIT_SECONDS
from relay_dagster.intake.trigger_check import TriggerCheck, take_due
from relay_dagster.runs.model import Trigger
from relay_dagster.tenants.audit import Action, ActorKind
from relay_dagster.triggers.rules import TriggerQueue
from support.triggers_world import (
    NOON,
    TENANT,
    TriggersWorld,
    s3_event,
    triggers_world,
)

HOURLY = {"schedule": {"cron": "0 * * * *"}}
HALF_PAST = NOON + timedelta(minutes=30)


@pytest.fixture
def world() -> Iterator[TriggersWorld]:
    with triggers_world(HALF_PAST) as world:
        yield world


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, minute, tzinfo=UTC)


def test_a_run_starts_within_ten_seconds_of_its_due_time(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    assert world.look() == 0
    assert world.look(29 * 60 + 50) == 0
    assert world.watch(20, every=5) == 1
    (run,) = world.runs()
    assert run.trigger is Trigger.SCHEDULE
    assert at(13) <= run.requested_at <= at(13) + timedelta(seconds=10)
    (entry,) = world.platform.audit.list_entries(
        run.tenant_id, Action.RUN_POSTED
    ).items
    assert (entry.target, entry.actor.kind) == (run.run_id, ActorKind.SYSTEM)
    assert entry.details["trigger"] == "schedule"


def test_a_due_time_that_a_dead_process_had_taken_starts_within_ten_seconds(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.look()
    world.clock.now = at(13)
    queue = world.platform.triggers.queue(TriggerQueue.DUE)
    (item,) = queue.due(world.clock(), 9)
    assert queue.take(item, world.clock()) is not None
    assert world.watch(8, every=WAIT_SECONDS - 1) == 1
    (run,) = world.runs()
    assert at(13) < run.requested_at <= at(13) + timedelta(seconds=8)
    assert WAIT_SECONDS + TRIGGER_LEASE.total_seconds() <= 8


def test_each_due_time_leads_to_one_run(world: TriggersWorld) -> None:
    world.store(**HOURLY)
    for hour in (13, 14, 15):
        world.clock.now = at(hour, 0)
        assert world.watch(30) == 1
        world.end(world.runs()[-1])
    assert [run.requested_at for run in world.runs()] == [
        at(13),
        at(14),
        at(15),
    ]


def test_triggers_of_a_tenant_without_vendors_start_nothing(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY, on_upload={"quiet_seconds": 5})
    world.look()
    world.upload()
    world.take_in()
    # Neither the upload, nor the time that was due before the vendors went.
    world.clock.now = at(13, 5)
    world.store_without_vendors()
    world.clock.now = at(13, 20)
    assert world.watch(60) == 0
    state = world.state
    assert (state.next_run_at, state.wanted, state.cron) == (None, None, None)
    world.store(**HOURLY)
    assert world.watch(60) == 0
    assert world.look(3600) == 1


def test_vendors_that_go_while_triggers_are_checked_start_nothing(
    world: TriggersWorld,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.store(**HOURLY)
    world.look()
    plan = TriggerCheck(world.platform, world.clock).plan(TENANT)
    world.clock.now = at(13)
    with monkeypatch.context() as patch:
        # The check has read the plan before the vendors go.
        patch.setattr(TriggerCheck, "plan", lambda *_: plan)
        world.store_without_vendors()
        assert world.look() == 0
        assert world.state.wanted is None
    assert world.watch(60) == 0
    assert not world.runs()
    # The check itself is not at fault.
    assert "trigger_not_taken" not in caplog.text


def test_of_eight_that_look_at_once_one_starts_the_run() -> None:
    with triggers_world(HALF_PAST, shared=True) as world:
        world.store(**HOURLY)
        world.look()
        world.clock.now = at(13)
        with ThreadPoolExecutor(8) as pool:
            started = list(
                pool.map(
                    lambda _: take_due(world.platform, world.clock), range(8)
                )
            )
        assert sum(started) == 1
        assert len(world.runs()) == 1


def test_after_an_outage_the_last_missed_time_runs_once(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.look()
    world.clock.now = at(22, 17)
    assert world.watch(300, every=60) == 1
    assert world.state.next_run_at == at(23)


def test_a_config_that_is_stored_while_nobody_looks_misses_nothing(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.clock.now = at(13, 20)
    assert world.watch(60, every=20) == 1


@pytest.mark.parametrize("is_known", [True, False])
def test_configs_that_are_stored_while_nobody_looks_miss_nothing(
    world: TriggersWorld, *, is_known: bool
) -> None:
    if is_known:
        world.store(schedule={"cron": "40 9 * * *"})
        world.look()
    world.clock.now = at(12, 35)
    world.store(**HOURLY)
    world.clock.now = at(13, 20)
    world.store(**HOURLY, on_upload={"quiet_seconds": 5})
    assert world.watch(60, every=20) == 1
    assert world.state.next_run_at == at(14)


def test_a_time_of_a_schedule_that_was_replaced_before_it_is_none(
    world: TriggersWorld,
) -> None:
    world.store(schedule={"cron": "40 * * * *"})
    world.look()
    world.store(**HOURLY)
    world.clock.now = at(12, 50)
    world.store(**HOURLY, on_upload={"quiet_seconds": 5})
    assert world.watch(60, every=20) == 0


def test_a_new_schedule_begins_when_it_is_stored(world: TriggersWorld) -> None:
    world.store(**HOURLY)
    world.look()
    world.store(schedule={"cron": "45 * * * *"})
    assert world.watch(14 * 60, every=420) == 0
    assert world.state.next_run_at == at(12, 45)
    assert world.watch(120, every=30) == 1


def test_another_change_of_the_config_moves_no_due_time(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.look()
    world.clock.now = at(13, 1)
    world.store(**HOURLY, on_upload={"quiet_seconds": 5})
    assert world.look() == 1


def test_a_schedule_that_is_taken_back_is_due_no_more(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.look()
    world.store()
    assert world.watch(3600, every=1200) == 0
    assert world.state.due_at is None


def test_while_the_tenant_is_busy_one_follow_up_is_noted(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY, on_upload={"quiet_seconds": 0})
    posted = world.platform.submission.submit("acme")
    key = world.upload()
    world.drain()
    world.tell(s3_event(key, world.clock()))
    world.take_in()
    assert world.watch(3 * 3600, every=1800) == 0
    world.end(posted, vendor_1=None)
    assert world.watch(60, every=20) == 1
    run = world.runs()[-1]
    assert run.trigger is Trigger.SCHEDULE
    world.end(run, vendor_1=world.modified())
    assert world.watch(120, every=30) == 0, "the upload is spent"


def test_what_fell_due_in_a_pause_starts_once_when_it_ends(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.platform.pauses.begin("acme", "maintenance")
    assert world.watch(3 * 3600, every=1800) == 0
    world.platform.pauses.end("acme")
    assert world.watch(120, every=30) == 1


def test_many_that_wait_hold_up_none_that_falls_due(
    world: TriggersWorld,
) -> None:
    world.platform.pauses.begin("acme", "maintenance")
    world.store(schedule={"cron": "31 * * * *"})
    world.store(tenant_id="other", schedule={"cron": "32 * * * *"})
    assert world.watch(60, every=20) == 0
    assert world.watch(60, every=20) == 1
    assert len(world.runs("other")) == 1


def test_a_schedule_counts_for_no_quota(world: TriggersWorld) -> None:
    world.store(**HOURLY)
    world.look()
    world.clock.now = at(13)
    world.look()
    items = world.platform.clients.dynamodb.scan(
        TableName=world.platform.settings.runs_table,
        FilterExpression="begins_with(pk, :runs)",
        ExpressionAttributeValues={":runs": {"S": "RUNS#"}},
    )
    assert items["Items"] == []


def test_one_that_cannot_be_looked_at_is_postponed(
    world: TriggersWorld,
) -> None:
    world.store(**HOURLY)
    world.look()
    world.clock.now = at(13)
    world.platform.clients.dynamodb.delete_table(
        TableName=world.platform.settings.tenants_table
    )
    assert world.look() == 0
    assert world.state.due_at == at(13) + timedelta(seconds=30)


def test_what_fell_due_while_a_tenant_was_to_be_deleted_starts_once_it_is_restored(
    world: TriggersWorld,
) -> None:
    deletions = DeletionStore(
        replace(world.platform.database, clock=world.clock)
    )
    world.store(**HOURLY)
    deletions.ask("acme", timedelta(days=7))
    assert world.watch(3 * 60 * 60, every=60) == 0
    deletions.restore("acme")
    assert world.watch(40) == 1
    (run,) = world.runs()
    assert run.trigger is Trigger.SCHEDULE
