"""Ten thousand tenants: what a run waits for must not grow with the runs that are there."""

import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from fakes import FakeClock, embedded_platform
from reconciler_world import World
from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.serialization import from_record
from relay_dagster.runs.model import LockState, RunRecord

BACKLOG = 1_500


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with embedded_platform(clock) as platform, dg.DagsterInstance.ephemeral() as instance:
        yield World(platform, instance, clock)


def fill(world: World, count: int) -> None:
    """Store runs whose messages wait in the queue, past ledger and queue."""
    records = [
        RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id=f"tenant-{number}",
            requested_at=world.clock(),
            message_id="m",
            sent_at=world.clock(),
            lock_state=LockState.OWNER,
        )
        for number in range(count)
    ]
    puts = [{"PutRequest": {"Item": from_record(record)}} for record in records]
    for start in range(0, count, 25):
        batch = {world.platform.settings.runs_table: puts[start : start + 25]}
        world.platform.clients.dynamodb.batch_write_item(RequestItems=batch)


def test_a_dead_run_is_found_however_many_wait_in_the_queue(world: World) -> None:
    dead = world.executing()
    fill(world, BACKLOG)
    for _ in range(40):
        world.clock.advance(seconds=5)
        world.tick()
    assert world.current(dead).error_code == "heartbeat_stale"
    assert world.current(dead).status is RunStatus.QUEUED
