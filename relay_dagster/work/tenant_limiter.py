"""A limiter of transfers: turns go by tenant, then by host.

A tenant has one transfer running while a tenant without any waits, and at most four.
At one host it has one at a time. So a tenant with hundreds of slow hosts delays another
one by the end of one transfer at most, not by those of all its hosts.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_TRANSFERS = 8
MAX_OF_TENANT = 4
MAX_WAITING_OF_TENANT = 40
"""The most calls of a tenant that wait; it would wait for its other calls anyway."""
Call = Callable[[], None]
"""Makes one transfer, and raises nothing."""


@dataclass(eq=False)
class _Tenant:
    """The calls of a tenant that wait, and the hosts that are being called for it."""

    # By host. The host whose turn is next is the first.
    waiting: dict[str, deque[Call]] = field(default_factory=dict)
    called_hosts: set[str] = field(default_factory=set)
    # Since when calls have waited while none was running; None if one is
    waiting_since: float | None = None

    def next_host(self) -> str | None:
        """Return the host whose turn is next, or None if no call may begin."""
        if len(self.called_hosts) >= MAX_OF_TENANT:
            return None
        for host in self.waiting:
            if host not in self.called_hosts:
                return host
        return None

    def take(self, host: str) -> Call:
        """Return the next call of a host; the host's next turn comes after all others'."""
        calls = self.waiting.pop(host)
        call = calls.popleft()
        if calls:
            self.waiting[host] = calls
        self.called_hosts.add(host)
        return call


@dataclass(eq=False)
class TenantLimiter:
    """Makes calls on threads of its own, which end with the process."""

    at_once: int = MAX_TRANSFERS  # the number of calls that are made at once
    # Tells the time, in seconds.
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Begin with no tenant."""
        # The tenant whose turn is next is the first.
        self._tenants: dict[str, _Tenant] = {}
        self._call_count = 0  # the running calls
        self._lock = threading.Lock()
        self._call_ended = threading.Condition(self._lock)

    def submit(self, call: Call, tenant_id: str, host: str) -> bool:
        """Let a call wait for its turn; return False if too many of the tenant wait."""
        with self._lock:
            tenant = self._tenants.setdefault(tenant_id, _Tenant())
            waiting_count = sum(map(len, tenant.waiting.values()))
            if waiting_count >= MAX_WAITING_OF_TENANT:
                return False
            tenant.waiting.setdefault(host, deque()).append(call)
            self._note_waiting(tenant)
            self._begin()
            return True

    def longest_wait(self) -> float:
        """Return the longest wait in seconds of a tenant without a running call."""
        with self._lock:
            starts = [
                tenant.waiting_since
                for tenant in self._tenants.values()
                if tenant.waiting_since is not None
            ]
            return self.monotonic() - min(starts) if starts else 0.0

    def close(self, seconds: float) -> None:
        """Forget the calls that wait, and wait until the running ones have ended.

        Wait at most some seconds.
        """
        with self._lock:
            for tenant in self._tenants.values():
                tenant.waiting.clear()
                self._note_waiting(tenant)
            self._call_ended.wait_for(lambda: not self._call_count, seconds)

    def _note_waiting(self, tenant: _Tenant) -> None:
        is_waiting = bool(tenant.waiting) and not tenant.called_hosts
        if not is_waiting:
            tenant.waiting_since = None
        elif tenant.waiting_since is None:
            tenant.waiting_since = self.monotonic()

    def _begin(self) -> None:
        """Begin the calls that there is room for."""
        while self._call_count < self.at_once:
            ready = [
                tenant_id
                for tenant_id, tenant in self._tenants.items()
                if tenant.next_host() is not None
            ]
            if not ready:
                return
            # Of tenants with equally few running calls, the first has its turn.
            tenant_id = min(
                ready,
                key=lambda name: len(self._tenants[name].called_hosts),
            )
            self._begin_call(tenant_id)

    def _begin_call(self, tenant_id: str) -> None:
        tenant = self._tenants.pop(tenant_id)
        # Its next turn comes after all others'.
        self._tenants[tenant_id] = tenant
        host = tenant.next_host()
        if host is None:
            return
        call = tenant.take(host)
        self._note_waiting(tenant)
        self._call_count += 1
        thread = threading.Thread(
            target=self._call,
            args=(tenant_id, host, call),
            name="transfer",
            daemon=True,
        )
        thread.start()

    def _call(self, tenant_id: str, host: str, call: Call) -> None:
        """Make a call on a thread of its own."""
        try:
            call()
        finally:
            with self._lock:
                self._call_count -= 1
                tenant = self._tenants[tenant_id]
                tenant.called_hosts.remove(host)
                self._note_waiting(tenant)
                if not tenant.waiting and not tenant.called_hosts:
                    del self._tenants[tenant_id]
                self._begin()
                self._call_ended.notify_all()
