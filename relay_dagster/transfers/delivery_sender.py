"""Sends publications to tenants' servers: plans deliveries, and has a thread make each.

One sender lives as long as its process. Its check makes deliveries due whose tenant has a
new publication. A process that dies loses nothing: its leases run out, and another process
sends.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

from relay_core.config.deliveries import DeliveryConfig
from relay_dagster.aws.metrics import DELIVERY_FAILED, report_fault
from relay_dagster.changed_files import ChangedFiles
from relay_dagster.deliveries import requests, sending
from relay_dagster.deliveries.events import event_of_failure
from relay_dagster.deliveries.model import (
    DeliveryPlan,
    DeliveryState,
    PublicationMark,
)
from relay_dagster.drain import TICK_SECONDS, Deadline, drain, fail
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.allowance import CallError, CallStoppedError
from relay_dagster.transfers.delivery_transfer import (
    DeliveryTransfer,
    UndeliverableError,
)
from relay_dagster.transfers.pull_planner import latest_config
from relay_dagster.transfers.room import (
    WAIT_SECONDS,
    DueTransfers,
    TransferRoom,
)
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.worker import Worker

PLANS_AT_ONCE = 8
log = event_log()


@dataclass(eq=False)
class DeliverySender:
    """Sends due deliveries, tick by tick."""

    platform: Platform  # the stores
    _: KW_ONLY
    # The turns and limits of its transfers
    room: TransferRoom = field(default_factory=TransferRoom)
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    # The longest that a tick waits for its check
    wait_seconds: float = WAIT_SECONDS

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self._deliveries = DueTransfers(
            self.room,
            self.platform.deliveries.queue,
            plan=self.plan,
            handle=self._deliver,
            on_fault=self._report_delivery,
            clock=self.clock,
            wait_seconds=self.wait_seconds,
        )
        self._plans: Worker[DeliveryPlan, None] = Worker(
            queue=self.platform.deliveries.plans,
            handle=self._plan,
            on_fault=self._report_plan,
            clock=self.clock,
            threads=PLANS_AT_ONCE,
        )
        self._changed_files = ChangedFiles()

    def run(self) -> int:
        """Take due deliveries while there is room; return the number in hand."""
        return self._deliveries.run()

    def wait(self, seconds: float) -> None:
        """Wait until nothing is in hand, but at most some seconds."""
        self._deliveries.wait(seconds)

    def plan(self) -> None:
        """Let the deliveries be due of all tenants that have a new publication."""
        self._plans.run(Deadline.after(TICK_SECONDS))

    # --- the plan of a tenant's publication -----------------------------------------

    def _plan(self, leased: LeasedItem[DeliveryPlan]) -> None:
        """Let a tenant's deliveries be due, now that it has a publication."""
        tenant_id = leased.value.tenant_id
        config = latest_config(self.platform, tenant_id)
        feed = self.platform.runs.feed(tenant_id)
        try:
            if config is not None and feed is not None:
                publication = PublicationMark.of(feed.in_force)
                self._note_publication(
                    tenant_id, config.deliveries, publication
                )
        except TenantClosingError:
            leased.postpone(
                sending.CLOSING_RETRY, "the tenant is being deleted"
            )
            return
        # A publication that comes in the meantime takes the lease, and the plan stays due.
        leased.finish(lambda _: None)

    def _note_publication(
        self,
        tenant_id: str,
        deliveries: tuple[DeliveryConfig, ...],
        publication: PublicationMark,
    ) -> None:
        store = self.platform.deliveries

        def note(delivery: DeliveryConfig) -> None:
            rule = requests.published(delivery, publication, self.clock())
            store.change(tenant_id, delivery.delivery_id, rule)

        drain(deliveries, note, fail)
        configured_ids = {delivery.delivery_id for delivery in deliveries}
        for delivery_id in store.of_tenant(tenant_id).keys() - configured_ids:
            store.forget(tenant_id, delivery_id)

    def _report_plan(self, plan: DeliveryPlan, error: Exception) -> None:
        metrics = self.platform.metrics
        report_fault(
            metrics,
            "deliveries_not_planned",
            error,
            tenant_id=plan.tenant_id,
        )

    # --- one delivery, on a thread of the limiter -----------------------------------

    def _deliver(self, leased: LeasedItem[DeliveryState]) -> None:
        """Send a delivery's file, if the latest config has the entry as it became due."""
        state = leased.value
        now = self.clock()
        if self.platform.deletions.under_way(state.tenant_id) is not None:
            leased.finish(sending.broken_off(now + sending.CLOSING_RETRY))
            return
        config = latest_config(self.platform, state.tenant_id)
        feed = self.platform.runs.feed(state.tenant_id)
        if config is None or feed is None:
            leased.finish(sending.broken_off(now + sending.LAST_RETRY))
            return
        entries = {entry.delivery_id: entry for entry in config.deliveries}
        entry = entries.get(state.delivery_id)
        if entry is None:
            leased.finish(sending.removed(state, now))
        elif entry.digest != state.source:
            leased.finish(sending.dropped(state, now))
        elif _is_sent(state, feed.in_force.seq):
            leased.finish(sending.already_sent(now))
        else:
            self._try(
                DeliveryTransfer(
                    self.platform,
                    leased,
                    entry,
                    feed.in_force,
                    self.room,
                    self._changed_files,
                    self.clock,
                )
            )

    def _try(self, transfer: DeliveryTransfer) -> None:
        """Send a file, and note why that failed."""
        leased = transfer.leased
        try:
            outcome = transfer.run()
        except CallError as error:
            rule = sending.failed(
                transfer.tried,
                str(error),
                self.clock(),
                is_doubtful=transfer.is_doubtful,
            )
            self._fail(leased, rule, str(error))
        except UndeliverableError as error:
            rule = sending.refused(transfer.tried, str(error), self.clock())
            self._fail(leased, rule, str(error))
        except CallStoppedError:
            # This process ends; another one goes on.
            rule = sending.broken_off(
                self.clock(), is_doubtful=transfer.is_doubtful
            )
            leased.finish(rule)
        else:
            facts = _log_facts(leased.value)
            log.info("delivered", result=outcome, **facts)

    def _fail(
        self,
        leased: LeasedItem[DeliveryState],
        rule: Callable[[DeliveryState], DeliveryState],
        error: str,
    ) -> None:
        """Note a failure, and send an event if it goes on."""
        event = event_of_failure(leased.value, rule(leased.value), self.clock())
        also = (
            [] if event is None else [self.platform.webhooks.event_write(event)]
        )
        leased.finish(rule, also)
        facts = _log_facts(leased.value)
        log.warning("delivery_failed", error=error, **facts)
        self.platform.metrics.count(DELIVERY_FAILED)

    def _report_delivery(self, state: DeliveryState, error: Exception) -> None:
        metrics = self.platform.metrics
        report_fault(metrics, "delivery_not_made", error, **_log_facts(state))


def _is_sent(state: DeliveryState, seq: int) -> bool:
    """Return True if a server has a publication, and nobody asked for it again."""
    sent = state.delivered
    return (
        sent is not None
        and sent.publication.seq >= seq
        and state.asked_at is None
    )


def _log_facts(state: DeliveryState) -> dict[str, str]:
    """Return what the log says of a delivery."""
    return {"tenant_id": state.tenant_id, "delivery_id": state.delivery_id}
