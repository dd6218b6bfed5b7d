"""Checks of tenants' triggers that are due: the run that they want by now starts, or waits.

However many checks run at once, each due time and each upload leads to one run: the transaction
that creates the record takes it. An index finds what is due. Several tenants are checked at once,
since their schedules share a minute.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relay_core.domain.errors import RelayError
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import AFTER_A_FAULT, TICK_SECONDS, Deadline, drain
from relay_dagster.execution.inputs import read_manifest
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import (
    CommitLostError,
    RunCreationPausedError,
    TenantBusyError,
    TenantClosingError,
)
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers.rules import (
    Plan,
    TriggerQueue,
    TriggerState,
    TriggerUpdate,
    caught_up,
    dropped,
    resting,
    started,
)
from relay_dagster.wiring import Platform

log = event_log()
MAX_DUE_TRIGGERS = 200
THREADS = 8
MAX_CONFIGS = 10  # so many of the latest are searched for the first with a new schedule


@dataclass(frozen=True, slots=True)
class TriggerCheck:
    """Checks tenants' triggers."""

    platform: Platform  # the stores and the way to submit runs
    clock: Callable[[], datetime] = utc_now  # tells the time, aware

    def plan(self, tenant_id: str) -> Plan:
        """Return the triggers of the tenant's latest config."""
        stored = self.platform.tenants.latest(tenant_id)
        return Plan(None, self.clock()) if stored is None else self._plan_of(stored)

    def _plan_of(self, stored: StoredConfig) -> Plan:
        try:
            return Plan(self.platform.tenants.parsed(stored), stored.stored_at)
        except RelayError as error:
            log.warning("triggers_unread", tenant_id=stored.tenant_id, error=str(error))
            return Plan(None, stored.stored_at)

    def take(self, before: TriggerState, plan: Plan | None = None) -> RunRecord | None:
        """Start the run that triggers want, if it can start now; else store when to check."""
        plan = plan or self.plan(before.tenant_id)
        now = self.clock()
        after = caught_up(before, self._from_first_put(before, plan), now)
        if after.wanted is Trigger.UPLOAD:
            if self.platform.runs.lock(after.tenant_id).active_run_id is not None:
                # Nobody knows yet which uploads that run consumes: they are judged once it ends.
                log.info(
                    "run_follows",
                    tenant_id=after.tenant_id,
                    reason="another run is active",
                )
                self.platform.triggers.put(before, resting(after, plan, self.clock()))
                return None
            prefixes = {
                name: at for name, at in plan.prefixes.items() if name in after.uploads
            }
            if not _has_new_upload(self.platform, after, prefixes):
                log.info("uploads_spent", tenant_id=after.tenant_id)
                after = dropped(after)
        try:
            if after.wanted is not None:
                move = TriggerUpdate(before, resting(started(after, now), plan, now))
                return self.platform.submission.start_triggered(after.wanted, move)
        except (TenantBusyError, TenantClosingError, RunCreationPausedError) as error:
            log.info("run_follows", tenant_id=after.tenant_id, reason=str(error))
        except CommitLostError:
            return None  # Another check was first, or the config has changed: it is due again.
        self.platform.triggers.put(before, resting(after, plan, self.clock()))
        return None

    def _from_first_put(self, before: TriggerState, plan: Plan) -> Plan:
        """Return a plan as of the first config with its schedule, of those since the last look."""
        if plan.schedule == (before.cron, before.timezone):
            return plan
        for stored in self.platform.tenants.versions(
            before.tenant_id, limit=MAX_CONFIGS
        ):
            if self._plan_of(stored).schedule != plan.schedule:
                break
            plan = replace(plan, stored_at=stored.stored_at)
        return plan


def _has_new_upload(
    platform: Platform, state: TriggerState, prefixes: Mapping[str, str]
) -> bool:
    """Return whether a latest upload is newer than what the last run that listed it has pinned."""
    left = dict[str, datetime]()
    for name, prefix in prefixes.items():
        event = state.newest.get(name)
        is_under = event is not None and event.key.startswith(prefix)
        found = (
            platform.objects.listed_object(event.key) if event and is_under else None
        )
        if (upload := found or platform.objects.latest_object(prefix)) is not None:
            left[name] = upload.last_modified
    if not left:
        return False
    for run in platform.runs.newest_runs(state.tenant_id):
        for name, pinned in _pinned(platform, run).items():
            if name in left and (pinned is None or left.pop(name) > pinned):
                return True
        if not left:
            return False
    return True


def _pinned(platform: Platform, run: RunRecord) -> dict[str, datetime | None]:
    """Return when each vendor's input of a run was uploaded, if ever; none that were reused."""
    manifest = read_manifest(platform.objects, run.keys) if run.attempt else None
    vendors = {} if manifest is None else manifest["vendors"]
    modified = {
        name: entry["last_modified"]
        for name, entry in vendors.items()
        if entry["selection"] in (None, "latest")
    }
    return {
        name: text and datetime.fromisoformat(text) for name, text in modified.items()
    }


def take_due(
    platform: Platform,
    clock: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Start runs that are due, new ones first, of those that wait some; return how many."""
    check, deadline = (
        TriggerCheck(platform, clock),
        Deadline.after(TICK_SECONDS, monotonic),
    )
    count, is_more = 0, True
    while is_more:
        states = platform.triggers.due(TriggerQueue.DUE, clock(), MAX_DUE_TRIGGERS)
        count += take_all(check, states)
        is_more = len(states) == MAX_DUE_TRIGGERS and not deadline.has_passed()
    return count + take_all(
        check, platform.triggers.due(TriggerQueue.WANTED, clock(), MAX_DUE_TRIGGERS)
    )


def take_all(
    check: TriggerCheck, states: Sequence[TriggerState], plan: Plan | None = None
) -> int:
    """Check triggers, by a plan read after them; return how many runs start. A fault waits."""
    platform = check.platform

    def put_off(state: TriggerState, error: Exception) -> None:
        report_fault(
            platform.metrics, "trigger_not_taken", error, tenant_id=state.tenant_id
        )
        platform.triggers.put(
            state, replace(state, due_at=check.clock() + AFTER_A_FAULT)
        )

    started = drain(
        states,
        lambda state: check.take(state, plan),
        put_off,
        threads=min(THREADS, len(states)),
    )
    return sum(run is not None for run in started)
