"""What the ledger needs from outside: a place to keep records, and a clock."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from relay_dagster.runs.model import FeedPointer, Idempotency, RunRecord


class Runs(Protocol):
    """What the ledger needs of the store."""

    def get(self, run_id: str) -> RunRecord | None:
        """Return the record, read consistently."""

    def idempotent_run(self, idempotency_id: str, now: datetime) -> tuple[str, str] | None:
        """Return run_id and fingerprint of an unexpired idempotency item."""

    def commit(
        self,
        before: RunRecord | None,
        after: RunRecord,
        *,
        now: datetime,
        idempotency: Idempotency | None = None,
        yield_to_waiters: bool = False,
        feed: FeedPointer | None = None,
    ) -> RunRecord:
        """Write ``after`` if the record still is ``before``, and the lock with it.

        Raises:
            CommitLostError: the record, or the idempotency item, is not as it was read.
            TenantBusyError: the lock is held by another run.
        """


def utc_now() -> datetime:
    """Return the current instant."""
    return datetime.now(UTC)
