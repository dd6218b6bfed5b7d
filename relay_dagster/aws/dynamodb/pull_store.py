"""Stores the pulls of inputs in the runs table, and which tenants' pulls are to be planned.

A pull is ``PULL#<tenant_id>#<name>``, by the name of its input. A tenant whose config has
changed has an item ``PULLPLAN#<tenant_id>`` until its pulls were compared with the
config. Both are found by when they are due, in queues of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from relay_core.domain.input_names import ids_of
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
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.triggers.pulls import PullPlan, PullState, Rule, begun
from relay_dagster.work.item import WorkItem

MAX_OF_TENANT = 40
"""The most pulls of a tenant that a process has in hand, due ones that wait included."""
MAX_SEARCHED = 20_000
_PULLS = codec.Codec(kind=PullState)
_PLANS = codec.Codec(kind=PullPlan)


@dataclass(frozen=True, slots=True)
class PullStore:
    """The pulls of all tenants' inputs."""

    database: Database

    @property
    def queue(self) -> TableQueue[PullState]:
        """The pulls that are to be made."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, schema.PULL),
            role="pull",
            to_item=_pull_item,
            read=_PULLS.read,
            begin=begun,
            shares=Shares(tenant_of, MAX_OF_TENANT, MAX_SEARCHED),
        )

    @property
    def plans(self) -> TableQueue[PullPlan]:
        """The tenants whose pulls are to be compared with their configs."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, schema.PULL_PLAN),
            role="pull_plan",
            to_item=_plan_item,
            read=_read_plan,
        )

    def of_inputs(
        self,
        tenant_id: str,
        names: Iterable[str],
    ) -> dict[str, PullState]:
        """Return the pulls of a tenant's inputs, by name, read consistently.

        A pull that is in progress is due at None.
        """
        keys = [Kind.PULL.key(tenant_id, name) for name in names]
        states = self.database.runs.read_all(keys, _read_shown)
        return {state.input_name: state for state in states}

    def of_tenant(self, tenant_id: str) -> dict[str, PullState]:
        """Return a tenant's pulls by input, with those of earlier configs.

        The index that finds them lags.
        """
        names = listed_names(self.database.runs, Kind.PULLS.key(tenant_id))
        return self.of_inputs(tenant_id, names)

    def change(
        self,
        tenant_id: str,
        input_name: str,
        rule: Rule,
        *,
        audited: AuditEntry | None = None,
    ) -> PullState | None:
        """Change a pull by a rule and return it; return None if it stays as it is.

        A pull that is in progress goes on, and is due at None in the returned state.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        vendor_id, part_id = ids_of(input_name)
        new_state = PullState(
            tenant_id=tenant_id, vendor_id=vendor_id, part_id=part_id
        )
        new_item = WorkItem(Kind.PULL.key(tenant_id, input_name), new_state)
        return self.queue.change_value(tenant_id, new_item, rule, audited)


def pulls_planned_now(table: Table, tenant_id: str, now: datetime) -> Write:
    """Return the write by which a tenant's pulls are planned: its config has changed.

    A process that plans them by an earlier config loses the lease.
    """
    key = Kind.PULL_PLAN.key(tenant_id)
    return due_now(table, "pull_plan", key, schema.PULL_PLAN, tenant_id, now)


def _pull_item(state: PullState) -> codec.Item:
    name = f"{state.tenant_id}#{state.input_name}"
    plain: dict[str, Any] = {
        schema.LISTED_TENANT: Kind.PULLS.key(state.tenant_id),
        schema.REQUESTED_KEY: state.input_name,
    }
    if state.due_at is not None:
        plain[schema.DUE_SHARD] = due_shard(schema.PULL, name)
    key = Kind.PULL.key(state.tenant_id, state.input_name)
    return _PULLS.item(key, state, **plain)


def _read_shown(item: codec.Item) -> PullState:
    state = _PULLS.read(item)
    return replace(state, due_at=None) if LEASE_OWNER in item else state


def _plan_item(plan: PullPlan) -> codec.Item:
    plain = {}
    if plan.due_at is not None:
        plain[schema.DUE_SHARD] = due_shard(schema.PULL_PLAN, plan.tenant_id)
    return _PLANS.item(Kind.PULL_PLAN.key(plan.tenant_id), plan, **plain)


def _read_plan(item: codec.Item) -> PullPlan:
    # An item that was only made due has its tenant only in its key.
    tenant_id = Kind.PULL_PLAN.name_in(codec.unmarshal(item))
    return _PLANS.read({**codec.marshal({"tenant_id": tenant_id}), **item})
