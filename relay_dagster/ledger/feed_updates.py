"""The update of a tenant's feed pointer that goes with a change of a run.

The pointer is read again in each round of a change, and the update is conditional on
it. The feed of an older held run is given up in the same transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.feeds.hold_rules import superseded
from relay_dagster.feeds.pointer import (
    FeedPointer,
    FeedUpdate,
    holding,
    published,
)
from relay_dagster.runs.model import RunRecord


@dataclass(frozen=True, slots=True)
class FeedUpdates:
    """Makes the updates of feed pointers."""

    runs: RunStore  # reads pointers and held runs
    # The number of a tenant's publications that can be published again.
    keep: int
    clock: Callable[[], datetime]  # returns the current instant, aware

    def publish(
        self,
        run: RunRecord,
        *,
        rolled_back_by: str | None = None,
    ) -> FeedUpdate | None:
        """Return the update that puts a run's feed live.

        None for a run without a feed: one of some vendors only, or without published
        files. ``rolled_back_by`` is the caller who publishes an earlier feed again.
        """
        if (
            run.vendors is not None
            or run.feed_key is None
            or run.feed_sha256 is None
        ):
            return None
        before = self.runs.feed(run.tenant_id)
        after = published(before, run, self.clock(), self.keep, rolled_back_by)
        return FeedUpdate(before, after, self._superseded(before, run))

    def hold_back(self, run: RunRecord) -> FeedUpdate:
        """Return the update that holds a run's feed back."""
        before = self.runs.feed(run.tenant_id)
        if before is None:
            raise RuntimeError(
                f"tenant {run.tenant_id} has no feed to hold another back for",
            )
        after = holding(before, run.run_id)
        return FeedUpdate(before, after, self._superseded(before, run))

    def discard(self, run: RunRecord) -> FeedUpdate | None:
        """Return the update that gives up a run's held feed; None if it is not held."""
        if run.hold is None:
            return None
        before = self.runs.feed(run.tenant_id)
        if before is None or before.held_run_id != run.run_id:
            return None
        return FeedUpdate(before, holding(before, None))

    def _superseded(
        self,
        before: FeedPointer | None,
        run: RunRecord,
    ) -> tuple[RunRecord, RunRecord] | None:
        """Return the record of an older held run before and after, or None."""
        if before is None or before.held_run_id in (None, run.run_id):
            return None
        held_run = self.runs.get(str(before.held_run_id))
        if held_run is None or held_run.status is not RunStatus.HELD:
            return None
        return held_run, superseded(run.run_id)(held_run)
