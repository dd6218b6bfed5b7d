"""What a worker asks of a queue, and an item in the hands of a worker.

The queue itself is a table's: `aws/dynamodb/work_queue.py`.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol

from relay_dagster.logs import event_log
from relay_dagster.work.item import (
    LeaseLostError,
    T,
    WorkItem,
    scheduled,
)

Step = Callable[[WorkItem[T]], WorkItem[T] | None]
"""Returns an item as it is to be stored; None removes it."""

log = event_log()


class WorkQueue(Protocol[T]):
    """The stored items of one kind."""

    @property
    def lease(self) -> timedelta:
        """The length of a lease."""

    def due(
        self,
        now: datetime,
        limit: int,
        besides: Collection[str] = (),
    ) -> list[WorkItem[T]]:
        """Return up to ``limit`` due items that nobody is at, the longest due first.

        Items with keys in ``besides`` are left out.
        """

    def take(self, item: WorkItem[T], now: datetime) -> WorkItem[T] | None:
        """Lease an item and return it; None if another writer was faster."""

    def change(
        self,
        item: WorkItem[T],
        step: Step[T],
        also: Sequence[Any] = (),
    ) -> WorkItem[T] | None:
        """Store an item as a step makes it, and return it; None if the step removes it.

        If others have changed the item in the meantime, the step is called again with the
        item as it is stored. ``also`` are writes of the same transaction.

        Raises:
            LeaseLostError: The item was removed, or the step raised it.
        """


@dataclass(eq=False)
class LeasedItem(Generic[T]):
    """An item in the hands of a worker, until it is finished or postponed.

    Its methods may be called from several threads.
    """

    queue: WorkQueue[T]  # where it is stored
    item: WorkItem[T]  # the item as it was last written
    clock: Callable[[], datetime]  # tells the time, aware
    # Whether the worker that had the item before did not give its lease back.
    was_abandoned: bool = False
    is_open: bool = True  # False once it is finished, postponed or lost
    is_lost: bool = False  # True once its lease belongs to somebody else
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def key(self) -> str:
        """The item's key."""
        return self.item.key

    @property
    def value(self) -> T:
        """The value as it was last written."""
        return self.item.value

    @property
    def owner(self) -> str:
        """The name of this taking of the item, unlike that of any other."""
        lease = self.item.lease
        return "" if lease is None else lease.owner

    def needs_renewal(self) -> bool:
        """Return True once half of the lease is over."""
        lease = self.item.lease
        return (
            self.is_open
            and lease is not None
            and lease.until <= self.clock() + self.queue.lease / 2
        )

    def renew(self) -> None:
        """Begin the lease again; do nothing if the item is finished.

        Raises:
            LeaseLostError: The lease belongs to somebody else.
        """
        with self._lock:
            if self.is_open:
                self.change(lambda value: value)

    def change(self, rule: Callable[[T], T], also: Sequence[Any] = ()) -> T:
        """Store what a rule makes of the value, begin the lease again, return the value.

        Raises:
            LeaseLostError: The lease belongs to somebody else; nothing was stored.
        """
        with self._lock:
            owner = self.owner

            def step(item: WorkItem[T]) -> WorkItem[T]:
                item.check_owner(owner)
                value = rule(item.value)
                length = self.queue.lease
                return item.leased(owner, value, self.clock(), length)

            self._store(step, also)
            return self.value

    def finish(
        self,
        rule: Callable[[T], T | None],
        also: Sequence[Any] = (),
    ) -> T | None:
        """Store what a rule makes of the value, give the lease back, return the value.

        The item is due again when its value says so. A rule that returns None removes
        the item.

        Raises:
            LeaseLostError: The lease belongs to somebody else; nothing was stored.
        """
        with self._lock:
            owner = self.owner

            def step(item: WorkItem[T]) -> WorkItem[T] | None:
                item.check_owner(owner)
                value = rule(item.value)
                return None if value is None else item.released(value)

            stored = self._store(step, also)
            self.is_open = False
            return None if stored is None else stored.value

    def postpone(self, delay: timedelta, reason: str) -> None:
        """Give the lease back with nothing done; the item is due again after a delay.

        Raises:
            LeaseLostError: The lease belongs to somebody else.
        """
        due_at = self.clock() + delay
        self.finish(lambda value: scheduled(value, due_at))
        log.info(
            "work_postponed",
            key=self.key,
            due_at=str(due_at),
            reason=reason,
        )

    def settle(self) -> None:
        """Note that another transaction has given the lease back."""
        self.is_open = False

    def _store(self, step: Step[T], also: Sequence[Any]) -> WorkItem[T] | None:
        try:
            stored = self.queue.change(self.item, step, also)
        except LeaseLostError:
            self.is_open = False
            self.is_lost = True
            raise
        if stored is not None:
            self.item = stored
        return stored
