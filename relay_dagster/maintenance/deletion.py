"""Tenants' deletions: each that is due goes on, from where it is written that it was.

Each step can be taken again, and begins where it ended. What leads to other things goes after them:
a run's record after its files, the tenant last. A round of steps is taken again until one finds
nothing, for indexes lag; only then is the tenant gone. One that cannot go on spoils only itself.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from relay_dagster.aws.dynamodb.deletion_store import TenantData
from relay_dagster.aws.job_queue import read_dead_letters
from relay_dagster.aws.metrics import remove_alarms, report_fault
from relay_dagster.drain import AFTER_A_FAULT, TICK_SECONDS, Deadline, drain
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.feeds.pointer import published_prefix
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.ports import ExecutionHistory, Removed, utc_now
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.wiring import Platform

AT_ONCE, _RUNS_AT_ONCE = 20, 25

log = event_log()


@dataclass
class DeletionTick:
    """Goes on with the deletions that are due; each step stops soon after the deadline."""

    platform: Platform  # the stores and the queues
    history: ExecutionHistory  # what Dagster keeps of runs
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    _deadline: Deadline = field(init=False)
    _tenant_data: TenantData = field(init=False)

    def run(self, deadline: Deadline | None = None) -> str:
        """Go on with the deletions that are due; return a sentence about it."""
        self._deadline = deadline or Deadline.after(TICK_SECONDS)
        self._tenant_data = TenantData(self.platform.database)
        due = self.platform.deletions.due(self.clock(), AT_ONCE)
        go_on = {TenantState.CLOSING: self._close, TenantState.DELETING: self._remove}

        def go_on_with(deletion: Deletion) -> None:
            go_on.get(deletion.state, self._sweep)(deletion)

        drain(due, go_on_with, self._put_off, deadline=self._deadline)
        return f"deletions looked at: {len(due)}"

    def _put_off(self, deletion: Deletion, error: Exception) -> None:
        deletions, tenant_id = self.platform.deletions, deletion.tenant_id
        report_fault(
            self.platform.metrics, "tenant_not_deleted", error, tenant_id=tenant_id
        )
        found = deletions.get(tenant_id)
        if found is not None:
            deletions.put(found, rules.postponed(found, self.clock() + AFTER_A_FAULT))

    def _close(self, deletion: Deletion) -> None:
        """Let what is under way end; once the time has come, begin."""
        deletions, now = self.platform.deletions, self.clock()
        if deletion.delete_after <= now:
            begun = deletions.put(deletion, rules.begun(deletion, now))
            if begun is not None:
                log.warning("tenant_deletion_begun", tenant_id=deletion.tenant_id)
                self._remove(begun)
        elif self.platform.closing.stop(deletion.tenant_id):
            deletions.put(deletion, rules.stopped(deletion, now))

    def _remove(self, deletion: Deletion) -> None:
        tenant_id = deletion.tenant_id
        if (over := self._rounds(deletion)) is None:
            return
        version = self.platform.tenants.latest_version(tenant_id)
        if tombstone := self.platform.deletions.finish(over, version):
            log.warning(
                "tenant_deleted", tenant_id=tenant_id, removed=dict(tombstone.removed)
            )

    def _sweep(self, tombstone: Deletion) -> None:
        """Look once more through the places of a tenant that is gone and not made anew."""
        deletions = self.platform.deletions
        begun: Deletion | None = tombstone
        if not tombstone.is_swept:
            begun = deletions.put(tombstone, rules.sweeping(tombstone))
        # None: it has been made anew, or somebody else sweeps.
        over = tombstone if begun is None else self._rounds(begun)
        if over is not None:
            deletions.put(over, rules.swept(over))

    def _rounds(self, deletion: Deletion) -> Deletion | None:
        """Take steps until a round of them finds nothing; None where there is more to do."""
        while True:
            name = deletion.step or next(iter(_STEPS))
            removed = _STEPS[name](self, deletion.tenant_id, deletion.mark)
            if removed.is_all:
                following = dict(pairwise(_STEPS)).get(name)
                after = rules.noted(deletion, name, removed.count, following)
            else:
                after = rules.noted(deletion, name, removed.count, name, removed.mark)
                after = rules.postponed(after, self.clock())
            is_over = removed.is_all and after.step is None
            if is_over and after.found:
                after = rules.next_round(after)
            written = self.platform.deletions.put(deletion, after)
            if written is None or not removed.is_all:
                return None
            if is_over and not deletion.found and not removed.count:
                return written
            deletion = written

    def end(self, tenant_id: str, _: str | None = None) -> Removed:
        """Wait until nothing of the tenant executes: what still did could write behind us."""
        is_over = self.platform.closing.stop(tenant_id)
        return Removed(0, is_over and not self.history.has_unfinished(tenant_id))

    def files(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its uploads and its published feeds."""
        return self._removed(f"tenants/{tenant_id}/", published_prefix(tenant_id))

    def dead_letters(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its jobs from the dead letters."""
        count, queue = 0, self.platform.queue
        for messages in read_dead_letters(queue, self._deadline):
            for message in messages:
                with suppress(NotAJobError):
                    if Job.parse(message.body).tenant_id == tenant_id:
                        count += queue.dead.delete(message.receipt_handle)
        return Removed(count, is_all=not self._deadline.has_passed())

    def dagster_history(self, tenant_id: str, mark: str | None = None) -> Removed:
        """Remove its part of Dagster's history."""
        run_ids = self._tenant_data.run_ids(tenant_id)
        return self.history.remove_tenant(
            tenant_id, run_ids, self._deadline.has_passed, mark
        )

    def runs(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its runs, each with its files; one that is not settled is left for now."""
        run_ids = self._tenant_data.run_ids(tenant_id)
        count, left = 0, 0
        for first in range(0, len(run_ids), _RUNS_AT_ONCE):
            if self._deadline.has_passed():
                return Removed(count, is_all=False)
            records = self._tenant_data.records(run_ids[first : first + _RUNS_AT_ONCE])
            settled = [each for each in records if each.acknowledged_at is not None]
            files = {each.run_id: self._removed(f"{each.run_id}/") for each in settled}
            emptied = [each for each in settled if files[each.run_id].is_all]
            count += sum(each.count for each in files.values())
            count += self._tenant_data.remove_runs(emptied)
            left += len(records) - len(emptied)
        return Removed(count, is_all=left == 0)

    def alarms(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove the alarms that watch it; without metrics there may be no CloudWatch to ask."""
        settings = self.platform.settings
        names = (settings.metrics_namespace, settings.environment)
        try:
            return Removed(remove_alarms(self.platform.clients, *names, tenant_id))
        except ExternalServiceError as error:
            if settings.metrics_enabled:
                raise
            log.info("alarms_not_removed", tenant_id=tenant_id, error=str(error))
            return Removed(0)

    def items(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its lock, pointer, triggers, pulls, counts and outbox."""
        return Removed(self._tenant_data.remove_items(tenant_id, self.clock()))

    def secrets(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its secrets; where it has none, nobody is asked."""
        return Removed(self.platform.secrets.remove_all(tenant_id))

    def settings(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its keys, pause, webhooks and earlier configs."""
        version = self.platform.tenants.latest_version(tenant_id)
        return Removed(self._tenant_data.remove_settings(tenant_id, version))

    def _removed(self, *prefixes: str) -> Removed:
        count = 0
        for prefix in prefixes:
            removed, is_all = self.platform.objects.remove_all(
                prefix, self._deadline.has_passed
            )
            count += removed
            if not is_all:
                return Removed(count, is_all=False)
        return Removed(count)


_STEPS: Mapping[str, Callable[[DeletionTick, str, str | None], Removed]] = {
    "end": DeletionTick.end,
    "files": DeletionTick.files,
    "letters": DeletionTick.dead_letters,
    "traces": DeletionTick.dagster_history,
    "runs": DeletionTick.runs,
    "alarms": DeletionTick.alarms,
    "items": DeletionTick.items,
    "secrets": DeletionTick.secrets,
    "settings": DeletionTick.settings,
}
"""The steps in order; their names are stored with each deletion."""
