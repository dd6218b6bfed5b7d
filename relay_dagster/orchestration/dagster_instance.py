"""Dagster's instance behind the ports of `runs`: executions, and the tenants' partitions.

Only this module asks an instance about runs. The intake and the reconciler act on
the answers; they know only the protocols of ``runs/ports.py``.
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
_FEW_TENANTS = 20
_PARTITIONS_PER_STATEMENT = 500
_ASKING_LAUNCHERS = ("DefaultRunLauncher",)
_STATUS = dg.DagsterRunStatus
_WAITING = (
    _STATUS.QUEUED,
    _STATUS.NOT_STARTED,
    _STATUS.MANAGED,
    _STATUS.STARTING,
)
_EXECUTING = (_STATUS.STARTED, _STATUS.CANCELING)
UNFINISHED = (*_WAITING, *_EXECUTING)

STATE_OF = {
    **dict.fromkeys(_WAITING, AttemptState.WAITING),
    **dict.fromkeys(_EXECUTING, AttemptState.EXECUTING),
    _STATUS.SUCCESS: AttemptState.SUCCEEDED,
    _STATUS.FAILURE: AttemptState.FAILED,
    _STATUS.CANCELED: AttemptState.CANCELLED,
}

_log = event_log()


@dataclass(frozen=True)
class OnInstance:
    """Base of classes that ask an instance, or open it on first use: opening takes 50 ms."""

    instance: dg.DagsterInstance | Callable[[], dg.DagsterInstance]

    def open_instance(self) -> dg.DagsterInstance:
        """Return the instance, opened if it was not yet."""
        return self.instance() if callable(self.instance) else self.instance


@dataclass(frozen=True, slots=True)
class DagsterOccasion(Occasion):
    """The resources of a duty that needs Dagster too."""

    open_instance: Callable[[], dg.DagsterInstance]


class DagsterExecutions(OnInstance):
    """The runs of one Dagster instance, the `runs.ports.Executions` of this system."""

    def find(self, record: RunRecord) -> dg.DagsterRun | None:
        """Return the Dagster run of a record's latest attempt, or None; no re-execution."""
        instance = self.open_instance()
        if record.dagster_run_id is not None:
            return instance.get_run_by_id(record.dagster_run_id)
        tags_of_attempt = {
            tags.RUN_ID: record.run_id,
            tags.ATTEMPT: str(record.attempt),
        }
        for run in instance.get_runs(dg.RunsFilter(tags=tags_of_attempt)):
            if run.parent_run_id is None:
                return run
        return None

    def _find_unfinished(self, record: RunRecord) -> dg.DagsterRun | None:
        run = self.find(record)
        return None if run is None or run.is_finished else run

    def state(self, record: RunRecord) -> AttemptState:
        """Return the state of the Dagster run of a record's latest attempt."""
        run = self.find(record)
        return AttemptState.ABSENT if run is None else STATE_OF[run.status]

    def count_unfinished(self, sensor_name: str) -> int:
        """Return the number of unfinished runs that a sensor asked for."""
        unfinished = dg.RunsFilter(
            job_name=INVENTORY_SYNC,
            statuses=list(UNFINISHED),
            tags={tags.SENSOR: sensor_name},
        )
        return self.open_instance().get_runs_count(unfinished)

    def promote(self, priority: str, to: str, since: datetime) -> None:
        """Give another priority to runs of one that have been queued in Dagster since then."""
        instance = self.open_instance()
        waiting = dg.RunsFilter(
            job_name=INVENTORY_SYNC,
            statuses=[dg.DagsterRunStatus.QUEUED],
            tags={tags.PRIORITY: priority},
            created_before=since,
        )
        for run in instance.get_runs(waiting):
            instance.add_run_tags(run.run_id, {tags.PRIORITY: to})

    def report_failed(self, record: RunRecord, message: str) -> None:
        """Report a dead run to Dagster, which would otherwise keep its slot forever."""
        run = self._find_unfinished(record)
        if run is not None:
            self.open_instance().report_run_failed(run, message)

    def terminate(self, record: RunRecord) -> None:
        """Ask a run's process to end, or take the run out of Dagster's queue.

        If Dagster takes longer than a tick can wait, it goes on in the background.
        """
        run = self._find_unfinished(record)
        if run is None:
            return
        request = threading.Thread(
            target=self._cancel,
            args=(run.run_id,),
            daemon=True,
        )
        request.start()
        request.join(TERMINATE_SECONDS)

    def stop(self, record: RunRecord) -> None:
        """End the process of a silent run, if the launcher can do so without asking it.

        Dagster's default launcher asks the process through the code server, which waits for
        the answer and starts no other run in the meantime: a frozen process would stop everything.
        """
        launcher = type(self.open_instance().run_launcher).__name__
        if launcher not in _ASKING_LAUNCHERS:
            self.terminate(record)

    def _cancel(self, dagster_run_id: str) -> None:
        coordinator = self.open_instance().run_coordinator
        try:
            if coordinator is not None:
                coordinator.cancel_run(dagster_run_id)
        except Exception as error:  # noqa: BLE001 - the run or its launcher may be dead
            _log.warning(
                "run_not_terminated",
                dagster_run_id=dagster_run_id,
                error=str(error),
            )

    def report_cancelled(self, record: RunRecord, message: str) -> None:
        """Report a run to Dagster as canceled, whether or not its process hears of it."""
        run = self._find_unfinished(record)
        if run is not None:
            self.open_instance().report_run_canceled(run, message)


