"""Readers of links to feeds: whose link it is, how often it is read, how many read at once."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable

from relay_dagster.api.limits import ApiLimits
from relay_dagster.api.security.rate_limits import LatelySeen, WrongKeys
from relay_dagster.aws.dynamodb.api_key_store import digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, LinkStore

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


class FeedReaders:
    """The links that one process serves.

    Args:
        links: where their digests are kept.
        wrong_keys: who has shown tokens of nobody; they count as wrong keys.
        limits: of reads.
    """

    def __init__(self, links: LinkStore, wrong_keys: WrongKeys, limits: ApiLimits) -> None:
        self._links = links
        self._wrong_keys = wrong_keys
        self._limits = limits
        # Counted as wrong keys are: so many within any minute.
        self._reads = WrongKeys(limits.link_reads_per_minute)
        self._good: LatelySeen[bool] = LatelySeen()
        self._lock = threading.Lock()
        self._reading: Counter[str] = Counter()

    def link(self, token: str, address: str) -> Link | None:
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
        found = self._links.find(token, LinkKind.FEED) if _TOKEN.fullmatch(token) else None
        if found is None:
            if not was_good:
                self._wrong_keys.note(address)
            return None
        self._good.set(digest, True)
        self._reads.require_few(found.link_id)
        self._reads.note(found.link_id)
        return found

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
