"""What is removed of a tenant, in order: each step can be taken again, and begins where it ended.

What leads to other things goes after them: a run's record after its files, the tenant last. So
whatever dies in between, the next tick finds what is left.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise

from relay_dagster.aws.alarms import remove_alarms
from relay_dagster.aws.dynamodb.tenant_data import TenantData
from relay_dagster.aws.s3.removal import PrefixRemoval
from relay_dagster.drain import Deadline
from relay_dagster.execution.publication import place_of
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.intake.dead_letter_queue import read_whole
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.ports import ExecutionHistory, Removed
from relay_dagster.wiring import Platform

_RUNS_AT_ONCE = 25

log = event_log()


class RemovalSteps:
    """The steps by their names; each stops as soon as it can after the deadline."""

    def __init__(
        self,
        platform: Platform,
        history: ExecutionHistory,
        clock: Callable[[], datetime],
        deadline: Deadline,
    ) -> None:
        settings = platform.settings
        self._platform = platform
        self._history = history
        self._clock = clock
        self._deadline = deadline
        self._tenant_data = TenantData(platform.database)
        self._prefixes = PrefixRemoval(platform.clients, settings.artifact_bucket)
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

    # --- the steps ------------------------------------------------------------------------------

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

    # --- how ------------------------------------------------------------------------------------

    def _removed(self, *prefixes: str) -> Removed:
        count = 0
        for prefix in prefixes:
            removed, is_all = self._prefixes.remove(prefix, self._deadline.has_passed)
            count += removed
            if not is_all:
                return Removed(count, is_all=False)
        return Removed(count)


def _tenant_of(body: str) -> str | None:
    try:
        return Job.parse(body).tenant_id
    except NotAJobError:
        return None
