"""The room for transfers: the one place in which files move from and to strangers' servers.

All transfers of a process share its turns and its limits. A worker that moves a file takes
its turn at the limiter, and talks to the server within an allowance of the room. So nothing
that a server does takes more than its share of memory, bytes, and time, and no tenant
waits long for the servers of others.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from relay_dagster.drain import BackgroundCheck, Deadline
from relay_dagster.transfers.allowance import (
    Allowance,
    CallError,
    CallStoppedError,
    Pace,
)
from relay_dagster.work.item import Schedulable
from relay_dagster.work.queue import LeasedItem, WorkQueue
from relay_dagster.work.tenant_limiter import TenantLimiter
from relay_dagster.work.worker import Turns, Worker

TRANSFER_SECONDS = 15 * 60.0
"""The longest that a transfer may take."""
LONGEST_WAIT_SECONDS = 15 * 60.0
"""If a tenant without a transfer waits longer, the slowest transfer of others ends."""
WAIT_SECONDS = 1.0
"""The longest that a tick waits for its check."""
MAX_IN_HAND = 4000
PAGE_SIZE = 50
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


class Transferable(Schedulable, Protocol):
    """The state of a transfer of a tenant."""

    @property
    def tenant_id(self) -> str:
        """The tenant."""

    @property
    def host(self) -> str:
        """The host of the server."""


S = TypeVar("S", bound=Transferable)


@dataclass(eq=False)
class DueTransfers(Generic[S]):
    """The transfers of one queue that are due, and those in progress.

    It lives as long as its process: transfers go on between ticks, and no tick waits for
    one. A check plans transfers, finds those that are due, and renews the leases of those
    in progress. It has a thread of its own, so a tick waits for it only so long, however
    slowly the tables answer.
    """

    room: TransferRoom  # the turns and limits of the transfers
    queue: WorkQueue[S]  # where their states are
    _: KW_ONLY
    plan: Callable[[], object]  # lets new transfers be due
    # Makes one transfer, on a thread of the limiter
    handle: Callable[[LeasedItem[S]], None]
    on_fault: Callable[[S, Exception], object]  # reports a transfer that failed
    clock: Callable[[], datetime]  # tells the time, aware
    wait_seconds: float  # the longest that a tick waits for its check

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self._worker: Worker[S, None] = Worker(
            queue=self.queue,
            handle=self.handle,
            on_fault=self.on_fault,
            turns=Turns(self.room.limiter, _host_of),
            clock=self.clock,
            page_size=PAGE_SIZE,
            max_in_hand=MAX_IN_HAND,
        )
        self._check = BackgroundCheck(self._run_check, self.wait_seconds)

    def run(self) -> int:
        """Take due transfers while there is room; return the number in hand."""
        self._check.run()
        return self._worker.in_hand

    def wait(self, seconds: float) -> None:
        """Wait until nothing is in hand, but at most some seconds."""
        deadline = Deadline.after(seconds)
        self._check.wait(seconds)
        self._worker.wait(max(0.0, deadline.at - time.monotonic()))

    def _run_check(self) -> None:
        self.plan()
        self._worker.run_page()
        self.room.tend()


def _host_of(state: Transferable) -> tuple[str, str]:
    """Return the tenant and the host at which a transfer waits for its turn."""
    return state.tenant_id, state.host


def _bytes_per_second(allowance: Allowance) -> float:
    return allowance.bytes_per_second
