"""Stores tenants' API keys and the sessions that they open, in the tenants table.

A key is ``KEY#<key_id>``, with the digest of its secret and never the secret.
``KEYS#<tenant_id>`` has the ids of a tenant's keys, so that they can be counted when one
is added. ``SESSION#<digest>`` is a person's session of the pages, opened with a key, and
``SESSIONS#<key_id>`` has the digests of the key's latest sessions, the oldest first.

``http/security/api_keys.py`` creates and compares keys, and ``http/security/sessions.py``
says what a session permits. The API's routes say what each scope permits.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from boto3.dynamodb.conditions import Attr, ConditionBase

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    Codec,
    epoch_seconds,
    marshal,
    unmarshal,
)
from relay_dagster.aws.dynamodb.database import (
    ConditionsFailedError,
    Database,
    is_closed,
)
from relay_dagster.aws.dynamodb.expressions import (
    DOES_NOT_EXIST,
    EXISTS,
    Update,
)
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.tenants.audit import SYSTEM, Action, Origin
from relay_dagster.tenants.errors import MakerGoneError, QuotaExceededError
from relay_dagster.tenants.scopes import DEFAULT_SCOPES, Scope

MAX_KEYS = 50
"""The number of keys that a tenant may have, expired ones included."""
MAX_SESSIONS = 20
"""The number of sessions that a key may have open. If there are more, the oldest end."""
MAX_IDLE = timedelta(hours=2)
"""How long a session goes on without being used."""
_USE_NOTED_EVERY = timedelta(minutes=1)
_SESSION_ID_LENGTH = 16


class SessionEnd(StrEnum):
    """Why a session has ended, as the audit says it."""

    SIGNED_OUT = "signed_out"
    DELETED = "deleted"  # by a call of the API
    REPLACED = "replaced"  # by a newer session of the same key or browser
    EXPIRED = "expired"
    IDLE = "idle"
    KEY_ENDED = "key_ended"  # the key was deleted, or has expired


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

    ``digest`` is the SHA-256 of the session's secret in hex. ``last_used_at`` lags by up
    to a minute, and is None for a session that an earlier release has opened.
    """

    digest: str
    tenant_id: str
    key_id: str
    created_at: datetime
    ends_at: datetime
    last_used_at: datetime | None = None

    @property
    def session_id(self) -> str:
        """The id of the session, which people may see."""
        return self.digest[:_SESSION_ID_LENGTH]

    def end_reason(self, now: datetime) -> SessionEnd | None:
        """Return the reason why the session has ended by itself; None if it goes on."""
        if self.ends_at <= now:
            return SessionEnd.EXPIRED
        last_used_at = self.last_used_at
        if last_used_at is not None and last_used_at + MAX_IDLE <= now:
            return SessionEnd.IDLE
        return None


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
    """The sessions of browsers, by the digests of their secrets."""

    database: Database

    @property
    def _table(self) -> Table:
        return self.database.tenants

    def find(self, digest: str) -> BrowserSession | None:
        """Return a session, read consistently, or None where it is over or unknown."""
        session = self._table.read(Kind.SESSION.key(digest), _SESSIONS.read)
        if session is None:
            return None
        reason = session.end_reason(self.database.clock())
        if reason is None:
            return session
        self.end(session, reason)
        return None

    def of_tenant(self, tenant_id: str) -> list[BrowserSession]:
        """Return a tenant's open sessions, the oldest first, by an index that lags."""
        return self._listed(tenant_id, Kind.SESSION.key(""))

    def by_id(self, tenant_id: str, session_id: str) -> BrowserSession | None:
        """Return a tenant's open session with an id, or None, by an index that lags."""
        sessions = self._listed(tenant_id, Kind.SESSION.key(session_id))
        for session in sessions:
            if session.session_id == session_id:
                return session
        return None

    def _listed(self, tenant_id: str, prefix: str) -> list[BrowserSession]:
        keys = self.database.owned_keys(tenant_id, prefix)
        now = self.database.clock()
        open_sessions = [
            session
            for session in self._table.read_all(keys, _SESSIONS.read)
            if session.end_reason(now) is None
        ]
        return sorted(open_sessions, key=_session_order)

    def add(self, session: BrowserSession, origin: Origin = SYSTEM) -> None:
        """Store a new session. If its key has too many, the oldest of them end.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        self.database.until_it_holds(
            lambda: self._try_to_add(session, origin),
            "dynamodb.TransactWriteItems",
            f"sessions of key {session.key_id}",
        )

    def _try_to_add(self, session: BrowserSession, origin: Origin) -> None:
        list_key = Kind.SESSIONS.key(session.key_id)
        list_item = self._table.item(list_key)
        digests: list[str] = []
        is_unchanged: ConditionBase = DOES_NOT_EXIST
        if list_item is not None:
            digests = unmarshal(list_item)["digests"]
            is_unchanged = Attr("digests").eq(digests)
        session_keys = [Kind.SESSION.key(digest) for digest in digests]
        sessions = self._table.read_all(session_keys, _SESSIONS.read)
        remaining_sessions, ended_sessions = _make_room(
            sessions, session.created_at
        )
        list_update = Update(
            sets={
                "tenant_id": session.tenant_id,
                "digests": [
                    *(remaining.digest for remaining in remaining_sessions),
                    session.digest,
                ],
                schema.EXPIRY: epoch_seconds(session.ends_at),
            }
        )
        writes = self._start_writes(session, origin)
        writes.append(
            self._table.update("sessions", list_key, list_update, is_unchanged)
        )
        for ended_session, reason in ended_sessions:
            writes += self._end_writes(ended_session, reason, origin)
        self.database.transact_while_active(session.tenant_id, *writes)

    def _start_writes(
        self, session: BrowserSession, origin: Origin
    ) -> list[Write]:
        item = _SESSIONS.item(
            Kind.SESSION.key(session.digest),
            session,
            **{schema.EXPIRY: epoch_seconds(session.ends_at)},
        )
        return [
            self._table.new("session", item),
            self.database.audited(
                origin,
                Action.SESSION_STARTED,
                session.tenant_id,
                session.session_id,
                key_id=session.key_id,
                expires_at=session.ends_at.isoformat(),
            ),
        ]

    def end(
        self,
        session: BrowserSession,
        reason: SessionEnd,
        origin: Origin = SYSTEM,
    ) -> bool:
        """Delete a session. Return False if it has been deleted already."""
        writes = self._end_writes(session, reason, origin)
        return self.database.carry_out(*writes)

    def _end_writes(
        self, session: BrowserSession, reason: SessionEnd, origin: Origin
    ) -> list[Write]:
        return [
            self._table.delete(
                f"session {session.digest}",
                Kind.SESSION.key(session.digest),
                EXISTS,
            ),
            self.database.audited(
                origin,
                Action.SESSION_ENDED,
                session.tenant_id,
                session.session_id,
                key_id=session.key_id,
                reason=str(reason),
            ),
        ]

    def note_use(self, session: BrowserSession) -> None:
        """Store that a session was used, at most once a minute, unless it has ended."""
        self.database.note_use(
            "session",
            Kind.SESSION.key(session.digest),
            session.last_used_at,
            every=_USE_NOTED_EVERY,
        )


def _session_order(session: BrowserSession) -> tuple[datetime, str]:
    return session.created_at, session.digest


def _make_room(
    sessions: Iterable[BrowserSession], now: datetime
) -> tuple[list[BrowserSession], list[tuple[BrowserSession, SessionEnd]]]:
    """Return the sessions of a key that go on beside a new one, and those that end."""
    remaining_sessions = []
    ended_sessions = []
    for session in sorted(sessions, key=_session_order):
        reason = session.end_reason(now)
        if reason is None:
            remaining_sessions.append(session)
        else:
            ended_sessions.append((session, reason))
    while len(remaining_sessions) >= MAX_SESSIONS:
        oldest_session = remaining_sessions.pop(0)
        ended_sessions.append((oldest_session, SessionEnd.REPLACED))
    return remaining_sessions, ended_sessions
