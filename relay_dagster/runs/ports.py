"""Protocols of the stores and services that a run's rules need; each names its implementation.

The packages that only decide (`runs`, `intake`, `maintenance`) know no adapter of Dagster.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from relay_core.config import TenantConfig
from relay_dagster.feeds.pointer import FeedPointer, FeedUpdate
from relay_dagster.runs.model import Idempotency, RunRecord, TenantLock
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.tenants.parsed_configs import StoredConfig
from relay_dagster.triggers.rules import TriggerUpdate
from relay_dagster.webhooks.model import Event

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


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a record, with the events and audit entries of its transaction."""

    before: RunRecord | None  # the record as it was read, None for a new one
    after: RunRecord  # as it is to be
    events: tuple[Event, ...] = ()  # for the tenant's webhooks
    audit: tuple[AuditEntry, ...] = ()


class RunWrites(Protocol):
    """The maker of the writes that go with a change: ``aws/dynamodb/run_writes.py``."""

    def lock(self, change: Change, *, yield_to_waiters: bool = False) -> list[Any]:
        """Return the lock's write for a change of lock state, or none; `TenantBusyError`."""

    def tenant_idle(self, change: Change) -> Any:
        """Return the condition that no run of the tenant is active; `TenantBusyError`."""

    def tenant_active(self, run: RunRecord, sent_at: datetime | None = None) -> Any:
        """Return the condition that the tenant is not being deleted; `TenantClosingError`."""

    def quota(self, run: RunRecord, runs_per_hour: int) -> Any:
        """Return the write that counts a run; `QuotaExceededError`."""

    def uncount(self, run: RunRecord) -> None:
        """Take a run out of the count of its hour."""

    def remember(self, run: RunRecord, asked: Idempotency, now: datetime) -> Any:
        """Return the write by which a caller's key leads to a new run."""

    def forget(self, run: RunRecord) -> Any:
        """Return the write by which a caller's key leads to no run."""

    def feed(self, update: FeedUpdate) -> list[Any]:
        """Return the writes of the feed pointer, and of the held run that gives way."""

    def triggers(self, update: TriggerUpdate) -> Any:
        """Return the write by which a run takes from its tenant's triggers what it is for."""

    def vendor_results(self, run: RunRecord) -> list[Any]:
        """Return the write of each vendor's result in a run of all vendors that ends, or none."""


class RunRecords(Protocol):
    """Where records are kept, as the ledger sees it: ``aws/dynamodb/run_store.py``."""

    def get(self, run_id: str) -> RunRecord | None:
        """Return the record, read consistently."""

    def has_expired(self, run_id: str) -> bool:
        """Tell whether a run's record is gone since it has been kept for as long as it is to be."""

    def lock(self, tenant_id: str) -> TenantLock:
        """Return the tenant's lock, read consistently."""

    def feed(self, tenant_id: str) -> FeedPointer | None:
        """Return the tenant's feed, read consistently; None before the first."""

    def idempotent_run(self, idempotency_id: str, now: datetime) -> tuple[str, str] | None:
        """Return run_id and fingerprint of an unexpired idempotency item."""

    @property
    def writes(self) -> RunWrites:
        """The maker of the writes that go with a change."""

    def commit(self, change: Change, also: Sequence[Any] = ()) -> RunRecord:
        """Write a record if it is as it was read, and all with it; else `RunError`."""

    def note_check(self, record: RunRecord) -> bool:
        """Write what a check has seen, and when the next is; False if the record has changed."""


class ConfigVersions(Protocol):
    """What is stored of tenants' configs: ``aws/dynamodb/tenant_store.py``."""

    def latest_version(self, tenant_id: str) -> int | None:
        """Return the number of the latest version, None for an unknown tenant."""

    def latest(self, tenant_id: str) -> StoredConfig | None:
        """Return the latest version, None for an unknown tenant."""

    def parsed(self, stored: StoredConfig) -> TenantConfig:
        """Return a version as it takes effect; a `RelayError` where it no longer can."""


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
        """Tell whether something that executes for the tenant has not ended."""

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
        """Tell whether something that executes for the tenant has not ended."""

    def delete_ended_before(self, instant: datetime, is_late: Callable[[], bool]) -> int:
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
