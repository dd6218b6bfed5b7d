"""The room for transfers: the one place in which files move from and to strangers' servers.

All transfers of a process share its turns and its limits. A worker that moves a file takes
its turn at the limiter, and talks to the server within an allowance of the room. So nothing
that a server does takes more than its share of memory, bytes, and time, and no tenant
waits long for the servers of others.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    CallStoppedError,
    Pace,
)
from relay_dagster.work.tenant_limiter import TenantLimiter

TRANSFER_SECONDS = 15 * 60.0
"""The longest that a transfer may take."""
LONGEST_WAIT_SECONDS = 15 * 60.0
"""If a tenant without a transfer waits longer, the slowest transfer of others ends."""
_EXTRA_BYTES = 1 << 20
_OTHERS_WAIT = "the transfer was the slowest of all, and ended because other tenants waited"


@dataclass(eq=False)
class TransferRoom:
    """The turns and the limits of a process's transfers."""

    seconds: float = TRANSFER_SECONDS  # the longest that a transfer may take
    pace: Pace = field(default_factory=Pace)  # the least speed of a transfer
    # The longest wait of a tenant without a transfer, before the slowest one ends
    longest_wait: float = LONGEST_WAIT_SECONDS
    limiter: TenantLimiter = field(default_factory=TenantLimiter)

    def __post_init__(self) -> None:
        """Begin with no transfer."""
        self._lock = threading.Lock()
        self._allowances: list[Allowance] = []
        self._is_stopped = False

    @contextmanager
    def transfer(self, max_file_bytes: int) -> Iterator[Allowance]:
        """Yield the allowance of one transfer of a file of at most ``max_file_bytes``.

        A server may send a tenth more, for heads, names, and checksums.

        Raises:
            CallStoppedError: This process ends.
        """
        allowance = Allowance(
            self.seconds,
            max_file_bytes * 11 // 10 + _EXTRA_BYTES,
            bytes_error=(
                f"the server sends more than a file of {max_file_bytes:,} bytes, which "
                "is the limit"
            ),
            pace=self.pace,
        )
        with self._in_progress(allowance):
            yield allowance

    @contextmanager
    def upload(self, file_bytes: int) -> Iterator[Allowance]:
        """Yield the allowance of one transfer of ``file_bytes`` to a server.

        A server answers each write, which takes far fewer bytes than the file.

        Raises:
            CallStoppedError: This process ends.
        """
        allowance = Allowance(
            self.seconds,
            file_bytes // 10 + _EXTRA_BYTES,
            bytes_error="the server sends too much while it gets the file",
            pace=replace(self.pace, verb="takes"),
        )
        with self._in_progress(allowance):
            yield allowance

    @contextmanager
    def _in_progress(self, allowance: Allowance) -> Iterator[None]:
        with self._lock:
            if self._is_stopped:
                raise CallStoppedError
            self._allowances.append(allowance)
        try:
            yield
        finally:
            with self._lock:
                self._allowances.remove(allowance)

    def tend(self) -> None:
        """End the slowest transfer if a tenant without one has waited too long."""
        if self.limiter.longest_wait() <= self.longest_wait:
            return
        with self._lock:
            if any(allowance.has_ended for allowance in self._allowances):
                return  # its turn is about to pass on
            endable = [
                allowance
                for allowance in self._allowances
                if allowance.age > self.pace.first_seconds
            ]
        if endable:
            slowest = min(endable, key=_bytes_per_second)
            slowest.end(CallError(_OTHERS_WAIT))

    def stop(self, seconds: float) -> None:
        """Break off all transfers, and begin no other one: this process ends.

        Wait at most some seconds until they have ended.
        """
        with self._lock:
            self._is_stopped = True
            for allowance in self._allowances:
                allowance.end(CallStoppedError())
        self.limiter.close(seconds)


def _bytes_per_second(allowance: Allowance) -> float:
    return allowance.bytes_per_second
