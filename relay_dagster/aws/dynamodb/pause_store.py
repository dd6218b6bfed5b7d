"""Pauses of run creation, in the tenants table: ``PAUSE#<tenant_id>``, ``PAUSE#`` for everybody.

What a pause stops is decided in ``runs/submission.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from relay_dagster.audit import SYSTEM, Action, Origin
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.audit.items import audit_write
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.serialization import instant_text, marshal, read_instant, unmarshal
from relay_dagster.aws.dynamodb.tenants.openness import transact_while_open
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write, transact
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.runs.ports import Pause, utc_now


class PauseStore:
    """Pauses that are in force."""

    def __init__(
        self,
        clients: Clients,
        table: str,
        audit_table: str,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._clients = clients
        self._table = Table(clients, table)
        self._audit_table = audit_table
        self._clock = clock

    def of(self, tenant_id: str) -> Pause | None:
        """Return the pause that stops a tenant's runs, that of all tenants first; None for none."""
        found = self._table.batch([pause_key(None), pause_key(tenant_id)])
        for scope in (None, tenant_id):
            item = found.get(pause_key(scope))
            if item is not None:
                plain = unmarshal(item)
                at = read_instant(plain["paused_at"])
                return Pause(scope, plain["reason"], at, plain.get("public_reason"))
        return None

    @maps_aws_errors
    def begin(
        self,
        tenant_id: str | None,
        reason: str,
        public_reason: str | None = None,
        *,
        origin: Origin = SYSTEM,
    ) -> Pause:
        """Stop new runs; where they are stopped already, the new reason counts.

        Raises:
            TenantClosingError: the tenant is being deleted: nothing is started anyway.
        """
        pause = Pause(tenant_id, reason, self._clock(), public_reason)
        told = {"reason": reason, "public_reason": public_reason}
        item = {
            schema.KEY: pause_key(tenant_id),
            **told,
            "paused_at": instant_text(pause.paused_at),
        }
        writes = [
            Write("pause", "Put", {"TableName": self._table.name, "Item": marshal(item)}),
            self._audit_write(Action.RUNS_PAUSED, tenant_id, origin, **told),
        ]
        transact_while_open(self._clients.dynamodb, self._table.name, tenant_id, writes)
        return pause

    @maps_aws_errors
    def end(
        self, tenant_id: str | None, reason: str | None = None, *, origin: Origin = SYSTEM
    ) -> None:
        """Let new runs in again; a pause of the other scope stays in force."""
        key = marshal({schema.KEY: pause_key(tenant_id)})
        arguments = {
            "TableName": self._table.name,
            "Key": key,
            "ConditionExpression": f"attribute_exists({schema.KEY})",
        }
        writes = [
            Write("pause", "Delete", arguments),
            self._audit_write(Action.RUNS_RESUMED, tenant_id, origin, reason=reason),
        ]
        with suppress(ConditionsFailedError):  # there was none: nothing is done
            transact(self._clients.dynamodb, writes)

    def _audit_write(
        self, action: Action, tenant_id: str | None, origin: Origin, **details: Any
    ) -> Write:
        entry = origin.entry(action, tenant_id, tenant_id, self._clock(), **details)
        return audit_write(self._audit_table, entry)


def pause_key(tenant_id: str | None) -> str:
    """Return the key of a tenant's pause, or of that of everybody."""
    return f"PAUSE#{tenant_id or ''}"
