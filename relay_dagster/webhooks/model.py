"""Webhooks as they are stored: a tenant's receivers, their events, and every try.

Frozen values, and the pure rules of which events a change of a run makes. Whoever stores the change
stores its events in the same transaction: none is lost, and none tells of an end that was not
stored. How a tenant's webhooks change is `changes`, how they are stored
``aws/dynamodb/webhook_store.py``.
"""

import base64
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from relay_core.domain.cell_rules import cut
from relay_core.domain.codes import RunStatus
from relay_dagster.feeds.pointer import FeedUpdate
from relay_dagster.runs.model import RunRecord

MAX_WEBHOOKS = 10
"""Of a tenant."""

OLD_SECRET_LIFE = timedelta(hours=24)
"""For how long a secret signs, beside the new one, that was rotated away."""

EVENT_LIFE = timedelta(days=30)
"""For how long an event is kept, delivered or not."""

EVENT_ID_PATTERN = "^msg_[0-9a-f]{32}$"
_SECRET_BYTES = 32
# An event is small: a receiver that wants more asks for the run.
_MAX_GUARDS, _MAX_TEXT = 10, 200


class EventType(StrEnum):
    """The types of events, as receivers get them."""

    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_HELD = "run.held"
    RUN_CANCELLED = "run.cancelled"
    FEED_PUBLISHED = "feed.published"
    VENDOR_PULL_FAILED = "vendor.pull_failed"
    TEST = "webhook.test"


SUBSCRIBABLE = tuple(each for each in EventType if each is not EventType.TEST)
"""The events that a webhook may want; a test goes to the one that asks for it."""


class DisabledReason(StrEnum):
    """Why the system has disabled a webhook; None of one that a person has."""

    GONE = "receiver_gone"
    FAILING = "receiver_failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver of a tenant's events. Instants are aware, UTC.

    ``enabled_at`` is when it was enabled again, None of one that never was.
    ``previous_secret`` signs too until ``previous_secret_until``. ``failing_since`` is when the
    first of the failures was that no success has followed. ``created_by`` is a caller's id.
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
        """Return the secrets that sign what is sent now, the newest first."""
        until = self.previous_secret_until
        if self.previous_secret is None or until is None or until <= now:
            return (self.secret,)
        return self.secret, self.previous_secret

    def hears(self, event: "Event") -> bool:
        """Return whether it is enabled, and has been since before an event of its tenant."""
        return self.enabled and event.occurred_at >= (
            self.enabled_at or self.created_at
        )

    def wants(self, event: "Event") -> bool:
        """Return whether it gets an event of its tenant."""
        if not self.hears(event):
            return False
        if event.only_for is not None:
            return event.only_for == self.webhook_id
        return event.type in self.events


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One try to deliver; its status code is None without an answer, its error of a success."""

    at: datetime
    status_code: int | None
    duration_ms: int
    error: str | None

    @property
    def is_gone(self) -> bool:
        """Whether the receiver wants no more, ever."""
        return self.status_code == HTTPStatus.GONE


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to one webhook; it is over where ``next_attempt_at`` is None."""

    webhook_id: str
    attempts: tuple[DeliveryAttempt, ...] = ()
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Try:
    """A try in a webhook's list, with its number; the last one has the time of the next."""

    event_id: str
    event_type: EventType
    occurred_at: datetime
    number: int
    attempt: DeliveryAttempt
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event, and its deliveries.

    ``event_id`` is the id of every try to deliver it, to any webhook. ``data`` are plain JSON
    values. ``deliveries``, by webhook, is None until a sender has taken it; ``due_at`` is the time
    of its next check, None once all deliveries are over. A test event is ``only_for`` one webhook.
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
        """The run that it is about."""
        run_id: str | None = self.data.get("run_id")
        return run_id

    def tries_of(self, webhook_id: str) -> list[Try]:
        """Return the tries to deliver it to a webhook, the last first."""
        delivery = (self.deliveries or {}).get(webhook_id)
        if delivery is None:
            return []
        last = len(delivery.attempts)
        tries = [
            Try(
                event_id=self.event_id,
                event_type=self.type,
                occurred_at=self.occurred_at,
                number=number,
                attempt=attempt,
                next_attempt_at=delivery.next_attempt_at if number == last else None,
            )
            for number, attempt in enumerate(delivery.attempts, start=1)
        ]
        return tries[::-1]

    @property
    def body(self) -> bytes:
        """The body that receivers get: the same bytes in every try."""
        document = {
            "type": str(self.type),
            "timestamp": self.occurred_at.astimezone(UTC)
            .isoformat()
            .replace("+00:00", "Z"),
            "data": dict(self.data),
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def new_event(
    event_type: EventType,
    tenant_id: str,
    data: Mapping[str, Any],
    now: datetime,
    *,
    only_for: str | None = None,
) -> Event:
    """Return an event that has just happened, with an id of its own; it is due at once."""
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
    """Return a secret that signs, as Standard Webhooks writes it."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


_OF_END = {
    RunStatus.SUCCEEDED: EventType.RUN_SUCCEEDED,
    RunStatus.FAILED: EventType.RUN_FAILED,
    RunStatus.HELD: EventType.RUN_HELD,
    RunStatus.CANCELLED: EventType.RUN_CANCELLED,
}


def events_of(
    before: RunRecord | None, after: RunRecord, feed: FeedUpdate | None, now: datetime
) -> Iterator[Event]:
    """Yield the events of a change, in the order in which they are to be understood.

    A run that is hidden is none to those outside. A held run that a newer one makes void ends too.
    """
    yield from _of_end(before, after, now)
    if feed is None:
        return
    if feed.before is None or feed.before.in_force != feed.after.in_force:
        yield new_event(EventType.FEED_PUBLISHED, after.tenant_id, run_data(after), now)
    if feed.superseded is not None:
        yield from _of_end(*feed.superseded, now)


def run_data(run: RunRecord) -> dict[str, Any]:
    """Return the data of a run's event, in the words and shapes of the API's answer."""
    failure_class, code = run.failure_class, run.error_code
    changes = hold = None
    if run.changes is not None:
        changes = {"baseline_run_id": run.baseline_run_id, **run.changes}
    if run.hold is not None:  # its guards go without their examples
        guards = [
            {
                name: cut(each, _MAX_TEXT) if isinstance(each, str) else each
                for name, each in result.items()
                if name != "examples"
            }
            for result in run.hold.guards[:_MAX_GUARDS]
        ]
        facts = {"sha256": run.hold.sha256, "baseline_run_id": run.hold.baseline_run_id}
        hold = {**facts, "guards": guards}
    return {
        "run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "status": str(run.status),
        "error_code": None if code is None else cut(str(code), _MAX_TEXT),
        "failure_class": None if failure_class is None else str(failure_class),
        "counts": dict(run.counts) or None,
        "changes": changes,
        "hold": hold,
    }


def trial_event(tenant_id: str, webhook_id: str, now: datetime) -> Event:
    """Return an event that tries one webhook out: of no run, but in the shape of all others."""
    nothing = dict.fromkeys(
        ("status", "error_code", "failure_class", "counts", "changes", "hold"), None
    )
    data = {"run_id": None, "tenant_id": tenant_id, **nothing}
    return new_event(EventType.TEST, tenant_id, data, now, only_for=webhook_id)


def _of_end(
    before: RunRecord | None, after: RunRecord, now: datetime
) -> Iterator[Event]:
    has_changed = before is None or before.status is not after.status
    if has_changed and after.has_ended and not after.hidden:
        yield new_event(_OF_END[after.status], after.tenant_id, run_data(after), now)
