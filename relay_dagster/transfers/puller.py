"""Pulls vendors' files: takes the pulls that are due, and has each made on a thread of its own.

One puller lives as long as its process: transfers go on between ticks, and no tick waits for one. A
check finds the pulls that are due, and keeps the leases of those under way. It has a thread, too: a
tick waits no longer for it than a second, however slowly the tables answer. A process that dies
loses nothing: its leases run out, and another one pulls anew.
"""

import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime

from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.metrics import PULL_FAILED, report_fault
from relay_dagster.drain import AFTER_A_FAULT, drain
from relay_dagster.intake.trigger_check import TriggerCheck
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import TenantClosingError
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.pull_transfer import PULL_SECONDS, Transfer
from relay_dagster.transfers.streams import CallError
from relay_dagster.triggers import pulls as rules
from relay_dagster.triggers.pulls import (
    FIRST_RETRY,
    LEASE,
    LeaseLostError,
    PullState,
    event_of,
)
from relay_dagster.wiring import Platform
from relay_dagster.work.limiter import EndpointLimiter

MAX_TRANSFERS = 8
MAX_IN_HAND, PAGE = 2000, 50
CHECK_SECONDS, LOOK_SECONDS = 5.0, 1.0
THREADS = 8
log = event_log()


@dataclass(eq=False)
class PullInHand:
    """A pull that waits for its turn, or is under way."""

    state: PullState  # as it was read
    lease: str  # ours, once it is taken
    leased_until: datetime | None = None  # until when it is ours, unless it is renewed
    is_lost: bool = False  # whether it is somebody else's by now

    @property
    def key(self) -> str:
        """The key of its item."""
        return Kind.PULL.key(self.state.tenant_id, self.state.vendor_id)


