"""When an event is tried again, how it goes on after a try, and when its webhook has failed enough.

Pure: who sends gives the clock, and a random number for each wait.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from relay_dagster.webhooks.model import Delivery, DeliveryAttempt, Event, Webhook

WAITS = tuple(
    timedelta(seconds=seconds)
    for seconds in (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 10 * 3600)
)
"""Before each try, counted from the one before it; the first is due with its event."""

FAILING_FOR = timedelta(days=5)
"""A webhook that has had nothing but failures for so long is disabled."""


def wait_after(tries: int, jitter: float) -> timedelta | None:
    """Return the wait after so many tries, spread by 20 % either way; None where none follows."""
    return WAITS[tries] * (0.8 + 0.4 * jitter) if tries < len(WAITS) else None


def is_failing_for_good(webhook: Webhook, now: datetime) -> bool:
    """Return whether a webhook whose try has just failed has failed for too long."""
    since = webhook.failing_since
    return since is not None and now - since >= FAILING_FOR


def addressed(event: Event, webhooks: Iterable[Webhook], now: datetime) -> Event:
    """Return an event with a delivery for each webhook that wants it, or later still does."""
    webhooks = list(webhooks)
    if event.deliveries is None:
        wanting = (each.webhook_id for each in webhooks if each.wants(event))
        return _with(
            event, {each: Delivery(each, next_attempt_at=now) for each in wanting}
        )
    alive = {each.webhook_id for each in webhooks if each.hears(event)}
    return ended(event, event.deliveries.keys() - alive)


def due(event: Event, now: datetime) -> list[str]:
    """Return the webhooks that an event is to be sent to by now."""
    pending = (
        (each.webhook_id, each.next_attempt_at) for each in _deliveries(event).values()
    )
    return [webhook_id for webhook_id, at in pending if at is not None and at <= now]


def tried(
    event: Event, webhook_id: str, attempt: DeliveryAttempt, jitter: float
) -> Event:
    """Return an event after a try: delivered, or due again, or given up after the last."""
    before = _deliveries(event)[webhook_id]
    attempts = (*before.attempts, attempt)
    wait = None if attempt.error is None else wait_after(len(attempts), jitter)
    # A wait begins when the try has ended: with a receiver that hangs they would run together.
    over = attempt.at + timedelta(milliseconds=attempt.duration_ms)
    after = Delivery(webhook_id, attempts, None if wait is None else over + wait)
    return _with(event, {**_deliveries(event), webhook_id: after})


def put_off(event: Event, next_checks: Mapping[str, datetime]) -> Event:
    """Return an event whose deliveries to some webhooks are looked at later, without a try."""
    later = {
        each: replace(delivery, next_attempt_at=next_checks[each])
        for each, delivery in _deliveries(event).items()
        if each in next_checks and delivery.next_attempt_at is not None
    }
    return _with(event, {**_deliveries(event), **later})


def ended(event: Event, webhook_ids: Collection[str]) -> Event:
    """Return an event that is sent to some webhooks no more."""
    over = {
        each: replace(delivery, next_attempt_at=None)
        for each, delivery in _deliveries(event).items()
        if each in webhook_ids
    }
    return _with(event, {**_deliveries(event), **over})


def is_given_up(event: Event, webhook_id: str) -> bool:
    """Return whether a delivery is over, and has failed."""
    delivery = _deliveries(event)[webhook_id]
    is_over = delivery.next_attempt_at is None
    return (
        is_over and bool(delivery.attempts) and delivery.attempts[-1].error is not None
    )


def _deliveries(event: Event) -> Mapping[str, Delivery]:
    return event.deliveries or {}


def _with(event: Event, deliveries: Mapping[str, Delivery]) -> Event:
    """Return an event with deliveries, due when the first of them is."""
    waiting = [
        at for each in deliveries.values() if (at := each.next_attempt_at) is not None
    ]
    return replace(event, deliveries=deliveries, due_at=min(waiting, default=None))
