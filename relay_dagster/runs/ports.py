"""Values that stores give and take, and protocols that Dagster's side implements.

The packages that decide (`runs`, `intake`, `maintenance`) know no adapter of Dagster.
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
    """A page of a listing, newest first."""

    items: tuple[_Item, ...]
    # The cursor of the next page; None on the last.
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause: no runs are created for one tenant, or (None) for any."""

    tenant_id: str | None
    reason: str  # the reason for operators
    paused_at: datetime
    public_reason: str | None = None  # the reason for tenants


class AttemptState(StrEnum):
    """The state of a record's latest attempt, as its executor reports it."""

    ABSENT = "absent"
    WAITING = "waiting"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_alive(self) -> bool:
        """Return True if the attempt is known to wait for its turn or to execute."""
        return self in (AttemptState.WAITING, AttemptState.EXECUTING)


class Executions(Protocol):
    """The attempts that execute: ``orchestration/dagster_instance.py``."""

    def state(self, record: RunRecord) -> AttemptState:
        """Return the state of a record's latest attempt."""

    def terminate(self, record: RunRecord) -> None:
        """Ask the process of a record's latest attempt to end.

        The process may be gone, or may not hear the request.
        """

    def stop(self, record: RunRecord) -> None:
        """End the process of an attempt that gives no sign of life, unasked."""

    def report_failed(self, record: RunRecord, message: str) -> None:
        """Report that the process of an attempt is dead."""

    def report_cancelled(self, record: RunRecord, message: str) -> None:
        """Report that an attempt counts as ended, whatever its process does."""


class TenantPartitions(Protocol):
    """The tenants that runs can execute for: ``orchestration/dagster_instance.py``."""

    def tenants(self) -> set[str]:
        """Return the tenants that have a partition."""

    def add_tenants(self, tenant_ids: Iterable[str]) -> list[str]:
        """Add the partitions that are missing, and return their tenants."""

    def is_in_use(self, tenant_id: str) -> bool:
        """Return True if a Dagster run of the tenant has not ended."""

    def remove_tenant(self, tenant_id: str) -> None:
        """Remove a tenant's partition."""


@dataclass(frozen=True, slots=True)
class Removed:
    """The outcome of a removal that may take several calls."""

    count: int  # the number of removed things
    is_all: bool = True  # whether nothing is left to remove
    mark: str | None = None  # where the next call goes on


class ExecutionHistory(Protocol):
    """The history of executed attempts: ``orchestration/dagster_history.py``."""

    def has_unfinished(self, tenant_id: str) -> bool:
        """Return True if a Dagster run of the tenant has not ended."""

    def delete_ended_before(
        self, instant: datetime, is_late: Callable[[], bool]
    ) -> int:
        """Delete what ended before an instant, and return the number of deleted runs.

        The newest results of each tenant stay.
        """

    def remove_tenant(
        self,
        tenant_id: str,
        run_ids: Collection[str],
        is_late: Callable[[], bool],
        mark: str | None = None,
    ) -> Removed:
        """Remove the history of a tenant and of its runs, from a mark on.

        The removal stops when ``is_late`` returns True.
        """


def utc_now() -> datetime:
    """Return the current instant; the clock of everyone who is given no other."""
    return datetime.now(UTC)
