"""Pulls vendors' files: takes the pulls that are due, and has a thread make each.

One puller lives as long as its process. Its check plans the pulls of tenants whose
configs have changed. A process that dies loses nothing: its leases run out, and another
process pulls.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta

from relay_core.config.inputs.tenant_inputs import inputs_of
from relay_dagster.aws.metrics import PULL_FAILED, report_fault
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.allowance import CallError, CallStoppedError
from relay_dagster.transfers.pull_planner import PullPlanner, latest_config
from relay_dagster.transfers.pull_transfer import PullRequest, Transfer
from relay_dagster.transfers.room import (
    WAIT_SECONDS,
    DueTransfers,
    TransferRoom,
)
from relay_dagster.triggers import pulls
from relay_dagster.triggers.pulls import PullState
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem

log = event_log()


@dataclass(eq=False)
class Puller:
    """Pulls due files, tick by tick."""

    platform: Platform  # the stores
    _: KW_ONLY
    # The turns and limits of its transfers
    room: TransferRoom = field(default_factory=TransferRoom)
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    # The longest that a tick waits for its check
    wait_seconds: float = WAIT_SECONDS

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self._pulls = DueTransfers(
            self.room,
            self.platform.pulls.queue,
            plan=PullPlanner(self.platform, self.clock).run,
            handle=self._pull,
            on_fault=self._report_pull,
            clock=self.clock,
            wait_seconds=self.wait_seconds,
        )

    def run(self) -> int:
        """Take due pulls while there is room; return the number of pulls in hand."""
        return self._pulls.run()

    def wait(self, seconds: float) -> None:
        """Wait until nothing is in hand, but at most some seconds."""
        self._pulls.wait(seconds)

    # --- one pull, on a thread of the limiter ---------------------------------------

    def _pull(self, leased: LeasedItem[PullState]) -> None:
        try:
            self._pull_while_active(leased)
        except CallStoppedError:
            leased.postpone(timedelta(0), "the process ends")
        except TenantClosingError:
            leased.finish(pulls.postponed(self.clock(), pulls.FIRST_RETRY))

    def _pull_while_active(self, leased: LeasedItem[PullState]) -> None:
        state = leased.value
        if self.platform.deletions.under_way(state.tenant_id) is not None:
            raise TenantClosingError(state.tenant_id)
        config = latest_config(self.platform, state.tenant_id)
        if config is None:
            leased.finish(pulls.postponed(self.clock(), pulls.FIRST_RETRY))
            return
        tenant_input = inputs_of(config).get(state.input_name)
        pull = None if tenant_input is None else tenant_input.pull
        if tenant_input is None or pull is None:
            leased.finish(pulls.forgotten(self.clock()))
            return
        request = PullRequest(leased, tenant_input, pull, self.room)
        try:
            outcome = Transfer(self.platform, request, self.clock).run()
        except CallError as error:
            self._fail(leased, str(error), names_part=tenant_input.names_part)
        else:
            log.info("pulled", result=outcome, **_log_facts(state))

    def _fail(
        self, leased: LeasedItem[PullState], error: str, *, names_part: bool
    ) -> None:
        """Note that no file can be fetched, and send an event if that goes on."""
        now = self.clock()
        rule = pulls.failed(error, now)
        event = pulls.event_of(
            leased.value, rule(leased.value), now, names_part=names_part
        )
        also = (
            [] if event is None else [self.platform.webhooks.event_write(event)]
        )
        leased.finish(rule, also)
        log.warning("pull_failed", error=error, **_log_facts(leased.value))
        self.platform.metrics.count(PULL_FAILED)

    def _report_pull(self, state: PullState, error: Exception) -> None:
        metrics = self.platform.metrics
        report_fault(metrics, "pull_not_made", error, **_log_facts(state))


def _log_facts(state: PullState) -> dict[str, str]:
    """Return what the log says of a pull."""
    facts = {"tenant_id": state.tenant_id, "vendor_id": state.vendor_id}
    if state.part_id is not None:
        facts["part_id"] = state.part_id
    return facts
