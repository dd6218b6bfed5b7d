"""Keys of tenants, in the tenants table as ``KEY#<key_id>``: digests alone, never a secret.

How a key is made and compared is ``api/security/api_keys.py``; what each scope lets its holder do,
the API's routes say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, instant_text, marshal
from relay_dagster.aws.dynamodb.database import Database, is_closed
from relay_dagster.aws.dynamodb.schema import api_key_key, deletion_key
from relay_dagster.aws.dynamodb.table import IS_THERE
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope

BETWEEN_NOTES = timedelta(hours=1)
"""A key's last use is noted at most so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantKey:
    """One key: whose it is, what it may do, and the SHA-256 of its secret, in hex.

    ``created_by`` is a caller's id; ``expires_at`` is None of a key that never expires;
    ``last_used_at`` lags by up to an hour.
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


# `schema.EXPIRY` is the name by which items are deleted, where a table has that switched on.
_KEYS = Codec(kind=TenantKey, in_key="key_id", renamed={"expires_at": "key_expires_at"})


@dataclass(frozen=True, slots=True)
class ApiKeyStore:
    """Keys by their id."""

    database: Database

    def get(self, key_id: str) -> TenantKey | None:
        """Return a key, read consistently; None where there is none, or no longer."""
        return self.database.tenants.read(api_key_key(key_id), _to_key)

    def of_active_tenant(self, key_id: str) -> TenantKey | None:
        """Return a key as `get` does, unless its tenant is being deleted: it stops at once."""
        key = self.get(key_id)
        if key is None or is_closed(self.database.tenants.item(deletion_key(key.tenant_id))):
            return None
        return key

    def of_tenant(
        self, tenant_id: str, *, limit: int, after: str | None = None
    ) -> tuple[tuple[TenantKey, ...], str | None]:
        """Return up to ``limit`` keys of a tenant by their ids, and the id to go on after, or None.

        They are found by an index, which lags: the last moment's keys may be missing.
        """
        table, owner = self.database.tenants, (schema.OWNER, tenant_id)
        start = after and marshal({schema.KEY: api_key_key(after), schema.OWNER: tenant_id})
        prefix = schema.KEY_OF_TENANT
        rows, last = table.rows(
            schema.BY_OWNER, owner, None, limit, start or None, prefix=prefix, forward=True
        )
        keys = table.read_all((str(row[schema.KEY]) for row in rows), _to_key)
        return tuple(keys), str(last[schema.KEY]).removeprefix(prefix) if last else None

    def add(self, key: TenantKey, origin: Origin = SYSTEM) -> None:
        """Keep a new key.

        Raises:
            ConditionsFailedError: there is one with its id.
            TenantClosingError: its tenant is being deleted.
        """
        item = marshal({schema.KEY: api_key_key(key.key_id), **_KEYS.attributes(key)})
        until = None if key.expires_at is None else key.expires_at.isoformat()
        details = {"name": key.name, "scopes": list(map(str, key.scopes)), "expires_at": until}
        self.database.transact_while_active(
            key.tenant_id,
            self.database.tenants.new("key", item),
            self._audit_write(Action.KEY_CREATED, key, origin, **details),
        )

    def remove(self, tenant_id: str, key_id: str, origin: Origin = SYSTEM) -> bool:
        """Forget a tenant's key; tell whether the tenant had it."""
        key = self.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            return False
        write = self.database.tenants.write(
            "key", "Delete", api_key_key(key_id), condition=IS_THERE
        )
        try:
            self.database.transact(
                write, self._audit_write(Action.KEY_DELETED, key, origin, name=key.name)
            )
        except ConditionsFailedError:
            return False  # somebody else has just done it
        return True

    def note_use(self, key: TenantKey) -> None:
        """Note that a key is used, unless that was noted within the hour; a gone one stays gone."""
        now = self.database.clock()
        if key.last_used_at is not None and now - key.last_used_at < BETWEEN_NOTES:
            return
        self.database.tenants.carry_out(
            self.database.tenants.write(
                "key",
                "Update",
                api_key_key(key.key_id),
                "SET last_used_at = :now",
                condition=IS_THERE,
                values={":now": instant_text(now)},
            )
        )

    def _audit_write(self, action: Action, key: TenantKey, origin: Origin, **details: Any) -> Write:
        now = self.database.clock()
        entry = origin.entry(action, key.tenant_id, key.key_id, now, **details)
        return self.database.audit_write(entry)


def _to_key(item: Mapping[str, Any]) -> TenantKey:
    return _KEYS.read(item, str(item[schema.KEY]["S"]).removeprefix(schema.KEY_OF_TENANT))
