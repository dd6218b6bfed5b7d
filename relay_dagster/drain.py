"""One loop over things that are due, and the deadline of the tick that handles them.

A thing that fails is reported and postponed by its owner, and the others do not wait for
it. Things that a tick does not come to stay due, and are the longest due of the next
tick.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Self, TypeVar

TICK_SECONDS = 20.0
"""The length of a tick that handles due items."""

AFTER_A_FAULT = timedelta(seconds=30)
"""The delay of a thing that could not be handled; others go first."""

WAIT_SECONDS = 5.0
"""The pause of a tick that has found nothing, before it asks again."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Deadline:
    """An instant of a monotonic clock, after which nothing new is begun."""

    at: float
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def after(
        cls,
        seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Return the deadline that is a number of seconds from now."""
        return cls(monotonic() + seconds, monotonic)

    def has_passed(self) -> bool:
        """Return True if the time is up."""
        return self.monotonic() > self.at


def drain(
    items: Iterable[_Item],
    handle: Callable[[_Item], _Result],
    on_fault: Callable[[_Item, Exception], object],
    *,
    deadline: Deadline | None = None,
    threads: int = 1,
) -> list[_Result | None]:
    """Handle items in their order, and return their results, None for an item that failed.

    After the deadline no item is begun, except the first, and the results of the others
    are missing. With more than one thread, all items are handled, several at once.
    ``on_fault`` reports an item that failed, and postpones it.

    Raises:
        Exception: The first error that ``on_fault`` raised, once all items are handled.
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
    """Postpone nothing, but let the loop fail once all items are handled."""
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
    result = handle()
    while not result and not deadline.has_passed():
        sleep(every)
        result = handle()
    return result
