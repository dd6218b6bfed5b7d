"""Sends webhooks: takes the events that are due, has them POSTed, and stores the results.

One sender lives as long as its process: calls are made on threads of the limiter, beyond the end of
a tick if they hang. An event stays due until its result is stored: a process that dies loses
nothing, and at worst sends once more, by the same id.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta

from relay_core.domain.destination import Destination, UnfitUrlError, judge_url
from relay_dagster.aws.dynamodb.webhook_store import WebhookStore
from relay_dagster.aws.metrics import WEBHOOK_FAILED, Metrics, report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline, drain, fail
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import SYSTEM, Action
from relay_dagster.transfers.webhook_calls import WebhookClient, request_headers
from relay_dagster.webhooks.changes import (
    Edit,
    UnknownWebhookError,
    delivered,
    disabled,
    edited,
    failing,
)
from relay_dagster.webhooks.model import DeliveryAttempt, DisabledReason, Event, Webhook
from relay_dagster.webhooks.webhook_schedule import (
    addressed,
    due,
    ended,
    is_failing_for_good,
    is_given_up,
    put_off,
    tried,
)
from relay_dagster.wiring import Platform
from relay_dagster.work.limiter import EndpointLimiter

MAX_IN_FLIGHT, PAGE = 1000, 500
THREADS = 8
# Between two queries of what is due, where the last has found nothing.
CHECK_SECONDS = 1.0
# A tick in which nothing has moved for so long is over: calls that hang are left to the next.
QUIET_SECONDS = 1.0
# Results of one event that come within that are one write; so many of any are taken at a time.
GATHER_SECONDS = 1.0
MANY, MANY_SECONDS = 100, 0.05
LEASE = timedelta(seconds=30)
"""An event that is stored while calls of it are open is due again after that, in case that its
sender dies."""
NOTED_AGAIN = timedelta(minutes=1)
"""A webhook stored without a failure so long after one was noted was changed, and counts anew."""
POSTPONED = timedelta(minutes=1)
"""A delivery for which there is no room at a slow receiver is due again after that."""
log = event_log()


@dataclass
class EndpointHealth:
    """Keeps webhooks up to date with their tries; shared by threads."""

    webhooks: WebhookStore  # where webhooks are stored
    metrics: Metrics  # where it is counted that one could not be stored
    # Webhooks that were found failing since they were read, and when.
    _failing: dict[str, datetime] = field(default_factory=dict)

    def note(self, webhook: Webhook, attempt: DeliveryAttempt) -> bool:
        """Note a try; return whether that disables the webhook. A lost note is made again."""
        try:
            if attempt.error is None:
                known = self._failing.pop(webhook.webhook_id, None)
                if webhook.failing_since or known:
                    self._change(webhook, attempt, delivered)
                return False
            if attempt.is_gone:
                return self._disable(webhook, attempt, DisabledReason.GONE)
            if is_failing_for_good(webhook, attempt.at):
                return self._disable(webhook, attempt, DisabledReason.FAILING)
            noted = self._failing.get(webhook.webhook_id)
            is_known = noted is not None and attempt.at < noted + NOTED_AGAIN
            if webhook.failing_since is None and not is_known:
                self._failing[webhook.webhook_id] = attempt.at
                self._change(webhook, attempt, failing(attempt.at))
            return False
        except Exception as error:  # noqa: BLE001 - the result of the try matters more
            report_fault(self.metrics, "webhook_not_noted", error, **_facts(webhook))
            self._failing.pop(webhook.webhook_id, None)
            return False

    def _disable(
        self, webhook: Webhook, attempt: DeliveryAttempt, reason: DisabledReason
    ) -> bool:
        """Disable a webhook, unless it has moved, was disabled, or begins anew meanwhile."""
        is_ours = False

        def edit(now: Webhook) -> Webhook:
            nonlocal is_ours
            is_anew = now.failing_since is None and reason is DisabledReason.FAILING
            is_ours = now.enabled and now.url == webhook.url and not is_anew
            return disabled(reason)(now) if is_ours else now

        if not self._change(webhook, attempt, edit, reason) or not is_ours:
            return False
        log.error("webhook_disabled", reason=str(reason), **_facts(webhook))
        return True

    def _change(
        self,
        webhook: Webhook,
        attempt: DeliveryAttempt,
        edit: Edit,
        reason: DisabledReason | None = None,
    ) -> bool:
        """Change the webhook that is stored; return False where there is none any more."""
        tenant_id, webhook_id = webhook.tenant_id, webhook.webhook_id
        entry = None
        if reason is not None:
            details = {"changed": ["enabled"], "enabled": False, "reason": str(reason)}
            changed = Action.WEBHOOK_CHANGED
            entry = SYSTEM.entry(changed, tenant_id, webhook_id, attempt.at, **details)
        try:
            self.webhooks.change(tenant_id, edited(tenant_id, webhook_id, edit), entry)
        except UnknownWebhookError:
            return False
        return True


@dataclass(eq=False)
class WebhookCall:
    """An event on its way to one webhook."""

    event: Event  # what is sent
    webhook: Webhook  # the webhook as it was read
    read_at: float  # when the webhook was read, on a monotonic clock
    destination: Destination | None = (
        None  # where it leads; None of one that may not be called
    )
    unfit: str | None = None  # why it may not be
    attempt: DeliveryAttempt | None = (
        None  # the result; None of a call that was not made after all
    )
    defect: Exception | None = None  # why we failed ourselves
    has_disabled: bool = False  # whether the result has disabled the webhook


@dataclass
class InFlight:
    """An event in hand."""

    stored: Event  # the event as it is stored
    event: Event  # the event as it is to be stored
    open: set[str] = field(
        default_factory=set
    )  # the webhooks whose calls are not made yet
    # Since when there is something to store, on a monotonic clock; None for nothing
    changed_at: float | None = None


@dataclass
class Sent:
    """The results of a tick; false where nothing was sent and nothing is under way."""

    delivered: int = 0
    failed: int = 0
    given_up: int = 0
    disabled: int = 0
    open: int = 0
    is_other: bool = False

    def __bool__(self) -> bool:
        return self.is_other or bool(self.delivered or self.failed or self.open)

    def __str__(self) -> str:
        if self.is_other:
            return "another tick sends"
        return f"{self.delivered} delivered, {self.failed} failed, {self.open} open"


@dataclass(eq=False)
class Sender:
    """Sends what is due, tick by tick."""

    platform: Platform  # the stores, and where failures are counted
    caller: WebhookClient = field(default_factory=WebhookClient)  # makes the calls
    _: KW_ONLY
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    monotonic: Callable[[], float] = (
        time.monotonic
    )  # tells how long things last, in seconds
    rng: Callable[[], float] = random.random  # returns numbers from 0 to 1

    def __post_init__(self) -> None:
        """Begin with nothing in hand."""
        self._limiter: EndpointLimiter[WebhookCall, None] = EndpointLimiter(
            self._make, self.monotonic
        )
        self._health = EndpointHealth(self.platform.webhooks, self.platform.metrics)
        self._in_flight: dict[str, InFlight] = {}
        # When webhooks' receivers have said that they want no more.
        self._gone: dict[str, float] = {}
        self._turn = threading.Lock()
        self._sent = Sent()

    def tick(self, seconds: float = TICK_SECONDS) -> Sent:
        """Send while anything moves, for so long at the most; what is not stored is kept."""
        if not self._turn.acquire(blocking=False):
            return Sent(is_other=True)
        self._sent = Sent()
        try:
            self._send(seconds)
        finally:
            failed = self._sent.given_up + self._sent.disabled
            if failed:
                self.platform.metrics.count(WEBHOOK_FAILED, failed)
            self._turn.release()
        self._sent.open = sum(len(each.open) for each in self._in_flight.values())
        return self._sent

    def _send(self, seconds: float) -> None:
        deadline = Deadline.after(seconds, self.monotonic)
        check_at = moved_at = self.monotonic()
        while True:
            taken = 0
            if self.monotonic() >= check_at:
                taken = self._take(deadline)
                check_at = self.monotonic() + (0 if taken else CHECK_SECONDS)
            made = self._collect()
            is_quiet = (
                not taken and not made and self.monotonic() >= moved_at + QUIET_SECONDS
            )
            is_last = is_quiet or deadline.has_passed()
            if self._store(everything=is_last) or taken or made:
                moved_at = self.monotonic()
            if is_last or (not self._in_flight and not taken):
                return

    def _take(self, deadline: Deadline) -> int:
        """Take the events that are due, as far as there is room; return how many those were."""
        count, taken = 0, PAGE
        while taken == PAGE and not deadline.has_passed():
            room = min(MAX_IN_FLIGHT - len(self._in_flight), PAGE)
            taken = self._take_page(room) if room > 0 else 0
            count += taken
        return count

    def _take_page(self, room: int) -> int:
        now, read_at, store = self.clock(), self.monotonic(), self.platform.webhooks
        allow_loopback = self.platform.settings.webhook_allow_loopback
        events = store.due_events(now, room, besides=self._in_flight)
        webhooks = store.of_tenants({each.tenant_id for each in events})
        for event in events:
            if event.tenant_id not in webhooks:
                store.put_off(event, now)
                continue
            by_id = {each.webhook_id: each for each in webhooks[event.tenant_id]}
            flight = InFlight(event, addressed(event, by_id.values(), now))
            self._in_flight[event.event_id] = flight
            for webhook in [by_id[webhook_id] for webhook_id in due(flight.event, now)]:
                call = WebhookCall(event, webhook, read_at)
                receiver = webhook.webhook_id
                try:  # the rule may be another than when the URL was stored
                    call.destination = judge_url(
                        webhook.url, allow_loopback=allow_loopback
                    )
                    receiver = call.destination.receiver
                except UnfitUrlError as error:
                    call.unfit = f"the URL {error}"
                flight.open.add(webhook.webhook_id)
                if not self._limiter.submit(call, event.tenant_id, receiver):
                    self._postpone(flight, webhook.webhook_id)
            if not flight.open:
                self._change(flight, flight.event)
        return len(events)

    # --- the calls, on threads of the limiter ---------------------------------------------------

    def _make(self, call: WebhookCall) -> None:
        """Make a call and keep its result in it; make none where the receiver wants no more."""
        webhook_id, at = call.webhook.webhook_id, self.clock()
        if call.read_at <= self._gone.get(webhook_id, call.read_at - 1):
            return
        try:
            attempt = DeliveryAttempt(at, None, 0, call.unfit)
            if call.destination is not None:
                body, signing = call.event.body, call.webhook.signing_secrets(at)
                headers = request_headers(call.event.event_id, body, signing, at)
                attempt = self.caller.call(call.destination, headers, body, at)
        except Exception as error:  # noqa: BLE001 - reported with the result
            call.defect, attempt = (
                error,
                DeliveryAttempt(at, None, 0, "the sender failed"),
            )
        if attempt.is_gone:
            self._gone[webhook_id] = self.monotonic()
        call.attempt = attempt
        call.has_disabled = self._health.note(call.webhook, attempt)

    def _collect(self) -> int:
        """Note the calls that are made by now, or soon; return how many those were."""
        is_any_open = any(each.open for each in self._in_flight.values())
        made = self._limiter.made(MANY, MANY_SECONDS) if is_any_open else []
        for call, _ in made:
            self._note(call)
        for call in self._limiter.postponed():
            flight = self._in_flight.get(call.event.event_id)
            if flight is not None:
                self._postpone(flight, call.webhook.webhook_id)
        return len(made)

    def _note(self, call: WebhookCall) -> None:
        """Note a call's result with its event, unless another sender has stored it meanwhile."""
        attempt, webhook = call.attempt, call.webhook
        facts = _facts(webhook, event_id=call.event.event_id)
        if call.defect is not None:
            metrics = self.platform.metrics
            report_fault(metrics, "webhook_not_sent", call.defect, **facts)
        if attempt is not None:
            self._sent.delivered += attempt.error is None
            self._sent.failed += attempt.error is not None
            self._sent.disabled += call.has_disabled
        flight = self._in_flight.get(call.event.event_id)
        if flight is None:
            return
        flight.open.discard(webhook.webhook_id)
        after = flight.event
        if attempt is not None:
            after = tried(after, webhook.webhook_id, attempt, self.rng())
        if attempt is None or attempt.is_gone:
            after = ended(after, {webhook.webhook_id})
        elif is_given_up(after, webhook.webhook_id):
            self._sent.given_up += 1
            log.error("webhook_given_up", error=attempt.error, **facts)
        self._change(flight, after)

    def _postpone(self, flight: InFlight, webhook_id: str) -> None:
        """Let a delivery come again later: others of its receiver come first."""
        flight.open.discard(webhook_id)
        later = {webhook_id: self.clock() + POSTPONED}
        self._change(flight, put_off(flight.event, later))

    def _change(self, flight: InFlight, event: Event) -> None:
        flight.event = event
        if flight.changed_at is None:
            flight.changed_at = self.monotonic()

    def _store(self, *, everything: bool) -> int:
        """Store changed events, those with open calls after a while; raise the first fault."""
        before = self.monotonic() - GATHER_SECONDS
        ripe = [
            each
            for each in self._in_flight.values()
            if each.changed_at is not None
            and (everything or not each.open or each.changed_at <= before)
        ]

        def store(flight: InFlight) -> None:
            leases = dict.fromkeys(flight.open, self.clock() + LEASE)
            stored = self.platform.webhooks.put_event(
                flight.stored, put_off(flight.event, leases)
            )
            if stored is not None:
                flight.stored = flight.event = stored
                flight.changed_at = None
            # One goes that is over, or that another sender has changed.
            if stored is None or not flight.open:
                del self._in_flight[flight.event.event_id]

        drain(ripe, store, fail, threads=min(THREADS, len(ripe)))
        return len(ripe)


def _facts(webhook: Webhook, **more: str) -> dict[str, str]:
    """Return what the log says of a webhook."""
    return {"tenant_id": webhook.tenant_id, "webhook_id": webhook.webhook_id, **more}
