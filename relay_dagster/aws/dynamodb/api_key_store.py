"""Keys of tenants, in the tenants table as ``KEY#<key_id>``: digests alone, never a secret.

How a key is made and compared is ``api/security/api_keys.py``; what each scope lets its holder do,
the API's routes say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.audit import SYSTEM, Action, Origin
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.audit.items import audit_write
from relay_dagster.aws.dynamodb.reads import Table
from relay_dagster.aws.dynamodb.serialization import instant_text, marshal, read_instant, unmarshal
from relay_dagster.aws.dynamodb.tenants.openness import (
    deletion_key,
    is_closed,
    transact_while_open,
)
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write, transact
from relay_dagster.aws.error_mapping import CONDITION_FAILED, error_code, maps_aws_errors
from relay_dagster.runs.ports import utc_now

BETWEEN_NOTES = timedelta(hours=1)
"""A key's last use is noted at most so often."""
_PREFIX = "KEY#"


class Scope(StrEnum):
    """What a tenant's key may do."""

    READ = "read"
    RUN = "run"
    CONFIG = "config"
    RELEASE = "release"
    UPLOAD = "upload"
    KEYS = "keys"


DEFAULT_SCOPES = tuple(scope for scope in Scope if scope is not Scope.KEYS)
"""Of a key that is made without any, and of those that were made before there were scopes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantKey:
    """One key: whose it is, what it may do, and the SHA-256 of its secret, in hex.

    ``created_by`` is a caller's id, None of a key that was made before that was noted; so are
    ``last_used_at``, which lags by up to an hour, and ``expires_at`` of one that never expires.
    """

    key_id: str
    tenant_id: str
    digest: str
    name: str
    created_at: datetime
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES
    created_by: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Tell whether the key has expired."""
        return self.expires_at is not None and self.expires_at <= now


class ApiKeyStore:
    """Keys by their id."""

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

    def get(self, key_id: str) -> TenantKey | None:
        """Return a key, read consistently; None where there is none, or no longer."""
        item = self._table.item(_key(key_id))
        return None if item is None else _to_key(item)

    def of_open_tenant(self, key_id: str) -> TenantKey | None:
        """Return a key as `get` does, unless its tenant is being deleted: it stops at once."""
        key = self.get(key_id)
        if key is None or is_closed(self._table.item(deletion_key(key.tenant_id))):
            return None
        return key

    def of_tenant(
        self, tenant_id: str, *, limit: int, after: str | None = None
    ) -> tuple[tuple[TenantKey, ...], str | None]:
        """Return up to ``limit`` keys of a tenant by their ids, and the id to go on after, or None.

        They are found by an index, which lags: the last moment's keys may be missing.
        """
        owner = (schema.OWNER, tenant_id)
        start = after and marshal({schema.KEY: _key(after), schema.OWNER: tenant_id})
        rows, last = self._table.rows(
            schema.BY_OWNER, owner, None, limit, start or None, prefix=_PREFIX, forward=True
        )
        items = self._table.in_order(str(row[schema.KEY]) for row in rows)
        return tuple(map(_to_key, items)), _key_id(last) if last else None

    @maps_aws_errors
    def add(self, key: TenantKey, origin: Origin = SYSTEM) -> None:
        """Keep a new key.

        Raises:
            ConditionsFailedError: there is one with its id.
            TenantClosingError: its tenant is being deleted.
        """
        write = Write(
            "key",
            "Put",
            {
                "TableName": self._table.name,
                "Item": marshal(_from_key(key)),
                "ConditionExpression": f"attribute_not_exists({schema.KEY})",
            },
        )
        told = self._audit_write(Action.KEY_CREATED, key, origin, **_told(key))
        transact_while_open(self._clients.dynamodb, self._table.name, key.tenant_id, [write, told])

    @maps_aws_errors
    def remove(self, tenant_id: str, key_id: str, origin: Origin = SYSTEM) -> bool:
        """Forget a tenant's key; tell whether the tenant had it."""
        key = self.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            return False
        write = Write(
            "key",
            "Delete",
            {
                "TableName": self._table.name,
                "Key": marshal({schema.KEY: _key(key_id)}),
                "ConditionExpression": f"attribute_exists({schema.KEY})",
            },
        )
        told = self._audit_write(Action.KEY_DELETED, key, origin, name=key.name)
        try:
            transact(self._clients.dynamodb, [write, told])
        except ConditionsFailedError:
            return False  # somebody else has just done it
        return True

    @maps_aws_errors
    def note_use(self, key: TenantKey) -> None:
        """Note that a key is used, unless that was noted within the hour; a gone one stays gone."""
        now = self._clock()
        if key.last_used_at is not None and now - key.last_used_at < BETWEEN_NOTES:
            return
        try:
            self._clients.dynamodb.update_item(
                TableName=self._table.name,
                Key=marshal({schema.KEY: _key(key.key_id)}),
                UpdateExpression="SET last_used_at = :now",
                ConditionExpression=f"attribute_exists({schema.KEY})",
                ExpressionAttributeValues=marshal({":now": instant_text(now)}),
            )
        except ClientError as error:
            if error_code(error) not in CONDITION_FAILED:
                raise

    def _audit_write(self, action: Action, key: TenantKey, origin: Origin, **details: Any) -> Write:
        entry = origin.entry(action, key.tenant_id, key.key_id, self._clock(), **details)
        return audit_write(self._audit_table, entry)


# --- items --------------------------------------------------------------------------------------

# `schema.EXPIRY` is the name by which items are deleted, where a table has that switched on.
_EXPIRES = "key_expires_at"


def _from_key(key: TenantKey) -> dict[str, Any]:
    instants = {
        "created_at": key.created_at,
        "last_used_at": key.last_used_at,
        _EXPIRES: key.expires_at,
    }
    return {
        schema.KEY: _key(key.key_id),
        "tenant_id": key.tenant_id,
        "digest": key.digest,
        "name": key.name,
        "scopes": [str(scope) for scope in key.scopes],
        "created_by": key.created_by,
        **{name: instant_text(at) for name, at in instants.items() if at is not None},
    }


def _told(key: TenantKey) -> dict[str, Any]:
    """Return what the audit tells of a new key."""
    until = None if key.expires_at is None else key.expires_at.isoformat()
    return {"name": key.name, "scopes": list(map(str, key.scopes)), "expires_at": until}


def _to_key(item: Mapping[str, Any]) -> TenantKey:
    plain = unmarshal(item)
    key_id = _key_id(plain)
    return TenantKey(
        key_id=key_id,
        tenant_id=plain["tenant_id"],
        digest=plain["digest"],
        name=plain.get("name", key_id),
        scopes=tuple(map(Scope, plain["scopes"])) if "scopes" in plain else DEFAULT_SCOPES,
        created_at=read_instant(plain["created_at"]),
        created_by=plain.get("created_by"),
        expires_at=read_instant(plain[_EXPIRES]) if _EXPIRES in plain else None,
        last_used_at=read_instant(plain["last_used_at"]) if "last_used_at" in plain else None,
    )


def _key_id(row: Mapping[str, Any]) -> str:
    return str(row[schema.KEY]).removeprefix(_PREFIX)


def _key(key_id: str) -> str:
    return f"{_PREFIX}{key_id}"
