"""Who comes with a link: whose it is, how often it is used, how many read a feed at once."""

import re
import threading
from collections import Counter
from collections.abc import Callable

from relay_dagster.api.limits import ApiLimits
from relay_dagster.api.security.rate_limits import LatelySeen, WrongKeys
from relay_dagster.aws.dynamodb.api_key_store import digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, LinkStore

_HOUR_SECONDS = 3600.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class LinkReaders:
    """The links that one process serves; tokens of nobody count as wrong keys."""

    def __init__(self, links: LinkStore, wrong_keys: WrongKeys, limits: ApiLimits) -> None:
        self._links = links
        self._wrong_keys = wrong_keys
        self._limits = limits
        # Counted as wrong keys are: so many within any minute, or hour.
        self._reads = {
            LinkKind.FEED: WrongKeys(limits.link_reads_per_minute),
            LinkKind.SUPPLIER: WrongKeys(limits.supplier_requests_per_minute),
        }
        self._checks = WrongKeys(limits.supplier_checks_per_hour, seconds=_HOUR_SECONDS)
        self._good: LatelySeen[bool] = LatelySeen()
        self._lock = threading.Lock()
        self._reading: Counter[str] = Counter()

    def link(self, token: str, address: str, kind: LinkKind = LinkKind.FEED) -> Link | None:
        """Return the link of a token and count the read; None where it is nobody's.

        A token that was good here before is looked up whatever else came from the address.

        Raises:
            RateLimitedError: too many wrong ones came from the address, or the link is read too
                often.
        """
        digest = digest_of(token)
        was_good = self._good.get(digest)
        if not was_good:
            self._wrong_keys.require_few(address)
        found = self._links.find(token, kind) if _TOKEN.fullmatch(token) else None
        if found is None:
            if not was_good:
                self._wrong_keys.note(address)
            return None
        self._good.set(digest, True)
        _count(self._reads[kind], found.link_id)
        return found

    def count_check(self, link_id: str) -> None:
        """Count a supplier's check; `RateLimitedError`: there were too many within the hour."""
        _count(self._checks, link_id)

    def begin(self, link_id: str) -> Callable[[], None] | None:
        """Let a reader begin, and return what ends it; None where too many read just now."""
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


def _count(counted: WrongKeys, link_id: str) -> None:
    counted.require_few(link_id)
    counted.note(link_id)
