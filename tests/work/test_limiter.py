from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from relay_dagster.work.limiter import (
    MAX_CALLS,
    MAX_OF_TENANT,
    MAX_SLOW_CALLS,
    MAX_WAITING,
    SLOW_SECONDS,
    EndpointLimiter,
)
from support.fakes import Seconds


@dataclass
class Job:
    """A call that tells when it has begun, and ends when it is let; by default a tenant each."""

    receiver: str
    tenant_id: str = ""
    may_end: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        self.begun.set()
        assert self.may_end.wait(30)


def quick(receiver: str, tenant_id: str = "") -> Job:
    job = Job(receiver, tenant_id)
    job.may_end.set()
    return job


@dataclass
class World:
    """A limiter on a clock that is set by hand, and the jobs that are to end with the test."""

    seconds: Seconds = field(default_factory=Seconds)
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.limiter: EndpointLimiter[Job, None] = EndpointLimiter(
            Job.run, self.seconds
        )

    def add(self, job: Job) -> bool:
        self.jobs.append(job)
        return self.limiter.submit(
            job, job.tenant_id or job.receiver, job.receiver
        )

    def know(self, *receivers: str) -> None:
        """Let receivers answer in time, so that they count as slow no more."""
        for receiver in receivers:
            assert self.add(quick(receiver))
            self.made(1)

    def begin(self, receiver: str, tenant_id: str = "") -> Job:
        job = Job(receiver, tenant_id)
        assert self.add(job)
        assert job.begun.wait(10)
        return job

    def made(self, count: int) -> list[Job]:
        results = self.limiter.made(count, 10)
        assert len(results) == count
        return [job for job, _ in results]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for job in world.jobs:
        job.may_end.set()


def test_calls_of_a_receiver_follow_each_other_in_order(world: World) -> None:
    first = world.begin("a")
    later_calls = [quick("a") for _ in range(5)]
    assert [world.add(call) for call in later_calls] == [True] * 5
    assert world.limiter.made(1, 0) == []
    assert not any(call.begun.is_set() for call in later_calls)
    first.may_end.set()
    assert world.made(6) == [first, *later_calls]


def test_a_receiver_that_hangs_holds_up_no_other(world: World) -> None:
    world.begin("hangs")
    for number in range(100):
        assert world.add(quick(f"r{number % 10}"))
    assert len(world.made(100)) == 100


def test_so_many_calls_are_made_at_once_and_no_more(world: World) -> None:
    world.know(*(f"r{number}" for number in range(MAX_CALLS)), "one_more")
    running_calls = [world.begin(f"r{number}") for number in range(MAX_CALLS)]
    last = Job("one_more")
    assert world.add(last)
    assert not last.begun.wait(0.1)
    running_calls[7].may_end.set()
    assert last.begun.wait(10)
    assert world.made(1) == [running_calls[7]]
    assert MAX_CALLS == 32


def test_a_receiver_is_called_once_at_a_time_for_each_tenant(
    world: World,
) -> None:
    first = world.begin("host", "flood")
    flood = [quick("host", "flood") for _ in range(50)]
    other_calls = [quick("host", f"t{number}") for number in range(100)]
    for job in (*flood, *other_calls):
        assert world.add(job)
    assert {call.tenant_id for call in world.made(100)} == {
        call.tenant_id for call in other_calls
    }
    first.may_end.set()
    assert world.made(51) == [first, *flood]


def test_of_a_tenant_so_many_calls_are_made_at_once(world: World) -> None:
    running_calls = [
        world.begin(f"r{number}", "busy") for number in range(MAX_OF_TENANT)
    ]
    fifth = quick("r4", "busy")
    assert world.add(fifth)
    world.know("other")
    assert not fifth.begun.is_set()
    running_calls[0].may_end.set()
    assert world.made(2) == [running_calls[0], fifth]
    assert MAX_OF_TENANT == 4


def test_receivers_that_have_not_yet_answered_in_time_count_as_slow(
    world: World,
) -> None:
    world.know("known")
    fresh = [world.begin(f"fresh{number}") for number in range(MAX_SLOW_CALLS)]
    late = quick("late")
    assert world.add(late)
    world.know("known")
    assert not late.begun.is_set()
    fresh[0].may_end.set()
    assert world.made(2) == [fresh[0], late]


def test_receivers_take_turns(world: World) -> None:
    world.know(*(f"r{number}" for number in range(MAX_CALLS)), "a", "b")
    held = [world.begin(f"r{number}") for number in range(MAX_CALLS)]
    waiting = [quick(name) for name in ("a", "a", "a", "b")]
    for job in waiting:
        assert world.add(job)
    held[0].may_end.set()
    assert world.made(5) == [
        held[0],
        waiting[0],
        waiting[3],
        waiting[1],
        waiting[2],
    ]


def test_slow_receivers_together_leave_threads_to_others(world: World) -> None:
    world.know("late", "other")
    slow = [world.begin(f"slow{number}") for number in range(MAX_SLOW_CALLS)]
    late = world.begin("late")
    world.seconds.now += SLOW_SECONDS + 0.1
    late.may_end.set()
    assert world.made(1) == [late]
    again = quick("late")
    assert world.add(again)
    assert world.add(quick("other"))
    assert world.made(1)[0].receiver == "other"
    assert not again.begun.is_set()
    slow[0].may_end.set()
    assert world.made(2) == [slow[0], again]


def test_of_a_slow_receiver_one_call_waits_and_the_others_come_again(
    world: World,
) -> None:
    calling = world.begin("a")
    jobs = [quick("a") for _ in range(4)]
    for job in jobs:
        assert world.add(job)
    assert world.limiter.postponed() == []
    world.seconds.now += 10
    assert world.limiter.postponed() == jobs[:0:-1]
    assert not world.add(quick("a"))
    assert world.add(quick("b"))
    assert world.made(1)[0].receiver == "b"
    calling.may_end.set()
    assert world.made(2) == [calling, jobs[0]]


def test_a_receiver_that_has_been_slow_is_slow_until_it_has_been_quick(
    world: World,
) -> None:
    first = world.begin("a")
    second = quick("a")
    third = quick("a")
    assert world.add(second)
    world.seconds.now += SLOW_SECONDS + 1
    first.may_end.set()
    assert world.made(2) == [first, second]
    assert [world.add(third), world.add(quick("a"))] == [True, True]
    assert len(world.made(2)) == 2


def test_a_queue_has_an_end(world: World) -> None:
    world.begin("a")
    answers = [world.add(quick("a")) for _ in range(MAX_WAITING + 2)]
    assert answers == [True] * MAX_WAITING + [False, False]
