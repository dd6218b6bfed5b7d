"""Webhooks and events to test with: everything has a default, a test names what matters to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from relay_dagster.aws.dynamodb.codec import unmarshal
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.webhook_store import WebhookStore, to_event
from relay_dagster.webhooks.changes import added
from relay_dagster.webhooks.model import (
    Delivery,
    DeliveryAttempt,
    Event,
    EventType,
    Webhook,
    new_event,
    new_webhook_id,
)
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from support.fakes import NOW

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECOND = timedelta(seconds=1)


def webhook(**changes: Any) -> Webhook:
    """Return a webhook of tenant ``acme`` for failed and succeeded runs."""
    defaults: dict[str, Any] = {
        "webhook_id": new_webhook_id(),
        "tenant_id": "acme",
        "url": "https://shop.example.com/hooks",
        "events": (EventType.RUN_FAILED, EventType.RUN_SUCCEEDED),
        "secret": SECRET,
        "created_at": NOW,
    }
    return Webhook(**{**defaults, **changes})


def stored_webhook(platform: Platform, **changes: Any) -> Webhook:
    """Store a webhook and return it."""
    new_webhook = webhook(**changes)
    platform.webhooks.change(new_webhook.tenant_id, added(new_webhook))
    return new_webhook


def event(
    event_type: EventType = EventType.RUN_FAILED,
    *,
    after: float = 0,
    tenant_id: str = "acme",
) -> Event:
    """Return an event so many seconds after `NOW`."""
    at = NOW + after * SECOND
    return new_event(
        event_type, tenant_id, {"run_id": None, "tenant_id": tenant_id}, at
    )


def tried(
    webhook_id: str, *codes: int | None, goes_on: bool = False
) -> Delivery:
    """Return a delivery with a try for each status code, a second apart."""
    attempts = tuple(
        DeliveryAttempt(
            NOW + number * SECOND,
            code,
            12,
            None if code == 200 else f"answered {code}",
        )
        for number, code in enumerate(codes)
    )
    return Delivery(
        webhook_id, attempts, NOW + 300 * SECOND if goes_on else None
    )


def due_events(
    webhooks: WebhookStore, now: datetime, limit: int = 1000
) -> list[Event]:
    """Return the events that are due and that no sender has, the longest due first."""
    return [item.value for item in webhooks.queue.due(now, limit)]


def store_event(
    webhooks: WebhookStore, after: Event, now: datetime
) -> Event | None:
    """Take an event and finish it as a sender does; return it as it is stored then."""
    queue = webhooks.queue
    item = queue.get(Kind.EVENT.key(after.event_id))
    assert item is not None
    taken_item = queue.take(item, now)
    assert taken_item is not None
    leased = LeasedItem(queue, taken_item, lambda: now)
    return leased.finish(lambda _: after if after.deliveries else None)


def finish_due_events(platform: Platform, now: datetime) -> None:
    """Let no event be due, ever."""
    for event in due_events(platform.webhooks, now, 10_000):
        deliveries = {"nobody": Delivery("nobody")}
        over = replace(event, deliveries=deliveries, due_at=None)
        store_event(platform.webhooks, over, now)


def events_told(platform: Platform) -> list[Event]:
    """Return all events that are stored, in the order in which they happened."""
    pages = platform.clients.dynamodb.get_paginator("scan").paginate(
        TableName=platform.settings.runs_table, ConsistentRead=True
    )
    items = [item for page in pages for item in page["Items"]]
    return _by_time(to_event(item) for item in items if _is_event(item))


def _is_event(item: Any) -> bool:
    return str(unmarshal(item)["pk"]).startswith("EVENT#")


def _by_time(events: Iterable[Event]) -> list[Event]:
    return sorted(
        events, key=lambda each: (each.occurred_at, each.type, each.event_id)
    )
