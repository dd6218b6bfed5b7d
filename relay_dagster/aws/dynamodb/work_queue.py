"""The queues of work in DynamoDB: items of one kind, found by when they are due.

A queue stores an item as the codec of its kind does, with two more attributes:
``lease_owner`` and ``lease_until``. Every write is conditional on the revision that was
read, so only one of two workers that take an item gets it. Indexes lag, so an item that
was found by one is read again by its key.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol

from boto3.dynamodb.conditions import Attr

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.expressions import Update, at_revision
from relay_dagster.aws.dynamodb.table import UNREADABLE_AGAIN, Table
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.work.item import (
    LEASE,
    Lease,
    LeaseLostError,
    T,
    WorkItem,
)
from relay_dagster.work.queue import Step

LEASE_OWNER = "lease_owner"
LEASE_UNTIL = "lease_until"
LEASE_ATTRIBUTES = (LEASE_OWNER, LEASE_UNTIL)
_OWNER_BYTES = 16


def due_now(
    table: Table, role: str, key: str, queue: str, name: str, now: datetime
) -> Write:
    """Return the write that makes an item due now, and ends its lease if it has one."""
    due_attributes = {
        schema.DUE_SHARD: schema.due_shard(queue, name),
        schema.DUE_AT: codec.instant_text(now),
    }
    update = Update(
        sets=due_attributes, adds={"revision": 1}, removes=LEASE_ATTRIBUTES
    )
    return table.update(role, key, update)


class ItemChangedError(Exception):
    """Another writer has changed the item since it was read."""


class DueIndex(Protocol):
    """An index that lists a queue's items by when they are due."""

    @property
    def table(self) -> Table:
        """The table of the items."""

    @property
    def sort_attribute(self) -> str:
        """The attribute that the index sorts its rows by."""

    def keys(self, until: datetime, limit: int) -> list[str]:
        """Return up to ``limit`` keys of items due by an instant, longest due first."""

    def sort_value(self, due_at: datetime, key: str) -> str:
        """Return the value of the sort attribute of an item that is due at an instant."""


@dataclass(frozen=True, slots=True)
class DueShards:
    """The due index of the runs table, in which each queue has a partition a shard."""

    table: Table
    queue: str  # the queue's name, with which its partitions begin
    sort_attribute: str = schema.DUE_AT

    def keys(self, until: datetime, limit: int) -> list[str]:
        """Return up to ``limit`` keys of items due by an instant, longest due first."""
        return self.table.due_keys(self.queue, until, limit)

    def sort_value(self, due_at: datetime, key: str) -> str:
        """Return the value of the sort attribute of an item that is due at an instant."""
        return codec.instant_text(due_at)


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of each tenant in what a queue finds due, so that none hides others' items."""

    tenant_of: Callable[[str], str]  # returns the tenant of an item's key
    most: int  # the most items of a tenant that are in hand or found due
    # The most due keys that are searched for items of other tenants.
    searched: int

    def within(
        self, keys: Sequence[str], besides: Collection[str]
    ) -> list[str]:
        """Return the keys that are within their tenants' shares.

        Keys in ``besides`` are left out, and count for the shares.
        """
        counts = Counter(self.tenant_of(key) for key in besides)
        keys_within = []
        for key in keys:
            tenant_id = self.tenant_of(key)
            if key not in besides and counts[tenant_id] < self.most:
                counts[tenant_id] += 1
                keys_within.append(key)
        return keys_within


