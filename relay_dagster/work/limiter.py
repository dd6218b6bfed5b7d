"""A limiter of calls to hosts outside: one at a time an endpoint, 4 a tenant, and some in all.

An endpoint is one receiver of one tenant; its calls wait in its own queue, first in, first out, and
endpoints take turns. At most 16 calls go to slow ones; one that has never answered counts as slow.
Behind a call that took too long one waits: the others are refused or handed back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MAX_AT_ONCE = 32
MAX_OF_TENANT = 4
MAX_SLOW_AT_ONCE = 16
MAX_WAITING = 200
MAX_ENDPOINTS = 10_000
"""Of more, those that were called longest ago are forgotten."""
SLOW_SECONDS = 2.0


_Call = TypeVar("_Call")


@dataclass(eq=False)
class _Endpoint(Generic[_Call]):
    """A tenant's receiver: the calls that wait for it, and how long the last one took."""

    tenant_id: str
    waiting: deque[_Call] = field(default_factory=deque)
    called_at: float | None = None
    took: float | None = None

    def is_slow(self, now: float) -> bool:
        return self.took is None or self.max_waiting(now) == 1

    def max_waiting(self, now: float) -> int:
        so_far = 0.0 if self.called_at is None else now - self.called_at
        return 1 if max(self.took or 0.0, so_far) > SLOW_SECONDS else MAX_WAITING


@dataclass(eq=False)
class EndpointLimiter(Generic[_Call]):
    """Makes calls on threads of its own, which end with the process; hands them back made."""

    make: Callable[
        [_Call], object
    ]  # makes a call, and keeps the result in it; raises nothing
    # Tells how long calls last, in seconds; where it stands still, none is slow
    monotonic: Callable[[], float] = time.monotonic
    at_once: int = MAX_AT_ONCE  # so many calls are made at once

    def __post_init__(self) -> None:
        """Begin with no endpoint."""
        # The one that was called longest ago is the first.
        self._endpoints: dict[tuple[str, str], _Endpoint[_Call]] = {}
        # Those whose turn it is next come first; none that is being called.
        self._turns: list[_Endpoint[_Call]] = []
        self._calling: set[_Endpoint[_Call]] = set()
        self._made: list[_Call] = []
        self._has_made = threading.Condition()

    def submit(self, call: _Call, tenant_id: str, receiver: str) -> bool:
        """Let a call wait for its turn; return False where too many wait already."""
        with self._has_made:
            name = tenant_id, receiver
            endpoint = self._endpoints[name] = self._endpoints.pop(
                name, _Endpoint(tenant_id)
            )
            if len(endpoint.waiting) >= endpoint.max_waiting(self.monotonic()):
                return False
            if not endpoint.waiting and endpoint not in self._calling:
                self._turns.append(endpoint)
            endpoint.waiting.append(call)
            self._begin()
            return True

    def made(self, count: int, seconds: float) -> list[_Call]:
        """Return the calls that are made, waiting for so many of them for so long."""
        with self._has_made:
            self._has_made.wait_for(lambda: len(self._made) >= count, seconds)
            made, self._made = self._made, []
            return made

    def postponed(self) -> list[_Call]:
        """Hand back the calls that wait behind slow ones, all but the first of each endpoint."""
        now, postponed = self.monotonic(), []
        with self._has_made:
            for name, endpoint in list(self._endpoints.items()):
                while len(endpoint.waiting) > endpoint.max_waiting(now):
                    postponed.append(endpoint.waiting.pop())
                is_idle = not endpoint.waiting and endpoint not in self._calling
                if is_idle and len(self._endpoints) > MAX_ENDPOINTS:
                    del self._endpoints[name]
        return postponed

    def _begin(self) -> None:
        """Begin the calls that there is room for."""
        now, left = self.monotonic(), []
        slow = sum(each.is_slow(now) for each in self._calling)
        for endpoint in self._turns:
            tenants = [each.tenant_id for each in self._calling]
            if (
                len(tenants) == self.at_once
                or tenants.count(endpoint.tenant_id) == MAX_OF_TENANT
                or (endpoint.is_slow(now) and slow >= MAX_SLOW_AT_ONCE)
            ):
                left.append(endpoint)
                continue
            slow += endpoint.is_slow(now)
            endpoint.called_at = now
            self._calling.add(endpoint)
            order = (endpoint, endpoint.waiting.popleft())
            threading.Thread(
                target=self._call, args=order, name="outbound", daemon=True
            ).start()
        self._turns = left

    def _call(self, endpoint: _Endpoint[_Call], call: _Call) -> None:
        """Make a call on a thread of its own."""
        try:
            self.make(call)
        finally:
            with self._has_made:
                self._calling.remove(endpoint)
                endpoint.took = self.monotonic() - (endpoint.called_at or 0)
                endpoint.called_at = None
                if endpoint.waiting:
                    self._turns.append(endpoint)
                self._begin()
                self._made.append(call)
                self._has_made.notify()
