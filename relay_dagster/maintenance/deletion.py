"""One tick of tenants' deletions: each that is due goes on, from where it is written that it was.

A round of steps is taken again until one finds nothing, for indexes lag; only then is the tenant
gone. One that cannot go on spoils only itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import AFTER_A_FAULT, TICK_SECONDS, Deadline, drain
from relay_dagster.logs import event_log
from relay_dagster.maintenance.deletion_steps import RemovalSteps
from relay_dagster.runs.ports import ExecutionHistory, utc_now
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.wiring import Platform

AT_ONCE = 20

log = event_log()


@dataclass
class DeletionTick:
    """Goes on with the deletions that are due."""

    platform: Platform  # the stores and the queues
    history: ExecutionHistory  # what Dagster keeps of runs
    clock: Callable[[], datetime] = utc_now  # tells the time, aware

    def run(self, deadline: Deadline | None = None) -> str:
        """Go on with the deletions that are due; return a sentence about it."""
        deadline = deadline or Deadline.after(TICK_SECONDS)
        steps = RemovalSteps(self.platform, self.history, self.clock, deadline)
        due = self.platform.deletions.due(self.clock(), AT_ONCE)
        drain(due, lambda each: self._go_on(each, steps), self._put_off, deadline=deadline)
        return f"deletions looked at: {len(due)}"

    def _put_off(self, deletion: Deletion, error: Exception) -> None:
        deletions, tenant_id = self.platform.deletions, deletion.tenant_id
        report_fault(self.platform.metrics, "tenant_not_deleted", error, tenant_id=tenant_id)
        found = deletions.get(tenant_id)
        if found is not None:
            deletions.put(found, rules.put_off(found, self.clock() + AFTER_A_FAULT))

    def _go_on(self, deletion: Deletion, steps: RemovalSteps) -> None:
        if deletion.state is TenantState.CLOSING:
            self._close(deletion, steps)
        elif deletion.state is TenantState.DELETING:
            self._remove(deletion, steps)
        else:
            self._sweep(deletion, steps)

    def _close(self, deletion: Deletion, steps: RemovalSteps) -> None:
        """Let what is under way end; once the time has come, begin."""
        deletions, now = self.platform.deletions, self.clock()
        if deletion.delete_after <= now:
            begun = deletions.put(deletion, rules.begun(deletion, now))
            if begun is not None:
                log.warning("tenant_deletion_begun", tenant_id=deletion.tenant_id)
                self._remove(begun, steps)
        elif self.platform.closing.stop(deletion.tenant_id):
            deletions.put(deletion, rules.stopped(deletion, now))

    def _remove(self, deletion: Deletion, steps: RemovalSteps) -> None:
        tenant_id = deletion.tenant_id
        over = self._rounds(deletion, steps)
        if over is None:
            return
        version = self.platform.tenants.latest_version(tenant_id)
        tombstone = self.platform.deletions.finish(over, version)
        if tombstone is not None:
            log.warning("tenant_deleted", tenant_id=tenant_id, removed=dict(tombstone.removed))

    def _sweep(self, tombstone: Deletion, steps: RemovalSteps) -> None:
        """Look once more through the places of a tenant that is gone and not made anew."""
        deletions = self.platform.deletions
        begun: Deletion | None = tombstone
        if not tombstone.is_swept:
            begun = deletions.put(tombstone, rules.sweeping(tombstone))
        if begun is None:
            # It has been made anew, or somebody else sweeps.
            deletions.put(tombstone, rules.swept(tombstone))
            return
        over = self._rounds(begun, steps)
        if over is not None:
            deletions.put(over, rules.swept(over))

    def _rounds(self, deletion: Deletion, steps: RemovalSteps) -> Deletion | None:
        """Take steps until a round of them finds nothing; None where there is more to do."""
        first = next(iter(steps.by_name))
        while True:
            name = deletion.step or first
            removed = steps.by_name[name](deletion.tenant_id, deletion.mark)
            if removed.is_all:
                after = rules.noted(deletion, name, removed.count, steps.after(name))
            else:
                after = rules.noted(deletion, name, removed.count, name, removed.mark)
                after = rules.put_off(after, self.clock())
            is_over = removed.is_all and after.step is None
            if is_over and after.found:
                after = rules.next_round(after)
            written = self.platform.deletions.put(deletion, after)
            if written is None or not removed.is_all:
                return None
            if is_over and not deletion.found and not removed.count:
                return written
            deletion = written
