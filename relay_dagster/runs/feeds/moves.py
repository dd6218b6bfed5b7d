"""How a run's end, a release or a rollback moves the tenant's feed, in one transaction with it.

The pointer is read again in each round, and its change is conditional on what was read. An older
held run is given up in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay_core.domain.codes import RunStatus
from relay_dagster.runs.feeds.pointer import FeedMove, FeedPointer, holding, published
from relay_dagster.runs.feeds.rules import superseded
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import RunRecords


@dataclass(frozen=True, slots=True)
class FeedMoves:
    """Makes the moves of feeds.

    Args:
        runs: where records and pointers are kept.
        keep: how many publications of a tenant can be published again.
        clock: tells the time, aware.
    """

    runs: RunRecords
    keep: int
    clock: Callable[[], datetime]

    def publish(self, run: RunRecord) -> FeedMove | None:
        """Put a run's feed in force; a run of some vendors has none."""
        if run.vendors is not None or run.feed_key is None or run.feed_sha256 is None:
            return None
        before = self.runs.feed(run.tenant_id)
        after = published(before, run, run.feed_key, run.feed_sha256, self.clock(), self.keep)
        return FeedMove(before, after, self._given_up(before, run))

    def hold(self, run: RunRecord) -> FeedMove:
        """Hold a run's feed back."""
        before = self.runs.feed(run.tenant_id)
        if before is None:
            raise RuntimeError(f"tenant {run.tenant_id} has no feed to hold another back for")
        return FeedMove(before, holding(before, run.run_id), self._given_up(before, run))

    def discard(self, run: RunRecord) -> FeedMove | None:
        """Hold a run's feed back no more, where it is."""
        before = None if run.hold is None else self.runs.feed(run.tenant_id)
        if before is None or before.held_run_id != run.run_id:
            return None
        return FeedMove(before, holding(before, None))

    def _given_up(
        self, before: FeedPointer | None, run: RunRecord
    ) -> tuple[RunRecord, RunRecord] | None:
        """Return the held run that gives way to another, before and after."""
        held_run_id = None if before is None else before.held_run_id
        held = None if held_run_id in (None, run.run_id) else self.runs.get(str(held_run_id))
        if held is None or held.status is not RunStatus.HELD:
            return None
        return held, superseded(run.run_id)(held)
