"""The verbs of a tenant's feed: a hold, its release and expiry, a rollback; and pointer updates.

A run's end, a release or a rollback updates the tenant's feed pointer in one transaction with its
record. The pointer is read again in each round, and its update is conditional on what was read. An
older held run is given up in the same transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from relay_core.domain.codes import RunStatus
from relay_dagster.feeds import hold_rules as rules
from relay_dagster.feeds.hold import Release
from relay_dagster.feeds.pointer import (
    FeedPointer,
    FeedUpdate,
    FeedUpdateOf,
    holding,
    no_update,
    published,
)
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.model import Fence, Outcome, RunRecord
from relay_dagster.runs.ports import RunRecords
from relay_dagster.runs.transitions import Rule
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin


class ChangeRun(Protocol):
    """Applies a rule to a run's record and commits it: of `RunService`."""

    def __call__(
        self,
        run_id: str,
        rule: Rule,
        known: RunRecord | None = None,
        feed: FeedUpdateOf = no_update,
        *,
        while_idle: bool = False,
        entry: Callable[[RunRecord], AuditEntry | None] = no_update,
        then: Callable[[RunRecord], object] = no_update,
    ) -> RunRecord:
        """Return the record as it was committed; one that the rule leaves as it is.

        No waiting: a lost round means that another writer got through, and writers of a record are
        few. ``known``, as it was read or written last, is tried first. ``entry`` makes the audit's
        entry; a change of nothing has none. ``then`` is given the record where this very call has
        changed it.

        Raises:
            UnknownRunError: there is no such record.
            TenantBusyError: the tenant has a run.
            ThrottledError: every round was lost.
        """


@dataclass(frozen=True, slots=True)
class FeedService:
    """Every change of a feed pointer."""

    runs: RunRecords  # where records and pointers are kept
    change: ChangeRun  # changes a run's record
    keep: int  # how many publications of a tenant can be published again
    clock: Callable[[], datetime]  # tells the time, aware

    def hold(self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None) -> RunRecord:
        """End the run ``HELD`` and free the tenant; its feed waits. Its reports are written."""
        rule = rules.held(fence, outcome, self.clock())
        return self.change(fence.run_id, rule, known, self.holding_back)

    def release(
        self,
        run_id: str,
        decision: Release,
        *,
        origin: Origin = SYSTEM,
        then: Callable[[RunRecord], object] = no_update,
    ) -> RunRecord:
        """Publish what is held: ``SUCCEEDED``. The same decision again changes nothing.

        ``then`` is given the record where this very call has published it.

        Raises:
            RunNotHeldError: nothing of the run is held back.
            HoldMismatchError: what is held is not what was reviewed.
            TenantBusyError: the tenant has a run that is queued or running.
        """
        now = self.clock()

        def entry(record: RunRecord) -> AuditEntry:
            return origin.entry(
                Action.RUN_RELEASED,
                record.tenant_id,
                run_id,
                now,
                sha256=decision.sha256,
                guards=sorted(decision.guards),
                reason=decision.reason,
            )

        rule = rules.released(decision, now)
        publishing = self.publishing
        return self.change(run_id, rule, feed=publishing, while_idle=True, entry=entry, then=then)

    def expire_hold(self, run_id: str, retention_days: int) -> RunRecord:
        """Give a held feed up that is older than artifacts are kept: ``CANCELLED``.

        Raises:
            TransitionRefusedError: the run is not held any more.
        """
        return self.change(run_id, rules.expired(retention_days), feed=self.discarding)

    def roll_back(
        self,
        tenant_id: str,
        run_id: str,
        reason: str = "",
        *,
        by: str = "system",
        origin: Origin = SYSTEM,
        then: Callable[[RunRecord], object] = no_update,
    ) -> FeedPointer:
        """Publish a feed again that was in force; the one that is in force is no change.

        ``then`` is given its run where this very call has published it.

        Raises:
            FeedNotKeptError: it is none of the tenant's last publications.
            TenantBusyError: the tenant has a run that is queued or running.
        """
        now, publishing = self.clock(), partial(self.publishing, rolled_back_by=by)

        def feed() -> FeedPointer:
            found = self.runs.feed(tenant_id)
            if found is None or found.kept(run_id) is None:
                raise FeedNotKeptError(tenant_id, run_id)
            return found

        def rule(run: RunRecord) -> RunRecord:
            return run if feed().in_force.run_id == run_id else replace(run)

        def entry(_: RunRecord) -> AuditEntry:
            facts = {"run_id_before": feed().in_force.run_id, "reason": reason}
            return origin.entry(Action.FEED_ROLLED_BACK, tenant_id, run_id, now, **facts)

        feed()
        self.change(run_id, rule, feed=publishing, while_idle=True, entry=entry, then=then)
        return feed()

    # --- pointer updates --------------------------------------------------------------------------

    def publishing(self, run: RunRecord, rolled_back_by: str | None = None) -> FeedUpdate | None:
        """Put a run's feed in force, or in force again; a run of some vendors has none."""
        if run.vendors is not None or run.feed_key is None or run.feed_sha256 is None:
            return None
        before = self.runs.feed(run.tenant_id)
        feed, now = (run.feed_key, run.feed_sha256), self.clock()
        after = published(before, run, *feed, now, self.keep, rolled_back_by)
        return FeedUpdate(before, after, self._given_up(before, run))

    def holding_back(self, run: RunRecord) -> FeedUpdate:
        """Hold a run's feed back."""
        before = self.runs.feed(run.tenant_id)
        if before is None:
            raise RuntimeError(f"tenant {run.tenant_id} has no feed to hold another back for")
        return FeedUpdate(before, holding(before, run.run_id), self._given_up(before, run))

    def discarding(self, run: RunRecord) -> FeedUpdate | None:
        """Hold a run's feed back no more, where it is."""
        before = None if run.hold is None else self.runs.feed(run.tenant_id)
        if before is None or before.held_run_id != run.run_id:
            return None
        return FeedUpdate(before, holding(before, None))

    def _given_up(
        self, before: FeedPointer | None, run: RunRecord
    ) -> tuple[RunRecord, RunRecord] | None:
        """Return the held run that gives way to another, before and after."""
        held_run_id = None if before is None else before.held_run_id
        held = None if held_run_id in (None, run.run_id) else self.runs.get(str(held_run_id))
        if held is None or held.status is not RunStatus.HELD:
            return None
        return held, rules.superseded(run.run_id)(held)