@dataclass(frozen=True, slots=True, kw_only=True)
class TableQueue(Generic[T]):
    """The stored items of one kind, as a `WorkQueue` for their workers."""

    database: Database
    index: DueIndex  # where those that are due are listed
    role: str  # names the item among the writes of a transaction
    to_item: Callable[[T], codec.Item]  # returns the attributes of a value
    read: Callable[[codec.Item], T]  # returns the value of an item
    # Returns the value of an item that somebody begins to handle.
    begin: Callable[[T], T] = lambda value: value
    # Attributes that may have been written without a new revision.
    always: Collection[str] = ()
    shares: Shares | None = None  # None if no tenant's items are left out
    lease: timedelta = LEASE  # the length of a lease

    def get(self, key: str) -> WorkItem[T] | None:
        """Return an item, read consistently; None if there is none."""
        return self.index.table.read(key, self._read)

    def due(
        self,
        now: datetime,
        limit: int,
        besides: Collection[str] = (),
    ) -> list[WorkItem[T]]:
        """Return up to ``limit`` due items that nobody is at, the longest due first.

        Items with keys in ``besides`` are left out. An item that this release cannot
        read is postponed.
        """
        table = self.index.table
        keys = self._due_keys(now, limit, besides)
        due_items = []
        for item, work_item in table.parse_all(table.items(keys), self._read):
            if work_item is None:
                self._postpone_unreadable(item, now)
            elif work_item.is_due(now):
                due_items.append(work_item)
        return due_items

    def _due_keys(
        self, now: datetime, limit: int, besides: Collection[str]
    ) -> list[str]:
        """Return up to ``limit`` keys of due items, within the share of each tenant."""
        shares = self.shares
        if shares is None:
            keys = self.index.keys(now, limit + len(besides))
            return [key for key in keys if key not in besides][:limit]
        shared_keys: list[str] = []
        # The further search is needed only if a few tenants' items come first.
        for searched_count in (limit + len(besides), shares.searched):
            keys = self.index.keys(now, searched_count)
            shared_keys = shares.within(keys, besides)
            if len(shared_keys) >= limit or len(keys) < searched_count:
                break
        return shared_keys[:limit]

    def take(self, item: WorkItem[T], now: datetime) -> WorkItem[T] | None:
        """Lease an item and return it; None if another writer was faster."""
        owner = secrets.token_hex(_OWNER_BYTES)
        value = self.begin(item.value)
        leased_item = item.leased(owner, value, now, self.lease)
        is_stored = self.index.table.carry_out(self.write(item, leased_item))
        return leased_item if is_stored else None

    def change(
        self,
        item: WorkItem[T],
        step: Step[T],
        also: Sequence[Write] = (),
    ) -> WorkItem[T] | None:
        """Store an item as a step makes it, and return it; None if the step removes it.

        If others have changed the item in the meantime, the step is called again with the
        item as it is stored.

        Raises:
            LeaseLostError: The item was removed, or the step raised it.
            ConditionsFailedError: A condition of ``also`` failed that has no error of
                its own.
        """
        current = item

        def try_once() -> WorkItem[T] | None:
            nonlocal current
            changed = step(current)
            if self._is_stored(current, changed, also):
                return changed
            stored = self.get(item.key)
            if stored is None:
                raise LeaseLostError(item.key)
            if stored == changed:
                return stored  # this very write had arrived, and its answer was lost
            current = stored
            raise ItemChangedError(item.key)

        return self._until_it_holds(try_once, item.key)

    def update(
        self,
        new_item: WorkItem[T],
        rule: Callable[[WorkItem[T]], WorkItem[T] | None],
        also: Sequence[Write] = (),
    ) -> WorkItem[T] | None:
        """Change an item even if another worker has it, and return the changed item.

        None means that the rule changes nothing. ``new_item`` is used if no item is
        stored yet.
        """

        def try_once() -> WorkItem[T] | None:
            current = self.get(new_item.key) or new_item
            changed = rule(current)
            if changed is None or self._is_stored(current, changed, also):
                return changed
            raise ItemChangedError(new_item.key)

        return self._until_it_holds(try_once, new_item.key)

    def write(self, before: WorkItem[T], after: WorkItem[T] | None) -> Write:
        """Return the write that changes or (None) removes an item as it was read.

        Its lease must be as it was read, too: an item that was removed and stored again
        may be at the same revision.
        """
        table = self.index.table
        is_same_lease = None
        if before.lease is not None:
            is_same_lease = Attr(LEASE_OWNER).eq(before.lease.owner)
        if after is None:
            condition = at_revision(before.revision)
            if is_same_lease is not None:
                condition = condition & is_same_lease
            return table.delete(self.role, before.key, condition)
        return table.change(
            self.role,
            self._item(before),
            self._item(after),
            before.revision,
            self.always,
            is_same_lease,
        )

    def _is_stored(
        self,
        before: WorkItem[T],
        after: WorkItem[T] | None,
        also: Sequence[Write],
    ) -> bool:
        """Store an item and return True; return False if another writer was faster."""
        write = self.write(before, after)
        if not also:
            return self.index.table.carry_out(write)
        try:
            self.database.transact(write, *also)
        except ConditionsFailedError as error:
            for further_write in also:
                role = further_write.role
                if role in error.items and further_write.refusal is not None:
                    raise further_write.refusal(error.items[role]) from error
            if self.role not in error.items:
                raise
            return False
        return True

    def _until_it_holds(
        self,
        step: Callable[[], WorkItem[T] | None],
        key: str,
    ) -> WorkItem[T] | None:
        return self.database.until_it_holds(
            step,
            f"change {self.role}",
            key,
            on=ItemChangedError,
        )

    def _read(self, item: codec.Item) -> WorkItem[T]:
        lease = None
        if LEASE_OWNER in item and LEASE_UNTIL in item:
            until = codec.read_instant(item[LEASE_UNTIL]["S"])
            lease = Lease(item[LEASE_OWNER]["S"], until)
        return WorkItem(item[schema.KEY]["S"], self.read(item), lease)

    def _item(self, item: WorkItem[T]) -> codec.Item:
        lease = {}
        if item.lease is not None:
            lease[LEASE_OWNER] = item.lease.owner
            lease[LEASE_UNTIL] = codec.instant_text(item.lease.until)
        return {**self.to_item(item.value), **codec.marshal(lease)}

    def _postpone_unreadable(self, item: codec.Item, now: datetime) -> None:
        key = item[schema.KEY]["S"]
        later = self.index.sort_value(now + UNREADABLE_AGAIN, key)
        self.index.table.postpone(item, self.index.sort_attribute, later)
