"""Stores tenants' API keys and the sessions that they open, in the tenants table.

A key is ``KEY#<key_id>``, with the digest of its secret and never the secret.
``KEYS#<tenant_id>`` has the ids of a tenant's keys, so that they can be counted when one
is added. ``SESSION#<digest>`` is a person's session of the pages, opened with a key.

``api/security/api_keys.py`` creates and compares keys, and ``api/security/bearers.py``
says what a session permits. The API's routes say what each scope permits.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from boto3.dynamodb.conditions import Attr

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, marshal, unmarshal
from relay_dagster.aws.dynamodb.database import (
    ConditionsFailedError,
    Database,
    is_closed,
)
from relay_dagster.aws.dynamodb.expressions import EXISTS, Update
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.errors import MakerGoneError, QuotaExceededError
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope

MAX_KEYS = 50
"""The number of keys that a tenant may have, expired ones included."""
_MAX_SESSIONS_SWEPT = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantKey:
    """A tenant's API key, with its scopes and the SHA-256 of its secret in hex.

    ``created_by`` is the id of a caller. ``expires_at`` is None for a key that never
    expires. ``last_used_at`` lags by up to an hour.
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

    @property
    def maker(self) -> str | None:
        """The id of the tenant's key that created this one; None if an admin did."""
        caller_kind, _, key_id = (self.created_by or "").partition(":")
        return key_id if caller_kind == "key" else None

    def is_over(self, now: datetime) -> bool:
        """Return True if the key has expired."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSession:
    """A browser that is signed in with a key until an instant.

    ``digest`` is the SHA-256 of the session's id in hex.
    """

    digest: str
    tenant_id: str
    key_id: str
    created_at: datetime
    ends_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Return True if the session has ended."""
        return self.ends_at <= now


# DynamoDB deletes items by an attribute with the name `schema.EXPIRY`, so a key, which
# people see after it has expired, has its expiry under another name.
_KEYS = Codec(
    kind=TenantKey,
    in_key="key_id",
    renamed={"expires_at": "key_expires_at"},
)
_SESSIONS = Codec(kind=BrowserSession, in_key="digest")


