"""Turns by tenant, then by host."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from relay_dagster.work.tenant_limiter import (
    MAX_OF_TENANT,
    MAX_TRANSFERS,
    MAX_WAITING_OF_TENANT,
    TenantLimiter,
)
from support.fakes import Seconds

SECONDS = 10


class Transfer:
    """A call that tells when it has begun, and ends when it is let."""

    def __init__(self, tenant_id: str, host: str) -> None:
        self.tenant_id = tenant_id
        self.host = host
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        assert self.may_end.wait(30)


class World:
    def __init__(self) -> None:
        self.seconds = Seconds()
        self.limiter = TenantLimiter(monotonic=self.seconds)
        self.transfers: list[Transfer] = []

    def add(self, tenant_id: str, host: str) -> Transfer:
        transfer = Transfer(tenant_id, host)
        self.transfers.append(transfer)
        assert self.limiter.submit(transfer, tenant_id, host)
        return transfer

    def begun(self) -> list[Transfer]:
        return [
            transfer for transfer in self.transfers if transfer.begun.is_set()
        ]

    def end(self, transfer: Transfer) -> None:
        transfer.may_end.set()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for transfer in world.transfers:
        transfer.may_end.set()


def test_a_host_is_called_once_at_a_time_for_each_tenant(world: World) -> None:
    first = world.add("acme", "files")
    second = world.add("acme", "files")
    other_transfer = world.add("beta", "files")
    assert first.begun.wait(SECONDS)
    assert other_transfer.begun.wait(SECONDS)
    assert not second.begun.is_set()
    world.end(first)
    assert second.begun.wait(SECONDS)


def test_a_tenant_alone_has_four_transfers_and_all_tenants_eight(
    world: World,
) -> None:
    mine = [world.add("acme", f"h{number}") for number in range(6)]
    for transfer in mine[:MAX_OF_TENANT]:
        assert transfer.begun.wait(SECONDS)
    other_transfers = [world.add(f"t{number}", "h") for number in range(6)]
    for transfer in other_transfers[: MAX_TRANSFERS - MAX_OF_TENANT]:
        assert transfer.begun.wait(SECONDS)
    assert len(world.begun()) == MAX_TRANSFERS == 8
    assert MAX_OF_TENANT == 4


def test_while_another_tenant_waits_no_second_transfer_of_a_tenant_begins(
    world: World,
) -> None:
    flood = [
        world.add(tenant_id, f"host-{number}")
        for tenant_id in ("drip-1", "drip-2")
        for number in range(20)
    ]
    late = [world.add(f"late-{number}", "host") for number in range(2)]
    under_way = world.begun()
    assert len(under_way) == MAX_TRANSFERS
    for number, transfer in enumerate(late):
        world.end(under_way[number])
        assert transfer.begun.wait(SECONDS)
    # Each of the two that flood had one more turn only when nobody else waited.
    assert len([transfer for transfer in flood if transfer.begun.is_set()]) == 8


def test_hosts_of_a_tenant_take_turns(world: World) -> None:
    blockers = [world.add("acme", f"b{number}") for number in range(4)]
    slow = [world.add("acme", "slow") for _ in range(3)]
    other_transfer = world.add("acme", "other")
    world.end(blockers[0])
    assert slow[0].begun.wait(SECONDS)
    world.end(slow[0])
    assert other_transfer.begun.wait(SECONDS)
    assert not slow[1].begun.is_set()


def test_the_calls_of_a_tenant_that_wait_are_limited(world: World) -> None:
    for number in range(MAX_WAITING_OF_TENANT + MAX_OF_TENANT):
        world.add("acme", f"h{number}")
    assert not world.limiter.submit(lambda: None, "acme", "more")
    assert world.limiter.submit(lambda: None, "beta", "more")


def test_the_longest_wait_is_that_of_a_tenant_without_a_transfer(
    world: World,
) -> None:
    for tenant_id in ("one", "two"):
        for number in range(5):
            world.add(tenant_id, f"h{number}")
    world.seconds.now += 100
    assert world.limiter.longest_wait() == 0
    late = world.add("late", "h")
    world.seconds.now += 7
    assert world.limiter.longest_wait() == 7
    world.end(world.begun()[0])
    assert late.begun.wait(SECONDS)
    assert world.limiter.longest_wait() == 0


def test_a_limiter_that_is_closed_begins_nothing_more(world: World) -> None:
    first = world.add("acme", "files")
    second = world.add("acme", "files")
    assert first.begun.wait(SECONDS)
    threading.Timer(0.05, first.may_end.set).start()
    world.limiter.close(SECONDS)
    assert first.may_end.is_set()
    assert not second.begun.is_set()
