"""Slots for checks and explanations: keys first, and suppliers within a minute all the same."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from relay_core.sandbox import BusyError
from relay_dagster.http.engine_tasks import TaskSlots
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from support.api_world import TENANT

PATIENCE = 30
# A hundredth of the times of the API: a minute is 0.6 s.
SCALED = replace(
    DEFAULT_API_LIMITS, task_seconds=0.1, link_check_patience_seconds=0.1
)
TEN_MINUTES = replace(DEFAULT_API_LIMITS, link_check_patience_seconds=600)


class Supplier:
    """A supplier of a tenant who checks a file in a thread of its own."""

    def __init__(
        self, slots: TaskSlots, tenant_id: str, seconds: float = 0
    ) -> None:
        self.outcome = ""
        self._slots = slots
        self._tenant_id = tenant_id
        self._seconds = seconds
        self._thread = threading.Thread(target=self._check)
        self._thread.start()

    def _check(self) -> None:
        try:
            with self._slots.take_behind_keys(self._tenant_id):
                time.sleep(self._seconds)
                self.outcome = "checked"
        except BusyError:
            self.outcome = "busy"

    def end(self) -> str:
        """Return what became of the check, once it is over."""
        self._thread.join(PATIENCE)
        return self.outcome


def wait_for_waiting(slots: TaskSlots, count: int) -> None:
    """Wait until so many suppliers wait."""
    deadline = time.monotonic() + PATIENCE
    while len(slots._waiting) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    assert len(slots._waiting) == count


def test_a_supplier_s_check_waits_behind_those_of_keys() -> None:
    slots = TaskSlots(TEN_MINUTES)
    with slots.take("one"):
        supplier = Supplier(slots, TENANT)
        wait_for_waiting(slots, 1)
        with slots.take("two"):
            pass
        assert supplier.outcome == ""
    assert supplier.end() == "checked"


def test_a_supplier_s_check_leaves_a_slot_and_its_tenant_s_turn() -> None:
    slots = TaskSlots()
    with (
        slots.take_behind_keys(TENANT),
        slots.take(TENANT),
        pytest.raises(BusyError),
        slots.take("another"),
    ):
        pass


def test_one_supplier_a_tenant_waits_and_few_of_all() -> None:
    limits = replace(TEN_MINUTES, link_checks_waiting=2)
    slots = TaskSlots(limits)
    with slots.take("one"):
        first = Supplier(slots, TENANT)
        wait_for_waiting(slots, 1)
        assert Supplier(slots, TENANT).end() == "busy"
        second = Supplier(slots, "another")
        wait_for_waiting(slots, 2)
        assert Supplier(slots, "a third").end() == "busy"
    assert {first.end(), second.end()} == {"checked"}


def test_after_a_while_the_next_slot_is_the_supplier_s() -> None:
    slots = TaskSlots(replace(SCALED, task_seconds=PATIENCE))
    with ExitStack() as first, slots.take("two"):
        first.enter_context(slots.take("one"))
        supplier = Supplier(slots, TENANT, seconds=0.2)
        wait_for_waiting(slots, 1)
        time.sleep(2 * SCALED.link_check_patience_seconds)
        first.close()
        with pytest.raises(BusyError), slots.take("one"):
            pytest.fail("the slot is the supplier's")
        assert supplier.end() == "checked"
        with slots.take("one"):
            pass


def test_nobody_waits_for_ever() -> None:
    slots = TaskSlots(SCALED)
    with slots.take("one"), slots.take("two"):
        assert Supplier(slots, TENANT).end() == "busy"
    with slots.take_behind_keys(TENANT):
        pass


def test_suppliers_check_beside_tenants_that_check_without_a_pause() -> None:
    slots = TaskSlots(SCALED)
    is_over = threading.Event()

    def check_on_and_on(tenant_id: str) -> None:
        while not is_over.is_set():
            try:
                with slots.take(tenant_id):
                    time.sleep(0.05)
            except BusyError:
                time.sleep(0.001)

    tenants = [
        threading.Thread(target=check_on_and_on, args=(f"busy-{number}",))
        for number in range(4)
    ]
    for thread in tenants:
        thread.start()
    try:
        suppliers = [
            Supplier(slots, f"tenant-{number}", seconds=0.05)
            for number in range(4)
        ]
        outcomes = [supplier.end() for supplier in suppliers]
    finally:
        is_over.set()
        for thread in tenants:
            thread.join()
    # Those that do not begin within a minute of the API are told that it is busy.
    assert outcomes == ["checked"] * 4
