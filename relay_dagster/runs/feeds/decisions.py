"""What is decided of feeds: a hold is released or expires, an earlier feed is published again.

The half of `ledger` that people's decisions are made of; what a run's own end does to its tenant's
feed, and the commits, stand there.
"""

from __future__ import annotations

from dataclasses import replace

from relay_dagster.audit import SYSTEM, Action, AuditEntry, Origin
from relay_dagster.runs.commits import Commits
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.feeds import rules
from relay_dagster.runs.feeds.hold import Release
from relay_dagster.runs.feeds.moves import FeedMoves
from relay_dagster.runs.feeds.pointer import FeedPointer
from relay_dagster.runs.message_state import MessageNotes
from relay_dagster.runs.model import RunRecord


class FeedDecisions(MessageNotes):
    """Decisions of feeds. `UnknownRunError` is raised for a run_id without a record.

    Args:
        commits: where records are kept, and how.
        keep_published: how many publications of a tenant can be published again.
    """

    def __init__(self, commits: Commits, keep_published: int) -> None:
        super().__init__(commits)
        self._feeds = FeedMoves(commits.runs, keep_published, commits.clock)

    def release(self, run_id: str, decision: Release, *, origin: Origin = SYSTEM) -> RunRecord:
        """Publish what is held: ``SUCCEEDED``. The same decision again changes nothing.

        Raises:
            RunNotHeldError: nothing of the run is held back.
            HoldMismatchError: what is held is not what was reviewed.
            TenantBusyError: the tenant has a run that is queued or running.
        """
        now = self._clock()

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
        return self._change(run_id, rule, move=self._feeds.publish, while_idle=True, entry=entry)

    def expire_hold(self, run_id: str, retention_days: int) -> RunRecord:
        """Give a held feed up that is older than artifacts are kept: ``CANCELLED``.

        Raises:
            TransitionRefusedError: the run is not held any more.
        """
        return self._change(run_id, rules.expired(retention_days), move=self._feeds.discard)

    def roll_back(
        self, tenant_id: str, run_id: str, reason: str = "", *, origin: Origin = SYSTEM
    ) -> FeedPointer:
        """Publish a feed again that was in force; the one that is in force is no change.

        Raises:
            FeedNotKeptError: it is none of the tenant's last publications.
            TenantBusyError: the tenant has a run that is queued or running.
        """
        runs = self._commits.runs
        feed = runs.feed(tenant_id)
        if feed is None or feed.kept(run_id) is None:
            raise FeedNotKeptError(tenant_id, run_id)
        before, now = feed.in_force.run_id, self._clock()

        def entry(_: RunRecord) -> AuditEntry:
            told = {"run_id_before": before, "reason": reason}
            return origin.entry(Action.FEED_ROLLED_BACK, tenant_id, run_id, now, **told)

        if before != run_id:
            self._change(run_id, replace, move=self._feeds.publish, while_idle=True, entry=entry)
        return runs.feed(tenant_id) or feed
