"""Webhooks as they are stored: a tenant's receivers, their events, and every try.

Frozen values only. `run_events` makes the events of a run's changes, `changes` changes
webhooks, `webhook_schedule` says when an event is sent. ``aws/dynamodb/webhook_store.py``
stores them.
"""

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any

MAX_WEBHOOKS = 10
"""The most webhooks of a tenant."""

OLD_SECRET_LIFE = timedelta(hours=24)
"""How long a secret that was rotated away still signs, beside the new one."""

EVENT_LIFE = timedelta(days=30)
"""How long an event is stored, delivered or not."""

EVENT_ID_PATTERN = "^msg_[0-9a-f]{32}$"
_SECRET_BYTES = 32


class EventType(StrEnum):
    """The types of events, as receivers get them."""

    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_HELD = "run.held"
    RUN_CANCELLED = "run.cancelled"
    FEED_PUBLISHED = "feed.published"
    VENDOR_PULL_FAILED = "vendor.pull_failed"
    FEED_DELIVERED = "feed.delivered"
    FEED_DELIVERY_FAILED = "feed.delivery_failed"
    TEST = "webhook.test"


SUBSCRIBABLE = tuple(
    event_type for event_type in EventType if event_type is not EventType.TEST
)
"""The types that a webhook may subscribe to. A test goes to the webhook it is for."""


class DisabledReason(StrEnum):
    """Why the system disabled a webhook; None for one that a person disabled."""

    GONE = "receiver_gone"
    FAILING = "receiver_failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver of a tenant's events. Instants are aware, UTC.

    ``enabled_at`` is when the webhook was enabled again, None if it never was.
    ``previous_secret`` signs too until ``previous_secret_until``. ``failing_since`` is
    the time of the first failure since the last success. ``created_by`` is the id of a
    caller.
    """

    webhook_id: str
    tenant_id: str
    url: str
    events: tuple[EventType, ...]
    secret: str = field(repr=False)
    created_at: datetime
    created_by: str | None = None
    description: str | None = None
    enabled: bool = True
    enabled_at: datetime | None = None
    previous_secret: str | None = field(default=None, repr=False)
    previous_secret_until: datetime | None = None
    failing_since: datetime | None = None
    disabled_reason: DisabledReason | None = None

    def signing_secrets(self, now: datetime) -> tuple[str, ...]:
        """Return the secrets that sign a call made now, the newest first."""
        until = self.previous_secret_until
        if self.previous_secret is None or until is None or until <= now:
            return (self.secret,)
        return self.secret, self.previous_secret

    def hears(self, event: "Event") -> bool:
        """Return True if it is enabled, and has been since before the event happened."""
        enabled_at = self.enabled_at or self.created_at
        return self.enabled and event.occurred_at >= enabled_at

    def wants(self, event: "Event") -> bool:
        """Return True if it is to get an event of its tenant."""
        if not self.hears(event):
            return False
        if event.only_for is not None:
            return event.only_for == self.webhook_id
        return event.type in self.events


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try to deliver an event."""

    at: datetime  # when it began, aware
    status_code: int | None  # of the answer; None if there was none
    duration_ms: int
    error: str | None  # None for a success

    @property
    def is_gone(self) -> bool:
        """True if the receiver says that it never wants another event."""
        return self.status_code == HTTPStatus.GONE


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one webhook."""

    webhook_id: str
    attempts: tuple[DeliveryAttempt, ...] = ()
    next_attempt_at: datetime | None = None  # None once the delivery is over


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt in a webhook's list of attempts."""

    event_id: str
    event_type: EventType
    occurred_at: datetime
    number: int  # of the attempt among those of its event and webhook, from 1
    attempt: DeliveryAttempt
    next_attempt_at: datetime | None  # of the last attempt only


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event, and its deliveries.

    ``event_id`` is the id of every try to deliver it, to any webhook. ``data`` are plain
    JSON values. ``deliveries``, by webhook, is None until a sender has taken the event.
    ``due_at`` is when a sender is to take it next, None once all deliveries are over. A
    test event is ``only_for`` one webhook.
    """

    event_id: str
    type: EventType
    occurred_at: datetime
    tenant_id: str
    data: Mapping[str, Any]
    only_for: str | None = None
    deliveries: Mapping[str, Delivery] | None = None
    due_at: datetime | None = None
    revision: int = 1

    @property
    def run_id(self) -> str | None:
        """The run that the event is about; None for an event of no run."""
        run_id: str | None = self.data.get("run_id")
        return run_id

    def tries_of(self, webhook_id: str) -> list[Try]:
        """Return the tries to deliver it to a webhook, the last first."""
        delivery = (self.deliveries or {}).get(webhook_id)
        if delivery is None:
            return []
        last_number = len(delivery.attempts)
        tries = []
        for number, attempt in enumerate(delivery.attempts, start=1):
            is_last = number == last_number
            delivery_try = Try(
                event_id=self.event_id,
                event_type=self.type,
                occurred_at=self.occurred_at,
                number=number,
                attempt=attempt,
                next_attempt_at=delivery.next_attempt_at if is_last else None,
            )
            tries.append(delivery_try)
        return tries[::-1]

    @property
    def body(self) -> bytes:
        """The body that receivers get, the same bytes in every try."""
        instant = self.occurred_at.astimezone(UTC).isoformat()
        document = {
            "type": str(self.type),
            "timestamp": instant.replace("+00:00", "Z"),
            "data": dict(self.data),
        }
        return json.dumps(
            document,
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()


def new_event(
    event_type: EventType,
    tenant_id: str,
    data: Mapping[str, Any],
    now: datetime,
    *,
    only_for: str | None = None,
) -> Event:
    """Return an event that has just happened, with a new id; it is due at once."""
    return Event(
        event_id=f"msg_{secrets.token_hex(16)}",
        type=event_type,
        occurred_at=now,
        tenant_id=tenant_id,
        data=data,
        only_for=only_for,
        due_at=now,
    )


def new_webhook_id() -> str:
    """Return an id that no other webhook has."""
    return f"wh_{secrets.token_hex(16)}"


def new_secret() -> str:
    """Return a new signing secret, in the form of Standard Webhooks."""
    return (
        f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
    )
