"""A limiter of calls to hosts outside: one at a time an endpoint, 4 a tenant, some in all.

An endpoint is one receiver of one tenant. Its calls wait in a queue of its own, first
in, first out, and endpoints take turns. At most 16 calls go to slow endpoints; one that
has never answered counts as slow. Behind a call that takes too long one other call
waits: the limiter refuses the others, or hands them back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

MAX_CALLS = 32
MAX_OF_TENANT = 4
MAX_SLOW_CALLS = 16
MAX_WAITING = 200
MAX_ENDPOINTS = 10_000
"""The limiter forgets the endpoints beyond that number that it called longest ago."""
SLOW_SECONDS = 2.0


_Call = TypeVar("_Call")
_Result = TypeVar("_Result")


@dataclass(eq=False)
class _Endpoint(Generic[_Call]):
    """A tenant's receiver: the calls that wait for it, and how long the last one took."""

    tenant_id: str
    waiting: deque[_Call] = field(default_factory=deque)
    # When the call in progress began; None for no call.
    called_at: float | None = None
    # That the last call took; None before the first.
    seconds: float | None = None

    def is_slow(self, now: float) -> bool:
        return self.seconds is None or self.max_waiting(now) == 1

    def max_waiting(self, now: float) -> int:
        seconds_so_far = 0.0 if self.called_at is None else now - self.called_at
        seconds = max(self.seconds or 0.0, seconds_so_far)
        return 1 if seconds > SLOW_SECONDS else MAX_WAITING


@dataclass(eq=False)
class EndpointLimiter(Generic[_Call, _Result]):
    """Makes calls on threads of its own, which end with the process."""

    # Makes a call, returns its result, raises nothing
    make: Callable[[_Call], _Result]
    # Tells how long calls last, in seconds. If it stands still, no endpoint is slow.
    monotonic: Callable[[], float] = time.monotonic
    at_once: int = MAX_CALLS  # the number of calls that are made at once

    def __post_init__(self) -> None:
        """Begin with no endpoint."""
        # The endpoint that was called longest ago is the first.
        self._endpoints: dict[tuple[str, str], _Endpoint[_Call]] = {}
        # The endpoint whose turn is next is the first; none of them is being called.
        self._turns: list[_Endpoint[_Call]] = []
        self._calling: set[_Endpoint[_Call]] = set()
        self._made: list[tuple[_Call, _Result]] = []
        self._has_made = threading.Condition()

    def submit(self, call: _Call, tenant_id: str, receiver: str) -> bool:
        """Let a call wait for its turn; return False if too many wait already."""
        with self._has_made:
            endpoint = self._endpoint(tenant_id, receiver)
            if len(endpoint.waiting) >= endpoint.max_waiting(self.monotonic()):
                return False
            if not endpoint.waiting and endpoint not in self._calling:
                self._turns.append(endpoint)
            endpoint.waiting.append(call)
            self._begin()
            return True

    def made(self, count: int, seconds: float) -> list[tuple[_Call, _Result]]:
        """Return the calls that are made, with their results.

        Wait until there are ``count`` of them, but at most some seconds.
        """
        with self._has_made:
            self._has_made.wait_for(lambda: len(self._made) >= count, seconds)
            finished_calls = self._made
            self._made = []
            return finished_calls

    def postponed(self) -> list[_Call]:
        """Hand back the calls behind slow ones, all but the first of each endpoint."""
        now = self.monotonic()
        postponed = []
        with self._has_made:
            for name, endpoint in list(self._endpoints.items()):
                while len(endpoint.waiting) > endpoint.max_waiting(now):
                    postponed.append(endpoint.waiting.pop())
                is_idle = not endpoint.waiting and endpoint not in self._calling
                if is_idle and len(self._endpoints) > MAX_ENDPOINTS:
                    del self._endpoints[name]
        return postponed

    def _endpoint(self, tenant_id: str, receiver: str) -> _Endpoint[_Call]:
        """Return an endpoint, which is from now on the one that was called last."""
        name = (tenant_id, receiver)
        endpoint = self._endpoints.pop(name, None) or _Endpoint(tenant_id)
        self._endpoints[name] = endpoint
        return endpoint

    def _begin(self) -> None:
        """Begin the calls that there is room for."""
        now = self.monotonic()
        slow_count = sum(endpoint.is_slow(now) for endpoint in self._calling)
        still_waiting = []
        for endpoint in self._turns:
            is_slow = endpoint.is_slow(now)
            if not self._has_room(endpoint) or (
                is_slow and slow_count >= MAX_SLOW_CALLS
            ):
                still_waiting.append(endpoint)
                continue
            slow_count += is_slow
            endpoint.called_at = now
            self._calling.add(endpoint)
            call = endpoint.waiting.popleft()
            thread = threading.Thread(
                target=self._call,
                args=(endpoint, call),
                name="outbound",
                daemon=True,
            )
            thread.start()
        self._turns = still_waiting

    def _has_room(self, endpoint: _Endpoint[_Call]) -> bool:
        """Return True if neither all calls nor those of the tenant are too many."""
        tenant_ids = [calling.tenant_id for calling in self._calling]
        return (
            len(tenant_ids) < self.at_once
            and tenant_ids.count(endpoint.tenant_id) < MAX_OF_TENANT
        )

    def _call(self, endpoint: _Endpoint[_Call], call: _Call) -> None:
        """Make a call on a thread of its own."""
        finished_calls = []
        try:
            finished_calls.append((call, self.make(call)))
        finally:
            with self._has_made:
                self._calling.remove(endpoint)
                endpoint.seconds = self.monotonic() - (endpoint.called_at or 0)
                endpoint.called_at = None
                if endpoint.waiting:
                    self._turns.append(endpoint)
                self._begin()
                self._made += finished_calls
                self._has_made.notify()
