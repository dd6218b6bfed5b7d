"""The audit, listed. What changes something adds its entry itself, in its own transaction.

There is no way to change or to delete an entry, and no role of the template may.
"""

from __future__ import annotations

from dataclasses import dataclass

from relay_dagster.audit import Action, AuditEntry
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.audit.items import audit_write, to_entry
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.serialization import marshal
from relay_dagster.aws.dynamodb.transactions import transact
from relay_dagster.aws.error_mapping import maps_aws_errors


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries, newest first, and the id to go on after; None on the last page."""

    entries: tuple[AuditEntry, ...]
    next_after: str | None = None


class AuditStore:
    """The audit of one installation."""

    def __init__(self, clients: Clients, table: str) -> None:
        self._clients = clients
        self._table = Table(clients, table)

    @maps_aws_errors
    def add(self, entry: AuditEntry) -> None:
        """Add the entry of an act that is no transaction."""
        transact(self._clients.dynamodb, [audit_write(self._table.name, entry)])

    def list_entries(
        self,
        tenant_id: str | None = None,
        action: Action | None = None,
        *,
        limit: int = 50,
        after: str | None = None,
    ) -> AuditPage:
        """Return entries, newest first: of one tenant or all, of one action or any.

        They are found by indexes, which lag. A page of one tenant's entries of one action may hold
        fewer than ``limit``, or none, and have more behind it all the same.
        """
        filtered = None
        if tenant_id is not None:
            index, key = schema.AUDIT_BY_TENANT, (schema.OWNER, tenant_id)
            filtered = None if action is None else (schema.ACTION, action.value)
        elif action is not None:
            index, key = schema.AUDIT_BY_ACTION, (schema.ACTION, action.value)
        else:
            index, key = schema.AUDIT_BY_TIME, (schema.LISTED, schema.ALL_ENTRIES)
        start = None if after is None else marshal({schema.KEY: after, key[0]: key[1]})
        rows, last = self._table.rows(index, key, filtered, limit, start)
        items = self._table.in_order(str(row[schema.KEY]) for row in rows)
        return AuditPage(tuple(map(to_entry, items)), str(last[schema.KEY]) if last else None)

    @maps_aws_errors
    def check(self) -> None:
        """Touch the table, for readiness: returns, or raises the fault."""
        self._table.item("CHECK")
