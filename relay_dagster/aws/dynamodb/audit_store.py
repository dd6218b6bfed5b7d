"""The audit, listed. What changes something adds its entry itself, in its own transaction.

There is no way to change or to delete an entry, and no role of the template may.
"""

import json
from dataclasses import dataclass

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import marshal
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.tenants.audit import Action, AuditEntry


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Some entries, newest first, and the id to go on after; None on the last page."""

    entries: tuple[AuditEntry, ...]
    next_after: str | None = None


@dataclass(frozen=True, slots=True)
class AuditStore:
    """The audit of one installation."""

    database: Database

    def add(self, entry: AuditEntry) -> None:
        """Add the entry of an act that is no transaction."""
        self.database.transact(self.database.audit_write(entry))

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
        table = self.database.audit
        rows, last = table.rows(index, key, filtered, limit, start)
        keys = (str(row[schema.KEY]) for row in rows)
        entries = table.read_all(
            keys, lambda item: AuditEntry.of_document(json.loads(item["entry"]["S"]))
        )
        return AuditPage(tuple(entries), str(last[schema.KEY]) if last else None)

    def check(self) -> None:
        """Touch the table, for readiness: returns, or raises the fault."""
        self.database.audit.item("CHECK")
