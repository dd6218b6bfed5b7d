"""Sends webhooks: takes the events that are due, has them POSTed, and stores the results.

One sender lives as long as its process. The limiter's threads make the calls, and go on
beyond the end of a run if a receiver hangs. The sender has an event's lease until its
results are stored: a process that dies loses nothing, and at worst another process sends
the event once more, with the same id.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta

from relay_core.domain.destination import Destination, UnfitUrlError, judge_url
from relay_dagster.aws.dynamodb.table import UNREADABLE_AGAIN
from relay_dagster.aws.metrics import WEBHOOK_FAILED, report_fault
from relay_dagster.drain import TICK_SECONDS, Deadline, drain, fail
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.transfers.webhook_calls import WebhookClient, request_headers
from relay_dagster.transfers.webhook_flight import (
    CallResult,
    InFlight,
    Sent,
    WebhookCall,
)
from relay_dagster.transfers.webhook_health import EndpointHealth
from relay_dagster.webhooks import webhook_schedule as schedule
from relay_dagster.webhooks.changes import Webhooks
from relay_dagster.webhooks.model import DeliveryAttempt, Event, Webhook
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LeaseLostError
from relay_dagster.work.limiter import EndpointLimiter
from relay_dagster.work.queue import LeasedItem
from relay_dagster.work.worker import Worker

MAX_IN_FLIGHT = 1000
PAGE_SIZE = 100
THREADS = 8
CHECK_SECONDS = 1.0
"""The pause between two queries for due events, if the last one found nothing."""
QUIET_SECONDS = 1.0
"""A run ends if nothing has moved for so long: calls that hang are left to the next."""
GATHER_SECONDS = 1.0
"""Results of one event that come within that time are stored in one write."""
# A run waits for this number of results, but not longer than `RESULTS_SECONDS`.
RESULTS_AT_ONCE = 100
RESULTS_SECONDS = 0.05
POSTPONED_FOR = timedelta(minutes=1)
"""The delay of a delivery for which there is no room at a slow receiver."""
log = event_log()


@dataclass(eq=False)
class Sender:
    """Sends due events, run by run."""

    platform: Platform  # the stores, and where failures are counted
    # Makes the calls.
    caller: WebhookClient = field(default_factory=WebhookClient)
    _: KW_ONLY
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    # Measures durations, in seconds.
    monotonic: Callable[[], float] = time.monotonic
    rng: Callable[[], float] = random.random  # returns numbers from 0 to 1

    def __post_init__(self) -> None:
        """Begin with nothing in flight."""
        self._limiter: EndpointLimiter[WebhookCall, CallResult] = (
            EndpointLimiter(self._make, self.monotonic)
        )
        self._worker: Worker[Event, InFlight] = Worker(
            queue=self.platform.webhooks.queue,
            prepare=self._read_webhooks,
            handle=self._begin,
            on_fault=self._report,
            clock=self.clock,
            page_size=PAGE_SIZE,
            max_in_hand=MAX_IN_FLIGHT,
            threads=THREADS,
        )
        self._health = EndpointHealth(
            self.platform.webhooks, self.platform.metrics
        )
        self._in_flight: set[InFlight] = set()
        # The webhooks of the tenants of the page in hand, and when they were read
        self._webhooks: dict[str, Webhooks] = {}
        self._read_at = 0.0
        # When webhooks' receivers said that they want no more events
        self._gone: dict[str, float] = {}
        self._turn = threading.Lock()
        self._sent = Sent()

    def run(self, deadline: Deadline | None = None) -> Sent:
        """Send until nothing moves; results not stored by the deadline stay in hand."""
        if not self._turn.acquire(blocking=False):
            return Sent(is_elsewhere=True)
        self._sent = Sent()
        try:
            self._send(deadline or Deadline.after(TICK_SECONDS, self.monotonic))
        finally:
            failures = self._sent.given_up + self._sent.disabled
            if failures:
                self.platform.metrics.count(WEBHOOK_FAILED, failures)
            self._turn.release()
        open_calls = [
            len(flight.open_webhook_ids) for flight in self._in_flight
        ]
        self._sent.open = sum(open_calls)
        return self._sent

    def _send(self, deadline: Deadline) -> None:
        check_at = self.monotonic()
        moved_at = check_at
        while True:
            taken_count = 0
            if self.monotonic() >= check_at:
                taken_count = self._take(deadline)
                check_at = self.monotonic() + (
                    0 if taken_count else CHECK_SECONDS
                )
            collected_count = self._collect()
            has_moved = bool(taken_count or collected_count)
            is_quiet = (
                not has_moved and self.monotonic() >= moved_at + QUIET_SECONDS
            )
            is_last = is_quiet or deadline.has_passed()
            stored_count = self._store(everything=is_last)
            if has_moved or stored_count:
                moved_at = self.monotonic()
            if is_last or (not self._in_flight and not taken_count):
                return

    # --- events that are taken ------------------------------------------------------

    def _take(self, deadline: Deadline) -> int:
        """Take the events that are due while there is room; return their number."""
        count = 0
        is_more = True
        while is_more:
            page = self._worker.run_page()
            for flight in page.results:
                self._submit_calls(flight)
            count += page.due_count
            is_more = page.due_count == PAGE_SIZE and not deadline.has_passed()
        return count

    def _read_webhooks(self, events: Sequence[Event]) -> None:
        """Read the webhooks of the tenants of a page of events."""
        self._read_at = self.monotonic()
        tenant_ids = {event.tenant_id for event in events}
        self._webhooks = self.platform.webhooks.of_tenants(tenant_ids)

    def _begin(self, leased: LeasedItem[Event]) -> InFlight | None:
        """Address an event to its tenant's webhooks."""
        webhooks = self._webhooks.get(leased.value.tenant_id)
        if webhooks is None:
            leased.postpone(
                UNREADABLE_AGAIN, "the tenant's webhooks cannot be read"
            )
            return None
        event = schedule.addressed(leased.value, webhooks, self.clock())
        return InFlight(leased, event)

    def _submit_calls(self, flight: InFlight) -> None:
        """Let the calls of an event wait for their turns."""
        self._in_flight.add(flight)
        tenant_id = flight.event.tenant_id
        webhooks = {
            webhook.webhook_id: webhook for webhook in self._webhooks[tenant_id]
        }
        for webhook_id in schedule.due(flight.event, self.clock()):
            call = WebhookCall(flight, webhooks[webhook_id], self._read_at)
            flight.open_webhook_ids.add(webhook_id)
            if not self._limiter.submit(
                call, tenant_id, self._receiver(call.webhook)
            ):
                self._postpone(call)
        if not flight.open_webhook_ids:
            self._change(flight, flight.event)

    def _receiver(self, webhook: Webhook) -> str:
        """Return the receiver at which a webhook's calls take turns."""
        try:
            return self._destination(webhook).receiver
        except UnfitUrlError:
            return webhook.webhook_id

    def _destination(self, webhook: Webhook) -> Destination:
        """Return where a webhook's URL leads, by the rule of today.

        Raises:
            UnfitUrlError: The rule has changed since the URL was stored.
        """
        allow_loopback = self.platform.settings.webhook_allow_loopback
        return judge_url(webhook.url, allow_loopback=allow_loopback)

    # --- the calls, on threads of the limiter ---------------------------------------

    def _make(self, call: WebhookCall) -> CallResult:
        """Make a call; make none if the receiver has said that it wants no more."""
        webhook = call.webhook
        gone_at = self._gone.get(webhook.webhook_id)
        if gone_at is not None and call.read_at <= gone_at:
            return CallResult(attempt=None)
        now = self.clock()
        defect = None
        try:
            attempt = self._attempt(call, now)
        except Exception as error:  # noqa: BLE001 - reported with the result
            defect = error
            attempt = DeliveryAttempt(now, None, 0, "the sender failed")
        if attempt.is_gone:
            self._gone[webhook.webhook_id] = self.monotonic()
        has_disabled = self._health.note(webhook, attempt)
        return CallResult(attempt, defect, has_disabled)

    def _attempt(self, call: WebhookCall, now: datetime) -> DeliveryAttempt:
        event = call.flight.event
        try:
            destination = self._destination(call.webhook)
        except UnfitUrlError as error:
            return DeliveryAttempt(now, None, 0, f"the URL {error}")
        body = event.body
        signing_secrets = call.webhook.signing_secrets(now)
        headers = request_headers(event.event_id, body, signing_secrets, now)
        return self.caller.call(destination, headers, body, now)

    # --- their results --------------------------------------------------------------

    def _collect(self) -> int:
        """Note the calls that have come back, or soon do; return their number."""
        is_any_open = any(flight.open_webhook_ids for flight in self._in_flight)
        if not is_any_open:
            return 0
        finished_calls = self._limiter.made(RESULTS_AT_ONCE, RESULTS_SECONDS)
        for call, result in finished_calls:
            self._note(call, result)
        for call in self._limiter.postponed():
            self._postpone(call)
        return len(finished_calls)

    def _note(self, call: WebhookCall, result: CallResult) -> None:
        """Note a call's result with its event."""
        webhook_id = call.webhook.webhook_id
        attempt = result.attempt
        if result.defect is not None:
            metrics = self.platform.metrics
            report_fault(
                metrics, "webhook_not_sent", result.defect, **call.facts
            )
        if attempt is not None:
            self._sent.delivered += attempt.error is None
            self._sent.failed += attempt.error is not None
            self._sent.disabled += result.has_disabled
        call.flight.open_webhook_ids.discard(webhook_id)
        event = call.flight.event
        if attempt is not None:
            event = schedule.tried(event, webhook_id, attempt, self.rng())
        if attempt is None or attempt.is_gone:
            event = schedule.ended(event, {webhook_id})
        elif schedule.is_given_up(event, webhook_id):
            self._sent.given_up += 1
            log.error("webhook_given_up", error=attempt.error, **call.facts)
        self._change(call.flight, event)

    def _postpone(self, call: WebhookCall) -> None:
        """Let a delivery come again later: others of its receiver come first."""
        webhook_id = call.webhook.webhook_id
        call.flight.open_webhook_ids.discard(webhook_id)
        next_attempts = {webhook_id: self.clock() + POSTPONED_FOR}
        self._change(
            call.flight, schedule.postponed(call.flight.event, next_attempts)
        )

    def _change(self, flight: InFlight, event: Event) -> None:
        flight.event = event
        if flight.changed_at is None:
            flight.changed_at = self.monotonic()

    def _store(self, *, everything: bool) -> int:
        """Store changed events, those with open calls after a while; return their number.

        The first fault is raised once all are stored.
        """
        gathered_until = self.monotonic() - GATHER_SECONDS
        ripe = []
        for flight in self._in_flight:
            if flight.changed_at is None:
                continue
            is_gathered = flight.changed_at <= gathered_until
            if everything or is_gathered or not flight.open_webhook_ids:
                ripe.append(flight)
        drain(ripe, self._store_one, fail, threads=min(THREADS, len(ripe)))
        return len(ripe)

    def _store_one(self, flight: InFlight) -> None:
        event = flight.event
        try:
            if flight.open_webhook_ids:
                flight.event = flight.leased.change(lambda _: event)
            else:
                # An event that nobody wants is not kept.
                flight.leased.finish(
                    lambda _: event if event.deliveries else None
                )
                self._in_flight.discard(flight)
            flight.changed_at = None
        except LeaseLostError:
            # Another sender has the lease, because this process was paused for too long.
            self._in_flight.discard(flight)

    def _report(self, event: Event, error: Exception) -> None:
        facts = {"tenant_id": event.tenant_id, "event_id": event.event_id}
        report_fault(self.platform.metrics, "event_not_taken", error, **facts)
