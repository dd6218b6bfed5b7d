"""One item of work: a stored value that falls due, and the lease of even if another worker has it.

The module is pure: it has the rules of leases and knows no table and no clock. What an
item is about, and when it is due next, is decided by the rules of its kind
(`webhooks/webhook_schedule.py`, `triggers/pulls.py`, ...), which know no leases.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, Protocol, Self, TypeVar, cast

LEASE = timedelta(minutes=1)
"""The length of a lease, unless its queue has another. Its owner renews it once half of
it is over, so a lease that has run out belongs to a process that died."""


class LeaseLostError(Exception):
    """The item's lease belongs to another worker, or the item was removed."""


class Schedulable(Protocol):
    """A frozen dataclass that a queue can store."""

    @property
    def due_at(self) -> datetime | None:
        """When the value wants to be handled next; None for never."""

    @property
    def revision(self) -> int:
        """The number of times that the stored value was written; 0 before the first."""


T = TypeVar("T", bound=Schedulable)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to be the only one that handles an item."""

    owner: str  # the name of this taking of the item, unlike that of any other
    until: datetime  # when it runs out, unless it is renewed


@dataclass(frozen=True, slots=True)
class WorkItem(Generic[T]):
    """A value as it is stored, with the lease of even if another worker has it.

    A leased item is due when its lease runs out, so nobody finds it before that unless
    somebody changes it. Every method returns the item of the next revision.
    """

    key: str
    value: T
    lease: Lease | None = None

    @property
    def due_at(self) -> datetime | None:
        """When the item is due: the value's own time, or the end of the lease."""
        return self.value.due_at

    @property
    def revision(self) -> int:
        """The number of times that the item was written; 0 before the first."""
        return self.value.revision

    def is_due(self, now: datetime) -> bool:
        """Return True if the item is due and nobody is at it."""
        is_free = self.lease is None or self.lease.until <= now
        return is_free and self.due_at is not None and self.due_at <= now

    def leased(
        self,
        owner: str,
        value: T,
        now: datetime,
        length: timedelta = LEASE,
    ) -> Self:
        """Return the item with another value and a lease of an owner that begins now."""
        return self._next(value, Lease(owner, now + length))

    def changed(self, value: T) -> Self:
        """Return the item with another value, set by a process without the lease.

        The lease's owner keeps it, and the item is not due before the lease ends.
        """
        return self._next(value, self.lease)

    def released(self, value: T) -> Self:
        """Return the item with another value and no lease, due when the value says."""
        return self._next(value, None)

    def check_owner(self, owner: str) -> None:
        """Check that the lease belongs to an owner.

        Raises:
            LeaseLostError: It does not.
        """
        if self.lease is None or self.lease.owner != owner:
            raise LeaseLostError(self.key)

    def _next(self, value: T, lease: Lease | None) -> Self:
        due_at = value.due_at if lease is None else lease.until
        return replace(
            self,
            value=scheduled(value, due_at, self.revision + 1),
            lease=lease,
        )


def scheduled(
    value: T,
    due_at: datetime | None,
    revision: int | None = None,
) -> T:
    """Return a value with another due time, and with a revision if one is given."""
    changes: dict[str, Any] = {"due_at": due_at}
    if revision is not None:
        changes["revision"] = revision
    # A protocol cannot say that its values are dataclasses.
    return cast(T, replace(cast(Any, value), **changes))
