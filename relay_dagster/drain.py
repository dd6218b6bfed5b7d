"""One loop over things that are due, and the deadline of the tick that handles them.

A thing that fails is reported and postponed by its owner, and the others do not wait for
it. Things that a tick does not come to stay due, and are the longest due of the next
tick.
"""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
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


@dataclass(eq=False)
class BackgroundCheck:
    """A check for due things on a thread of its own, one at a time.

    A tick waits for it only so long, however slowly the tables answer.
    """

    check: Callable[[], object]
    wait_seconds: float  # the longest that a tick waits for a check

    def __post_init__(self) -> None:
        """Begin with no check."""
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="check")
        self._current: Future[object] | None = None  # the check in progress
        self._turn = threading.Lock()

    def run(self) -> None:
        """Begin a check unless one is in progress, and wait for it.

        Raises:
            Exception: What the check raised, if it ended in time.
        """
        if not self._turn.acquire(blocking=False):
            return
        try:
            current = self._current or self._threads.submit(self.check)
            self._current = current
            wait([current], self.wait_seconds)
            if current.done():
                self._current = None
                current.result()
        finally:
            self._turn.release()

    def wait(self, seconds: float) -> None:
        """Wait until the check in progress is over, but at most some seconds."""
        current = self._current
        if current is not None:
            wait([current], seconds)
