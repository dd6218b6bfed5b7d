"""Values that stores give and take, and protocols of those who execute, which Dagster implements.

The packages that only decide (`runs`, `intake`, `maintenance`) know no adapter of Dagster.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from relay_dagster.runs.model import RunRecord

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """Some of a listing, newest first; ``next_cursor`` is None on the last page."""

    items: tuple[_Item, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """No new runs, of one tenant or (None) of all; ``public_reason`` is for tenants."""

    tenant_id: str | None
    reason: str
    paused_at: datetime
    public_reason: str | None = None


class AttemptState(StrEnum):
    """How the execution of a record's latest attempt stands, as whoever executes it says."""

    ABSENT = "absent"
    WAITING = "waiting"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_alive(self) -> bool:
        """Whether it waits for its turn or executes, as far as is known."""
        return self in (AttemptState.WAITING, AttemptState.EXECUTING)


class Executions(Protocol):
    """What is executing, and what others may do to it: ``orchestration/dagster_instance.py``."""

    def state(self, record: RunRecord) -> AttemptState:
        """Return how the execution of a record's latest attempt stands."""

    def terminate(self, record: RunRecord) -> None:
        """Ask the process of a record's latest attempt to end; it may be gone, or not hear it."""

    def stop(self, record: RunRecord) -> None:
        """End the process of an attempt that gives no sign, where it need not be asked itself."""

    def report_failed(self, record: RunRecord, message: str) -> None:
        """Let it be known that the process of an attempt is dead."""

    def report_cancelled(self, record: RunRecord, message: str) -> None:
        """Let it be known that an attempt counts as ended, whatever its process does."""


class TenantPartitions(Protocol):
    """The tenants that can be executed for: ``orchestration/dagster_instance.py``."""

    def tenants(self) -> set[str]:
        """Return the tenants that have a partition."""

    def add_tenants(self, tenant_ids: Iterable[str]) -> list[str]:
        """Add the partitions that are missing; return those."""

    def is_in_use(self, tenant_id: str) -> bool:
        """Return whether something that executes for the tenant has not ended."""

    def remove_tenant(self, tenant_id: str) -> None:
        """Remove a partition."""


@dataclass(frozen=True, slots=True)
class Removed:
    """How much was removed, whether that is all there was, and the mark to go on from."""

    count: int
    is_all: bool = True
    mark: str | None = None


class ExecutionHistory(Protocol):
    """The history of what was executed: ``orchestration/dagster_history.py``."""

    def has_unfinished(self, tenant_id: str) -> bool:
        """Return whether something that executes for the tenant has not ended."""

    def delete_ended_before(
        self, instant: datetime, is_late: Callable[[], bool]
    ) -> int:
        """Delete what ended before, but each tenant's newest results; return how many."""

    def remove_tenant(
        self,
        tenant_id: str,
        run_ids: Collection[str],
        is_late: Callable[[], bool],
        mark: str | None = None,
    ) -> Removed:
        """Remove the history of a tenant and of its runs, from a mark on, until it is late."""


def utc_now() -> datetime:
    """Return the current instant: the clock of all who are given no other."""
    return datetime.now(UTC)
