"""Keys and their owners: admins' from ``API_KEYS``, tenants' by digests, never by the key itself.

Digests are stored by ``aws/dynamodb/api_key_store.py``; `auth` judges who may make which call.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from relay_core.domain.destination import is_loopback
from relay_dagster.api.security import rate_limits
from relay_dagster.aws.dynamodb.api_key_store import ApiKeyStore, Scope, TenantKey
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.settings import Settings, SettingsError
from relay_dagster.tenants.audit import Actor, ActorKind, Origin
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.wire.access import KeyRequest

SHORTEST_SECRET = 16
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,63}):(.*)", re.DOTALL)
_log = event_log()


@dataclass(frozen=True, slots=True)
class AdminKey:
    """An admin's key: whose it is, and what is to be shown in ``X-API-Key``."""

    name: str
    secret: str = field(repr=False)


def read_admin_keys(words: Iterable[str]) -> tuple[AdminKey, ...]:
    """Return the keys of ``API_KEYS``: each ``name:secret``, or a secret that its place names.

    `SettingsError`: a secret is empty, or two keys have one name; no secret is repeated.
    """
    keys: dict[str, AdminKey] = {}
    for place, word in enumerate(words, 1):
        named = _NAMED.fullmatch(word)
        name, secret = named.groups() if named else (f"admin-{place}", word)
        if not secret:
            raise SettingsError("API_KEYS", f"must have a secret after {name}:")
        if name in keys:
            raise SettingsError(
                "API_KEYS", f"must name each key once; {name} stands twice"
            )
        keys[name] = AdminKey(name, secret)
    return tuple(keys.values())


def refuse_unsafe(settings: Settings, host: str) -> None:
    """Refuse to let all in, or a short secret, where others reach the address: `SettingsError`."""
    is_own = is_loopback(host)
    if settings.allow_anonymous and not is_own:
        problem = f"lets everybody in, which is refused at {host}; set API_KEYS"
        raise SettingsError("RELAY_ALLOW_ANONYMOUS", problem)
    keys = read_admin_keys(settings.api_keys)
    short = [key.name for key in keys if len(key.secret) < SHORTEST_SECRET]
    if short and not is_own:
        problem = (
            f"must have secrets of {SHORTEST_SECRET} characters or more "
            f"to be served at {host}"
        )
        raise SettingsError("API_KEYS", f"{problem}; shorter: {', '.join(short)}")
    if short:
        _log.warning("admin_secret_too_short", names=short, at_least=SHORTEST_SECRET)


