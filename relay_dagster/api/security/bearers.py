"""Sessions of the page, and links: whose they are, and how often they are used.

A session is opened by a tenant's key, good as long as it is, and for 12 hours.
A browser has a session's id; the digest of it alone is stored. The token that each form carries is
made of the id, so that a page which does not know the id cannot make one.
"""

import hmac
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from relay_dagster.api.limits import ApiLimits
from relay_dagster.api.security.api_keys import Caller, caller_of
from relay_dagster.api.security.rate_limits import (
    LatelySeen,
    RateLimitedError,
    WrongKeys,
)
from relay_dagster.aws.dynamodb import api_key_store
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, LinkStore
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import ActorKind

LIFE = timedelta(hours=12)
_FORM = "form:"


@dataclass(eq=False)
class Sessions:
    """The sessions that one process serves; ids of nobody count as wrong keys."""

    store: api_key_store.SessionStore
    keys: api_key_store.ApiKeyStore
    wrong_keys: WrongKeys
    now: Callable[[], datetime] = utc_now
    _good: LatelySeen[bool] = field(default_factory=LatelySeen)

    def open(self, caller: Caller) -> str:
        """Return the id of a new session of a key; `TenantClosingError`: its tenant is closing."""
        session_id, now = secrets.token_urlsafe(32), self.now()
        session = api_key_store.BrowserSession(
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
        `RateLimitedError`: too many ids of nobody came from it.
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
    """Return whether a form's token is that of a session."""
    return hmac.compare_digest(
        form_token(session_id).encode(), token.encode(errors="replace")
    )


_HOUR_SECONDS = 3600.0
_TOO_OFTEN = {
    LinkKind.FEED: "too many requests with this link, or wrong ones from this address",
    LinkKind.SUPPLIER: "the page was opened too often",
}
_ENOUGH_CHECKS = (
    "that is enough checks for this hour; your list is there, and is not lost"
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class LinkReaders:
    """The links that one process serves; tokens of nobody count as wrong keys."""

    def __init__(
        self, links: LinkStore, wrong_keys: WrongKeys, limits: ApiLimits
    ) -> None:
        self._links = links
        self._wrong_keys = wrong_keys
        self._limits = limits
        # Counted as wrong keys are: so many within any minute, or hour.
        self._reads = {
            LinkKind.FEED: WrongKeys(limits.link_reads_per_minute),
            LinkKind.SUPPLIER: WrongKeys(limits.supplier_requests_per_minute),
        }
        self._checks = WrongKeys(
            limits.supplier_checks_per_hour, seconds=_HOUR_SECONDS, what=_ENOUGH_CHECKS
        )
        self._good: LatelySeen[bool] = LatelySeen()
        self._lock = threading.Lock()
        self._reading: Counter[str] = Counter()

    def link(
        self, token: str, address: str, kind: LinkKind = LinkKind.FEED
    ) -> Link | None:
        """Return the link of a token and count the read; None where it is nobody's.

        A token that was good here before is looked up whatever else came from the address.
        `RateLimitedError`: too many wrong ones came from it, or the link is read too often.
        """
        digest = digest_of(token)
        was_good = self._good.get(digest)
        try:
            if not was_good:
                self._wrong_keys.require_few(address)
            found = self._links.find(token, kind) if _TOKEN.fullmatch(token) else None
            if found is not None:
                self._good.set(digest, True)
                self._reads[kind].count(found.link_id)
        except RateLimitedError as error:
            raise RateLimitedError(_TOO_OFTEN[kind], error.wait_seconds) from error
        if found is None and not was_good:
            self._wrong_keys.note(address)
        return found

    def count_check(self, link_id: str) -> None:
        """Count a supplier's check; `RateLimitedError`: there were too many within the hour."""
        self._checks.count(link_id)

    def begin(self, link_id: str) -> Callable[[], None] | None:
        """Count a reader in; return what counts it out again, None where there are too many."""
        with self._lock:
            if self._reading[link_id] >= self._limits.link_readers:
                return None
            if self._reading.total() >= self._limits.link_readers_in_all:
                return None
            self._reading[link_id] += 1

        def end() -> None:
            with self._lock:
                self._reading[link_id] -= 1
                self._reading += Counter()  # those that read no more are forgotten

        return end
