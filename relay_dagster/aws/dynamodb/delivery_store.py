"""Stores deliveries in the runs table, and which tenants have a publication to send.

A delivery is ``DELIVERY#<tenant_id>#<delivery_id>``. A publication stores the item
``DELIVERYPLAN#<tenant_id>`` in its own transaction, and the item stays until the
tenant's deliveries are due. Both are found by when they are due, in queues of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, due_shard
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.work_queue import (
    LEASE_OWNER,
    DueShards,
    Shares,
    TableQueue,
    due_now,
    listed_names,
    tenant_of,
)
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.deliveries.model import DeliveryPlan, DeliveryState
from relay_dagster.deliveries.requests import Rule
from relay_dagster.deliveries.sending import begun
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.work.item import WorkItem

MAX_OF_TENANT = 20
"""The most deliveries of a tenant that a process has in hand, due ones that wait included."""
MAX_SEARCHED = 20_000
_DELIVERIES = codec.Codec(kind=DeliveryState)
_PLANS = codec.Codec(kind=DeliveryPlan)
to_delivery = _DELIVERIES.read
"""Returns the delivery of an item."""


@dataclass(frozen=True, slots=True)
class DeliveryStore:
    """The deliveries of all tenants."""

    database: Database

    @property
    def queue(self) -> TableQueue[DeliveryState]:
        """The deliveries that are to be made."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, schema.DELIVERY),
            role="delivery",
            to_item=_delivery_item,
            read=_DELIVERIES.read,
            begin=begun,
            shares=Shares(tenant_of, MAX_OF_TENANT, MAX_SEARCHED),
        )

    @property
    def plans(self) -> TableQueue[DeliveryPlan]:
        """The tenants with a publication that is to be sent."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, schema.DELIVERY_PLAN),
            role="delivery_plan",
            to_item=_plan_item,
            read=_read_plan,
        )

    def of_ids(
        self,
        tenant_id: str,
        delivery_ids: Iterable[str],
    ) -> dict[str, DeliveryState]:
        """Return a tenant's stored deliveries by id, read consistently.

        A delivery that is in progress is due at None.
        """
        keys = [
            Kind.DELIVERY.key(tenant_id, delivery_id)
            for delivery_id in delivery_ids
        ]
        states = self.database.runs.read_all(keys, _read_shown)
        return {state.delivery_id: state for state in states}

    def of_tenant(self, tenant_id: str) -> dict[str, DeliveryState]:
        """Return a tenant's deliveries by id, with those of earlier configs.

        The index that finds them lags.
        """
        names = listed_names(self.database.runs, Kind.DELIVERIES.key(tenant_id))
        return self.of_ids(tenant_id, names)

    def change(
        self,
        tenant_id: str,
        delivery_id: str,
        rule: Rule,
        *,
        audited: AuditEntry | None = None,
    ) -> DeliveryState | None:
        """Change a delivery by a rule and return it; return None if it stays as it is.

        A delivery that is in progress goes on, and is due at None in the returned state.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        new_state = DeliveryState(tenant_id=tenant_id, delivery_id=delivery_id)
        key = Kind.DELIVERY.key(tenant_id, delivery_id)
        return self.queue.change_value(
            tenant_id, WorkItem(key, new_state), rule, audited
        )

    def forget(self, tenant_id: str, delivery_id: str) -> None:
        """Remove a delivery that the config has no more, unless it is in progress."""
        item = self.queue.get(Kind.DELIVERY.key(tenant_id, delivery_id))
        if item is not None and item.lease is None:
            self.database.runs.carry_out(self.queue.write(item, None))


def deliveries_planned_now(
    table: Table,
    tenant_id: str,
    now: datetime,
) -> Write:
    """Return the write by which a tenant's deliveries become due: its feed has changed.

    A process that plans them by an earlier publication loses the lease.
    """
    key = Kind.DELIVERY_PLAN.key(tenant_id)
    queue = schema.DELIVERY_PLAN
    return due_now(table, "delivery_plan", key, queue, tenant_id, now)


def _delivery_item(state: DeliveryState) -> codec.Item:
    name = f"{state.tenant_id}#{state.delivery_id}"
    plain: dict[str, Any] = {
        schema.LISTED_TENANT: Kind.DELIVERIES.key(state.tenant_id),
        schema.REQUESTED_KEY: state.delivery_id,
    }
    if state.due_at is not None:
        plain[schema.DUE_SHARD] = due_shard(schema.DELIVERY, name)
    key = Kind.DELIVERY.key(state.tenant_id, state.delivery_id)
    return _DELIVERIES.item(key, state, **plain)


def _read_shown(item: codec.Item) -> DeliveryState:
    state = _DELIVERIES.read(item)
    return replace(state, due_at=None) if LEASE_OWNER in item else state


def _plan_item(plan: DeliveryPlan) -> codec.Item:
    plain = {}
    if plan.due_at is not None:
        shard = due_shard(schema.DELIVERY_PLAN, plan.tenant_id)
        plain[schema.DUE_SHARD] = shard
    return _PLANS.item(Kind.DELIVERY_PLAN.key(plan.tenant_id), plan, **plain)


def _read_plan(item: codec.Item) -> DeliveryPlan:
    # An item that was only made due has its tenant only in its key.
    tenant_id = Kind.DELIVERY_PLAN.name_in(codec.unmarshal(item))
    return _PLANS.read({**codec.marshal({"tenant_id": tenant_id}), **item})
