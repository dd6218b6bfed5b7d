"""Plans tenants' pulls: compares them with a config that was stored.

A pull that is new in the config, or has changed there, is due at once. One that was
taken out is noted, so that it counts as new if it is put back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from relay_core.config import TenantConfig
from relay_core.config.pulls import PullConfig
from relay_core.domain.errors import RelayError
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline, drain, fail
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers import pulls
from relay_dagster.triggers.pulls import PullPlan
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.worker import Worker

PLANS_AT_ONCE = 8
log = event_log()


def latest_config(platform: Platform, tenant_id: str) -> TenantConfig | None:
    """Return a tenant's latest config, or None if it has none that can be read."""
    stored = platform.tenants.latest(tenant_id)
    if stored is None:
        return None
    try:
        return platform.tenants.parsed(stored)
    except RelayError as error:
        log.warning("pulls_unread", tenant_id=tenant_id, error=str(error))
        return None


@dataclass(frozen=True, slots=True)
class PullPlanner:
    """Plans the pulls of tenants whose configs have changed."""

    platform: Platform  # the stores
    clock: Callable[[], datetime] = utc_now  # tells the time, aware

    def run(self) -> None:
        """Plan the pulls of all tenants whose configs have changed by now."""
        worker: Worker[PullPlan, None] = Worker(
            queue=self.platform.pulls.plans,
            handle=self.plan,
            on_fault=self._report,
            clock=self.clock,
            threads=PLANS_AT_ONCE,
        )
        worker.run(Deadline.after(TICK_SECONDS))

    def plan(self, leased: LeasedItem[PullPlan]) -> None:
        """Compare a tenant's pulls with its latest config."""
        tenant_id = leased.value.tenant_id
        config = latest_config(self.platform, tenant_id)
        if config is not None:
            try:
                self._note_changed_pulls(tenant_id, config)
            except TenantClosingError:
                log.info("pulls_not_planned", tenant_id=tenant_id)
        # A config that is stored in the meantime takes the lease, and the plan stays due.
        leased.finish(lambda _: None)

    def _note_changed_pulls(self, tenant_id: str, config: TenantConfig) -> None:
        states = self.platform.pulls.of_tenant(tenant_id)

        def note(changed_pull: tuple[str, PullConfig | None]) -> None:
            input_name, pull = changed_pull
            rule = pulls.noted(pull, self.clock())
            self.platform.pulls.change(tenant_id, input_name, rule)

        drain(pulls.changed_pulls(config, states), note, fail)

    def _report(self, plan: PullPlan, error: Exception) -> None:
        metrics = self.platform.metrics
        report_fault(
            metrics, "pulls_not_planned", error, tenant_id=plan.tenant_id
        )
