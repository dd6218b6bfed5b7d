"""Sessions of the pages, and links: their owners, and how often they may be used.

A tenant's key opens a session, which ends after 12 hours, or when the key stops being
valid. A browser has the session's ID, and only the ID's digest is stored. Each form has
a token that is made of the ID, so a page that does not know the ID cannot make one.
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
from relay_dagster.api.security import rate_limits
from relay_dagster.api.security.api_keys import Caller, caller_of
from relay_dagster.api.security.rate_limits import RecentValues, SlidingWindow
from relay_dagster.aws.dynamodb import api_key_store
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, LinkStore
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import ActorKind

SESSION_LIFE = timedelta(hours=12)
_HOUR_SECONDS = 3600.0
_TOO_MANY_REQUESTS = {
    LinkKind.FEED: "too many requests with this link, or wrong ones from this address",
    LinkKind.SUPPLIER: "the page was opened too often",
}
_TOO_MANY_CHECKS = (
    "that is enough checks for this hour; your list is there, and is not lost"
)
_LINK_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


# --- sessions -----------------------------------------------------------------------


@dataclass(eq=False)
class Sessions:
    """The sessions of the pages. An unknown session ID counts as a wrong key."""

    store: api_key_store.SessionStore
    keys: api_key_store.ApiKeyStore
    wrong_keys: rate_limits.WrongKeys
    now: Callable[[], datetime] = utc_now
    # The digests of IDs that were valid in this process.
    _valid_ids: RecentValues[bool] = field(default_factory=RecentValues)

    def open(self, caller: Caller) -> str:
        """Open a session for a tenant's key, and return the session's ID.

        Raises:
            TenantClosingError: The tenant is being deleted.
        """
        session_id = secrets.token_urlsafe(32)
        now = self.now()
        session = api_key_store.BrowserSession(
            digest=digest_of(session_id),
            tenant_id=str(caller.tenant_id),
            key_id=caller.actor.id,
            created_at=now,
            ends_at=now + SESSION_LIFE,
        )
        self.store.add(session)
        return session_id

    def caller(self, session_id: str, address: str) -> Caller | None:
        """Return the owner of a session, or None if the session has ended.

        The owner has the scopes that its key has now. An ID that was valid before is
        looked up even if the address has sent too many unknown IDs.

        Raises:
            RateLimitedError: The address has sent too many unknown IDs.
        """
        digest = digest_of(session_id)
        was_valid = self._valid_ids.get(digest)
        if not was_valid:
            self.wrong_keys.require_few(address)
        session = self.store.find(digest)
        if session is None:
            if not was_valid:
                self.wrong_keys.note(address)
            return None
        self._valid_ids.set(digest, True)
        key = self.keys.of_active_tenant(session.key_id)
        if (
            key is None
            or key.tenant_id != session.tenant_id
            or key.is_over(self.now())
        ):
            self.store.remove(session.digest)
            return None
        return caller_of(key, ActorKind.SESSION)

    def close(self, session_id: str) -> None:
        """End a session."""
        self.store.remove(digest_of(session_id))


def form_token(session_id: str) -> str:
    """Return the token that every form of a session has."""
    return digest_of(f"form:{session_id}")


def is_form_token(session_id: str, token: str) -> bool:
    """Return True if a form's token is that of the session."""
    return hmac.compare_digest(
        form_token(session_id).encode(), token.encode(errors="replace")
    )


# --- links --------------------------------------------------------------------------


class LinkReaders:
    """The readers of links in one process. An unknown token counts as a wrong key."""

    def __init__(
        self,
        links: LinkStore,
        wrong_keys: rate_limits.WrongKeys,
        limits: ApiLimits,
    ) -> None:
        self._links = links
        self._wrong_keys = wrong_keys
        self._limits = limits
        self._requests = {
            LinkKind.FEED: SlidingWindow(limits.link_reads_per_minute),
            LinkKind.SUPPLIER: SlidingWindow(
                limits.supplier_requests_per_minute
            ),
        }
        self._checks = SlidingWindow(
            limits.supplier_checks_per_hour,
            seconds=_HOUR_SECONDS,
            reason=_TOO_MANY_CHECKS,
        )
        # The digests of tokens that were valid in this process.
        self._valid_tokens: RecentValues[bool] = RecentValues()
        # The number of readers that each link has now.
        self._readers: Counter[str] = Counter()
        self._lock = threading.Lock()

    def link(
        self, token: str, address: str, kind: LinkKind = LinkKind.FEED
    ) -> Link | None:
        """Return the link with a token, and count the request; None if there is none.

        A token that was valid before is looked up even if the address has sent too many
        unknown tokens.

        Raises:
            RateLimitedError: The address has sent too many unknown tokens, or the link
                is used too often.
        """
        digest = digest_of(token)
        was_valid = self._valid_tokens.get(digest)
        link = None
        try:
            if not was_valid:
                self._wrong_keys.require_few(address)
            if _LINK_TOKEN.fullmatch(token):
                link = self._links.find(token, kind)
            if link is not None:
                self._valid_tokens.set(digest, True)
                self._requests[kind].count(link.link_id)
        except rate_limits.RateLimitedError as error:
            reason = _TOO_MANY_REQUESTS[kind]
            raise rate_limits.RateLimitedError(
                reason, error.wait_seconds
            ) from error
        if link is None and not was_valid:
            self._wrong_keys.note(address)
        return link

    def count_check(self, link_id: str) -> None:
        """Count a supplier's check of a price list.

        Raises:
            RateLimitedError: There were too many within an hour.
        """
        self._checks.count(link_id)

    def begin(self, link_id: str) -> Callable[[], None] | None:
        """Count a reader in, and return the function that counts it out.

        Return None if the link, or this process, has too many readers.
        """
        with self._lock:
            if self._readers[link_id] >= self._limits.link_readers:
                return None
            if self._readers.total() >= self._limits.link_readers_in_all:
                return None
            self._readers[link_id] += 1

        def end() -> None:
            with self._lock:
                self._readers[link_id] -= 1
                # This removes links without readers.
                self._readers += Counter()

        return end
