"""Tenants' deletions: each one that is due goes on from where it stopped.

Every step can be repeated, and begins where it ended. Items that lead to others go after
them: a run's record after its files, the tenant last. Indexes lag, so the steps are
repeated until a whole round of them finds nothing; only then is the tenant gone. A
deletion that cannot go on holds up no other.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.aws.job_queue import read_dead_letters
from relay_dagster.aws.metrics import remove_alarms, report_fault
from relay_dagster.aws.tenant_data import TenantData
from relay_dagster.drain import TICK_SECONDS, Deadline
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.feeds.pointer import published_prefix
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import ExecutionHistory, Removed, utc_now
from relay_dagster.tenants import deletion as rules
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.tenants.errors import TenantExistsError
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.worker import Worker

DELETIONS_AT_ONCE = 20
_RUNS_AT_ONCE = 25

log = event_log()


@dataclass(frozen=True)
class DeletionTick:
    """Goes on with the deletions that are due."""

    platform: Platform  # the stores and the queues
    history: ExecutionHistory  # what Dagster keeps of runs
    clock: Callable[[], datetime] = utc_now  # tells the time, aware

    def run(self, deadline: Deadline | None = None) -> str:
        """Go on with the deletions that are due, and return the outcome in words.

        After the deadline, each step stops as soon as it can.
        """
        deadline = deadline or Deadline.after(TICK_SECONDS)
        removal = TenantRemoval(
            self.platform,
            self.history,
            self.clock,
            deadline,
        )
        worker: Worker[Deletion, None] = Worker(
            queue=self.platform.deletions.queue,
            handle=removal.go_on,
            on_fault=self._report,
            clock=self.clock,
            page_size=DELETIONS_AT_ONCE,
        )
        summary = worker.run_page(deadline)
        return f"deletions looked at: {summary.due_count}"

    def _report(self, deletion: Deletion, error: Exception) -> None:
        metrics = self.platform.metrics
        tenant_id = deletion.tenant_id
        report_fault(metrics, "tenant_not_deleted", error, tenant_id=tenant_id)


@dataclass(frozen=True)
class TenantRemoval:
    """Takes the steps of deletions, until a deadline."""

    platform: Platform  # the stores and the queues
    history: ExecutionHistory  # what Dagster keeps of runs
    clock: Callable[[], datetime]  # tells the time, aware
    deadline: Deadline

    def go_on(self, leased: LeasedItem[Deletion]) -> None:
        """Let a deletion go on, and store how far it has come."""
        if leased.value.state is TenantState.CLOSING:
            self._close(leased)
        elif leased.value.state is TenantState.DELETING:
            self._remove(leased)
        else:
            self._sweep(leased)

    def _close(self, leased: LeasedItem[Deletion]) -> None:
        """Let the tenant's runs end; begin to remove its data once the time has come."""
        now = self.clock()
        tenant_id = leased.value.tenant_id
        if leased.value.delete_after <= now:
            leased.change(lambda deletion: rules.begun(deletion, now))
            log.warning("tenant_deletion_begun", tenant_id=tenant_id)
            self._remove(leased)
        elif self.platform.closing.stop(tenant_id):
            leased.finish(lambda deletion: rules.stopped(deletion, now))
        else:
            leased.finish(lambda deletion: rules.postponed(deletion, now))

    def _remove(self, leased: LeasedItem[Deletion]) -> None:
        """Remove the tenant's data, and in the end the tenant."""
        if not self._is_all_removed(leased):
            return
        now = self.clock()
        tenant_id = leased.value.tenant_id
        version = self.platform.tenants.latest_version(tenant_id)
        tombstone = rules.done(leased.value, now)
        writes = self.platform.deletions.end_writes(tombstone, version)
        leased.finish(lambda deletion: rules.done(deletion, now), writes)
        removed = dict(tombstone.removed)
        log.warning("tenant_deleted", tenant_id=tenant_id, removed=removed)

    def _sweep(self, leased: LeasedItem[Deletion]) -> None:
        """Search once more for data of a deleted tenant that was not created again."""
        try:
            if not leased.value.is_swept:
                leased.change(rules.sweeping, self._sweep_conditions(leased))
            is_over = self._is_all_removed(leased)
        except TenantExistsError:
            is_over = True
        if is_over:
            leased.finish(rules.swept)

    def _is_all_removed(self, leased: LeasedItem[Deletion]) -> bool:
        """Take steps until a round of them finds nothing.

        Return False if there is more to do: the deletion is due again at once then,
        behind others.
        """
        is_over = False
        while not is_over:
            step = leased.value.step or next(iter(_STEPS))
            removed = _STEPS[step](
                self,
                leased.value.tenant_id,
                leased.value.mark,
            )
            if not removed.is_all:
                self._stop_in_step(leased, step, removed)
                return False
            is_over = self._end_step(leased, step, removed.count)
        return True

    def _end_step(
        self,
        leased: LeasedItem[Deletion],
        step: str,
        count: int,
    ) -> bool:
        """Store that a step is over; return True if it ends a round that found nothing."""
        next_step = dict(pairwise(_STEPS)).get(step)
        is_nothing_found = not leased.value.found and not count

        def end_step(deletion: Deletion) -> Deletion:
            after = rules.noted(deletion, step, count, next_step)
            return rules.next_round(after) if next_step is None else after

        leased.change(end_step, self._sweep_conditions(leased))
        return next_step is None and is_nothing_found

    def _stop_in_step(
        self,
        leased: LeasedItem[Deletion],
        step: str,
        removed: Removed,
    ) -> None:
        """Store how far a step has come that is not over."""
        now = self.clock()

        def stop(deletion: Deletion) -> Deletion:
            after = rules.noted(
                deletion,
                step,
                removed.count,
                step,
                removed.mark,
            )
            return rules.postponed(after, now)

        leased.finish(stop, self._sweep_conditions(leased))

    def _sweep_conditions(
        self,
        leased: LeasedItem[Deletion],
    ) -> Sequence[Write]:
        """Return the conditions of a change of a deletion."""
        if leased.value.state is not TenantState.DELETED:
            return ()
        return [self.platform.deletions.tenant_is_gone(leased.value.tenant_id)]

    # --- the steps ------------------------------------------------------------------

    def end(self, tenant_id: str, _mark: str | None) -> Removed:
        """Wait until nothing of the tenant executes, which could write behind us."""
        is_stopped = self.platform.closing.stop(tenant_id)
        is_over = is_stopped and not self.history.has_unfinished(tenant_id)
        return Removed(0, is_all=is_over)

    def files(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the tenant's uploads and its published feeds."""
        return self._remove_objects(
            f"tenants/{tenant_id}/",
            published_prefix(tenant_id),
        )

    def dead_letters(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the tenant's jobs from the dead letters."""
        count = 0
        queue = self.platform.queue
        for messages in read_dead_letters(queue, self.deadline):
            for message in messages:
                with suppress(NotAJobError):
                    if Job.parse(message.body).tenant_id == tenant_id:
                        count += queue.dead.delete(message.receipt_handle)
        return Removed(count, is_all=not self.deadline.has_passed())

    def dagster_history(self, tenant_id: str, mark: str | None) -> Removed:
        """Remove the tenant's part of Dagster's history."""
        run_ids = self._tenant_data.run_ids(tenant_id)
        is_late = self.deadline.has_passed
        return self.history.remove_tenant(tenant_id, run_ids, is_late, mark)

    def runs(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the tenant's runs with their files, but those that are not settled."""
        run_ids = self._tenant_data.run_ids(tenant_id)
        count = 0
        remaining = 0
        for first in range(0, len(run_ids), _RUNS_AT_ONCE):
            if self.deadline.has_passed():
                return Removed(count, is_all=False)
            records = self._tenant_data.records(
                run_ids[first : first + _RUNS_AT_ONCE],
            )
            removable: list[RunRecord] = []
            for record in records:
                if record.acknowledged_at is None:
                    continue
                files = self._remove_objects(f"{record.run_id}/")
                count += files.count
                if files.is_all:
                    removable.append(record)
            count += self._tenant_data.remove_runs(removable)
            remaining += len(records) - len(removable)
        return Removed(count, is_all=remaining == 0)

    def alarms(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the alarms that watch the tenant."""
        settings = self.platform.settings
        try:
            count = remove_alarms(
                self.platform.clients,
                settings.metrics_namespace,
                settings.environment,
                tenant_id,
            )
        except ExternalServiceError as error:
            if settings.metrics_enabled:
                raise
            # Without metrics there may be no CloudWatch to ask.
            log.info(
                "alarms_not_removed",
                tenant_id=tenant_id,
                error=str(error),
            )
            return Removed(0)
        return Removed(count)

    def items(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the tenant's lock, pointer, triggers, pulls, counts and events."""
        return Removed(self._tenant_data.remove_items(tenant_id, self.clock()))

    def secrets(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the tenant's secrets."""
        return Removed(self.platform.secrets.remove_all(tenant_id))

    def settings(self, tenant_id: str, _mark: str | None) -> Removed:
        """Remove the tenant's keys, pause, webhooks and earlier configs."""
        version = self.platform.tenants.latest_version(tenant_id)
        return Removed(self._tenant_data.remove_settings(tenant_id, version))

    @property
    def _tenant_data(self) -> TenantData:
        return TenantData(self.platform.database)

    def _remove_objects(self, *prefixes: str) -> Removed:
        count = 0
        for prefix in prefixes:
            removed, is_all = self.platform.objects.remove_all(
                prefix,
                self.deadline.has_passed,
            )
            count += removed
            if not is_all:
                return Removed(count, is_all=False)
        return Removed(count)


_STEPS: Mapping[str, Callable[[TenantRemoval, str, str | None], Removed]] = {
    "end": TenantRemoval.end,
    "files": TenantRemoval.files,
    "letters": TenantRemoval.dead_letters,
    "traces": TenantRemoval.dagster_history,
    "runs": TenantRemoval.runs,
    "alarms": TenantRemoval.alarms,
    "items": TenantRemoval.items,
    "secrets": TenantRemoval.secrets,
    "settings": TenantRemoval.settings,
}
"""The steps in their order; a deletion is stored with the name of its next one."""
