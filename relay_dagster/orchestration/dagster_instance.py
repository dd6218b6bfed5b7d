"""Dagster's instance behind the ports of `runs`: what executes, and the tenants' partitions.

The only module that asks an instance about runs; what follows from the answers is decided by the
intake and the reconciler, which know the Protocols alone.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import dagster as dg

from relay_dagster import tags
from relay_dagster.logs import event_log
from relay_dagster.maintenance.housekeeping import Occasion
from relay_dagster.orchestration.jobs import INVENTORY_SYNC, TENANT_PARTITIONS
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import AttemptState

TERMINATE_SECONDS = 3
_FEW, _PARTITIONS_AT_ONCE = 20, 500
_ASKING_LAUNCHERS = ("DefaultRunLauncher",)
log = event_log()
_STATUS = dg.DagsterRunStatus
_WAITING = (_STATUS.QUEUED, _STATUS.NOT_STARTED, _STATUS.MANAGED, _STATUS.STARTING)
_EXECUTING = (_STATUS.STARTED, _STATUS.CANCELING)
UNFINISHED = (*_WAITING, *_EXECUTING)

STATE_OF = {
    **dict.fromkeys(_WAITING, AttemptState.WAITING),
    **dict.fromkeys(_EXECUTING, AttemptState.EXECUTING),
    _STATUS.SUCCESS: AttemptState.SUCCEEDED,
    _STATUS.FAILURE: AttemptState.FAILED,
    _STATUS.CANCELED: AttemptState.CANCELLED,
}


@dataclass(frozen=True)
class OnInstance:
    """Base of what asks an instance, or what opens it when first asked: a tick's costs 50 ms."""

    given: dg.DagsterInstance | Callable[[], dg.DagsterInstance]

    @property
    def _instance(self) -> dg.DagsterInstance:
        return self.given() if callable(self.given) else self.given


@dataclass(frozen=True, slots=True)
class DagsterOccasion(Occasion):
    """What a duty works with that needs Dagster, too."""

    open_instance: Callable[[], dg.DagsterInstance]


class DagsterExecutions(OnInstance):
    """The runs of one Dagster instance, as `runs.ports.Executions` wants them."""

    def find(self, record: RunRecord) -> dg.DagsterRun | None:
        """Return the Dagster run of a record's latest attempt; copies by re-execution are none."""
        if record.dagster_run_id is not None:
            return self._instance.get_run_by_id(record.dagster_run_id)
        wanted = {tags.RUN_ID: record.run_id, tags.ATTEMPT: str(record.attempt)}
        found = self._instance.get_runs(dg.RunsFilter(tags=wanted))
        return next((run for run in found if run.parent_run_id is None), None)

    def _find_unfinished(self, record: RunRecord) -> dg.DagsterRun | None:
        run = self.find(record)
        return None if run is None or run.is_finished else run

    def state(self, record: RunRecord) -> AttemptState:
        """Return how the Dagster run of a record's latest attempt stands."""
        run = self.find(record)
        return AttemptState.ABSENT if run is None else STATE_OF[run.status]

    def count_unfinished(self, sensor_name: str) -> int:
        """Return how many runs that a sensor asked for have not ended."""
        return self._instance.get_runs_count(
            dg.RunsFilter(
                job_name=INVENTORY_SYNC,
                statuses=list(UNFINISHED),
                tags={tags.SENSOR: sensor_name},
            )
        )

    def promote(self, priority: str, to: str, since: datetime) -> None:
        """Give runs of a priority another that have waited in Dagster's queue since an instant."""
        waiting = dg.RunsFilter(
            job_name=INVENTORY_SYNC,
            statuses=[dg.DagsterRunStatus.QUEUED],
            tags={tags.PRIORITY: priority},
            created_before=since,
        )
        for run in self._instance.get_runs(waiting):
            self._instance.add_run_tags(run.run_id, {tags.PRIORITY: to})

    def report_failed(self, record: RunRecord, message: str) -> None:
        """Let Dagster know that a run is dead, which would hold its place for ever otherwise."""
        if run := self._find_unfinished(record):
            self._instance.report_run_failed(run, message)

    def terminate(self, record: RunRecord) -> None:
        """Ask a run's process to end, or take the run out of Dagster's queue.

        Where Dagster waits for that longer than a tick can, it goes on by itself.
        """
        if run := self._find_unfinished(record):
            asking = threading.Thread(
                target=self._cancel, args=(run.run_id,), daemon=True
            )
            asking.start()
            asking.join(TERMINATE_SECONDS)

    def stop(self, record: RunRecord) -> None:
        """End the process of a run that gives no sign, where it need not be asked itself.

        Dagster's own launcher asks the process through the code server. That waits for its answer,
        and starts no other run meanwhile: a frozen one would stop everything.
        """
        launcher = type(self._instance.run_launcher).__name__
        if launcher not in _ASKING_LAUNCHERS:
            self.terminate(record)

    def _cancel(self, dagster_run_id: str) -> None:
        coordinator = self._instance.run_coordinator
        try:
            if coordinator is not None:
                coordinator.cancel_run(dagster_run_id)
        except Exception as error:  # noqa: BLE001 - it may be dead, or whoever started it
            log.warning(
                "run_not_terminated", dagster_run_id=dagster_run_id, error=str(error)
            )

    def report_cancelled(self, record: RunRecord, message: str) -> None:
        """Let Dagster know that a run counts as ended, whether or not its process hears of it."""
        if run := self._find_unfinished(record):
            self._instance.report_run_canceled(run, message)


class DagsterPartitions(OnInstance):
    """The tenants' partitions of one instance, as `runs.ports.TenantPartitions` wants them."""

    def tenants(self) -> set[str]:
        """Return the tenants that have a partition."""
        return set(self._instance.get_dynamic_partitions(TENANT_PARTITIONS))

    def is_in_use(self, tenant_id: str) -> bool:
        """Return whether a run of the tenant's partition has not ended."""
        wanted = dg.RunsFilter(
            statuses=list(UNFINISHED), tags={tags.PARTITION: tenant_id}
        )
        return self._instance.get_runs_count(wanted) > 0

    def add_tenants(self, tenant_ids: Iterable[str]) -> list[str]:
        """Add the partitions that are missing, many in one statement; return those.

        Each statement makes Dagster throw its status of all partitions away. Both sensors add,
        perhaps at the same moment, and Dagster's own check for what is there does not hold until
        its insert: what somebody else has added meanwhile is no fault.
        """
        wanted = sorted(set(tenant_ids))
        few = len(wanted) <= _FEW
        present = (
            {each for each in wanted if self._has(each)} if few else self.tenants()
        )
        missing = [each for each in wanted if each not in present]
        for first in range(0, len(missing), _PARTITIONS_AT_ONCE):
            some = missing[first : first + _PARTITIONS_AT_ONCE]
            self._add(some)
        return missing

    def _add(self, tenant_ids: Sequence[str]) -> None:
        try:
            self._instance.add_dynamic_partitions(TENANT_PARTITIONS, tenant_ids)
        except Exception:
            if len(tenant_ids) > 1:  # one of them may be there: each by itself
                for tenant_id in tenant_ids:
                    self._add([tenant_id])
            elif not self._has(tenant_ids[0]):
                raise

    def _has(self, tenant_id: str) -> bool:
        return self._instance.has_dynamic_partition(TENANT_PARTITIONS, tenant_id)

    def remove_tenant(self, tenant_id: str) -> None:
        """Remove a partition."""
        self._instance.delete_dynamic_partition(TENANT_PARTITIONS, tenant_id)
