"""API keys and their owners: admins' keys from ``API_KEYS``, and tenants' keys.

Only the digests of tenants' keys are stored, by ``aws/dynamodb/api_key_store.py``.
`auth` decides which calls a caller may make.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from relay_core.domain.destination import is_loopback
from relay_dagster.aws.dynamodb.api_key_store import (
    ApiKeyStore,
    Scope,
    TenantKey,
)
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.http.security import rate_limits
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.settings import Settings, SettingsError
from relay_dagster.tenants.audit import Actor, ActorKind, Origin
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.wire.access import KeyRequest

SHORTEST_SECRET = 16
"""The length of an admin's secret, at least, if others than this machine are served."""
_NAME_AND_SECRET = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(.*)", re.DOTALL
)
# The ID in a tenant's key leads to the digest. The secret is 32 random bytes.
_TENANT_KEY = re.compile(r"rk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_ADMIN_FACTOR = 10
_log = event_log()


# --- admins' keys -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdminKey:
    """An admin's key: the admin's name, and the secret that ``X-API-Key`` must have."""

    name: str
    secret: str = field(repr=False)
    reads_only: bool = False  # whether the admin can change nothing


def read_admin_keys(
    words: Iterable[str], read_only: Collection[str] = ()
) -> tuple[AdminKey, ...]:
    """Return the keys of ``API_KEYS``.

    Each word is ``name:secret``, or a secret whose name is made of its position. The
    admins named in ``read_only`` can change nothing.

    Raises:
        SettingsError: A secret is empty, or two keys have the same name. The message
            contains no secret.
    """
    keys: dict[str, AdminKey] = {}
    for position, word in enumerate(words, start=1):
        match = _NAME_AND_SECRET.fullmatch(word)
        name, secret = match.groups() if match else (f"admin-{position}", word)
        if not secret:
            raise SettingsError("API_KEYS", f"must have a secret after {name}:")
        if name in keys:
            problem = f"must name each key once, but {name} appears twice"
            raise SettingsError("API_KEYS", problem)
        keys[name] = AdminKey(name, secret, name in read_only)
    return tuple(keys.values())


def refuse_unsafe(settings: Settings, host: str) -> None:
    """Refuse to serve others than this machine without keys, or with short secrets.

    Raises:
        SettingsError: The settings are not safe at the host.
    """
    is_local = is_loopback(host)
    if settings.allow_anonymous and not is_local:
        problem = f"gives everyone access, which is not allowed on {host}; set API_KEYS instead"
        raise SettingsError("RELAY_ALLOW_ANONYMOUS", problem)
    keys = read_admin_keys(settings.api_keys)
    short_names = [
        key.name for key in keys if len(key.secret) < SHORTEST_SECRET
    ]
    if short_names and not is_local:
        problem = (
            f"must have secrets of {SHORTEST_SECRET} characters or more "
            f"to be served at {host}; shorter: {', '.join(short_names)}"
        )
        raise SettingsError("API_KEYS", problem)
    if short_names:
        _log.warning(
            "admin_secret_too_short",
            names=short_names,
            at_least=SHORTEST_SECRET,
        )


# --- callers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request."""

    id: str  # an ID that differs between callers, and has no secret
    tenant_id: str | None = None  # the caller's tenant; None for an admin
    name: str = ""  # the name of the caller's key, for people
    scopes: frozenset[Scope] = frozenset(Scope)
    expires_at: datetime | None = None  # the expiry of the caller's key
    kind: ActorKind = ActorKind.TENANT_KEY  # the kind of a tenant's caller
    # Whether the caller is an admin who can change nothing.
    reads_only: bool = False

    @property
    def actor(self) -> Actor:
        """The caller, as the audit log names it."""
        if self.is_admin:
            return Actor(ActorKind.ADMIN_KEY, self.name, self.name)
        _, _, key_id = self.id.partition(":")
        return Actor(self.kind, key_id, self.name)

    @property
    def is_admin(self) -> bool:
        """True if the caller can access all tenants."""
        return self.tenant_id is None

    def reaches(self, tenant_id: str) -> bool:
        """Return True if the caller can access a tenant and all that belongs to it."""
        return self.tenant_id in (None, tenant_id)

    def require(self, tenant_id: str) -> None:
        """Require that the caller can access a tenant.

        Raises:
            UnknownTenantError: The caller cannot, so the tenant does not exist for it.
        """
        if not self.reaches(tenant_id):
            raise UnknownTenantError(tenant_id)


ANONYMOUS = Caller("anonymous", name="anonymous")
"""The caller of every request if ``RELAY_ALLOW_ANONYMOUS`` is set: an admin."""


def caller_of(key: TenantKey, kind: ActorKind = ActorKind.TENANT_KEY) -> Caller:
    """Return the caller who uses a tenant's key, or a session that the key opened."""
    return Caller(
        id=f"key:{key.key_id}",
        tenant_id=key.tenant_id,
        name=key.name,
        scopes=frozenset(key.scopes),
        expires_at=key.expires_at,
        kind=kind,
    )


class CallerRates:
    """The rates at which callers may make requests.

    All keys of a tenant share one rate, and the tenant's requests that are handled at
    the same time are limited. Each admin has ten times the rate of a tenant.

    Attributes:
        admins: The rates of admins, by the ID of the caller.
    """

    def __init__(
        self,
        per_minute: int,  # the number of a tenant's requests in a minute
        burst: int,  # the number of a tenant's requests at once
        at_work: int,  # the number of a tenant's requests that are handled at once
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenants = rate_limits.TokenBuckets(per_minute, burst, clock)
        self.admins = rate_limits.TokenBuckets(
            _ADMIN_FACTOR * per_minute, _ADMIN_FACTOR * burst, clock
        )
        self._at_work = rate_limits.ConcurrencyLimiter(at_work)

    def begin(self, tenant_id: str) -> None:
        """Count a tenant's request, which is being handled until `end`.

        Raises:
            RateLimitedError: The tenant made too many requests, or too many are being
                handled.
        """
        self._at_work.begin(tenant_id)
        try:
            self._tenants.take(tenant_id)
        except rate_limits.RateLimitedError:
            self._at_work.end(tenant_id)
            raise

    def end(self, tenant_id: str) -> None:
        """Note that a tenant's request was handled."""
        self._at_work.end(tenant_id)


# --- the keyring --------------------------------------------------------------------


class KeyExpiredError(Exception):
    """A tenant's key expired at ``at``."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        super().__init__(f"the key has expired at {at.isoformat()}")


@dataclass(eq=False)
class Keyring:
    """Finds the owners of keys, and issues and revokes tenants' keys."""

    admin_keys: Iterable[AdminKey]
    tenant_keys: ApiKeyStore
    wrong_keys: rate_limits.WrongKeys
    clock: Callable[[], float] = time.monotonic  # seconds
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        """Compute the digests of the admins' keys."""
        self._valid_keys = rate_limits.ValidSecrets(self.clock)
        self._admins = []
        for key in self.admin_keys:
            admin = Caller(
                f"admin:{key.name}", name=key.name, reads_only=key.reads_only
            )
            self._admins.append((digest_of(key.secret), admin))

    def caller(self, key: str, address: str) -> Caller | None:
        """Return the owner of a key, or None for a wrong key.

        Each wrong key counts against the address that sent it. A key that was valid
        within the last hour is looked up even if the address has sent too many; if it
        was revoked since, it counts as a wrong key.

        Raises:
            RateLimitedError: The address has sent too many wrong keys.
            KeyExpiredError: It is a tenant's key that has expired. It counts as wrong.
        """
        digest = digest_of(key)
        # All admins' keys are compared, each in constant time, so that the time that
        # this takes says nothing about them.
        matching_admins = [
            admin
            for admin_digest, admin in self._admins
            if hmac.compare_digest(digest, admin_digest)
        ]
        if matching_admins:
            return matching_admins[0]
        if self._valid_keys.tenant(digest) is None:
            self.wrong_keys.require_few(address)
        tenant_key = self._find_tenant_key(key, digest)
        if tenant_key is None or tenant_key.is_over(self.now()):
            self._valid_keys.forget(digest)
            self.wrong_keys.note(address)
            if tenant_key is not None and tenant_key.expires_at is not None:
                raise KeyExpiredError(tenant_key.expires_at)
            return None
        self._valid_keys.remember(digest, tenant_key.tenant_id)
        # A valid key works even if its use cannot be noted.
        with suppress(ExternalServiceError):
            self.tenant_keys.note_use(tenant_key)
        return caller_of(tenant_key)

    def _find_tenant_key(self, key: str, digest: str) -> TenantKey | None:
        """Return the stored key that has a key's ID and digest, or None."""
        match = _TENANT_KEY.fullmatch(key)
        if match is None:
            return None
        tenant_key = self.tenant_keys.of_active_tenant(match.group(1))
        if tenant_key is None or not hmac.compare_digest(
            digest, tenant_key.digest
        ):
            return None
        return tenant_key

    def likely_tenant(self, key: str) -> str | None:
        """Return the tenant of a key that was valid within the last hour, or None."""
        return self._valid_keys.tenant(digest_of(key))

    def issue(
        self, tenant_id: str, request: KeyRequest, by: Caller, origin: Origin
    ) -> tuple[str, str]:
        """Create a key for a tenant; return its ID and the key, which is not stored."""
        key_id = secrets.token_hex(8)
        key = f"rk_{key_id}_{secrets.token_urlsafe(32)}"
        tenant_key = TenantKey(
            key_id=key_id,
            tenant_id=tenant_id,
            digest=digest_of(key),
            name=request.name or key_id,
            scopes=tuple(request.scopes),
            created_at=self.now(),
            created_by=by.id,
            expires_at=request.expires_at,
        )
        self.tenant_keys.add(tenant_key, origin)
        return key_id, key

    def revoke(
        self,
        tenant_id: str,
        key_id: str,
        origin: Origin,
        judge: Callable[[Iterable[Scope]], object],
        *,
        with_made: bool = False,
    ) -> list[str]:
        """Revoke a tenant's key, and return the IDs of all keys that were revoked.

        ``judge`` gets the scopes of each key, and raises if the caller may not revoke
        it. With ``with_made``, the keys that the key created are revoked too, and the
        keys that those keys created.
        """
        revoked_ids: list[str] = []
        maker_ids = {key_id}
        tenant_key = self.tenant_keys.get(key_id)
        keys_to_revoke: Iterable[TenantKey] = []
        if tenant_key is not None and tenant_key.tenant_id == tenant_id:
            keys_to_revoke = [tenant_key]
        while True:
            for key in keys_to_revoke:
                judge(key.scopes)
            for key in keys_to_revoke:
                maker_ids.add(key.key_id)
                if self.tenant_keys.remove(tenant_id, key.key_id, origin):
                    revoked_ids.append(key.key_id)
            keys_to_revoke = []
            if with_made:
                keys_to_revoke = self.tenant_keys.made_by(tenant_id, maker_ids)
            if not keys_to_revoke:
                return revoked_ids
