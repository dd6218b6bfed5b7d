"""Reads the audit, and adds the entries of acts that are no transaction."""

import json
from dataclasses import dataclass

from boto3.dynamodb.conditions import Attr

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Item, marshal
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Partition
from relay_dagster.runs.ports import Page
from relay_dagster.tenants.audit import Action, AuditEntry


@dataclass(frozen=True, slots=True)
class AuditStore:
    """The audit of an installation."""

    database: Database

    def add(self, entry: AuditEntry) -> None:
        """Add an entry."""
        self.database.transact(self.database.audit_write(entry))

    def list_entries(
        self,
        tenant_id: str | None = None,
        action: Action | None = None,
        *,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[AuditEntry]:
        """Return a page of entries, the newest first, by an index that lags.

        ``after`` is the id of the entry after which the page begins. A page may have few
        entries or none, even though more follow.
        """
        partition = _partition(tenant_id, action)
        is_filtered = tenant_id is not None and action is not None
        start = None
        if after is not None:
            row = {schema.KEY: after, partition.attribute: partition.value}
            start = marshal(row)
        rows, last_row = self.database.audit.page(
            partition,
            matching=Attr(schema.ACTION).eq(str(action))
            if is_filtered
            else None,
            limit=limit,
            start=start,
        )
        keys = [str(row[schema.KEY]) for row in rows]
        entries = self.database.audit.read_all(keys, _read_entry)
        return Page(
            tuple(entries),
            str(last_row[schema.KEY]) if last_row else None,
        )


def _partition(tenant_id: str | None, action: Action | None) -> Partition:
    """Return the partition of a tenant's entries, of the entries with an action, or of all."""
    if tenant_id is not None:
        return Partition(schema.AUDIT_BY_TENANT, schema.OWNER, tenant_id)
    if action is not None:
        return Partition(schema.AUDIT_BY_ACTION, schema.ACTION, action.value)
    return Partition(schema.AUDIT_BY_TIME, schema.LISTED, schema.ALL_ENTRIES)


def _read_entry(item: Item) -> AuditEntry:
    return AuditEntry.of_document(json.loads(item["entry"]["S"]))
