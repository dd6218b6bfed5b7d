"""Ten thousand tenants: what a run waits for must not grow with the runs that are there."""

import itertools
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from benchmarks.stored_runs import put_many
from relay_core.domain.codes import RunStatus
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_instance import DagsterExecutions
from relay_dagster.runs.model import LockState, RunRecord
from support.fakes import CallCounter, FakeClock, embedded_platform
from support.reconciler_world import World

BACKLOG = 1_500
STALE_SECONDS = 20


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with (
        embedded_platform(
            clock, heartbeat_stale_seconds=STALE_SECONDS
        ) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield World(platform, instance, clock)


def fill(world: World, count: int) -> None:
    """Store runs whose messages wait in the queue, past ledger and queue."""
    looks = world.platform.ledger.schedule
    now = world.clock()
    queued = (
        RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id=f"tenant-{number}",
            requested_at=now,
            message_id="m",
            sent_at=now,
            lock_state=LockState.OWNER,
        )
        for number in range(count)
    )
    put_many(
        world.platform,
        (looks.scheduled(None, record, now) for record in queued),
    )


def test_a_dead_run_is_found_however_many_wait_in_the_queue(
    world: World,
) -> None:
    dead = world.executing()
    fill(world, BACKLOG)
    world.ticks(2 * STALE_SECONDS, every=10)
    assert world.current(dead).error_code == "heartbeat_stale"
    assert world.current(dead).status is RunStatus.QUEUED


def test_its_next_attempt_does_not_wait_behind_the_queue(world: World) -> None:
    dead = world.executing()
    died_at = world.clock()
    fill(world, 200)
    while not (run_ids := world.take_in()):
        world.tick()
        world.clock.advance(seconds=5)
    assert run_ids == [dead.run_id]
    assert (world.clock() - died_at).total_seconds() <= STALE_SECONDS + 10 + 60


def test_a_cancelled_run_is_settled_at_once_however_many_wait(
    world: World,
) -> None:
    record = world.posted()
    fill(world, 200)
    cancelled = world.platform.ledger.request_cancel(record.run_id)
    assert cancelled.status is RunStatus.CANCELLED
    world.tick()
    assert world.current(record).acknowledged_at is not None
    assert world.platform.objects.artifacts(record.run_id, "acme") == {}


def test_runs_that_have_ended_hold_up_none_that_is_under_way(
    world: World,
) -> None:
    """A reconciler that was down for long has many to settle, and little time in a tick."""
    for tenant in ("a", "b", "c"):
        world.platform.ledger.cancel(world.posted(tenant).run_id)
    dead = world.executing(dg.DagsterRunStatus.FAILURE)
    world.clock.advance(seconds=30)
    seconds = itertools.count(step=15)
    executions = DagsterExecutions(world.instance)
    tick = ReconcileTick(
        world.platform,
        executions,
        clock=world.clock,
        monotonic=lambda: next(seconds),
    )
    assert tick.run() == 2
    assert world.current(dead).error_code == "run_process_lost"


def test_a_tick_costs_what_is_due_and_not_what_is_there(world: World) -> None:
    costs = []
    for count in (50, 450):
        fill(world, count)
        calls = CallCounter(world.platform)
        seen_count = world.tick()
        costs.append((seen_count, dict(calls)))
    assert costs == [(0, {"dynamodb.Query": 8})] * 2


def test_a_run_under_way_is_looked_at_now_and_then_alone(world: World) -> None:
    world.executing()
    looks = 0
    for _ in range(60):
        world.platform.runs.beat(
            world.platform.runs.lock("acme").holder or "", 1
        )
        world.clock.advance(seconds=5)
        looks += world.tick()
    every_seconds = (
        world.platform.ledger.schedule.between_checks.total_seconds()
    )
    assert looks <= 300 / every_seconds
