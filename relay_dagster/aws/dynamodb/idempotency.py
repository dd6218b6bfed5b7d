"""A caller's ``Idempotency-Key`` as an item of the runs table, in the transaction of its run."""

from __future__ import annotations

from datetime import datetime, timedelta

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import epoch_seconds, marshal
from relay_dagster.aws.dynamodb.schema import idempotency_key
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.runs.model import Idempotency, RunRecord

_LIFE = timedelta(hours=24)


def idempotency_writes(
    table: Table,
    before: RunRecord | None,
    after: RunRecord,
    idempotency: Idempotency | None,
    now: datetime,
) -> list[Write]:
    """Return the write that a record's change makes of a caller's key, or none.

    A new record remembers it; one that is hidden, because there is no run after all, forgets it.
    """
    if before is None and idempotency:
        return [_remember(table, after.run_id, idempotency, now)]
    if before and after.hidden and not before.hidden and after.idempotency_id:
        return [_forget(table, after.run_id, after.idempotency_id)]
    return []


def _remember(table: Table, run_id: str, idempotency: Idempotency, now: datetime) -> Write:
    item = {
        schema.KEY: idempotency_key(idempotency.id),
        "run_id": run_id,
        "fingerprint": idempotency.fingerprint,
        schema.EXPIRY: epoch_seconds(now + _LIFE),
    }
    return table.put(
        "idempotency",
        marshal(item),
        # Time-to-live deletes late: an item that is over counts as gone.
        ConditionExpression="attribute_not_exists(pk) OR #expiry <= :now",
        ExpressionAttributeNames={"#expiry": schema.EXPIRY},
        ExpressionAttributeValues=marshal({":now": epoch_seconds(now)}),
    )


def _forget(table: Table, run_id: str, idempotency_id: str) -> Write:
    return table.write(
        "forget",
        "Delete",
        idempotency_key(idempotency_id),
        condition="attribute_not_exists(pk) OR run_id = :run",
        values={":run": run_id},
    )
