"""Checks of tenants' triggers that are due: the run that they want starts, or waits.

However many checks run at once, each due time and each upload leads to one run: the
transaction that creates the run's record takes it. Several tenants are checked at once,
since their schedules share a minute.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.errors import RelayError
from relay_core.domain.input_names import ids_of
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline
from relay_dagster.execution.inputs import entries_of, read_manifest
from relay_dagster.logs import event_log
from relay_dagster.runs import errors
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers import rules
from relay_dagster.triggers.plan import Plan
from relay_dagster.triggers.rules import TriggerQueue, TriggerState
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.worker import Worker

MAX_DUE_TRIGGERS = 200
THREADS = 8
MAX_CONFIGS = 10
"""The number of latest configs among which the first with a new schedule is searched."""
log = event_log()


def take_due(
    platform: Platform,
    clock: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Start the runs that are due, and return their number.

    Runs whose time has just come go first, then those that wait for their tenants.
    """
    check = TriggerCheck(platform, clock)
    deadline = Deadline.after(TICK_SECONDS, monotonic)
    started_runs = check.worker(TriggerQueue.DUE).run(deadline).results
    followed_runs = check.worker(TriggerQueue.WANTED).run(deadline).results
    return len(started_runs) + len(followed_runs)


@dataclass(frozen=True, slots=True)
class TriggerCheck:
    """Checks tenants' triggers."""

    platform: Platform  # the stores and the way to submit runs
    clock: Callable[[], datetime] = utc_now  # tells the time, aware

    def worker(self, queue: TriggerQueue) -> Worker[TriggerState, RunRecord]:
        """Return a worker that checks the triggers of a queue."""
        return Worker(
            queue=self.platform.triggers.queue(queue),
            handle=self.check,
            on_fault=self._report,
            clock=self.clock,
            page_size=MAX_DUE_TRIGGERS,
            threads=THREADS,
        )

    def plan(self, tenant_id: str) -> Plan:
        """Return the triggers of the tenant's latest config."""
        stored = self.platform.tenants.latest(tenant_id)
        return (
            Plan(None, self.clock())
            if stored is None
            else self._plan_of(stored)
        )

    def check(self, leased: LeasedItem[TriggerState]) -> RunRecord | None:
        """Start the run that triggers want, or store when to check them again."""
        before = leased.value
        plan = self.plan(before.tenant_id)
        now = self.clock()
        schedule_plan = self._plan_since_first_put(before, plan)
        after = rules.caught_up(before, schedule_plan, now)
        if after.wanted is Trigger.UPLOAD:
            lock = self.platform.runs.lock(after.tenant_id)
            if lock.active_run_id is not None:
                # Nobody knows yet which uploads that run consumes. They are judged once
                # it has ended.
                self._wait(leased, after, plan, "another run is active")
                return None
            if not self._has_new_upload(after, plan):
                log.info("uploads_spent", tenant_id=after.tenant_id)
                after = rules.dropped(after)
        if after.wanted is None:
            self._rest(leased, after, plan)
            return None
        return self._start(leased, after, plan)

    def _start(
        self, leased: LeasedItem[TriggerState], after: TriggerState, plan: Plan
    ) -> RunRecord | None:
        """Start the wanted run, or let it wait if its tenant is busy or paused."""
        trigger = after.wanted
        assert trigger is not None  # noqa: S101 - the caller has looked
        now = self.clock()
        started = rules.resting(rules.started(after, now), plan, now)
        update = rules.TriggerUpdate(leased.value, started)
        try:
            record = self.platform.submission.start_triggered(trigger, update)
        except (
            errors.TenantBusyError,
            errors.TenantClosingError,
            errors.RunCreationPausedError,
        ) as error:
            self._wait(leased, after, plan, str(error))
            return None
        except (errors.CommitLostError, errors.NoVendorsError):
            # The config has changed, or the tenant's lock: the triggers are due again.
            leased.postpone(timedelta(0), "another writer was faster")
            return None
        leased.settle()
        return record

    def _wait(
        self,
        leased: LeasedItem[TriggerState],
        after: TriggerState,
        plan: Plan,
        reason: str,
    ) -> None:
        log.info("run_follows", tenant_id=after.tenant_id, reason=reason)
        self._rest(leased, after, plan)

    def _rest(
        self, leased: LeasedItem[TriggerState], after: TriggerState, plan: Plan
    ) -> None:
        """Store triggers with the time of their next check."""
        resting = rules.resting(after, plan, self.clock())
        leased.finish(lambda _: resting)

    def _plan_of(self, stored: StoredConfig) -> Plan:
        try:
            return Plan(self.platform.tenants.parsed(stored), stored.stored_at)
        except RelayError as error:
            log.warning(
                "triggers_unread", tenant_id=stored.tenant_id, error=str(error)
            )
            return Plan(None, stored.stored_at)

    def _plan_since_first_put(self, before: TriggerState, plan: Plan) -> Plan:
        """Return a plan as of the first config with its schedule since the last check."""
        if plan.schedule == (before.cron, before.timezone):
            return plan
        versions = self.platform.tenants.versions(
            before.tenant_id, limit=MAX_CONFIGS
        )
        for stored in versions:
            if self._plan_of(stored).schedule != plan.schedule:
                break
            plan = replace(plan, stored_at=stored.stored_at)
        return plan

    def _report(self, state: TriggerState, error: Exception) -> None:
        metrics = self.platform.metrics
        report_fault(
            metrics, "trigger_not_taken", error, tenant_id=state.tenant_id
        )

    # --- uploads --------------------------------------------------------------------

    def _has_new_upload(self, state: TriggerState, plan: Plan) -> bool:
        """Return True if no run has pinned the latest upload of one of the inputs.

        For each input the last run counts that looked at it.
        """
        unjudged_uploads = self._latest_uploads(state, plan)
        if not unjudged_uploads:
            return False
        for run in self.platform.runs.newest_runs(state.tenant_id):
            pinned_uploads = self._pinned_uploads(run, unjudged_uploads)
            for input_name, pinned_at in pinned_uploads.items():
                uploaded_at = unjudged_uploads.pop(input_name)
                if pinned_at is None or uploaded_at > pinned_at:
                    return True
            if not unjudged_uploads:
                return False
        return True

    def _latest_uploads(
        self, state: TriggerState, plan: Plan
    ) -> dict[str, datetime]:
        """Return the times of the latest uploads of inputs that have uploads."""
        objects = self.platform.objects
        uploads = {}
        for input_name, tenant_input in plan.inputs.items():
            prefix = tenant_input.prefix
            if input_name not in state.uploads or prefix is None:
                continue
            upload = None
            event = state.newest.get(input_name)
            if event is not None and tenant_input.takes(event.key):
                upload = objects.listed_object(event.key)
            upload = upload or objects.latest_object(
                prefix, fits=tenant_input.takes
            )
            if upload is not None:
                uploads[input_name] = upload.last_modified
        return uploads

    def _pinned_uploads(
        self, run: RunRecord, input_names: Iterable[str]
    ) -> Mapping[str, datetime | None]:
        """Return when a run's newest files were uploaded, by input; None without a file.

        Files that were used again are not among them, and neither are inputs that the
        run has not looked at.
        """
        objects = self.platform.objects
        manifest = read_manifest(objects, run.keys) if run.attempt else None
        if manifest is None:
            return {}
        entries = entries_of(manifest)
        pinned: dict[str, datetime | None] = {}
        for input_name in input_names:
            vendor_id, part_id = ids_of(input_name)
            entry = entries.get(vendor_id)
            if entry is None or entry["selection"] not in (None, "latest"):
                continue
            is_looked_at = part_id is None or "files" in entry
            if is_looked_at:
                pinned[input_name] = _newest_upload(entry, part_id)
        return pinned


def _newest_upload(
    entry: Mapping[str, Any], part_id: str | None
) -> datetime | None:
    """Return when the newest file of a part was uploaded, from the manifest's entry."""
    # A vendor of one file has no list.
    files = entry.get("files", [{**entry, "part_id": None}])
    upload_times = [
        datetime.fromisoformat(file["last_modified"])
        for file in files
        if file["part_id"] == part_id and file["last_modified"]
    ]
    return max(upload_times, default=None)
