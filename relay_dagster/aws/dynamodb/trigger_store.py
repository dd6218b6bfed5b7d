"""Tenants' triggers and their vendors' pulls in the runs table, found by when they are due.

Their items stand in the due index, beside the runs: in queues of their own. A run takes
what it is for in the transaction of its record: ``RunStore.commit``. Pulls change by the rules of
``relay_dagster/triggers/pulls.py``, on condition that nobody else has changed them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    Codec,
    Item,
    instant_text,
    marshal,
    unmarshal,
)
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.expressions import Update
from relay_dagster.aws.dynamodb.schema import Kind, due_shard
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.triggers.pulls import PullState
from relay_dagster.triggers.rules import TriggerQueue, TriggerState

_TRIGGERS = Codec(kind=TriggerState)
_EVER = datetime(9999, 1, 1, tzinfo=UTC)
_PULLS = Codec(kind=PullState)


@dataclass(frozen=True, slots=True)
class TriggerStore:
    """The states of tenants' triggers."""

    database: Database

    def get(self, tenant_id: str) -> TriggerState:
        """Return a tenant's triggers, read consistently."""
        found = self.database.runs.read(Kind.TRIGGER.key(tenant_id), _to_state)
        return found or TriggerState(tenant_id=tenant_id)

    def put(self, before: TriggerState, after: TriggerState) -> TriggerState | None:
        """Write triggers down, and return them; None where they are not as they were read."""
        write = trigger_change(self.database.runs, before, after)
        return _written(before, after) if self.database.runs.carry_out(write) else None

    def due(
        self, queue: TriggerQueue, until: datetime, limit: int
    ) -> list[TriggerState]:
        """Return triggers that are due up to an instant, the longest due first."""
        return self.database.runs.read_due(queue, until, limit, _to_state)

    def scheduled(self) -> Iterator[TriggerState]:
        """Yield the triggers of all tenants that have a schedule."""
        table = self.database.runs
        keys = [key for queue in TriggerQueue for key in table.due_keys(queue, _EVER)]
        return (
            each
            for each in table.read_all(keys, _to_state)
            if each.next_run_at is not None
        )


def trigger_change(table: Table, before: TriggerState, after: TriggerState) -> Write:
    """Return the write that changes a tenant's triggers, if they are as they were read."""
    items = _to_item(before), _to_item(_written(before, after))
    return table.change("trigger", *items, before.revision, always=_TRIGGERS.names)


def triggers_due_now(table: Table, tenant_id: str, now: datetime) -> Write:
    """Return the write by which a tenant's triggers are due: its config has changed."""
    due_now = {
        schema.DUE_SHARD: due_shard(TriggerQueue.DUE, tenant_id),
        schema.DUE_AT: instant_text(now),
    }
    update = Update(sets=due_now, adds={"revision": 1})
    return table.update("trigger", Kind.TRIGGER.key(tenant_id), update)


def _written(before: TriggerState, after: TriggerState) -> TriggerState:
    return replace(after, revision=before.revision + 1)


def _to_item(state: TriggerState) -> Item:
    place = None if state.due_at is None else due_shard(state.queue, state.tenant_id)
    return _TRIGGERS.item(
        Kind.TRIGGER.key(state.tenant_id), state, **{schema.DUE_SHARD: place}
    )


def _to_state(item: Mapping[str, Any]) -> TriggerState:
    # One that has only been made due knows no more than whose it is, by its key.
    tenant_id = Kind.TRIGGER.name_in(unmarshal(item))
    return _TRIGGERS.read({**marshal({"tenant_id": tenant_id}), **item})
