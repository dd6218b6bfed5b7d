"""A limiter of calls to receivers: one at a time to each, 32 in all, 16 of them to slow receivers.

A receiver's calls wait in its own queue, first in, first out; receivers take turns. One call waits
for a receiver that is slow: the others are refused or handed back, to come again later.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

MAX_AT_ONCE = 32
MAX_SLOW_AT_ONCE = 16
MAX_WAITING = 200
SLOW_SECONDS = 2.0
SLOW_FOR_SECONDS = 60.0
"""A receiver that was slow counts as that for so long after its last call."""


class HasEndpoint(Protocol):
    """A call to be made."""

    @property
    def endpoint(self) -> str:
        """The receiver that it goes to."""


_Call = TypeVar("_Call", bound=HasEndpoint)


@dataclass(eq=False)
class _Endpoint(Generic[_Call]):
    """A receiver: the calls that wait for it, and how long it takes."""

    waiting: deque[_Call] = field(default_factory=deque)
    is_scheduled: bool = False
    called_at: float | None = None
    ended_at: float = float("-inf")
    took: float = 0.0

    def is_slow(self, now: float) -> bool:
        if self.called_at is not None and now - self.called_at > SLOW_SECONDS:
            return True
        return self.took > SLOW_SECONDS and now - self.ended_at < SLOW_FOR_SECONDS

    def max_waiting(self, now: float) -> int:
        return 1 if self.is_slow(now) else MAX_WAITING


class EndpointLimiter(Generic[_Call]):
    """Makes calls on threads of its own, and hands back those that are made.

    Args:
        make: makes a call, and keeps the result in it; raises nothing.
        monotonic: tells how long calls last, in seconds.
    """

    def __init__(
        self, make: Callable[[_Call], object], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._monotonic = monotonic
        self._pool = ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="webhook_call")
        self._endpoints: dict[str, _Endpoint[_Call]] = {}
        self._calling: set[_Endpoint[_Call]] = set()
        self._parked: deque[_Endpoint[_Call]] = deque()
        self._made: list[_Call] = []
        self._has_made = threading.Condition()

    def submit(self, call: _Call) -> bool:
        """Let a call wait for its turn; return False where too many wait already."""
        now = self._monotonic()
        with self._has_made:
            endpoint = self._endpoints.setdefault(call.endpoint, _Endpoint())
            if len(endpoint.waiting) >= endpoint.max_waiting(now):
                return False
            endpoint.waiting.append(call)
            if not endpoint.is_scheduled:
                endpoint.is_scheduled = True
                self._pool.submit(self._call_next, endpoint)
            return True

    def made(self, count: int, seconds: float) -> list[_Call]:
        """Return the calls that are made, waiting for so many of them for so long."""
        with self._has_made:
            self._has_made.wait_for(lambda: len(self._made) >= count, seconds)
            made, self._made = self._made, []
            return made

    def postponed(self) -> list[_Call]:
        """Hand back the calls that wait behind slow receivers, all but the first of each."""
        now, postponed = self._monotonic(), []
        with self._has_made:
            for name, endpoint in list(self._endpoints.items()):
                while len(endpoint.waiting) > endpoint.max_waiting(now):
                    postponed.append(endpoint.waiting.pop())
                if not endpoint.is_scheduled and not endpoint.is_slow(now):
                    del self._endpoints[name]
        return postponed

    def _call_next(self, endpoint: _Endpoint[_Call]) -> None:
        """Make the first call that waits for a receiver, on a thread of the pool."""
        with self._has_made:
            began = self._monotonic()
            slow = sum(each.is_slow(began) for each in self._calling)
            if endpoint.is_slow(began) and slow >= MAX_SLOW_AT_ONCE:
                self._parked.append(endpoint)
                return
            call = endpoint.waiting.popleft()
            endpoint.called_at = began
            self._calling.add(endpoint)
        try:
            self._make(call)
        finally:
            with self._has_made:
                self._calling.remove(endpoint)
                endpoint.called_at, endpoint.ended_at = None, self._monotonic()
                endpoint.took = endpoint.ended_at - began
                endpoint.is_scheduled = bool(endpoint.waiting)
                self._made.append(call)
                self._has_made.notify()
            if self._parked:
                self._pool.submit(self._call_next, self._parked.popleft())
            if endpoint.is_scheduled:
                self._pool.submit(self._call_next, endpoint)