@dataclass(eq=False, kw_only=True)
class Puller:
    """Pulls what is due, tick by tick."""

    platform: Platform = field(kw_only=False)  # the stores
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    monotonic: Callable[[], float] = (
        time.monotonic
    )  # tells how long things last, in seconds
    seconds: float = PULL_SECONDS  # that a transfer may take
    check_seconds: float = CHECK_SECONDS  # between two looks at what is due
    look_seconds: float = LOOK_SECONDS  # for so long a tick waits for its look

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="pulls")
        self._looking: Future[None] | None = None
        # Files differ in size: none of them makes its server a slow one.
        self._limiter: EndpointLimiter[PullInHand, None] = EndpointLimiter(
            self._make, lambda: 0.0, at_once=MAX_TRANSFERS
        )
        self._in_hand: dict[str, PullInHand] = {}
        self._check_at = 0.0
        self._turn = threading.Lock()

    def tick(self) -> int:
        """Take what is due, as far as there is room; return how many pulls are in hand."""
        if not self._turn.acquire(blocking=False):
            return 0
        try:
            if self._looking is None:
                self._looking = self._looks.submit(self._look)
            wait([self._looking], self.look_seconds)
            if self._looking.done():
                looked, self._looking = self._looking, None
                looked.result()
        finally:
            self._turn.release()
        return len(self._in_hand)

    def _look(self) -> None:
        self._let_go(self._limiter.made(0, 0))
        self._renew()
        if self.monotonic() >= self._check_at:
            self._check_at = self.monotonic() + self.check_seconds
            room = min(MAX_IN_HAND - len(self._in_hand), PAGE)
            due = (
                self.platform.pulls.due(self.clock(), room, self._in_hand)
                if room > 0
                else ()
            )
            for state in due:
                pull = PullInHand(state, secrets.token_hex(16))
                self._in_hand[pull.key] = pull
                if not self._limiter.submit(pull, state.tenant_id, state.host):
                    del self._in_hand[pull.key]

    def finish(self, seconds: float) -> None:
        """Wait until nothing is in hand, for so long at the most."""
        until = time.monotonic() + seconds
        while self._in_hand and time.monotonic() < until:
            self._let_go(self._limiter.made(1, max(0.0, until - time.monotonic())))

    def _let_go(self, made: list[tuple[PullInHand, None]]) -> None:
        for each, _ in made:
            del self._in_hand[each.key]

    def _renew(self) -> None:
        """Keep the leases of pulls that are under way."""
        soon = self.clock() + LEASE / 2
        ending = [
            each
            for each in self._in_hand.values()
            if each.leased_until is not None and each.leased_until <= soon
        ]

        def not_renewed(pull: PullInHand, error: Exception) -> None:
            report_fault(
                self.platform.metrics, "pull_not_renewed", error, **_facts(pull.state)
            )

        drain(ending, self._renew_one, not_renewed, threads=min(THREADS, len(ending)))

    def _renew_one(self, pull: PullInHand) -> None:
        rule = rules.renewed(pull.lease, self.clock())
        try:
            after = self._change(pull.state, rule, must_be_active=False)
        except LeaseLostError:
            # Its end has given it back, if it is not lost.
            pull.is_lost = True
        else:
            pull.leased_until = None if after is None else after.leased_until

    # --- one pull, on a thread of the limiter -----------------------------------------------------

    def _make(self, pull: PullInHand) -> None:
        """Make a pull; nothing is raised."""
        state = pull.state
        try:
            self._pull(pull)
        except LeaseLostError:
            log.info("pull_lost", **_facts(state))
        except TenantClosingError:
            self._try(state, rules.waiting(self.clock(), FIRST_RETRY))
        except Exception as error:  # noqa: BLE001 - reported; the lease runs out by itself
            report_fault(self.platform.metrics, "pull_not_made", error, **_facts(state))
            self._try(state, rules.put_off(pull.lease, self.clock(), AFTER_A_FAULT))
        finally:
            pull.leased_until = None

    def _pull(self, pull: PullInHand) -> None:
        taken = self._change(pull.state, rules.taken(pull.lease, self.clock()))
        if taken is None:
            return
        pull.leased_until = taken.leased_until
        config = TriggerCheck(self.platform, self.clock).plan(taken.tenant_id).config
        if config is None:
            self._change(taken, rules.put_off(pull.lease, self.clock(), FIRST_RETRY))
            return
        vendor = next(
            (v for v in config.vendors if v.vendor_id == taken.vendor_id), None
        )
        if vendor is None or vendor.inbound.pull is None:
            self.platform.pulls.remove(taken)
            return
        transfer = Transfer(
            self.platform,
            taken,
            vendor,
            vendor.inbound.pull,
            pull.lease,
            self.clock,
            lambda: pull.is_lost,
            pull.state.lease is not None,
            self.seconds,
        )
        try:
            log.info("pulled", result=transfer.run(), **_facts(taken))
        except CallError as error:
            rule = rules.failed(pull.lease, str(error), self.clock())
            self._change(taken, rule, must_be_active=False)
            log.warning("pull_failed", error=str(error), **_facts(taken))
            self.platform.metrics.count(PULL_FAILED)

    def _change(
        self, state: PullState, rule: rules.Rule, *, must_be_active: bool = True
    ) -> PullState | None:
        return self.platform.pulls.change(
            state.tenant_id,
            state.vendor_id,
            rule,
            event=lambda before, after: event_of(before, after, self.clock()),
            must_be_active=must_be_active,
        )

    def _try(self, state: PullState, rule: rules.Rule) -> None:
        """Change a pull, if that can be: it is due again anyway once its lease is over."""
        try:
            self._change(state, rule, must_be_active=False)
        except Exception as error:  # noqa: BLE001 - nothing depends on it
            log.warning("pull_not_put_off", error=str(error), **_facts(state))


def _facts(state: PullState) -> dict[str, str]:
    """Return what the log says of a pull."""
    return {"tenant_id": state.tenant_id, "vendor_id": state.vendor_id}