# The id in a tenant's key leads to its digest; the secret is 32 random bytes.
_TENANT_KEY = re.compile(r"rk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_GOOD_SECONDS = 60 * 60.0
_ADMIN_FACTOR = 10
_ADMIN, _KEY = "admin:", "key:"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. ``tenant_id`` None is an admin, who may do all that a key may.

    ``id`` tells callers apart and holds no secret; ``name`` is what people call the key; ``kind``
    is how a caller of a tenant comes.
    """

    id: str
    tenant_id: str | None = None
    name: str = ""
    scopes: frozenset[Scope] = frozenset(Scope)
    expires_at: datetime | None = None
    kind: ActorKind = ActorKind.TENANT_KEY

    @property
    def actor(self) -> Actor:
        """The caller as the audit names it."""
        if self.is_admin:
            return Actor(ActorKind.ADMIN_KEY, self.name, self.name)
        return Actor(self.kind, self.id.partition(":")[2], self.name)

    @property
    def is_admin(self) -> bool:
        """Whether the caller reaches all tenants."""
        return self.tenant_id is None

    def reaches(self, tenant_id: str) -> bool:
        """Return whether a tenant and what belongs to it exist for this caller."""
        return self.tenant_id in (None, tenant_id)

    def require(self, tenant_id: str) -> None:
        """Raise `UnknownTenantError` for a tenant that the caller does not reach: it is as none."""
        if not self.reaches(tenant_id):
            raise UnknownTenantError(tenant_id)


ANONYMOUS = Caller("anonymous", name="anonymous")


class KeyExpiredError(Exception):
    """A tenant's key that was good until ``at``."""

    def __init__(self, at: datetime) -> None:
        self.at = at
        super().__init__(f"the key has expired at {at.isoformat()}")


class CallerRates:
    """How often callers may call: all keys of a tenant so often, an admin ten times as often.

    A tenant has a few requests in work at once. ``burst`` are those that come at once.
    """

    def __init__(
        self,
        per_minute: int,
        burst: int,
        at_work: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tenants = rate_limits.TokenBuckets(per_minute, burst, clock)
        self._admins = rate_limits.TokenBuckets(
            _ADMIN_FACTOR * per_minute, _ADMIN_FACTOR * burst, clock
        )
        self._at_work = rate_limits.ConcurrencyLimiter(at_work)

    def take_admin(self, caller: Caller) -> None:
        """Count an admin's request; `RateLimitedError` where it is one too many."""
        self._admins.take(caller.id)

    def begin(self, tenant_id: str) -> None:
        """Count a tenant's request, in work until `end`; `RateLimitedError`: it is one too many."""
        self._at_work.take(tenant_id)
        try:
            self._tenants.take(tenant_id)
        except rate_limits.RateLimitedError:
            self._at_work.give_back(tenant_id)
            raise

    def end(self, tenant_id: str) -> None:
        """Note that a tenant's request is no longer in work."""
        self._at_work.give_back(tenant_id)


@dataclass(eq=False)
class Keyring:
    """Finds the owner of a key; makes and revokes tenants' keys."""

    admin_keys: Iterable[AdminKey]
    tenant_keys: ApiKeyStore
    wrong_keys: rate_limits.WrongKeys
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = utc_now
    _found_good: rate_limits.LatelySeen[tuple[float, str]] = field(
        default_factory=rate_limits.LatelySeen
    )

    def __post_init__(self) -> None:
        """Keep the digests of admins' keys, beside who shows them."""
        self._admins = [
            (digest_of(key.secret), Caller(f"{_ADMIN}{key.name}", name=key.name))
            for key in self.admin_keys
        ]

    def caller(self, key: str, address: str) -> Caller | None:
        """Return the owner of a key, None for nobody's.

        All admin keys are compared, in constant time, so that the time taken tells nothing. Keys
        that were good within the last hour are looked up however many wrong ones came from the
        address; one that has been revoked since counts as a wrong one.

        `RateLimitedError`: too many keys of nobody came from the address. `KeyExpiredError`: it is
        a tenant's that has expired, which counts as nobody's.
        """
        given = digest_of(key)
        matches = [
            caller
            for digest, caller in self._admins
            if hmac.compare_digest(given, digest)
        ]
        if matches:
            return matches[0]
        if self._good_tenant(given) is None:
            self.wrong_keys.require_few(address)
        form = _TENANT_KEY.fullmatch(key)
        found = self.tenant_keys.of_active_tenant(form.group(1)) if form else None
        is_known = found is not None and hmac.compare_digest(given, found.digest)
        is_over = found is not None and found.is_over(self.now())
        if found is None or not is_known or is_over:
            self._found_good.forget(given)
            self.wrong_keys.note(address)
            if found is not None and is_known and found.expires_at is not None:
                raise KeyExpiredError(found.expires_at)
            return None
        self._found_good.set(given, (self.clock(), found.tenant_id))
        with suppress(
            ExternalServiceError
        ):  # the caller has a good key, whatever is noted of it
            self.tenant_keys.note_use(found)
        return caller_of(found)

    def likely_tenant(self, key: str) -> str | None:
        """Return the tenant of a key that was good within the last hour, from memory; or None."""
        return self._good_tenant(digest_of(key))

    def _good_tenant(self, digest: str) -> str | None:
        found = self._found_good.get(digest)
        return found[1] if found and self.clock() - found[0] < _GOOD_SECONDS else None

    def issue(
        self, tenant_id: str, wanted: KeyRequest, by: Caller, origin: Origin
    ) -> tuple[str, str]:
        """Make a key of a tenant and return its id and the key itself, which is kept nowhere."""
        key_id = secrets.token_hex(8)
        key = f"rk_{key_id}_{secrets.token_urlsafe(32)}"
        kept = TenantKey(
            key_id=key_id,
            tenant_id=tenant_id,
            digest=digest_of(key),
            name=wanted.name or key_id,
            scopes=tuple(wanted.scopes),
            created_at=self.now(),
            created_by=by.id,
            expires_at=wanted.expires_at,
        )
        self.tenant_keys.add(kept, origin)
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
        """Revoke a tenant's key; return the ids of all keys that were revoked.

        ``with_made`` revokes the keys that it has made too, and those that they have made.
        ``judge`` gets the scopes of each, and raises where the caller may not revoke it.
        """
        keys, revoked, makers = self.tenant_keys, list[str](), {key_id}
        found = keys.get(key_id)
        doomed = [] if found is None or found.tenant_id != tenant_id else [found]
        while True:
            for key in doomed:
                judge(key.scopes)
            makers |= {key.key_id for key in doomed}
            revoked += [
                key.key_id
                for key in doomed
                if keys.remove(tenant_id, key.key_id, origin)
            ]
            doomed = keys.made_by(tenant_id, makers) if with_made else []
            if not doomed:
                return revoked


def caller_of(key: TenantKey, kind: ActorKind = ActorKind.TENANT_KEY) -> Caller:
    """Return who calls by a tenant's key, or by a session that it has opened."""
    scopes = frozenset(key.scopes)
    return Caller(
        f"{_KEY}{key.key_id}", key.tenant_id, key.name, scopes, key.expires_at, kind
    )
