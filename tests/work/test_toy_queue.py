"""A queue of a toy kind over the real table: what a new kind of work has to write, and gets.

The toy are reminders: each is to be said at its time, and said again a day later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from relay_dagster.aws.dynamodb.codec import Codec
from relay_dagster.aws.dynamodb.database import ConditionsFailedError
from relay_dagster.aws.dynamodb.schema import DUE_SHARD, due_shard
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.work_queue import DueShards, TableQueue
from relay_dagster.drain import AFTER_A_FAULT, Deadline
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE, LeaseLostError, WorkItem
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.tenant_limiter import TenantLimiter
from relay_dagster.work.worker import Turns, Worker
from support.fakes import FakeClock, served_platform

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)

# --- what a new kind of work has to define: a value, its rules, its queue ---------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """A text that is said at its time."""

    name: str
    text: str
    said: int = 0
    due_at: datetime | None = None
    revision: int = 1


def said(reminder: Reminder, now: datetime) -> Reminder:
    return replace(reminder, said=reminder.said + 1, due_at=now + DAY)


REMINDERS = Codec(kind=Reminder)


def to_item(reminder: Reminder) -> dict[str, Any]:
    shard = due_shard("reminder", reminder.name) if reminder.due_at else None
    return REMINDERS.item(
        f"REMINDER#{reminder.name}", reminder, **{DUE_SHARD: shard}
    )


def reminders(platform: Platform) -> TableQueue[Reminder]:
    return TableQueue(
        database=platform.database,
        index=DueShards(platform.database.runs, "reminder"),
        role="reminder",
        to_item=to_item,
        read=REMINDERS.read,
    )


# --- what it gets ---------------------------------------------------------------------------------


class Process:
    """A process with a worker, and what it has said."""

    def __init__(self, queue: TableQueue[Reminder], clock: FakeClock) -> None:
        self.clock = clock
        self.said: list[str] = []
        self.faults: list[str] = []
        self.before_saying: Callable[[LeasedItem[Reminder]], None] = lambda _: (
            None
        )
        self.worker: Worker[Reminder, str] = Worker(
            queue=queue, handle=self.say, on_fault=self.note_fault, clock=clock
        )

    def say(self, leased: LeasedItem[Reminder]) -> str:
        self.before_saying(leased)
        self.said.append(leased.value.text)
        now = self.clock()
        leased.finish(lambda reminder: said(reminder, now))
        return leased.value.text

    def note_fault(self, reminder: Reminder, error: Exception) -> None:
        self.faults.append(f"{reminder.name}: {error}")

    def run(self) -> list[str]:
        return self.worker.run(Deadline.after(60)).results


class World:
    def __init__(self, platform: Platform, clock: FakeClock) -> None:
        self.clock = clock
        self.queue = reminders(platform)
        self.table: Table = platform.database.runs
        self.process = Process(self.queue, clock)

    def add(self, name: str, **changes: object) -> None:
        fields = {"text": name.upper(), "due_at": self.clock(), **changes}
        reminder = Reminder(name=name, **fields)  # type: ignore[arg-type]
        assert self.table.carry_out(
            self.table.new("reminder", to_item(reminder))
        )

    def item(self, name: str) -> WorkItem[Reminder]:
        item = self.queue.get(f"REMINDER#{name}")
        assert item is not None
        return item

    def take(self, name: str) -> LeasedItem[Reminder]:
        taken_item = self.queue.take(self.item(name), self.clock())
        assert taken_item is not None
        return LeasedItem(self.queue, taken_item, self.clock)


@pytest.fixture
def world(platform: Platform, clock: FakeClock) -> World:
    return World(platform, clock)


def test_what_is_due_is_handled_the_longest_due_first(world: World) -> None:
    world.add("b", due_at=world.clock() - SECOND)
    world.add("a")
    world.add("later", due_at=world.clock() + SECOND)
    assert world.process.run() == ["B", "A"]
    assert world.process.run() == []
    assert world.item("a").value.said == 1
    world.clock.advance(days=1)
    assert sorted(world.process.run()) == ["A", "B", "LATER"]


def test_an_item_that_is_taken_is_due_for_nobody_until_its_lease_is_over(
    world: World,
) -> None:
    world.add("a")
    world.take("a")
    item = world.item("a")
    assert item.lease is not None
    assert item.due_at == item.lease.until == world.clock() + LEASE
    assert world.process.run() == []
    world.clock.now += LEASE
    assert world.process.run() == ["A"]
    assert world.item("a").lease is None


def test_of_two_that_take_an_item_one_gets_it(world: World) -> None:
    world.add("a")
    (item,) = world.queue.due(world.clock(), 9)
    assert world.queue.take(item, world.clock()) is not None
    assert world.queue.take(item, world.clock()) is None


def test_two_workers_side_by_side_handle_each_item_once(world: World) -> None:
    names = [f"r{number:02}" for number in range(12)]
    for name in names:
        world.add(name)
    other_process = Process(world.queue, world.clock)
    # The other one runs in the middle of each act of the first.
    world.process.before_saying = lambda _: (
        other_process.worker.run_page() and None
    )
    world.process.run()
    assert world.process.said
    assert other_process.said
    assert sorted(world.process.said + other_process.said) == [
        name.upper() for name in names
    ]
    assert world.process.faults == other_process.faults == []


def test_a_lease_is_renewed_while_its_item_is_in_hand(world: World) -> None:
    world.add("a")
    held: list[LeasedItem[Reminder]] = []
    worker: Worker[Reminder, None] = Worker(
        queue=world.queue,
        handle=held.append,
        on_fault=world.process.note_fault,
        clock=world.clock,
    )
    for _ in range(5):
        worker.run_page()
        world.clock.now += LEASE * 0.6
        assert world.process.run() == []
    (leased,) = held
    leased.finish(lambda reminder: said(reminder, world.clock()))
    worker.run_page()
    assert worker.in_hand == 0
    assert world.item("a").value.said == 1


def test_a_change_by_another_does_not_cost_the_lease_and_is_not_lost(
    world: World,
) -> None:
    world.add("a")
    leased = world.take("a")
    item = world.queue.update(
        world.item("a"),
        lambda item: item.changed(replace(item.value, text="NEW")),
    )
    assert item is not None
    assert item.due_at == world.clock() + LEASE
    leased.finish(lambda reminder: said(reminder, world.clock()))
    after = world.item("a")
    assert (after.value.text, after.value.said) == ("NEW", 1)
    assert (after.lease, after.due_at) == (None, world.clock() + DAY)


@pytest.mark.parametrize("act", ["renew", "change", "finish", "postpone"])
def test_whoever_has_lost_the_lease_changes_nothing(
    world: World, act: str
) -> None:
    world.add("a")
    slow = world.take("a")
    world.clock.now += LEASE
    quick = world.take("a")
    acts = {
        "renew": slow.renew,
        "change": lambda: slow.change(lambda each: replace(each, text="OLD")),
        "finish": lambda: slow.finish(lambda each: replace(each, text="OLD")),
        "postpone": lambda: slow.postpone(DAY, "no reason"),
    }
    before = world.item("a")
    with pytest.raises(LeaseLostError):
        acts[act]()
    assert (slow.is_open, slow.is_lost) == (False, True)
    assert world.item("a") == before
    assert quick.finish(lambda each: said(each, world.clock())) is not None


def test_an_item_that_is_removed_is_lost_to_whoever_has_it(
    world: World,
) -> None:
    world.add("a")
    slow = world.take("a")
    world.clock.now += LEASE
    assert world.take("a").finish(lambda _: None) is None
    assert world.queue.get("REMINDER#a") is None
    with pytest.raises(LeaseLostError):
        slow.change(lambda reminder: reminder)


def test_one_that_fails_is_reported_and_postponed_and_holds_up_no_other(
    world: World,
) -> None:
    def fail_for_b(leased: LeasedItem[Reminder]) -> None:
        if leased.value.name == "b":
            raise ValueError("it has no voice")

    for name in ("a", "b", "c"):
        world.add(name)
    world.process.before_saying = fail_for_b
    assert sorted(world.process.run()) == ["A", "C"]
    assert world.process.faults == ["b: it has no voice"]
    after = world.item("b")
    assert (after.lease, after.due_at) == (None, world.clock() + AFTER_A_FAULT)
    assert (after.value.said, after.value.text) == (0, "B")


def test_a_process_that_dies_in_the_middle_is_followed_by_another(
    world: World,
) -> None:
    class DiedError(BaseException):
        pass

    def die(leased: LeasedItem[Reminder]) -> None:
        leased.change(lambda reminder: replace(reminder, text="HALF"))
        raise DiedError

    world.add("a")
    world.process.before_saying = die
    with pytest.raises(DiedError):
        world.process.run()
    other_process = Process(world.queue, world.clock)
    assert other_process.run() == []
    world.clock.now += LEASE
    abandoned: list[bool] = []
    other_process.before_saying = lambda leased: abandoned.append(
        leased.was_abandoned
    )
    assert other_process.run() == ["HALF"]
    assert abandoned == [True]


def test_an_item_and_what_goes_with_it_are_stored_together_or_not_at_all(
    world: World,
) -> None:
    world.add("a")
    world.add("there")
    leased = world.take("a")
    taken_key = world.table.new(
        "other", to_item(Reminder(name="there", text=""))
    )
    with pytest.raises(ConditionsFailedError):
        leased.finish(
            lambda reminder: said(reminder, world.clock()), [taken_key]
        )
    assert world.item("a").value.said == 0
    free_key = world.table.new("other", to_item(Reminder(name="new", text="N")))
    leased.finish(lambda reminder: said(reminder, world.clock()), [free_key])
    assert world.item("a").value.said == 1
    assert world.item("new").value.text == "N"


def test_an_item_that_cannot_be_read_is_postponed_and_the_others_are_found(
    world: World,
) -> None:
    world.add("a")
    world.add("b")
    client = world.table.clients.dynamodb
    client.update_item(
        TableName=world.table.name,
        Key={"pk": {"S": "REMINDER#a"}},
        UpdateExpression="SET said = :said",
        ExpressionAttributeValues={":said": {"S": "often"}},
    )
    for _ in range(2):
        assert [item.key for item in world.queue.due(world.clock(), 9)] == [
            "REMINDER#b"
        ]


@pytest.fixture
def served() -> Iterator[Platform]:
    """A platform that threads may share."""
    with served_platform() as platform:
        yield platform


def test_with_turns_one_item_of_an_endpoint_is_handled_at_a_time(
    served: Platform, clock: FakeClock
) -> None:
    world = World(served, clock)
    names = [f"turn-{number}" for number in range(4)]
    for name in names:
        world.add(name)
    may_go = threading.Event()
    work_started = threading.Event()
    process = world.process

    def wait(_: LeasedItem[Reminder]) -> None:
        work_started.set()
        assert may_go.wait(30)

    process.before_saying = wait
    process.worker.turns = Turns(TenantLimiter(), lambda _: ("acme", "speaker"))
    process.worker.run_page()
    assert work_started.wait(30)
    assert (process.worker.in_hand, process.said) == (4, [])
    leased = [name for name in names if world.item(name).lease is not None]
    assert len(leased) == 1
    may_go.set()
    process.worker.wait(30)
    assert sorted(process.said) == [name.upper() for name in names]
    assert process.worker.in_hand == 0
