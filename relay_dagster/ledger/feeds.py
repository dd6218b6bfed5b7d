"""The rules and verbs of a tenant's feed: hold, release, expiry, rollback; and pointer updates.

A run's end, a release or a rollback updates the tenant's feed pointer in one transaction with its
record. The pointer is read again in each round, and its update is conditional on what was read. An
older held run is given up in the same transaction. The table of `transitions` has the transitions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.feeds.pointer import (
    FeedPointer,
    FeedUpdate,
    holding,
    no_update,
    published,
)
from relay_dagster.runs.errors import (
    FeedNotKeptError,
    HoldMismatchError,
    RunNotHeldError,
)
from relay_dagster.runs.model import Fence, Hold, Outcome, Release, RunRecord
from relay_dagster.runs.transitions import (
    ended,
    given_up,
    refuse_unfenced,
    rule,
    transition,
)
from relay_dagster.tenants.audit import SYSTEM, Action, AuditEntry, Origin

HOLD_SUPERSEDED, HOLD_EXPIRED = "HOLD_SUPERSEDED", "HOLD_EXPIRED"


@rule
def held(record: RunRecord, fence: Fence, outcome: Outcome, now: datetime) -> RunRecord:
    """End the run with its feed held back; its reports are written."""
    refuse_unfenced(record, fence)
    hold = Hold(str(outcome.feed_sha256), str(record.baseline_run_id), outcome.guards)
    over = replace(ended("held", record, now), failed_stage=None, hold=hold)
    return over.with_reports(outcome, now)


@rule
def released(record: RunRecord, decision: Release, now: datetime) -> RunRecord:
    """Publish what is held; the same decision again changes nothing."""
    hold = record.hold
    if hold is None or record.status not in (RunStatus.HELD, RunStatus.SUCCEEDED):
        raise RunNotHeldError(record.run_id, record.status)
    is_same = (hold.sha256, hold.guard_names) == (decision.sha256, decision.guards)
    if record.status is not RunStatus.HELD:
        if is_same:
            return record
        raise RunNotHeldError(record.run_id, record.status)
    if not is_same:
        names = ", ".join(sorted(hold.guard_names))
        raise HoldMismatchError(record.run_id, hold.sha256, names)
    stages = {**record.stage_entered_at, Stage.COMPLETE.value: now}
    return transition(
        "released",
        record,
        stage=Stage.COMPLETE,
        stage_entered_at=stages,
        released_at=now,
        released_by=decision.by,
        release_reason=decision.reason,
    )


@rule
def expired(record: RunRecord, retention_days: int) -> RunRecord:
    """Give a held feed up that nobody has released while its run's artifacts were kept."""
    message = f"nobody has released the feed within {retention_days} days"
    return given_up("expired", record, error_code=HOLD_EXPIRED, error_message=message)


@rule
def superseded(record: RunRecord, by: str) -> RunRecord:
    """Give a held feed up for another one, which is published or held now."""
    message = f"the feed of run {by} came after it"
    return given_up(
        "superseded", record, error_code=HOLD_SUPERSEDED, error_message=message
    )


@dataclass(frozen=True, slots=True)
class FeedLedger:
    """Every change of a feed pointer."""

    runs: RunStore  # where records and pointers are kept
    change: Callable[..., RunRecord]  # `RunLedger._change`
    keep: int  # how many publications of a tenant can be published again
    clock: Callable[[], datetime]  # tells the time, aware

    def hold(
        self, fence: Fence, outcome: Outcome, *, known: RunRecord | None = None
    ) -> RunRecord:
        """End the run ``HELD`` and free the tenant; its feed waits. Its reports are written."""
        rule = held(fence, outcome, self.clock())
        return self.change(fence.run_id, rule, known, self.holding_back)

    def release(
        self,
        run_id: str,
        decision: Release,
        *,
        origin: Origin = SYSTEM,
        then: Callable[[RunRecord], object] = no_update,
    ) -> RunRecord:
        """Publish what is held, if it is as decided; ``then`` gets the record if by this call."""
        now = self.clock()
        facts: dict[str, Any] = {
            "sha256": decision.sha256,
            "guards": sorted(decision.guards),
        }

        def entry(record: RunRecord) -> AuditEntry:
            whose, why = (record.tenant_id, run_id, now), decision.reason
            return origin.entry(Action.RUN_RELEASED, *whose, **facts, reason=why)

        rule = released(decision, now)
        publishing = self.publishing
        return self.change(
            run_id, rule, feed=publishing, while_idle=True, entry=entry, then=then
        )

    def expire_hold(self, run_id: str, retention_days: int) -> RunRecord:
        """Give a held feed up that is older than artifacts are kept: ``CANCELLED``."""
        return self.change(run_id, expired(retention_days), feed=self.discarding)

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
        """Publish an earlier feed again, if it is kept; ``then`` gets its run, if by this call."""
        now, publishing = self.clock(), partial(self.publishing, rolled_back_by=by)

        def feed() -> FeedPointer:
            found = self.runs.feed(tenant_id)
            if found is None or found.kept(run_id, self.keep) is None:
                raise FeedNotKeptError(tenant_id, run_id)
            return found

        def rule(run: RunRecord) -> RunRecord:
            return run if feed().in_force.run_id == run_id else replace(run)

        def entry(_: RunRecord) -> AuditEntry:
            facts = {"run_id_before": feed().in_force.run_id, "reason": reason}
            return origin.entry(
                Action.FEED_ROLLED_BACK, tenant_id, run_id, now, **facts
            )

        feed()
        self.change(
            run_id, rule, feed=publishing, while_idle=True, entry=entry, then=then
        )
        return feed()

    def publishing(
        self, run: RunRecord, rolled_back_by: str | None = None
    ) -> FeedUpdate | None:
        """Put a run's feed in force, or in force again; a run of some vendors has none."""
        if run.vendors is not None or run.feed_key is None or run.feed_sha256 is None:
            return None
        before = self.runs.feed(run.tenant_id)
        after = published(before, run, self.clock(), self.keep, rolled_back_by)
        return FeedUpdate(before, after, self._given_up(before, run))

    def holding_back(self, run: RunRecord) -> FeedUpdate:
        """Hold a run's feed back."""
        before = self.runs.feed(run.tenant_id)
        if before is None:
            raise RuntimeError(
                f"tenant {run.tenant_id} has no feed to hold another back for"
            )
        return FeedUpdate(
            before, holding(before, run.run_id), self._given_up(before, run)
        )

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
        held = (
            None
            if held_run_id in (None, run.run_id)
            else self.runs.get(str(held_run_id))
        )
        if held is None or held.status is not RunStatus.HELD:
            return None
        return held, superseded(run.run_id)(held)
