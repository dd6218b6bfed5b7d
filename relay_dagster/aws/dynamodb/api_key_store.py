"""Keys of tenants, in the tenants table as ``KEY#<key_id>``: digests alone, never a secret.

``KEYS#<tenant_id>`` has the ids of a tenant's, so that they are counted as they are written.
``SESSION#<digest>`` is a session of the page that a key has opened.

How a key is made and compared is ``api/security/api_keys.py``, what a session is good for
``api/security/bearers.py``; what each scope lets its holder do, the API's routes say.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import Codec, marshal, unmarshal
from relay_dagster.aws.dynamodb.database import (
    ConditionsFailedError,
    Database,
    is_closed,
)
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import IS_THERE
from relay_dagster.runs.errors import MakerGoneError, QuotaExceededError
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope

MAX_KEYS = 50
"""Of a tenant, expired ones too."""
_SWEPT_AT_ONCE = 25


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

    @property
    def maker(self) -> str | None:
        """The id of the tenant's key that has made it; None where an admin has."""
        kind, _, name = (self.created_by or "").partition(":")
        return name if kind == "key" else None

    def is_over(self, now: datetime) -> bool:
        """Return whether the key has expired."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserSession:
    """One browser that is signed in, by which key and until when; ``digest`` is of its id."""

    digest: str
    tenant_id: str
    key_id: str
    created_at: datetime
    ends_at: datetime

    def is_over(self, now: datetime) -> bool:
        """Return whether the session has lasted as long as it may."""
        return self.ends_at <= now


# `schema.EXPIRY` is the name by which items are deleted, where a table has that switched on.
_KEYS = Codec(kind=TenantKey, in_key="key_id", renamed={"expires_at": "key_expires_at"})
_SESSIONS = Codec(kind=BrowserSession, in_key="digest")


@dataclass(frozen=True, slots=True)
class ApiKeyStore:
    """Keys by their id."""

    database: Database

    def get(self, key_id: str) -> TenantKey | None:
        """Return a key, read consistently; None where there is none, or no longer."""
        return self.database.tenants.read(Kind.API_KEY.key(key_id), _KEYS.read)

    def of_active_tenant(self, key_id: str) -> TenantKey | None:
        """Return a key as `get` does, unless its tenant is being deleted: it stops at once."""
        key = self.get(key_id)
        if key is None or is_closed(
            self.database.tenants.item(Kind.DELETION.key(key.tenant_id))
        ):
            return None
        return key

    def of_tenant(
        self, tenant_id: str, *, limit: int, after: str | None = None
    ) -> tuple[tuple[TenantKey, ...], str | None]:
        """Return a page of keys, by an index, which lags, and the id to go on after, or None."""
        start = after and marshal(
            {schema.KEY: Kind.API_KEY.key(after), schema.OWNER: tenant_id}
        )
        prefix = Kind.API_KEY.key("")
        found, last = self.database.owned_page(tenant_id, prefix, limit, start or None)
        keys = tuple(self.database.tenants.read_all(found, _KEYS.read))
        return keys, Kind.API_KEY.name_in(last) if last else None

    def add(self, key: TenantKey, origin: Origin = SYSTEM) -> None:
        """Keep a new key of a new id; `QuotaExceededError`, `MakerGoneError` as they say."""
        table, item = (
            self.database.tenants,
            _KEYS.item(Kind.API_KEY.key(key.key_id), key),
        )
        until = None if key.expires_at is None else key.expires_at.isoformat()
        details = {
            "name": key.name,
            "scopes": list(map(str, key.scopes)),
            "expires_at": until,
        }
        counted = self._counted(key.tenant_id)
        others = set() if counted is not None else self._listed(key.tenant_id)
        if len(others) >= MAX_KEYS:
            raise QuotaExceededError("KEY_QUOTA_EXCEEDED", key.tenant_id, MAX_KEYS)
        count = table.write(
            "ids",
            "Update",
            Kind.API_KEYS.key(key.tenant_id),
            "ADD key_ids :ids SET tenant_id = :tenant",
            "attribute_not_exists(key_ids) OR size(key_ids) < :most",
            ids={key.key_id, *others},
            tenant=key.tenant_id,
            most=MAX_KEYS,
        )
        audited = self.database.audited(
            origin, Action.KEY_CREATED, key.tenant_id, key.key_id, **details
        )
        writes = [table.new("key", item), count, audited]
        if key.maker is not None:
            made_by = Kind.API_KEY.key(key.maker)
            writes.append(
                table.write("maker", "ConditionCheck", made_by, condition=IS_THERE)
            )
        try:
            self.database.transact_while_active(key.tenant_id, *writes)
        except ConditionsFailedError as error:
            if "ids" in error.items:
                raise QuotaExceededError(
                    "KEY_QUOTA_EXCEEDED", key.tenant_id, MAX_KEYS
                ) from error
            if "maker" in error.items:
                raise MakerGoneError from error
            raise

    def made_by(self, tenant_id: str, key_ids: Collection[str]) -> list[TenantKey]:
        """Return the tenant's keys that some keys have made, read consistently."""
        keys = map(
            Kind.API_KEY.key,
            sorted((self._counted(tenant_id) or set()) | self._listed(tenant_id)),
        )
        found = self.database.tenants.read_all(keys, _KEYS.read)
        return [
            key for key in found if key.tenant_id == tenant_id and key.maker in key_ids
        ]

    def remove(self, tenant_id: str, key_id: str, origin: Origin = SYSTEM) -> bool:
        """Forget a tenant's key; tell whether the tenant had it."""
        key = self.get(key_id)
        if key is None or key.tenant_id != tenant_id:
            return False
        table, ids, its_id = (
            self.database.tenants,
            Kind.API_KEYS.key(tenant_id),
            {key_id},
        )
        gone = table.write(
            "key", "Delete", Kind.API_KEY.key(key_id), condition=IS_THERE
        )
        uncount = table.write(
            "ids", "Update", ids, "DELETE key_ids :ids", IS_THERE, ids=its_id
        )
        deleted, name = Action.KEY_DELETED, key.name
        audited = self.database.audited(origin, deleted, tenant_id, key_id, name=name)
        return self.database.carry_out(gone, replace(uncount, optional=True), audited)

    def note_use(self, key: TenantKey) -> None:
        """Note that a key is used, unless that was noted within the hour; a gone one stays gone."""
        self.database.note_use("key", Kind.API_KEY.key(key.key_id), key.last_used_at)

    def _counted(self, tenant_id: str) -> set[str] | None:
        """Return the ids of a tenant's keys; None where they were never counted."""
        item = self.database.tenants.item(Kind.API_KEYS.key(tenant_id))
        return None if item is None else set(unmarshal(item).get("key_ids", ()))

    def _listed(self, tenant_id: str) -> set[str]:
        """Return the ids of a tenant's keys that stand in the index, which lags."""
        ids: set[str] = set()
        after: str | None = None
        while True:
            page, after = self.of_tenant(tenant_id, limit=100, after=after)
            ids |= {key.key_id for key in page}
            if after is None:
                return ids


@dataclass(frozen=True, slots=True)
class SessionStore:
    """Sessions by the digests of their ids."""

    database: Database

    def find(self, digest: str) -> BrowserSession | None:
        """Return a session, read consistently; None where there is none, or no longer."""
        found = self.database.tenants.read(Kind.SESSION.key(digest), _SESSIONS.read)
        return None if found is None or found.is_over(self.database.clock()) else found

    def add(self, session: BrowserSession) -> None:
        """Keep a new session; some of its tenant's go that are over."""
        table, now = self.database.tenants, self.database.clock()
        prefix = Kind.SESSION.key("")
        keys, _ = self.database.owned_page(session.tenant_id, prefix, _SWEPT_AT_ONCE)
        for each in table.read_all(keys, _SESSIONS.read):
            if each.is_over(now):
                self.remove(each.digest)
        item = _SESSIONS.item(Kind.SESSION.key(session.digest), session)
        self.database.transact_while_active(
            session.tenant_id, table.new("session", item)
        )

    def remove(self, digest: str) -> None:
        """Forget a session; one that is gone counts as forgotten."""
        table = self.database.tenants
        table.carry_out(table.write("session", "Delete", Kind.SESSION.key(digest)))
