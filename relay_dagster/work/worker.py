"""Handles the items of one queue that are due: takes each, handles it, renews its lease.

A worker lives as long as it has items in hand, which may be longer than a tick. A
process that dies loses nothing: its leases run out, and another worker takes its items.
An item whose handling fails is reported and postponed, and holds up no other.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Generic, TypeVar

from relay_dagster.drain import AFTER_A_FAULT, Deadline, drain
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.work.item import LeaseLostError, T, WorkItem
from relay_dagster.work.queue import LeasedItem, WorkQueue
from relay_dagster.work.tenant_limiter import TenantLimiter

R = TypeVar("R")
RENEWALS_AT_ONCE = 8
_POLL_SECONDS = 0.02

log = event_log()


@dataclass(slots=True)
class Summary(Generic[R]):
    """The outcome of a worker's run."""

    results: list[R] = field(default_factory=list)  # one for each handled item
    due_count: int = 0  # the number of items that were due


@dataclass(frozen=True, slots=True)
class Turns(Generic[T]):
    """The limiter at which items wait for their turn, each of a tenant and at a host."""

    limiter: TenantLimiter
    # Returns the tenant and the host that an item waits for.
    host_of: Callable[[T], tuple[str, str]]


@dataclass(eq=False, kw_only=True)
class Worker(Generic[T, R]):
    """Handles the items of one queue.

    An item is taken just before it is handled. Without turns, a run handles the items
    itself, ``threads`` at a time. With turns, a run lets the items wait for their turns
    and ends: the limiter's threads take and handle them.

    An item that its handler neither finishes nor postpones stays in hand, and every run
    renews its lease.
    """

    queue: WorkQueue[T]  # where the items are
    # Does an item's work, and finishes it
    handle: Callable[[LeasedItem[T]], R | None]
    on_fault: Callable[[T, Exception], object]  # reports an item that failed
    # Reads what the items of a page share, before any of them is taken.
    prepare: Callable[[Sequence[T]], object] = lambda _: None
    turns: Turns[T] | None = None
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    page_size: int = 100  # the most items of one query
    max_in_hand: int = 1000  # the most items that are waiting or being handled
    threads: int = 1  # the number of items that a run handles at once
    retry_after: timedelta = AFTER_A_FAULT  # the delay of an item that failed

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        # By key; None for an item that waits for its turn.
        self._in_hand: dict[str, LeasedItem[T] | None] = {}

    @property
    def in_hand(self) -> int:
        """The number of items that are waiting or being handled."""
        return len(self._in_hand)

    def run(self, deadline: Deadline) -> Summary[R]:
        """Handle due items, page by page, until none is left or the time is up."""
        summary = Summary[R]()
        is_more = True
        while is_more:
            page = self.run_page(deadline)
            summary.results += page.results
            summary.due_count += page.due_count
            is_more = (
                page.due_count == self.page_size and not deadline.has_passed()
            )
        return summary

    def run_page(self, deadline: Deadline | None = None) -> Summary[R]:
        """Renew the leases in hand, and handle one page of due items.

        After the deadline no item is begun, except the first of the page.
        """
        if self.turns is None:
            self._forget_closed()
        self._renew()
        room = min(self.page_size, self.max_in_hand - len(self._in_hand))
        if room <= 0:
            return Summary()
        items = self.queue.due(self.clock(), room, set(self._in_hand))
        if items:
            self.prepare([item.value for item in items])
        if self.turns is not None:
            for item in items:
                self._wait_for_turn(self.turns, item)
            return Summary(due_count=len(items))
        results = drain(
            items,
            self._take_and_handle,
            self._report,
            deadline=deadline,
            threads=min(self.threads, len(items)),
        )
        handled_results = [result for result in results if result is not None]
        return Summary(handled_results, due_count=len(items))

    def handle_now(self, item: WorkItem[T]) -> R | None:
        """Take and handle one item; return None if another worker is at it or it fails."""
        (result,) = drain([item], self._take_and_handle, self._report)
        return result

    def wait(self, seconds: float) -> None:
        """Wait until nothing is in hand, but at most some seconds."""
        deadline = Deadline.after(seconds)
        while self._in_hand and not deadline.has_passed():
            time.sleep(_POLL_SECONDS)

    def _wait_for_turn(self, turns: Turns[T], item: WorkItem[T]) -> None:
        self._in_hand[item.key] = None
        tenant_id, host = turns.host_of(item.value)
        call = partial(self._have_turn, item)
        if not turns.limiter.submit(call, tenant_id, host):
            del self._in_hand[item.key]

    def _have_turn(self, item: WorkItem[T]) -> None:
        """Take and handle an item on a thread of the limiter; raise nothing."""
        try:
            self.handle_now(item)
        except Exception as error:  # noqa: BLE001 - the item is due again by itself
            log.warning("work_not_postponed", key=item.key, error=repr(error))
        finally:
            self._in_hand.pop(item.key, None)

    def _take_and_handle(self, item: WorkItem[T]) -> R | None:
        was_abandoned = item.lease is not None
        leased_item = self.queue.take(item, self.clock())
        if leased_item is None:
            return None
        leased = LeasedItem(self.queue, leased_item, self.clock, was_abandoned)
        self._in_hand[item.key] = leased
        try:
            return self.handle(leased)
        except LeaseLostError:
            log.info("work_lost", key=item.key)
            return None

    def _report(self, item: WorkItem[T], error: Exception) -> None:
        """Report an item that failed, and postpone it."""
        self.on_fault(item.value, error)
        leased = self._in_hand.get(item.key)
        if leased is None or not leased.is_open:
            return
        with suppress(LeaseLostError):
            leased.postpone(self.retry_after, str(error))

    def _forget_closed(self) -> None:
        for key, leased in list(self._in_hand.items()):
            if leased is not None and not leased.is_open:
                self._in_hand.pop(key, None)

    def _renew(self) -> None:
        """Renew the leases that are half over."""
        ending = [
            leased
            for leased in list(self._in_hand.values())
            if leased is not None and leased.needs_renewal()
        ]
        threads = min(RENEWALS_AT_ONCE, len(ending))
        drain(ending, self._renew_one, self._report_renewal, threads=threads)

    def _renew_one(self, leased: LeasedItem[T]) -> None:
        try:
            leased.renew()
        except LeaseLostError:
            log.info("work_lost", key=leased.key)

    def _report_renewal(self, leased: LeasedItem[T], error: Exception) -> None:
        """Report a lease that could not be renewed; it is tried again in the next run."""
        self.on_fault(leased.value, error)
