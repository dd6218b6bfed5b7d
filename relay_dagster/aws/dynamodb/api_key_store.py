"""Keys of tenants, in the tenants table as ``KEY#<key_id>``: digests alone, never a secret.

How a key is made and compared is ``api/security/api_keys.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.serialization import instant_text, marshal, unmarshal
from relay_dagster.aws.error_mapping import CONDITION_FAILED, error_code, maps_aws_errors
from relay_dagster.runs.ports import utc_now


@dataclass(frozen=True, slots=True)
class TenantKey:
    """One key: whose it is, and the SHA-256 of its secret, in hex."""

    key_id: str
    tenant_id: str
    digest: str


class ApiKeyStore:
    """Keys by their id."""

    def __init__(
        self, clients: Clients, table: str, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._clients = clients
        self._table = Table(clients, table)
        self._clock = clock

    def get(self, key_id: str) -> TenantKey | None:
        """Return a key, read consistently; None where there is none, or no longer."""
        item = self._table.item(_key(key_id))
        if item is None:
            return None
        plain = unmarshal(item)
        return TenantKey(key_id, plain["tenant_id"], plain["digest"])

    @maps_aws_errors
    def add(self, key: TenantKey) -> None:
        """Keep a new key."""
        item = {
            schema.KEY: _key(key.key_id),
            "tenant_id": key.tenant_id,
            "digest": key.digest,
            "created_at": instant_text(self._clock()),
        }
        self._clients.dynamodb.put_item(
            TableName=self._table.name,
            Item=marshal(item),
            ConditionExpression=f"attribute_not_exists({schema.KEY})",
        )

    @maps_aws_errors
    def remove(self, tenant_id: str, key_id: str) -> bool:
        """Forget a tenant's key; tell whether the tenant had it."""
        try:
            self._clients.dynamodb.delete_item(
                TableName=self._table.name,
                Key=marshal({schema.KEY: _key(key_id)}),
                ConditionExpression="tenant_id = :tenant",
                ExpressionAttributeValues=marshal({":tenant": tenant_id}),
            )
        except ClientError as error:
            if error_code(error) in CONDITION_FAILED:
                return False
            raise
        return True


def _key(key_id: str) -> str:
    return f"KEY#{key_id}"