class DagsterPartitions(OnInstance):
    """The tenants' partitions of one instance: the `runs.ports.TenantPartitions`."""

    def tenants(self) -> set[str]:
        """Return the tenants that have a partition."""
        return set(
            self.open_instance().get_dynamic_partitions(TENANT_PARTITIONS),
        )

    def is_in_use(self, tenant_id: str) -> bool:
        """Return True if a run of the tenant's partition has not ended."""
        unfinished = dg.RunsFilter(
            statuses=list(UNFINISHED),
            tags={tags.PARTITION: tenant_id},
        )
        return self.open_instance().get_runs_count(unfinished) > 0

    def add_tenants(self, tenant_ids: Iterable[str]) -> list[str]:
        """Add the partitions that are missing, and return them.

        Each statement makes Dagster discard its status of all partitions, so one statement
        adds many. Two sensors add partitions, perhaps at the same moment, and Dagster's check
        does not hold until its insert: a partition that exists by then is no error.
        """
        requested = sorted(set(tenant_ids))
        if len(requested) <= _FEW_TENANTS:
            present = {
                tenant_id for tenant_id in requested if self._has(tenant_id)
            }
        else:
            present = self.tenants()
        missing = [
            tenant_id for tenant_id in requested if tenant_id not in present
        ]
        for start in range(0, len(missing), _PARTITIONS_PER_STATEMENT):
            self._add(missing[start : start + _PARTITIONS_PER_STATEMENT])
        return missing

    def _add(self, tenant_ids: Sequence[str]) -> None:
        instance = self.open_instance()
        try:
            instance.add_dynamic_partitions(TENANT_PARTITIONS, tenant_ids)
        except Exception:
            if len(tenant_ids) > 1:
                # One of them may exist by now: each is added by itself.
                for tenant_id in tenant_ids:
                    self._add([tenant_id])
            elif not self._has(tenant_ids[0]):
                raise

    def _has(self, tenant_id: str) -> bool:
        instance = self.open_instance()
        return instance.has_dynamic_partition(TENANT_PARTITIONS, tenant_id)

    def remove_tenant(self, tenant_id: str) -> None:
        """Remove a tenant's partition."""
        self.open_instance().delete_dynamic_partition(
            TENANT_PARTITIONS,
            tenant_id,
        )
