"""The limits that all transfers of a process share."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from relay_dagster.transfers.allowance import CallError, CallStoppedError, Pace
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.work.tenant_limiter import TenantLimiter
from support.fakes import Seconds


def test_a_transfer_has_a_tenth_more_than_the_file_and_a_mebibyte() -> None:
    with TransferRoom().transfer(100 << 20) as allowance:
        allowance.count_bytes((110 << 20) + (1 << 20))
        with pytest.raises(CallError, match="104,857,600 bytes, which is"):
            allowance.count_bytes(1)
    assert (allowance.seconds, allowance.pace) == (900, Pace())


def test_the_slowest_transfer_ends_if_a_tenant_without_one_waits_too_long() -> (
    None
):
    clock = Seconds()
    limiter = TenantLimiter(at_once=1, monotonic=clock)
    room = TransferRoom(pace=Pace(first_seconds=0), limiter=limiter)
    may_end = threading.Event()
    assert limiter.submit(lambda: may_end.wait(30) and None, "acme", "a")
    assert limiter.submit(lambda: None, "beta", "b")
    with ExitStack() as stack:
        fast, slow = (
            stack.enter_context(room.transfer(1 << 20)) for _ in range(2)
        )
        fast.count_bytes(1000)
        clock.now += 900
        room.tend()
        assert (fast.has_ended, slow.has_ended) == (False, False)
        clock.now += 1
        room.tend()
        room.tend()
        assert (fast.has_ended, slow.has_ended) == (False, True)
        with pytest.raises(CallError, match="because other tenants waited"):
            slow.seconds_left()
    may_end.set()


def test_a_room_that_is_stopped_breaks_off_what_is_under_way() -> None:
    room = TransferRoom()
    with room.transfer(1) as allowance:
        room.stop(1.0)
        with pytest.raises(CallStoppedError):
            allowance.seconds_left()
    with pytest.raises(CallStoppedError), room.transfer(1):
        pass
