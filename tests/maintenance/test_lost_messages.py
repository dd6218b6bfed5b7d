"""Messages that a queue has lost, and a backlog that it has not."""

import uuid
from collections.abc import Iterator
from datetime import datetime

import dagster as dg
import pytest

from relay_dagster.drain import Deadline
from relay_dagster.maintenance.housekeeping import Occasion
from relay_dagster.maintenance.messages import QueueWatch, send_lost_again
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun, RunRecord
from relay_dagster.wiring import Platform
from support.fakes import FakeClock, embedded_platform
from support.reconciler_world import World

LOST_SECONDS = 600


def at(platform: Platform, now: datetime) -> Occasion:
    return Occasion(platform, now, Deadline.after(60))


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with (
        embedded_platform(clock, message_lost_seconds=LOST_SECONDS) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield World(platform, instance, clock)


def sent(world: World, tenant_id: str = "acme") -> RunRecord:
    """Return a run whose message waits in the queue."""
    new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id=tenant_id)
    record = world.platform.ledger.reserve(new_run).record
    return world.platform.ledger.messages.mark_sent(
        record.run_id, world.platform.queue.send(record.job)
    )


def watch(world: World, seconds: float, kept: QueueWatch | None = None) -> int:
    """Look at the queue every ten seconds for so long; return how many messages were sent again."""
    kept = kept or QueueWatch()
    sent_again = 0
    for _ in range(int(seconds / 10)):
        world.clock.advance(seconds=10)
        now = QueueWatch.read(kept.values())
        sent_again += send_lost_again(at(world.platform, world.clock()), now)
        kept.empty_at = now.empty_at
    return sent_again


def purge(world: World) -> None:
    world.platform.clients.sqs.purge_queue(QueueUrl=world.platform.queue.url)


def test_runs_of_a_purged_queue_are_sent_again_once(world: World) -> None:
    records = [sent(world, tenant) for tenant in ("a", "b", "c")]
    memory = QueueWatch()
    purge(world)
    assert watch(world, LOST_SECONDS - 10, memory) == 0
    assert watch(world, 30, memory) == 3
    bodies = [
        Job.parse(message.body).run_id
        for message in world.platform.queue.receive(10)
    ]
    assert sorted(bodies) == sorted(record.run_id for record in records)


def test_a_backlog_is_not_sent_again_however_long_it_waits(
    world: World,
) -> None:
    sent(world)
    assert watch(world, 20 * LOST_SECONDS) == 0


def test_what_is_lost_counts_from_when_the_queue_was_seen_empty(
    world: World,
) -> None:
    sent(world)
    memory = QueueWatch()
    watch(world, 5 * LOST_SECONDS, memory)
    purge(world)
    assert watch(world, LOST_SECONDS, memory) == 0
    assert watch(world, LOST_SECONDS, memory) == 1


def test_a_queue_that_is_empty_now_and_then_has_no_backlog(
    world: World,
) -> None:
    lost = sent(world, "lost")
    purge(world)
    memory = QueueWatch()
    sent_again = 0
    for number in range(2 * LOST_SECONDS // 10):
        world.clock.advance(seconds=10)
        if number % 2:
            sent(world, f"tenant-{number}")
        sent_again += send_lost_again(at(world.platform, world.clock()), memory)
        if number % 2:
            world.take_in()
    assert sent_again == 1
    assert world.current(lost).message_id != lost.message_id


def test_a_run_whose_message_shows_signs_of_life_is_not_lost(
    world: World,
) -> None:
    record = sent(world)
    world.clock.advance(seconds=LOST_SECONDS - 60)
    (message,) = world.platform.queue.receive(1)
    world.platform.ledger.messages.note_receive(
        record.run_id, message.message_id, message.receipt_handle
    )
    assert watch(world, 300) == 0


def test_an_attempt_that_follows_another_needs_no_message(world: World) -> None:
    record = world.executing(dg.DagsterRunStatus.FAILURE)
    purge(world)
    world.ticks(40)
    assert world.take_in() == [record.run_id]


def test_what_is_remembered_of_the_queue_stays_small(world: World) -> None:
    memory = QueueWatch()
    for _ in range(10_000):
        world.clock.advance(seconds=5)
        memory.note_empty(world.clock(), 3600)
    assert len(memory.empty_at) <= 12
    until = memory.due_until(world.clock(), 3600)
    assert until is not None
    assert 0 <= (world.clock() - until).total_seconds() <= 360
