"""Tenants' deletions: each that is due goes on, from where it is written that it was.

Each step can be taken again, and begins where it ended. What leads to other things goes after them:
a run's record after its files, the tenant last. A round of steps is taken again until one finds
nothing, for indexes lag; only then is the tenant gone. One that cannot go on spoils only itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from relay_dagster.aws.dynamodb.deletion_store import TenantData
from relay_dagster.aws.job_queue import read_whole
from relay_dagster.aws.metrics import remove_alarms, report_fault
from relay_dagster.drain import AFTER_A_FAULT, TICK_SECONDS, Deadline, drain
from relay_dagster.execution.publication import place_of
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.ports import ExecutionHistory, Removed, utc_now
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.wiring import Platform

AT_ONCE, _RUNS_AT_ONCE = 20, 25

log = event_log()


class RemovalSteps:
    """The steps by their names, in order; each stops as soon as it can after the deadline."""

    def __init__(
        self,
        platform: Platform,
        history: ExecutionHistory,
        clock: Callable[[], datetime],
        deadline: Deadline,
    ) -> None:
        self._platform = platform
        self._history = history
        self._clock = clock
        self._deadline = deadline
        self._tenant_data = TenantData(platform.database)
        self.by_name: Mapping[str, Callable[[str, str | None], Removed]] = {
            "end": self.end,
            "files": self.files,
            "letters": self.dead_letters,
            "traces": self.dagster_history,
            "runs": self.runs,
            "alarms": self.alarms,
            "items": self.items,
            "secrets": self.secrets,
            "settings": self.settings,
        }
        """The names are stored with each deletion."""

    def after(self, name: str) -> str | None:
        """Return the step that follows; None after the last."""
        return dict(pairwise(self.by_name)).get(name)

    def end(self, tenant_id: str, _: str | None = None) -> Removed:
        """Wait until nothing of the tenant executes: what still did could write behind us."""
        is_over = self._platform.closing.stop(tenant_id)
        return Removed(0, is_over and not self._history.has_unfinished(tenant_id))

    def files(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its uploads and its published feeds."""
        return self._removed(f"tenants/{tenant_id}/", place_of(tenant_id))

    def dead_letters(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its jobs from the dead letters."""
        count, queue = 0, self._platform.queue
        for messages in read_whole(queue, self._deadline):
            ours = [each for each in messages if _tenant_of(each.body) == tenant_id]
            count += sum(queue.delete_dead(each.receipt_handle) for each in ours)
        return Removed(count, is_all=not self._deadline.has_passed())

    def dagster_history(self, tenant_id: str, mark: str | None = None) -> Removed:
        """Remove its part of Dagster's history."""
        run_ids = self._tenant_data.run_ids(tenant_id)
        return self._history.remove_tenant(tenant_id, run_ids, self._deadline.has_passed, mark)

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
        settings = self._platform.settings
        names = (settings.metrics_namespace, settings.environment)
        try:
            return Removed(remove_alarms(self._platform.clients, *names, tenant_id))
        except ExternalServiceError as error:
            if settings.metrics_enabled:
                raise
            log.info("alarms_not_removed", tenant_id=tenant_id, error=str(error))
            return Removed(0)

    def items(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its lock, pointer, triggers, pulls, counts and outbox."""
        return Removed(self._tenant_data.remove_items(tenant_id, self._clock()))

    def secrets(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its secrets; where it has none, nobody is asked."""
        return Removed(self._platform.secrets.remove_all(tenant_id))

    def settings(self, tenant_id: str, _: str | None = None) -> Removed:
        """Remove its keys, pause, webhooks and earlier configs."""
        version = self._platform.tenants.latest_version(tenant_id)
        return Removed(self._tenant_data.remove_settings(tenant_id, version))

    def _removed(self, *prefixes: str) -> Removed:
        count = 0
        for prefix in prefixes:
            removed, is_all = self._platform.objects.remove_all(prefix, self._deadline.has_passed)
            count += removed
            if not is_all:
                return Removed(count, is_all=False)
        return Removed(count)


def _tenant_of(body: str) -> str | None:
    try:
        return Job.parse(body).tenant_id
    except NotAJobError:
        return None


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
