"""One loop over items that are due, and the deadline of the tick that handles them.

An item that fails is reported and put off by its owner; the others do not wait for it. Items that a
tick does not come to stay due, and are the longest due of the next tick.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Self, TypeVar

TICK_SECONDS = 20.0
"""The time of a tick over items that are due."""

AFTER_A_FAULT = timedelta(seconds=30)
"""An item that could not be handled is due again after that; others go first."""

WAIT_SECONDS = 5.0
"""The wait of a tick that has found nothing, before it asks again."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of a monotonic clock, after which nothing new is begun."""

    at: float
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def after(
        cls, seconds: float, monotonic: Callable[[], float] = time.monotonic
    ) -> Self:
        """Return the deadline that is so many seconds from now."""
        return cls(monotonic() + seconds, monotonic)

    def has_passed(self) -> bool:
        """Return whether the time is up."""
        return self.monotonic() > self.at


def drain(
    items: Iterable[_Item],
    handle: Callable[[_Item], _Result],
    on_fault: Callable[[_Item, Exception], object],
    *,
    deadline: Deadline | None = None,
    threads: int = 1,
) -> list[_Result | None]:
    """Handle items, the longest due first; return the result of each begun, None of each failed.

    After the deadline none is begun, except the first. With more than one thread all are handled,
    side by side. ``on_fault`` reports an item that could not be handled, and puts it off; its own
    first fault is raised once all items have been handled.
    """
    faults: list[Exception] = []

    def handle_one(item: _Item) -> _Result | None:
        try:
            return handle(item)
        except Exception as error:  # noqa: BLE001 - the other items must not wait for this one
            try:
                on_fault(item, error)
            except Exception as fault:  # noqa: BLE001 - raised below
                faults.append(fault)
        return None

    results: list[_Result | None] = []
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            results = list(pool.map(handle_one, items))
    else:
        for item in items:
            results.append(handle_one(item))
            if deadline is not None and deadline.has_passed():
                break
    if faults:
        raise faults[0]
    return results


def fail(_: object, error: Exception) -> None:
    """Put nothing off: the loop fails by the fault, once all items have been handled."""
    raise error


def wait_for_due(
    handle: Callable[[], _Result],
    seconds: float,
    *,
    every: float = WAIT_SECONDS,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> _Result:
    """Call ``handle`` every few seconds until it has done something or the time is up."""
    deadline = Deadline.after(seconds, monotonic)
    while not (done := handle()) and not deadline.has_passed():
        sleep(every)
    return done
