"""When an event is sent again, and when its webhook has failed too often.

Pure: the sender passes in the time, and a random number for each wait.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from relay_dagster.webhooks.model import (
    Delivery,
    DeliveryAttempt,
    Event,
    Webhook,
)

_WAIT_SECONDS = (
    0,
    5,
    5 * 60,
    30 * 60,
    2 * 3600,
    5 * 3600,
    10 * 3600,
    10 * 3600,
)
WAITS = tuple(timedelta(seconds=seconds) for seconds in _WAIT_SECONDS)
"""The wait before each try, counted from the one before it."""

FAILING_FOR = timedelta(days=5)
"""A webhook with nothing but failures for so long is disabled."""


def wait_after(tries: int, jitter: float) -> timedelta | None:
    """Return the wait after a number of tries; None if no try follows.

    ``jitter``, from 0 to 1, spreads the wait by 20 % either way.
    """
    if tries >= len(WAITS):
        return None
    return WAITS[tries] * (0.8 + 0.4 * jitter)


def is_failing_for_good(webhook: Webhook, now: datetime) -> bool:
    """Return True if a webhook whose try has just failed has failed for too long."""
    since = webhook.failing_since
    return since is not None and now - since >= FAILING_FOR


def addressed(
    event: Event,
    webhooks: Iterable[Webhook],
    now: datetime,
) -> Event:
    """Return an event with a delivery for each webhook that is to get it.

    An event that has deliveries gets no new ones: deliveries to webhooks that were
    deleted or disabled since end.
    """
    if event.deliveries is None:
        receivers = [webhook for webhook in webhooks if webhook.wants(event)]
        deliveries = {
            webhook.webhook_id: Delivery(
                webhook.webhook_id,
                next_attempt_at=now,
            )
            for webhook in receivers
        }
        return _with_deliveries(event, deliveries)
    hearing_ids = {
        webhook.webhook_id for webhook in webhooks if webhook.hears(event)
    }
    return ended(event, event.deliveries.keys() - hearing_ids)


def due(event: Event, now: datetime) -> list[str]:
    """Return the ids of the webhooks that an event is to be sent to by now."""
    webhook_ids = []
    for delivery in _deliveries(event).values():
        next_attempt_at = delivery.next_attempt_at
        if next_attempt_at is not None and next_attempt_at <= now:
            webhook_ids.append(delivery.webhook_id)
    return webhook_ids


def tried(
    event: Event,
    webhook_id: str,
    attempt: DeliveryAttempt,
    jitter: float,
) -> Event:
    """Return an event after a try: delivered, due again, or given up after the last."""
    before = _deliveries(event)[webhook_id]
    attempts = (*before.attempts, attempt)
    next_attempt_at = None
    wait = None if attempt.error is None else wait_after(len(attempts), jitter)
    if wait is not None:
        # A wait begins at the end of the try, or the tries at a receiver that hangs
        # would follow each other without a pause.
        ended_at = attempt.at + timedelta(milliseconds=attempt.duration_ms)
        next_attempt_at = ended_at + wait
    after = Delivery(webhook_id, attempts, next_attempt_at)
    return _with_deliveries(event, {**_deliveries(event), webhook_id: after})


def postponed(event: Event, next_attempts: Mapping[str, datetime]) -> Event:
    """Return an event whose deliveries to some webhooks come later, without a try.

    ``next_attempts`` has the new times by webhook.
    """
    deliveries = dict(_deliveries(event))
    for webhook_id, delivery in _deliveries(event).items():
        if webhook_id in next_attempts and delivery.next_attempt_at is not None:
            deliveries[webhook_id] = replace(
                delivery,
                next_attempt_at=next_attempts[webhook_id],
            )
    return _with_deliveries(event, deliveries)


def ended(event: Event, webhook_ids: Collection[str]) -> Event:
    """Return an event that is not sent to some webhooks any more."""
    deliveries = dict(_deliveries(event))
    for webhook_id, delivery in _deliveries(event).items():
        if webhook_id in webhook_ids:
            deliveries[webhook_id] = replace(delivery, next_attempt_at=None)
    return _with_deliveries(event, deliveries)


def is_given_up(event: Event, webhook_id: str) -> bool:
    """Return True if a delivery is over because its last try failed."""
    delivery = _deliveries(event)[webhook_id]
    if delivery.next_attempt_at is not None or not delivery.attempts:
        return False
    return delivery.attempts[-1].error is not None


def _deliveries(event: Event) -> Mapping[str, Delivery]:
    return event.deliveries or {}


def _with_deliveries(event: Event, deliveries: Mapping[str, Delivery]) -> Event:
    """Return an event with other deliveries, due when the first of them is."""
    due_times = [
        delivery.next_attempt_at
        for delivery in deliveries.values()
        if delivery.next_attempt_at is not None
    ]
    due_at = min(due_times, default=None)
    return replace(event, deliveries=deliveries, due_at=due_at)