@dataclass(frozen=True, slots=True)
class ApiKeyStore:
    """The API keys, by id."""

    database: Database

    @property
    def _table(self) -> Table:
        return self.database.tenants

    def get(self, key_id: str) -> TenantKey | None:
        """Return a key, read consistently, or None where there is no such key."""
        return self._table.read(Kind.API_KEY.key(key_id), _KEYS.read)

    def of_active_tenant(self, key_id: str) -> TenantKey | None:
        """Return a key like `get`, or None if its tenant is being deleted."""
        key = self.get(key_id)
        if key is None:
            return None
        deletion_item = self._table.item(Kind.DELETION.key(key.tenant_id))
        return None if is_closed(deletion_item) else key

    def of_tenant(
        self,
        tenant_id: str,
        *,
        limit: int,
        after: str | None = None,
    ) -> tuple[tuple[TenantKey, ...], str | None]:
        """Return a page of a tenant's keys, by an index that lags.

        The second value is the id of the key after which the next page begins, or None
        after the last page.
        """
        start = None
        if after:
            key_after = Kind.API_KEY.key(after)
            start = marshal({schema.KEY: key_after, schema.OWNER: tenant_id})
        item_keys, last_row = self.database.owned_page(
            tenant_id,
            Kind.API_KEY.key(""),
            limit,
            start,
        )
        keys = tuple(self._table.read_all(item_keys, _KEYS.read))
        return keys, Kind.API_KEY.name_in(last_row) if last_row else None

    def add(self, key: TenantKey, origin: Origin = SYSTEM) -> None:
        """Store a new key.

        Raises:
            QuotaExceededError: The tenant has as many keys as it may have.
            MakerGoneError: The key that creates this one has been deleted.
            TenantClosingError: The tenant is being deleted.
        """
        expiry = None if key.expires_at is None else key.expires_at.isoformat()
        writes = [
            self._table.new(
                "key",
                _KEYS.item(Kind.API_KEY.key(key.key_id), key),
            ),
            self._count_write(key),
            self.database.audited(
                origin,
                Action.KEY_CREATED,
                key.tenant_id,
                key.key_id,
                name=key.name,
                scopes=[str(scope) for scope in key.scopes],
                expires_at=expiry,
            ),
        ]
        if key.maker is not None:
            maker_key = Kind.API_KEY.key(key.maker)
            writes.append(self._table.require("maker", maker_key, EXISTS))
        try:
            self.database.transact_while_active(key.tenant_id, *writes)
        except ConditionsFailedError as error:
            if "ids" in error.items:
                raise _too_many_keys(key.tenant_id) from error
            if "maker" in error.items:
                raise MakerGoneError from error
            raise

    def _count_write(self, key: TenantKey) -> Write:
        """Return the write that adds a key to the tenant's ids, if it is not one too many.

        The ids of a tenant that were never counted are taken from the index.
        """
        key_ids = {key.key_id}
        if self._counted_ids(key.tenant_id) is None:
            listed_ids = self._listed_ids(key.tenant_id)
            if len(listed_ids) >= MAX_KEYS:
                raise _too_many_keys(key.tenant_id)
            key_ids |= listed_ids
        ids = Attr("key_ids")
        return self._table.update(
            "ids",
            Kind.API_KEYS.key(key.tenant_id),
            Update(
                adds={"key_ids": key_ids},
                sets={"tenant_id": key.tenant_id},
            ),
            ids.not_exists() | ids.size().lt(MAX_KEYS),
        )

    def made_by(
        self,
        tenant_id: str,
        key_ids: Collection[str],
    ) -> list[TenantKey]:
        """Return a tenant's keys that were created with any of the keys, by id.

        They are read consistently.
        """
        counted_ids = self._counted_ids(tenant_id) or set()
        all_ids = sorted(counted_ids | self._listed_ids(tenant_id))
        item_keys = [Kind.API_KEY.key(key_id) for key_id in all_ids]
        keys = self._table.read_all(item_keys, _KEYS.read)
        return [
            key
            for key in keys
            if key.tenant_id == tenant_id and key.maker in key_ids
        ]

    def remove(
        self,
        tenant_id: str,
        key_id: str,
        origin: Origin = SYSTEM,
    ) -> bool:
        """Delete a tenant's key. Return False if the tenant has no such key."""
        key = self.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            return False
        uncount = self._table.update(
            "ids",
            Kind.API_KEYS.key(tenant_id),
            Update(deletes={"key_ids": {key_id}}),
            EXISTS,
        )
        return self.database.carry_out(
            self._table.delete("key", Kind.API_KEY.key(key_id), EXISTS),
            replace(uncount, optional=True),
            self.database.audited(
                origin,
                Action.KEY_DELETED,
                tenant_id,
                key_id,
                name=key.name,
            ),
        )

    def note_use(self, key: TenantKey) -> None:
        """Store that a key was used, at most once an hour, unless it has been deleted."""
        self.database.note_use(
            "key",
            Kind.API_KEY.key(key.key_id),
            key.last_used_at,
        )

    def _counted_ids(self, tenant_id: str) -> set[str] | None:
        """Return the ids of a tenant's keys, or None if they were never counted."""
        item = self._table.item(Kind.API_KEYS.key(tenant_id))
        return None if item is None else set(unmarshal(item).get("key_ids", ()))

    def _listed_ids(self, tenant_id: str) -> set[str]:
        """Return the ids of a tenant's keys by the index, which lags."""
        key_ids: set[str] = set()
        after: str | None = None
        while True:
            page, after = self.of_tenant(tenant_id, limit=100, after=after)
            key_ids |= {key.key_id for key in page}
            if after is None:
                return key_ids


def _too_many_keys(tenant_id: str) -> QuotaExceededError:
    return QuotaExceededError("KEY_QUOTA_EXCEEDED", tenant_id, MAX_KEYS)


@dataclass(frozen=True, slots=True)
class SessionStore:
    """The sessions of browsers, by the digests of their ids."""

    database: Database

    @property
    def _table(self) -> Table:
        return self.database.tenants

    def find(self, digest: str) -> BrowserSession | None:
        """Return a session, read consistently, or None where it is over or unknown."""
        session = self._table.read(Kind.SESSION.key(digest), _SESSIONS.read)
        if session is None or session.is_over(self.database.clock()):
            return None
        return session

    def add(self, session: BrowserSession) -> None:
        """Store a new session, and delete some of its tenant's that are over.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        self._sweep(session.tenant_id)
        item = _SESSIONS.item(Kind.SESSION.key(session.digest), session)
        self.database.transact_while_active(
            session.tenant_id,
            self._table.new("session", item),
        )

    def _sweep(self, tenant_id: str) -> None:
        """Delete those of a tenant's first sessions that are over."""
        now = self.database.clock()
        keys, _ = self.database.owned_page(
            tenant_id,
            Kind.SESSION.key(""),
            _MAX_SESSIONS_SWEPT,
        )
        for session in self._table.read_all(keys, _SESSIONS.read):
            if session.is_over(now):
                self.remove(session.digest)

    def remove(self, digest: str) -> None:
        """Delete a session, if there is one."""
        self._table.carry_out(
            self._table.delete("session", Kind.SESSION.key(digest)),
        )
