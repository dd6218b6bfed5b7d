"""The condition that a tenant is not being deleted, in each transaction that makes something of it.

One item says so, ``DELETION#<tenant_id>``, and nobody else keeps a copy of it: what one writer has
read is no reason for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import instant_text, marshal, unmarshal
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write, transact
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.tenants.deletion import TenantState

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PREFIX = "DELETION#"
_ROLE = "open"


def deletion_key(tenant_id: str) -> str:
    """Return the key of the item of a tenant's deletion."""
    return f"{PREFIX}{tenant_id}"


def is_open(table: str, tenant_id: str, sent_at: datetime | None = None) -> Write:
    """Return the condition that nothing of the tenant is being deleted.

    Args:
        table: the tenants table.
        tenant_id: the tenant.
        sent_at: when the message was sent that asks for something: one from before the tenant was
            deleted is a leftover of it.
    """
    over = "#state = :deleted AND attribute_not_exists(is_swept)"
    values: dict[str, Any] = {":deleted": TenantState.DELETED.value}
    if sent_at is not None:
        over += " AND deleted_at < :sent"
        values[":sent"] = instant_text(sent_at)
    arguments = {
        "TableName": table,
        "Key": marshal({schema.KEY: deletion_key(tenant_id)}),
        "ConditionExpression": f"attribute_not_exists({schema.KEY}) OR ({over})",
        "ExpressionAttributeNames": {"#state": "state"},
        "ExpressionAttributeValues": marshal(values),
    }
    return Write(_ROLE, "ConditionCheck", arguments)


def transact_while_open(
    client: DynamoDBClient, tenants_table: str, tenant_id: str | None, writes: Sequence[Write]
) -> None:
    """Carry out all writes or none, where nothing of their tenant is being deleted.

    Args:
        client: DynamoDB.
        tenants_table: where it is told which tenants are being deleted.
        tenant_id: whose they are; None of what is no tenant's.
        writes: what makes something.

    Raises:
        TenantClosingError: the tenant is being deleted.
        ConditionsFailedError: another condition did not hold.
    """
    if tenant_id is None:
        transact(client, writes)
        return
    try:
        transact(client, [*writes, is_open(tenants_table, tenant_id)])
    except ConditionsFailedError as error:
        refuse_closing(error, tenant_id)
        raise


def is_closed(item: Mapping[str, Any] | None) -> bool:
    """Tell whether the item of a tenant's deletion says that the tenant is being deleted."""
    found = unmarshal(item or {})
    return bool(found) and (found["state"] != TenantState.DELETED or "is_swept" in found)


def refuse_closing(error: ConditionsFailedError, tenant_id: str) -> None:
    """Refuse a write whose failed conditions say that the tenant is being deleted.

    Raises:
        TenantClosingError: they do.
    """
    if _ROLE in error.items:
        is_deleted = not is_closed(error.items[_ROLE])
        raise TenantClosingError(tenant_id, is_deleted=is_deleted) from error
