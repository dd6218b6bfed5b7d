"""One check of a tenant's triggers: the run that they want by now starts, or waits.

However many check at once, each due time and each upload leads to one run: it is taken in the
transaction that makes the record.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay_core.config import load_stored_config
from relay_core.domain.errors import RelayError
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import (
    CommitLostError,
    RunCreationPausedError,
    TenantBusyError,
    TenantClosingError,
)
from relay_dagster.runs.model import RunRecord, Trigger
from relay_dagster.runs.ports import utc_now
from relay_dagster.runs.triggers.state import TriggerState, TriggerUpdate
from relay_dagster.triggers.rules import Plan, caught_up, dropped, resting, started
from relay_dagster.triggers.spent import has_unspent
from relay_dagster.wiring import Platform

log = event_log()


@dataclass(frozen=True, slots=True)
class TriggerCheck:
    """Checks tenants' triggers.

    Args:
        platform: the stores and the way to submit runs.
        clock: tells the time, aware.
    """

    platform: Platform
    clock: Callable[[], datetime] = utc_now

    def plan(self, tenant_id: str) -> Plan:
        """Return what the tenant's latest config says of its triggers."""
        stored = self.platform.tenants.latest(tenant_id)
        if stored is None:
            return Plan(None, self.clock())
        try:
            return Plan(load_stored_config(stored.text), stored.stored_at)
        except RelayError as error:
            log.warning("triggers_unread", tenant_id=tenant_id, error=str(error))
            return Plan(None, stored.stored_at)

    def take(self, before: TriggerState, plan: Plan | None = None) -> RunRecord | None:
        """Start the run that a tenant's triggers want, where it can be; note what they wait for.

        Args:
            before: the triggers as they were read.
            plan: what the config says, where that was read after the triggers.

        Returns:
            The run, None where there is none to start now.
        """
        plan = plan or self.plan(before.tenant_id)
        now = self.clock()
        after = caught_up(before, plan, now)
        if after.wanted is Trigger.UPLOAD and self._is_free(after) and self._is_spent(after, plan):
            log.info("uploads_spent", tenant_id=after.tenant_id)
            after = dropped(after)
        try:
            if after.wanted is not None:
                move = TriggerUpdate(before, resting(started(after, now), plan, now))
                return self.platform.submission.start_wanted(after.wanted, move)
        except (TenantBusyError, TenantClosingError, RunCreationPausedError) as error:
            log.info("run_follows", tenant_id=after.tenant_id, reason=str(error))
        except CommitLostError:
            return None  # Somebody else has checked, or the config has changed: it is due again.
        self.platform.triggers.put(before, resting(after, plan, self.clock()))
        return None

    def _is_free(self, state: TriggerState) -> bool:
        """Tell whether a run would start: until then nobody knows what others have read."""
        return self.platform.runs.lock(state.tenant_id).active_run_id is None

    def _is_spent(self, state: TriggerState, plan: Plan) -> bool:
        prefixes = {name: at for name, at in plan.prefixes.items() if name in state.uploads}
        return not has_unspent(self.platform, state.tenant_id, prefixes)
