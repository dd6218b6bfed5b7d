"""A tenant's webhooks, and an event, as items and back, and the writes that change them.

All webhooks of a tenant are one item, so that one consistent read gives them; so are all deliveries
of an event. An event stands in the index of what is due while one of them is not over, and in that
of runs by tenant, in a partition of its own for each tenant.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.serialization import (
    Item,
    due_place,
    epoch_seconds,
    instant_text,
    is_at,
    marshal,
    read_instant,
    unmarshal,
)
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.runs.webhooks.changes import Webhooks
from relay_dagster.runs.webhooks.model import (
    EVENT_LIFE,
    Attempt,
    Delivery,
    DisabledReason,
    Event,
    EventLane,
    EventType,
    Try,
    Webhook,
)

_WEBHOOKS, _EVENT = "WEBHOOKS#", "EVENT#"
_INSTANTS = ("created_at", "previous_secret_until", "failing_since")


def webhooks_key(tenant_id: str) -> str:
    """Return the key of the item of a tenant's webhooks."""
    return f"{_WEBHOOKS}{tenant_id}"


def event_key(event_id: str) -> str:
    """Return the key of an event's item."""
    return f"{_EVENT}{event_id}"


def events_listed(tenant_id: str) -> str:
    """Return the partition of a tenant's events in the index of runs by tenant."""
    return f"EVENTS#{tenant_id}"


def occurred_key(event: Event) -> str:
    """Return the sort key of an event in the index of runs by tenant."""
    return f"{instant_text(event.occurred_at)}#{event.event_id}"


def try_key(one: Try) -> str:
    """Return where in a list of tries to go on after one: in its event."""
    return f"{instant_text(one.occurred_at)}#{one.event_id}#{one.number}"


# --- webhooks -----------------------------------------------------------------------------------


def to_webhooks(item: Mapping[str, Any] | None) -> tuple[Webhooks, int]:
    """Return the webhooks of an item and its revision; no item is a tenant without any."""
    plain = unmarshal(item or {})
    documents = json.loads(plain.get("webhooks", "[]"))
    return tuple(map(_to_webhook, documents)), int(plain.get("revision", 0))


def webhooks_write(table: str, tenant_id: str, webhooks: Webhooks, seen: int) -> Write:
    """Return the write that changes a tenant's webhooks, if they are at the revision seen."""
    item = {
        schema.KEY: webhooks_key(tenant_id),
        schema.OWNER: tenant_id,
        "webhooks": json.dumps([*map(_from_webhook, webhooks)], ensure_ascii=False),
        "revision": seen + 1,
    }
    return Write("webhooks", "Put", {"TableName": table, "Item": marshal(item), **is_at(seen)})


def _from_webhook(webhook: Webhook) -> dict[str, Any]:
    plain = asdict(webhook)
    return {**plain, **{name: _text_of(plain[name]) for name in _INSTANTS}}


def _to_webhook(document: Mapping[str, Any]) -> Webhook:
    reason = document["disabled_reason"]
    typed = {
        "events": tuple(map(EventType, document["events"])),
        "disabled_reason": None if reason is None else DisabledReason(reason),
        **{name: _instant_of(document[name]) for name in _INSTANTS},
    }
    return Webhook(**{**document, **typed})


# --- events -------------------------------------------------------------------------------------


def event_write(table: str, event: Event) -> Write:
    """Return the write that adds an event.

    It has no condition: an id is one event's alone, and a transaction that is tried again writes
    the same event.
    """
    return Write("event", "Put", {"TableName": table, "Item": _from_event(event)})


def event_change(table: str, before: Event, after: Event) -> dict[str, Any]:
    """Return the arguments of a PutItem that changes an event, if it is as it was read."""
    return {"TableName": table, "Item": _from_event(after), **is_at(before.revision)}


def event_removal(table: str, event: Event) -> dict[str, Any]:
    """Return the arguments of a DeleteItem that removes an event, if it is as it was read."""
    key = marshal({schema.KEY: event_key(event.event_id)})
    return {"TableName": table, "Key": key, **is_at(event.revision)}


def to_event(item: Mapping[str, Any]) -> Event:
    """Return the event of an item."""
    plain = unmarshal(item)
    deliveries = plain.get("deliveries")
    return Event(
        event_id=plain["event_id"],
        type=EventType(plain["event"]),
        occurred_at=read_instant(plain["occurred_at"]),
        tenant_id=plain["tenant_id"],
        data=json.loads(plain["data"]),
        only_for=plain.get("only_for"),
        deliveries=None if deliveries is None else _to_deliveries(json.loads(deliveries)),
        due_at=_instant_of(plain.get(schema.DUE_AT)),
        revision=int(plain["revision"]),
    )


def _from_event(event: Event) -> Item:
    plain = {
        schema.KEY: event_key(event.event_id),
        schema.LISTED_TENANT: events_listed(event.tenant_id),
        schema.REQUESTED_KEY: occurred_key(event),
        "event_id": event.event_id,
        "event": str(event.type),
        "occurred_at": instant_text(event.occurred_at),
        "tenant_id": event.tenant_id,
        "run_id": event.run_id,
        "data": json.dumps(dict(event.data), ensure_ascii=False),
        "only_for": event.only_for,
        "deliveries": None if event.deliveries is None else _from_deliveries(event.deliveries),
        "revision": event.revision,
        schema.EXPIRY: epoch_seconds(event.occurred_at + EVENT_LIFE),
    }
    if event.due_at is not None:
        plain[schema.DUE_SHARD] = due_place(EventLane.EVENT, event.event_id)
        plain[schema.DUE_AT] = instant_text(event.due_at)
    return marshal(plain)


def _from_deliveries(deliveries: Mapping[str, Delivery]) -> str:
    plain = {
        webhook_id: {
            "attempts": [
                [instant_text(each.at), each.status_code, each.duration_ms, each.error]
                for each in delivery.attempts
            ],
            "next_attempt_at": _text_of(delivery.next_attempt_at),
        }
        for webhook_id, delivery in deliveries.items()
    }
    return json.dumps(plain, ensure_ascii=False)


def _to_deliveries(plain: Mapping[str, Any]) -> dict[str, Delivery]:
    return {
        webhook_id: Delivery(
            webhook_id,
            tuple(Attempt(read_instant(at), *rest) for at, *rest in each["attempts"]),
            _instant_of(each["next_attempt_at"]),
        )
        for webhook_id, each in plain.items()
    }


def _text_of(instant: datetime | None) -> str | None:
    return None if instant is None else instant_text(instant)


def _instant_of(text: str | None) -> datetime | None:
    return None if text is None else read_instant(text)
