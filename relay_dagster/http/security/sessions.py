"""Sessions of the pages, and the tokens of their forms.

A tenant's key opens a session, which ends after 12 hours, after 2 hours without use, or
when the key stops being valid. A browser has the session's secret in a cookie, and only
the secret's digest is stored. Each form has a token that is made of the secret, so a
page that does not know the secret cannot make one. The sign-in form has a token of its
own, which is made of a random value in another cookie.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay_dagster.aws.dynamodb import api_key_store
from relay_dagster.aws.dynamodb.api_key_store import BrowserSession, SessionEnd
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.http.security import rate_limits
from relay_dagster.http.security.api_keys import Caller, caller_of
from relay_dagster.http.security.rate_limits import is_token
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import SYSTEM, ActorKind, Origin

SESSION_LIFE = timedelta(hours=12)


@dataclass(eq=False)
class Sessions:
    """The sessions of the pages. Each wrong cookie counts against its address."""

    store: api_key_store.SessionStore
    keys: api_key_store.ApiKeyStore
    wrong_tokens: rate_limits.WrongKeys
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic  # seconds

    def __post_init__(self) -> None:
        """Begin without any session that was valid."""
        self._valid_cookies = rate_limits.ValidSecrets(self.clock)

    def open(self, caller: Caller, origin: Origin = SYSTEM) -> str:
        """Open a session for a tenant's key, and return the session's secret.

        If the key has too many sessions, its oldest session ends.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        secret = secrets.token_urlsafe(32)
        now = self.now()
        session = BrowserSession(
            digest=digest_of(secret),
            tenant_id=str(caller.tenant_id),
            key_id=caller.actor.id,
            created_at=now,
            ends_at=now + SESSION_LIFE,
            last_used_at=now,
        )
        self.store.add(session, origin)
        return secret

    def likely_tenant(self, secret: str) -> str | None:
        """Return the tenant of a session that was open within the last hour, or None."""
        return self._valid_cookies.tenant(digest_of(secret))

    def caller(self, secret: str, address: str) -> Caller | None:
        """Return the owner of a session, or None if the session has ended.

        The owner has the scopes that its key has now. A secret that was valid within
        the last hour is looked up even if the address has sent too many wrong ones; if
        the session has ended since, it counts as a wrong one.

        Raises:
            RateLimitedError: The address has sent too many wrong cookies or links.
        """
        digest = digest_of(secret)
        if self._valid_cookies.tenant(digest) is None:
            self.wrong_tokens.require_few(address)
        session = self.store.find(digest) if is_token(secret) else None
        key = None if session is None else self._key_of(session)
        if session is None or key is None:
            self._valid_cookies.forget(digest)
            self.wrong_tokens.note(address)
            return None
        self._valid_cookies.remember(digest, session.tenant_id)
        # A session works even if its use cannot be noted.
        with suppress(ExternalServiceError):
            self.store.note_use(session)
        return caller_of(key, ActorKind.SESSION)

    def _key_of(
        self, session: BrowserSession
    ) -> api_key_store.TenantKey | None:
        """Return the key of a session; end the session if the key is not valid."""
        key = self.keys.of_active_tenant(session.key_id)
        if (
            key is None
            or key.tenant_id != session.tenant_id
            or key.is_over(self.now())
        ):
            self.store.end(session, SessionEnd.KEY_ENDED)
            return None
        return key

    def close(self, secret: str, reason: SessionEnd, origin: Origin) -> None:
        """End a session, if it has not ended yet."""
        session = self.store.find(digest_of(secret))
        if session is not None:
            self.store.end(session, reason, origin)


# --- the tokens of forms ------------------------------------------------------------


def form_token(session_secret: str) -> str:
    """Return the token that every form of a session has."""
    return digest_of(f"form:{session_secret}")


def sign_in_token(cookie: str) -> str:
    """Return the token that the sign-in form has for a browser with a cookie."""
    return digest_of(f"sign-in:{cookie}")


def is_same_token(expected: str, token: str) -> bool:
    """Return True if a form's token is the expected one."""
    return hmac.compare_digest(
        expected.encode(), token.encode(errors="replace")
    )
