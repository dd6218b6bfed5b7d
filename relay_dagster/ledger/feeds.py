"""The verbs of a tenant's feed: hold back, release, let expire, roll back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.feeds import hold_rules
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.ledger.feed_updates import FeedUpdates
from relay_dagster.ledger.record_writer import (
    ChangeResult,
    RecordWriter,
    RequestedChange,
)
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.model import Fence, Outcome, Release, RunRecord
from relay_dagster.tenants import audit


@dataclass(frozen=True, slots=True)
class Rollback:
    """The outcome of a rollback."""

    feed: FeedPointer  # the feed pointer as it is stored now
    was_changed: bool  # whether this call changed it


@dataclass(frozen=True, slots=True)
class FeedLedger:
    """Every change of a feed pointer but a run's success and a cancellation."""

    runs: RunStore  # reads feed pointers
    writer: RecordWriter  # applies the rules
    updates: FeedUpdates  # makes the updates of feed pointers
    clock: Callable[[], datetime]  # returns the current instant, aware

    @property
    def keep(self) -> int:
        """The number of a tenant's publications that can be published again."""
        return self.updates.keep

    def hold(
        self,
        fence: Fence,
        outcome: Outcome,
        *,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """End the run ``HELD`` with its reports written.

        Its feed waits for a person's decision, and its tenant is free.

        Raises:
            FenceLostError: a newer attempt executes the run, or the run has ended.
            CancelRequestedError: somebody has asked for the run's cancellation.
        """
        change = RequestedChange(
            run_id=fence.run_id,
            rule=hold_rules.held(fence, outcome, self.clock()),
            cached_record=cached_record,
            feed_update=self.updates.hold_back,
        )
        return self.writer.apply(change).record

    def release(
        self,
        run_id: str,
        decision: Release,
        *,
        origin: audit.Origin = audit.SYSTEM,
    ) -> ChangeResult:
        """Publish a held feed, if it is the one that was reviewed.

        The same decision again changes nothing.

        Raises:
            RunNotHeldError: no feed of the run is held back.
            HoldMismatchError: another feed or other guards were reviewed.
            TenantBusyError: the tenant has an active run.
            TenantClosingError: the tenant is being deleted.
        """
        now = self.clock()

        def released_entry(record: RunRecord) -> audit.AuditEntry:
            return origin.entry(
                audit.Action.RUN_RELEASED,
                record.tenant_id,
                run_id,
                now,
                sha256=decision.sha256,
                guards=sorted(decision.guards),
                reason=decision.reason,
            )

        return self.writer.apply(
            RequestedChange(
                run_id=run_id,
                rule=hold_rules.released(decision, now),
                feed_update=self.updates.publish,
                audit_entry=released_entry,
                needs_idle_tenant=True,
            ),
        )

    def expire_hold(self, run_id: str, retention_days: int) -> RunRecord:
        """End a held run ``CANCELLED`` whose artifacts have been kept for their time.

        Raises:
            TransitionRefusedError: the run is not held.
        """
        change = RequestedChange(
            run_id=run_id,
            rule=hold_rules.expired(retention_days),
            feed_update=self.updates.discard,
        )
        return self.writer.apply(change).record

    def roll_back(
        self,
        tenant_id: str,
        run_id: str,
        reason: str = "",
        *,
        by: str = "system",
        origin: audit.Origin = audit.SYSTEM,
    ) -> Rollback:
        """Publish an earlier feed again; the live feed changes nothing.

        Raises:
            FeedNotKeptError: the feed is not among the publications that are kept.
            TenantBusyError: the tenant has an active run.
            TenantClosingError: the tenant is being deleted.
        """
        now = self.clock()

        def rolled_back(run: RunRecord) -> RunRecord:
            feed = self._feed_with(tenant_id, run_id)
            # A copy, for the record changes with the feed that it is conditional on.
            return run if feed.in_force.run_id == run_id else replace(run)

        def rolled_back_entry(_: RunRecord) -> audit.AuditEntry:
            feed = self._feed_with(tenant_id, run_id)
            return origin.entry(
                audit.Action.FEED_ROLLED_BACK,
                tenant_id,
                run_id,
                now,
                run_id_before=feed.in_force.run_id,
                reason=reason,
            )

        self._feed_with(tenant_id, run_id)
        result = self.writer.apply(
            RequestedChange(
                run_id=run_id,
                rule=rolled_back,
                feed_update=partial(self.updates.publish, rolled_back_by=by),
                audit_entry=rolled_back_entry,
                needs_idle_tenant=True,
            ),
        )
        return Rollback(self._feed_with(tenant_id, run_id), result.was_changed)

    def _feed_with(self, tenant_id: str, run_id: str) -> FeedPointer:
        """Return the tenant's feed pointer if it keeps a feed of the run."""
        feed = self.runs.feed(tenant_id)
        if feed is None or feed.republishable(run_id, self.keep) is None:
            raise FeedNotKeptError(tenant_id, run_id)
        return feed
