"""Sessions of the page: opened by a tenant's key, good as long as it is, and for 12 hours.

A browser has a session's id; the digest of it alone is stored. The token that each form carries is
made of the id, so that a page which does not know the id cannot make one.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay_dagster.api.security.api_keys import Caller, caller_of
from relay_dagster.api.security.rate_limits import LatelySeen, WrongKeys
from relay_dagster.aws.dynamodb.api_key_store import (
    ApiKeyStore,
    BrowserSession,
    SessionStore,
    digest_of,
)
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import ActorKind

LIFE = timedelta(hours=12)
_FORM = "form:"


@dataclass(eq=False)
class Sessions:
    """The sessions that one process serves; ids of nobody count as wrong keys."""

    store: SessionStore
    keys: ApiKeyStore
    wrong_keys: WrongKeys
    now: Callable[[], datetime] = utc_now
    _good: LatelySeen[bool] = field(default_factory=LatelySeen)

    def open(self, caller: Caller) -> str:
        """Return the id of a new session of a key; `TenantClosingError`: its tenant is closing."""
        session_id, now = secrets.token_urlsafe(32), self.now()
        session = BrowserSession(
            digest=digest_of(session_id),
            tenant_id=str(caller.tenant_id),
            key_id=caller.actor.id,
            created_at=now,
            ends_at=now + LIFE,
        )
        self.store.add(session)
        return session_id

    def caller(self, session_id: str, address: str) -> Caller | None:
        """Return who has a session, with the scopes that its key has now; None for nobody.

        One that was good here before is looked up whatever else came from the address.

        Raises:
            RateLimitedError: too many ids of nobody came from the address.
        """
        digest = digest_of(session_id)
        was_good = self._good.get(digest)
        if not was_good:
            self.wrong_keys.require_few(address)
        session = self.store.find(digest)
        if session is None:
            if not was_good:
                self.wrong_keys.note(address)
            return None
        self._good.set(digest, True)
        key = self.keys.of_active_tenant(session.key_id)
        if key is None or key.tenant_id != session.tenant_id or key.is_over(self.now()):
            self.store.remove(session.digest)
            return None
        return caller_of(key, ActorKind.SESSION)

    def close(self, session_id: str) -> None:
        """End a session."""
        self.store.remove(digest_of(session_id))


def form_token(session_id: str) -> str:
    """Return the token of a session's forms."""
    return digest_of(f"{_FORM}{session_id}")


def is_token_of(session_id: str, token: str) -> bool:
    """Tell whether a form's token is that of a session."""
    return hmac.compare_digest(form_token(session_id).encode(), token.encode(errors="replace"))
