"""Tenants' triggers in the runs table: read, noted, and found by when they are due.

A run takes what it is for in the transaction of its record: ``RunStore.commit``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.triggers import items
from relay_dagster.aws.error_mapping import (
    CONDITION_FAILED,
    TRANSACTION_COLLIDED,
    error_code,
    maps_aws_errors,
)
from relay_dagster.runs.triggers.state import TriggerLane, TriggerState

_CHANGED = CONDITION_FAILED | TRANSACTION_COLLIDED
_EVER = datetime(9999, 1, 1, tzinfo=UTC)


class TriggerStore:
    """What tenants' triggers have come to."""

    def __init__(self, clients: Clients, table: str) -> None:
        self._clients = clients
        self._table = Table(clients, table)

    def get(self, tenant_id: str) -> TriggerState:
        """Return a tenant's triggers, read consistently."""
        return items.to_state(tenant_id, self._table.item(items.trigger_key(tenant_id)))

    @maps_aws_errors
    def put(self, before: TriggerState, after: TriggerState) -> TriggerState | None:
        """Write triggers down, and return them as they now stand.

        Returns:
            None where they are not as they were read; nothing is written then.
        """
        try:
            self._clients.dynamodb.put_item(**items.put(self._table.name, before, after))
        except ClientError as error:
            if error_code(error) in _CHANGED:
                return None
            raise
        return items.written(before, after)

    @maps_aws_errors
    def due(self, lane: TriggerLane, until: datetime, limit: int) -> list[TriggerState]:
        """Return triggers that are due up to an instant, the longest due first.

        Each is read consistently: the index lags.
        """
        states = self._read(self._table.due_keys(lane, until, limit))
        return [each for each in states if each.due_at is not None and each.due_at <= until]

    def scheduled(self) -> list[TriggerState]:
        """Return the triggers of all tenants that have a schedule."""
        keys = [key for lane in TriggerLane for key in self._table.due_keys(lane, _EVER)]
        return [each for each in self._read(keys) if each.next_run_at is not None]

    def _read(self, keys: Iterable[str]) -> list[TriggerState]:
        return [*map(items.to_state_of_item, self._table.in_order(keys))]
