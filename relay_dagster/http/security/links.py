"""Links to feeds and to suppliers' pages: their owners, and how often they may be used."""

import threading
from collections import Counter
from collections.abc import Callable

from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.aws.dynamodb.link_store import (
    Link,
    LinkKind,
    LinkStore,
    link_id_of,
)
from relay_dagster.http.limits import ApiLimits
from relay_dagster.http.security import rate_limits
from relay_dagster.http.security.rate_limits import SlidingWindow, is_token

_HOUR_SECONDS = 3600.0
_TOO_MANY_REQUESTS = {
    LinkKind.FEED: "too many requests with this link, or wrong ones from this address",
    LinkKind.SUPPLIER: "the page was opened too often",
}
_TOO_MANY_CHECKS = (
    "that is enough checks for this hour; your list is there, and is not lost"
)


class LinkReaders:
    """The readers of links in one process. Each wrong link counts against its address."""

    def __init__(
        self,
        links: LinkStore,
        wrong_tokens: rate_limits.WrongKeys,
        limits: ApiLimits,
    ) -> None:
        self._links = links
        self._wrong_tokens = wrong_tokens
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
        self._valid_tokens = rate_limits.ValidSecrets()
        # The tenant and the link of each reader.
        self._readers: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def likely_tenant(self, token: str) -> str | None:
        """Return the tenant of a token that was valid in the last hour, or None."""
        return self._valid_tokens.tenant(digest_of(token))

    def link(
        self, token: str, address: str, kind: LinkKind = LinkKind.FEED
    ) -> Link | None:
        """Return the link with a token, and count the request; None if there is none.

        A token that was valid within the last hour is looked up even if the address has
        sent too many wrong ones; if the link was revoked since, it counts as a wrong
        one.

        Raises:
            RateLimitedError: The address has sent too many wrong links or cookies, or
                the link is used too often.
        """
        digest = digest_of(token)
        was_valid = self._valid_tokens.tenant(digest) is not None
        try:
            if was_valid:
                # A link that is used too often is refused before it is looked up.
                self._requests[kind].count(link_id_of(digest))
            else:
                self._wrong_tokens.require_few(address)
            link = self._links.find(token, kind) if is_token(token) else None
            if link is not None and not was_valid:
                self._requests[kind].count(link.link_id)
        except rate_limits.RateLimitedError as error:
            reason = _TOO_MANY_REQUESTS[kind]
            raise rate_limits.RateLimitedError(
                reason, error.wait_seconds
            ) from error
        if link is None:
            self._valid_tokens.forget(digest)
            self._wrong_tokens.note(address)
        else:
            self._valid_tokens.remember(digest, link.tenant_id)
        return link

    def count_check(self, link_id: str) -> None:
        """Count a supplier's check of a price list.

        Raises:
            RateLimitedError: There were too many within an hour.
        """
        self._checks.count(link_id)

    def begin(self, link_id: str, tenant_id: str) -> Callable[[], None] | None:
        """Count a reader in, and return the function that counts it out.

        Return None if the link, its tenant, or this process has too many readers.
        """
        reader = (tenant_id, link_id)
        with self._lock:
            readers_of_tenant = sum(
                count
                for (other_tenant, _), count in self._readers.items()
                if other_tenant == tenant_id
            )
            limits = self._limits
            if (
                self._readers[reader] >= limits.link_readers
                or readers_of_tenant >= limits.link_readers_of_tenant
                or self._readers.total() >= limits.link_readers_in_all
            ):
                return None
            self._readers[reader] += 1

        def end() -> None:
            with self._lock:
                self._readers[reader] -= 1
                # This removes links without readers.
                self._readers += Counter()

        return end
