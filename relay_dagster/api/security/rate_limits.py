"""How often something may be done, counted by name, in the memory of one process of the API."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Generic, TypeVar

# More are not remembered: the name that was longest unheard of is forgotten, and starts anew.
_MAX_NAMES = 10_000
_MINUTE_SECONDS = 60.0
_AT_WORK_SECONDS = 1.0
_IPV6_SITE_BITS = 64
_Kept = TypeVar("_Kept")


class RateLimitedError(Exception):
    """Too much in too little time; ``wait_seconds`` later it is right again."""

    error_code = "RATE_LIMITED"

    def __init__(self, what: str, wait_seconds: float) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(what)


@dataclass(eq=False)
class LatelySeen(Generic[_Kept]):
    """A mapping that keeps the values of the ``most`` names that were set last."""

    most: int = _MAX_NAMES
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, name: str) -> _Kept | None:
        """Return the value of a name; None where it is not kept."""
        return self._kept.get(name)

    def set(self, name: str, kept: _Kept) -> None:
        """Keep the value of a name, which is now the last to be forgotten."""
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = kept
            if len(self._kept) > self.most:
                del self._kept[next(iter(self._kept))]

    def forget(self, name: str) -> None:
        """Forget a name."""
        with self._lock:
            self._kept.pop(name, None)


@dataclass(eq=False)
class ConcurrencyLimiter:
    """At most so many at once of each name; nobody waits."""

    most: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _taken: Counter[str] = field(default_factory=Counter)

    def take(self, name: str) -> None:
        """Take one of a name's places, to be given back; `RateLimitedError`: all are taken."""
        with self._lock:
            if self._taken[name] >= self.most:
                reason = (
                    f"{self.most} requests of the tenant are in work, the most at once"
                )
                raise RateLimitedError(reason, _AT_WORK_SECONDS)
            self._taken[name] += 1

    def give_back(self, name: str) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[name] -= 1
            if not self._taken[name]:
                del self._taken[name]


@dataclass(eq=False)
class TokenBuckets:
    """A bucket a name: each act takes a token, and tokens come back evenly."""

    per_minute: int  # tokens that come back
    burst: int  # that a bucket holds; no more than a minute's
    clock: Callable[[], float] = time.monotonic  # seconds, from anywhere
    what: str = (
        "too many requests of one caller"  # is said to whom there is no token for
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _levels: LatelySeen[tuple[float, float]] = field(default_factory=LatelySeen)

    def take(self, name: str) -> None:
        """Take a token; `RateLimitedError` where there is none."""
        most, per_second = (
            min(self.burst, self.per_minute),
            self.per_minute / _MINUTE_SECONDS,
        )
        with self._lock:
            now = self.clock()
            level, since = self._levels.get(name) or (float(most), now)
            level = min(most, level + (now - since) * per_second)
            if level >= 1:
                self._levels.set(name, (level - 1, now))
                return
        raise RateLimitedError(self.what, (1 - level) / per_second)


@dataclass(eq=False)
class WrongKeys:
    """Keys that were nobody's, by the address that they came from, within the last minute."""

    per_minute: int  # after so many an address has to wait
    clock: Callable[[], float] = time.monotonic  # seconds, from anywhere
    seconds: float = _MINUTE_SECONDS  # in place of a minute's
    what: str = "too many wrong keys from this address"  # is said to who has to wait
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _seen: LatelySeen[deque[float]] = field(default_factory=LatelySeen)

    def require_few(self, address: str) -> None:
        """Refuse an address that has shown too many within a minute: `RateLimitedError`."""
        with self._lock:
            seen = self._seen.get(_site(address))
            if seen is None or len(seen) < self.per_minute:
                return
            wait = seen[0] + self.seconds - self.clock()
        if wait > 0:
            raise RateLimitedError(self.what, wait)

    def count(self, name: str) -> None:
        """Count one more of a name's; `RateLimitedError` where there were too many already."""
        self.require_few(name)
        self.note(name)

    def note(self, address: str) -> None:
        """Note that an address has shown one."""
        with self._lock:
            seen = self._seen.get(_site(address)) or deque(maxlen=self.per_minute)
            seen.append(self.clock())
            self._seen.set(_site(address), seen)


def _site(address: str) -> str:
    """Return an address as it is counted: of IPv6 the network that a customer is given."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ip_network((ip, _IPV6_SITE_BITS), strict=False))
