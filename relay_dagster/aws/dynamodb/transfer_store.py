"""Stores transfers in the runs table, and which tenants' transfers are to be planned.

A pull is ``PULL#<tenant_id>#<name>``, by the name of its input. A tenant whose config has
changed has an item ``PULLPLAN#<tenant_id>`` until its pulls were compared with the
config.

A delivery is ``DELIVERY#<tenant_id>#<delivery_id>``. A publication stores the item
``DELIVERYPLAN#<tenant_id>`` in its own transaction, and the item stays until the
tenant's deliveries are due.

All are found by when they are due, in queues of their own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from relay_core.domain.input_names import ids_of
from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, Partition, due_shard
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.work_queue import (
    LEASE_OWNER,
    DueShards,
    Shares,
    TableQueue,
    due_now,
)
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.deliveries import sending
from relay_dagster.deliveries.model import DeliveryPlan, DeliveryState
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.triggers import pulls
from relay_dagster.triggers.pulls import PullPlan, PullState
from relay_dagster.work.item import Schedulable, WorkItem, scheduled

MAX_SEARCHED = 20_000


class OfTenant(Schedulable, Protocol):
    """A value of a tenant that a queue can store."""

    @property
    def tenant_id(self) -> str:
        """The tenant."""


State = TypeVar("State", bound=OfTenant)
Plan = TypeVar("Plan", bound=OfTenant)


@dataclass(frozen=True, slots=True)
class TransferKind(Generic[State, Plan]):
    """How the transfers of one kind are stored."""

    queue: str  # the queue of transfers that are due, and their role in transactions
    plan_queue: str  # the same of tenants whose transfers are to be planned
    key: Kind  # of a transfer: tenant and name
    plan_key: Kind  # of a tenant whose transfers are to be planned
    listed_key: Kind  # lists a tenant's transfers
    state_codec: codec.Codec[State]
    plan_codec: codec.Codec[Plan]
    name_of: Callable[[State], str]  # returns the name of a transfer
    new: Callable[[str, str], State]  # makes a tenant's transfer by its name
    # Returns a transfer that somebody begins to handle.
    begun: Callable[[State], State]
    # The most transfers of a tenant that a process has in hand, also due ones that wait
    max_of_tenant: int

    def planned_now(
        self,
        table: Table,
        tenant_id: str,
        now: datetime,
    ) -> Write:
        """Return the write by which a tenant's transfers are planned.

        A process that plans them by earlier facts loses the lease.
        """
        key = self.plan_key.key(tenant_id)
        return due_now(
            table, self.plan_queue, key, self.plan_queue, tenant_id, now
        )

    def item(self, state: State) -> codec.Item:
        """Return the item of a transfer."""
        name = self.name_of(state)
        plain: dict[str, Any] = {
            schema.LISTED_TENANT: self.listed_key.key(state.tenant_id),
            schema.REQUESTED_KEY: name,
        }
        if state.due_at is not None:
            shard = due_shard(self.queue, f"{state.tenant_id}#{name}")
            plain[schema.DUE_SHARD] = shard
        key = self.key.key(state.tenant_id, name)
        return self.state_codec.item(key, state, **plain)

    def read_shown(self, item: codec.Item) -> State:
        """Return the transfer of an item; one in progress is due at None."""
        state = self.state_codec.read(item)
        return scheduled(state, None) if LEASE_OWNER in item else state

    def plan_item(self, plan: Plan) -> codec.Item:
        """Return the item of a tenant whose transfers are to be planned."""
        plain = {}
        if plan.due_at is not None:
            shard = due_shard(self.plan_queue, plan.tenant_id)
            plain[schema.DUE_SHARD] = shard
        return self.plan_codec.item(
            self.plan_key.key(plan.tenant_id), plan, **plain
        )

    def read_plan(self, item: codec.Item) -> Plan:
        """Return the plan of an item.

        An item that was only made due has its tenant only in its key.
        """
        tenant_id = self.plan_key.name_in(codec.unmarshal(item))
        named_item = {**codec.marshal({"tenant_id": tenant_id}), **item}
        return self.plan_codec.read(named_item)


def _tenant_of(key: str) -> str:
    """Return the tenant of a transfer, from its key."""
    _, tenant_id, _ = key.split("#", 2)
    return tenant_id


def _new_pull(tenant_id: str, input_name: str) -> PullState:
    vendor_id, part_id = ids_of(input_name)
    return PullState(tenant_id=tenant_id, vendor_id=vendor_id, part_id=part_id)


def _new_delivery(tenant_id: str, delivery_id: str) -> DeliveryState:
    return DeliveryState(tenant_id=tenant_id, delivery_id=delivery_id)


PULLS: TransferKind[PullState, PullPlan] = TransferKind(
    queue=schema.PULL,
    plan_queue=schema.PULL_PLAN,
    key=Kind.PULL,
    plan_key=Kind.PULL_PLAN,
    listed_key=Kind.PULLS,
    state_codec=codec.Codec(kind=PullState),
    plan_codec=codec.Codec(kind=PullPlan),
    name_of=lambda state: state.input_name,
    new=_new_pull,
    begun=pulls.begun,
    max_of_tenant=40,
)
DELIVERIES: TransferKind[DeliveryState, DeliveryPlan] = TransferKind(
    queue=schema.DELIVERY,
    plan_queue=schema.DELIVERY_PLAN,
    key=Kind.DELIVERY,
    plan_key=Kind.DELIVERY_PLAN,
    listed_key=Kind.DELIVERIES,
    state_codec=codec.Codec(kind=DeliveryState),
    plan_codec=codec.Codec(kind=DeliveryPlan),
    name_of=lambda state: state.delivery_id,
    new=_new_delivery,
    begun=sending.begun,
    max_of_tenant=20,
)


@dataclass(frozen=True, slots=True)
class TransferStore(Generic[State, Plan]):
    """The transfers of one kind of all tenants."""

    database: Database
    kind: TransferKind[State, Plan]

    @property
    def queue(self) -> TableQueue[State]:
        """The transfers that are to be made."""
        kind = self.kind
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, kind.queue),
            role=kind.queue,
            to_item=kind.item,
            read=kind.state_codec.read,
            begin=kind.begun,
            shares=Shares(_tenant_of, kind.max_of_tenant, MAX_SEARCHED),
        )

    @property
    def plans(self) -> TableQueue[Plan]:
        """The tenants whose transfers are to be planned."""
        kind = self.kind
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, kind.plan_queue),
            role=kind.plan_queue,
            to_item=kind.plan_item,
            read=kind.read_plan,
        )

    def of_names(
        self,
        tenant_id: str,
        names: Iterable[str],
    ) -> dict[str, State]:
        """Return a tenant's stored transfers by name, read consistently.

        A transfer that is in progress is due at None.
        """
        keys = [self.kind.key.key(tenant_id, name) for name in names]
        states = self.database.runs.read_all(keys, self.kind.read_shown)
        return {self.kind.name_of(state): state for state in states}

    def of_tenant(self, tenant_id: str) -> dict[str, State]:
        """Return a tenant's transfers by name, with those of earlier configs.

        The index that finds them lags.
        """
        partition = Partition(
            schema.BY_TENANT,
            schema.LISTED_TENANT,
            self.kind.listed_key.key(tenant_id),
        )
        rows = self.database.runs.rows(partition)
        names = [str(row[schema.REQUESTED_KEY]) for row in rows]
        return self.of_names(tenant_id, names)

    def change(
        self,
        tenant_id: str,
        name: str,
        rule: Callable[[State], State | None],
        *,
        audited: AuditEntry | None = None,
    ) -> State | None:
        """Change a transfer by a rule and return it; return None if it stays as it is.

        A transfer that is in progress goes on, and is due at None in the returned state.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        key = self.kind.key.key(tenant_id, name)
        new_item = WorkItem(key, self.kind.new(tenant_id, name))

        def changed(item: WorkItem[State]) -> WorkItem[State] | None:
            state = rule(item.value)
            return None if state is None else item.changed(state)

        also = [self.database.tenant_active(tenant_id)]
        if audited is not None:
            also.append(self.database.audit_write(audited))
        item = self.queue.update(new_item, changed, also)
        if item is None:
            return None
        return item.value if item.lease is None else scheduled(item.value, None)

    def forget(self, tenant_id: str, name: str) -> None:
        """Remove a transfer that is no longer in the config, unless it is in progress."""
        item = self.queue.get(self.kind.key.key(tenant_id, name))
        if item is not None and item.lease is None:
            self.database.runs.carry_out(self.queue.write(item, None))


PullStore: TypeAlias = TransferStore[PullState, PullPlan]
DeliveryStore: TypeAlias = TransferStore[DeliveryState, DeliveryPlan]
