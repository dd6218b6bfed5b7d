"""Rate limits, counted by name in the memory of one process of the API."""

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

_MAX_NAMES = 10_000
_MINUTE_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_REMEMBERED_SECONDS = 60 * 60.0
# A customer of a provider gets a whole network of this prefix length.
_IPV6_PREFIX_LENGTH = 64
# 32 random bytes in base64, the secret part of links and sessions.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_Value = TypeVar("_Value")


class RateLimitedError(Exception):
    """A rate limit was exceeded. Retry after ``wait_seconds``."""

    error_code = "RATE_LIMITED"

    def __init__(self, reason: str, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(reason)


@dataclass(eq=False)
class RecentValues(Generic[_Value]):
    """A mapping that forgets the names that were set the longest ago."""

    capacity: int = _MAX_NAMES  # the number of names that are kept
    _values: dict[str, _Value] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str) -> _Value | None:
        """Return the value of a name, or None if it was forgotten or never set."""
        return self._values.get(name)

    def set(self, name: str, value: _Value) -> None:
        """Set the value of a name, and forget another name if there are too many."""
        with self._lock:
            # A name that is set again moves to the end of the dict.
            self._values.pop(name, None)
            self._values[name] = value
            if len(self._values) > self.capacity:
                oldest_name = next(iter(self._values))
                del self._values[oldest_name]

    def forget(self, name: str) -> None:
        """Forget a name."""
        with self._lock:
            self._values.pop(name, None)


def is_token(text: str) -> bool:
    """Return True if a text has the form of the secret of a link or a session."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(eq=False)
class ValidSecrets:
    """The keys, tokens or cookies that were valid within the last hour, by digest."""

    clock: Callable[[], float] = time.monotonic  # the time, in seconds
    # The time when a secret was last valid, and the tenant that it belongs to.
    _uses: RecentValues[tuple[float, str]] = field(default_factory=RecentValues)

    def tenant(self, digest: str) -> str | None:
        """Return the tenant of a secret, or None if it was not valid in the last hour."""
        last_use = self._uses.get(digest)
        if last_use is None:
            return None
        valid_at, tenant_id = last_use
        is_recent = self.clock() - valid_at < _REMEMBERED_SECONDS
        return tenant_id if is_recent else None

    def remember(self, digest: str, tenant_id: str) -> None:
        """Remember that a secret of a tenant is valid now."""
        self._uses.set(digest, (self.clock(), tenant_id))

    def forget(self, digest: str) -> None:
        """Forget a secret, which is no longer valid."""
        self._uses.forget(digest)


@dataclass(eq=False)
class ConcurrencyLimiter:
    """A limit of how many requests of a tenant are handled at the same time."""

    limit: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _counts: Counter[str] = field(default_factory=Counter)

    def begin(self, name: str) -> None:
        """Count a request in until `end`.

        Raises:
            RateLimitedError: The name is at its limit. Nothing waits.
        """
        with self._lock:
            if self._counts[name] >= self.limit:
                reason = f"the tenant has {self.limit} requests in progress, which is the limit"
                raise RateLimitedError(reason, _RETRY_SECONDS)
            self._counts[name] += 1

    def end(self, name: str) -> None:
        """Count a request out."""
        with self._lock:
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]


@dataclass(eq=False)
class TokenBuckets:
    """One bucket of tokens a name. Requests take tokens, which are refilled evenly."""

    per_minute: int  # the number of tokens that are refilled in a minute
    burst: int  # the number of tokens that a full bucket has, if a minute refills them
    clock: Callable[[], float] = time.monotonic  # the time, in seconds
    # The message of the error.
    reason: str = "too many requests from this caller"
    # The level of each bucket, and the time when it had that level.
    _levels: RecentValues[tuple[float, float]] = field(
        default_factory=RecentValues
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, name: str) -> None:
        """Take a token.

        Raises:
            RateLimitedError: The bucket is empty.
        """
        capacity = min(self.burst, self.per_minute)
        per_second = self.per_minute / _MINUTE_SECONDS
        with self._lock:
            now = self.clock()
            last_level, last_time = self._levels.get(name) or (
                float(capacity),
                now,
            )
            level = min(capacity, last_level + (now - last_time) * per_second)
            if level >= 1:
                self._levels.set(name, (level - 1, now))
                return
        raise RateLimitedError(
            self.reason, wait_seconds=(1 - level) / per_second
        )


@dataclass(eq=False)
class SlidingWindow:
    """A limit of events a name within any period of some seconds."""

    limit: int
    clock: Callable[[], float] = time.monotonic  # the time, in seconds
    seconds: float = _MINUTE_SECONDS  # the length of the period
    reason: str = "too many requests"  # the message of the error
    # The times of the latest events, oldest first.
    _times: RecentValues[deque[float]] = field(default_factory=RecentValues)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def require_room(self, name: str) -> None:
        """Require that one more event of a name is allowed.

        Raises:
            RateLimitedError: There were too many events.
        """
        with self._lock:
            times = self._times.get(name)
            if times is None or len(times) < self.limit:
                return
            wait_seconds = times[0] + self.seconds - self.clock()
        if wait_seconds > 0:
            raise RateLimitedError(self.reason, wait_seconds)

    def note(self, name: str) -> None:
        """Note an event, whether it is allowed or not."""
        with self._lock:
            times = self._times.get(name) or deque(maxlen=self.limit)
            times.append(self.clock())
            self._times.set(name, times)

    def count(self, name: str) -> None:
        """Note an event if it is allowed.

        Raises:
            RateLimitedError: There were too many events.
        """
        self.require_room(name)
        self.note(name)


class WrongKeys:
    """Limits the wrong keys, or the wrong tokens, from one address within a minute."""

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        reason: str = "too many wrong keys from this address",
    ) -> None:
        self._window = SlidingWindow(per_minute, clock, reason=reason)

    def require_few(self, address: str) -> None:
        """Require that an address has not sent too many wrong keys.

        Raises:
            RateLimitedError: The address has to wait.
        """
        self._window.require_room(_network_of(address))

    def note(self, address: str) -> None:
        """Note that an address has sent a wrong key."""
        self._window.note(_network_of(address))


def _network_of(address: str) -> str:
    """Return an address as it is counted: for IPv6, the customer's network."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _IPV6_PREFIX_LENGTH), strict=False))
