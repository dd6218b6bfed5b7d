"""An entry of the audit as an item and back, and the write that adds one to a transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from relay_dagster.audit import KEPT_FOR, AuditEntry
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import epoch_seconds, marshal, unmarshal
from relay_dagster.aws.dynamodb.transactions import Write


def audit_write(table: str, entry: AuditEntry) -> Write:
    """Return the write that adds an entry.

    It has no condition: an id is one entry's alone, and a transaction that is tried again writes
    the same entry.
    """
    item = {
        schema.KEY: entry.audit_id,
        schema.LISTED: schema.ALL_ENTRIES,
        schema.OWNER: entry.tenant_id,
        schema.ACTION: entry.action.value,
        "entry": json.dumps(entry.to_document(), ensure_ascii=False),
        schema.EXPIRY: epoch_seconds(entry.occurred_at + KEPT_FOR),
    }
    return Write("audit", "Put", {"TableName": table, "Item": marshal(item)})


def to_entry(item: Mapping[str, Any]) -> AuditEntry:
    """Return the entry of an item."""
    return AuditEntry.of_document(json.loads(unmarshal(item)["entry"]))
