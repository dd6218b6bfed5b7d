"""Stores tenants' triggers in the runs table, as ``TRIGGER#<tenant_id>``.

They are found by when they are due, in queues beside those of the runs. A run takes what
it is for in the transaction of its record: ``RunStore.commit``. Every other change takes
the lease from the process that is checking the triggers, because a check of triggers
that have changed in the meantime is void.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, due_shard
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.work_queue import (
    LEASE_ATTRIBUTES,
    DueShards,
    TableQueue,
    due_now,
)
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.triggers.rules import TriggerQueue, TriggerState
from relay_dagster.work.item import WorkItem

TRIGGER_LEASE = timedelta(seconds=3)
"""The length of a trigger's lease. A check takes less, and a due run starts within 10 s
even if the process that began the check died: sensors look every 5 s."""
_TRIGGERS = codec.Codec(kind=TriggerState)
_EVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TriggerStore:
    """The triggers of all tenants."""

    database: Database

    def queue(self, name: TriggerQueue) -> TableQueue[TriggerState]:
        """Return the triggers that are to be checked, of one queue."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, name),
            role="trigger",
            to_item=_to_item,
            read=_to_state,
            # An item that was only made due lacks all other attributes.
            always=_TRIGGERS.names,
            lease=TRIGGER_LEASE,
        )

    def get(self, tenant_id: str) -> TriggerState:
        """Return a tenant's triggers, read consistently."""
        state = self.database.runs.read(Kind.TRIGGER.key(tenant_id), _to_state)
        return state or TriggerState(tenant_id=tenant_id)

    def update(
        self,
        tenant_id: str,
        rule: Callable[[TriggerState], TriggerState | None],
    ) -> WorkItem[TriggerState] | None:
        """Change a tenant's triggers by a rule and return them; None if they stay.

        The rule is applied again if somebody else has changed them in the meantime.
        """
        key = Kind.TRIGGER.key(tenant_id)
        new_item = WorkItem(key, TriggerState(tenant_id=tenant_id))

        def change(
            item: WorkItem[TriggerState],
        ) -> WorkItem[TriggerState] | None:
            state = rule(item.value)
            return None if state is None else item.released(state)

        return self.queue(TriggerQueue.DUE).update(new_item, change)

    def scheduled(self) -> Iterator[TriggerState]:
        """Yield the triggers of all tenants that have a schedule."""
        table = self.database.runs
        keys = []
        for queue in TriggerQueue:
            keys += table.due_keys(queue, _EVER)
        for state in table.read_all(keys, _to_state):
            if state.next_run_at is not None:
                yield state


def trigger_change(
    table: Table,
    before: TriggerState,
    after: TriggerState,
) -> Write:
    """Return the write that changes a tenant's triggers as they were read."""
    after = replace(after, revision=before.revision + 1)
    return table.change(
        "trigger",
        _to_item(before),
        _to_item(after),
        before.revision,
        always=[*_TRIGGERS.names, *LEASE_ATTRIBUTES],
    )


def triggers_due_now(table: Table, tenant_id: str, now: datetime) -> Write:
    """Return the write by which a tenant's triggers are due: its config has changed."""
    key = Kind.TRIGGER.key(tenant_id)
    return due_now(table, "trigger", key, TriggerQueue.DUE, tenant_id, now)


def _to_item(state: TriggerState) -> codec.Item:
    plain = {}
    if state.due_at is not None:
        plain[schema.DUE_SHARD] = due_shard(state.queue, state.tenant_id)
    return _TRIGGERS.item(Kind.TRIGGER.key(state.tenant_id), state, **plain)


def _to_state(item: codec.Item) -> TriggerState:
    # An item that was only made due has its tenant only in its key.
    tenant_id = Kind.TRIGGER.name_in(codec.unmarshal(item))
    return _TRIGGERS.read({**codec.marshal({"tenant_id": tenant_id}), **item})
