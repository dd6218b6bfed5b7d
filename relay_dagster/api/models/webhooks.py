"""Webhooks as callers order and see them, and what became of each try. Instants are UTC.

A secret is shown where it is made, and once.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from relay_dagster.runs.webhooks.destination import LONGEST_URL
from relay_dagster.runs.webhooks.model import (
    SUBSCRIBABLE,
    DisabledReason,
    EventType,
    Try,
    Webhook,
)

_ID = "wh_8c1d6f0a2b3e4c5d8c1d6f0a2b3e4c5d"
_URL = "https://shop.example.com/hooks/relay"
_LONGEST_DESCRIPTION = 200
_WEBHOOK: dict[str, Any] = {
    "webhook_id": _ID,
    "url": _URL,
    "events": ["feed.published", "run.failed"],
    "description": "shop frontend",
    "enabled": True,
    "created_at": "2026-03-01T12:00:00Z",
    "created_by": "admin:ops",
    "failing_since": None,
    "disabled_reason": None,
}
_DELIVERY: dict[str, Any] = {
    "delivery_id": "msg_0f8f7d0e58a14a8e8f5b3f1c2f1f7c55",
    "event": "run.failed",
    "attempt": 1,
    "at": "2026-03-01T12:05:00.2Z",
    "status_code": 503,
    "duration_ms": 41,
    "error": "the receiver answered 503",
    "next_attempt_at": "2026-03-01T12:05:05.6Z",
}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


def _order(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [fields]})


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


_Event = Literal[
    EventType.RUN_SUCCEEDED,
    EventType.RUN_FAILED,
    EventType.RUN_HELD,
    EventType.RUN_CANCELLED,
    EventType.FEED_PUBLISHED,
]
_Url = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_URL)]
_Description = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_DESCRIPTION),
]
_URL_RULE = (
    "`https`, port 443 or 8443, no user, no fragment; what its name resolves to must be public."
)


class _Chosen(BaseModel):
    """What events are to be told, each once."""

    @field_validator("events", check_fields=False)
    @classmethod
    def _refuse_repeated(cls, events: list[EventType]) -> list[EventType]:
        if repeated := [event for event, count in Counter(events).items() if count > 1]:
            raise ValueError(f"each event once; named again: {', '.join(repeated)}")
        return events


class WebhookOrder(_Chosen):
    """What `POST /v1/tenants/{tenant_id}/webhooks` takes."""

    model_config = _order(url=_URL, events=["feed.published", "run.failed"])

    url: _Url = Field(description=_URL_RULE)
    events: list[_Event] = Field(min_length=1, max_length=len(SUBSCRIBABLE))
    description: _Description | None = Field(None, description="For people.")


class WebhookPatch(_Chosen):
    """What `PATCH` of a webhook takes: what is named is changed, and nothing else."""

    model_config = _order(enabled=True)

    url: _Url = Field("", description=_URL_RULE, json_schema_extra=_without_default)
    events: list[_Event] = Field(
        [], min_length=1, max_length=len(SUBSCRIBABLE), json_schema_extra=_without_default
    )
    enabled: bool = Field(
        True,
        strict=True,
        description="True also begins anew with one that the system has disabled.",
        json_schema_extra=_without_default,
    )
    description: _Description | None = Field(
        None, description="For people.", json_schema_extra=_without_default
    )

    @property
    def changes(self) -> dict[str, Any]:
        """What is named, as a webhook has it."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        return {**named, "events": tuple(self.events)} if "events" in named else named


class ListedWebhook(BaseModel):
    """A webhook, without its secret."""

    model_config = _example(**_WEBHOOK)

    webhook_id: str
    url: str
    events: list[_Event]
    description: str | None
    enabled: bool
    created_at: datetime
    created_by: str | None
    failing_since: datetime | None = Field(
        description="The first failure since the last success; five days of them disable it."
    )
    disabled_reason: DisabledReason | None = Field(
        description="Why the system has disabled it; null where it has not."
    )

    @classmethod
    def of(cls, webhook: Webhook, **more: Any) -> ListedWebhook:
        """Return what those outside see of a webhook."""
        own = {name: getattr(webhook, name) for name in ListedWebhook.model_fields}
        return cls(**{**own, "events": list(webhook.events), **more})


class NewWebhook(ListedWebhook):
    """A webhook that has just been made, with its secret, shown this once."""

    model_config = _example(**_WEBHOOK, secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw...")  # noqa: S106 - no one's

    secret: str = Field(description="Signs what is sent, as Standard Webhooks 1.0.0 says.")


class NewSecret(BaseModel):
    """A webhook's new secret, shown this once."""

    model_config = _example(
        webhook_id=_ID,
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw...",  # noqa: S106 - no one's
        previous_secret_until="2026-03-02T12:00:00Z",  # noqa: S106 - an instant
    )

    webhook_id: str
    secret: str
    previous_secret_until: datetime = Field(
        description="Until then the secret before signs too: verify by either."
    )


class WebhookList(BaseModel):
    """A tenant's webhooks, in the order in which they were made."""

    model_config = _example(webhooks=[_WEBHOOK])

    webhooks: list[ListedWebhook]


class TrialDelivery(BaseModel):
    """A delivery that tries a webhook out."""

    model_config = _example(delivery_id=_DELIVERY["delivery_id"])

    delivery_id: str = Field(description="The `webhook-id` of what is sent.")


class ListedDelivery(BaseModel):
    """One try to deliver an event."""

    delivery_id: str = Field(description="The `webhook-id` of all tries to deliver the event.")
    event: EventType
    attempt: int = Field(description="From 1.")
    at: datetime
    status_code: int | None = Field(description="Null where nobody answered.")
    duration_ms: int
    error: str | None = Field(description="Null of a success.")
    next_attempt_at: datetime | None = Field(description="Set on the last try, if one follows.")

    @classmethod
    def of(cls, one: Try) -> ListedDelivery:
        """Return what those outside see of a try."""
        attempt = one.attempt
        return cls(
            delivery_id=one.event_id,
            event=one.event_type,
            attempt=one.number,
            at=attempt.at,
            status_code=attempt.status_code,
            duration_ms=attempt.duration_ms,
            error=attempt.error,
            next_attempt_at=one.next_attempt_at,
        )


class DeliveryList(BaseModel):
    """A page of tries, those of the last event first."""

    model_config = _example(deliveries=[_DELIVERY], next_cursor=None)

    deliveries: list[ListedDelivery]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page.")
