"""The events of deliveries, which tenants' webhooks may get."""

from datetime import datetime
from typing import Any

from relay_core.config.deliveries import DeliveryConfig
from relay_dagster.deliveries.model import DeliveryState, SentFile
from relay_dagster.webhooks.model import Event, EventType, new_event


def event_of_delivery(
    tenant_id: str,
    delivery: DeliveryConfig,
    sent: SentFile,
    name: str,
    now: datetime,
) -> Event:
    """Return the event of a file that was delivered under a name."""
    data: dict[str, Any] = {
        "tenant_id": tenant_id,
        "delivery_id": delivery.delivery_id,
        "channel_id": delivery.channel_id,
        "run_id": sent.publication.run_id,
        "what": sent.what,
        "rows": sent.rows,
        "file_name": name,
    }
    return new_event(EventType.FEED_DELIVERED, tenant_id, data, now)


def event_of_failure(
    before: DeliveryState,
    after: DeliveryState,
    now: datetime,
) -> Event | None:
    """Return the event of a failure: one, when failures in a row are to be reported."""
    if before.is_reported or not after.is_reported:
        return None
    pending = before.pending
    data: dict[str, Any] = {
        "tenant_id": after.tenant_id,
        "delivery_id": after.delivery_id,
        "run_id": None if pending is None else pending.run_id,
        "failures": after.failures,
        "last_error": after.last_error,
    }
    return new_event(EventType.FEED_DELIVERY_FAILED, after.tenant_id, data, now)
