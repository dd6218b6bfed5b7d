"""Deletions of tenants to test with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.deletion import Deletion
from relay_dagster.work.queue import LeasedItem


def due_deletions(deletions: DeletionStore, now: datetime) -> list[Deletion]:
    """Return the deletions that are due and that nobody is at, the longest due first."""
    return [item.value for item in deletions.queue.due(now, 100)]


def change_deletion(
    deletions: DeletionStore,
    tenant_id: str,
    rule: Callable[[Deletion], Deletion],
    also: Sequence[Write] = (),
) -> Deletion:
    """Take a deletion, change it as who goes on with it does, and return it."""
    now = deletions.database.clock()
    item = deletions.queue.get(Kind.DELETION.key(tenant_id))
    assert item is not None
    taken_item = deletions.queue.take(item, now)
    assert taken_item is not None
    changed = LeasedItem(deletions.queue, taken_item, lambda: now).finish(
        rule, also
    )
    assert changed is not None
    return changed


def end_deletion(
    deletions: DeletionStore, tenant_id: str, version: int
) -> Deletion:
    """Let a tenant be gone whose data are removed."""
    now = deletions.database.clock()
    deletion = deletions.get(tenant_id)
    assert deletion is not None
    writes = deletions.end_writes(rules.done(deletion, now), version)
    return change_deletion(
        deletions, tenant_id, lambda each: rules.done(each, now), writes
    )
