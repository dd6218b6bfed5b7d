"""Webhooks, and the attempts to deliver events to them. Times are in UTC.

A webhook's secret appears only in the response that creates it.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from relay_core.domain.destination import MAX_URL
from relay_dagster.webhooks.model import SUBSCRIBABLE, DisabledReason, EventType
from relay_dagster.wire import base

_Event = Literal[
    EventType.RUN_SUCCEEDED,
    EventType.RUN_FAILED,
    EventType.RUN_HELD,
    EventType.RUN_CANCELLED,
    EventType.FEED_PUBLISHED,
    EventType.VENDOR_PULL_FAILED,
    EventType.FEED_DELIVERED,
    EventType.FEED_DELIVERY_FAILED,
]
_Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_URL),
    Field(
        description="An `https` URL on port 443 or 8443, without a user or a "
        "fragment. Its host must resolve to public addresses.",
    ),
]
_Events = Annotated[
    list[_Event],
    Field(min_length=1, max_length=len(SUBSCRIBABLE)),
]
_Description = Annotated[
    Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    ]
    | None,
    Field(description="A description for people."),
]


def _without_default(schema: dict[str, Any]) -> None:
    """Remove the default of a field that is only changed if it is sent."""
    del schema["default"]


class _EventsRequest(base.RequestBody):
    """A request body that has the events to send."""

    _unique_events = field_validator("events", check_fields=False)(
        base.unique_items("event"),
    )


class WebhookRequest(_EventsRequest):
    """The body of `POST /v1/tenants/{tenant_id}/webhooks`."""

    url: _Url
    events: _Events
    description: _Description = None


class WebhookPatchRequest(_EventsRequest):
    """The body of `PATCH /v1/tenants/{tenant_id}/webhooks/{webhook_id}`.

    Only the fields that it has are changed.
    """

    url: _Url = Field("", json_schema_extra=_without_default)
    events: _Events = Field([], json_schema_extra=_without_default)
    enabled: bool = Field(
        True,
        strict=True,
        description="True also enables a webhook that was disabled after failures.",
        json_schema_extra=_without_default,
    )
    description: _Description = Field(None, json_schema_extra=_without_default)

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that the request has, with values as in a `Webhook`."""
        values = {name: getattr(self, name) for name in self.model_fields_set}
        if "events" in values:
            values["events"] = tuple(self.events)
        return values


class ListedWebhook(base.ResponseBody):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    events: list[Annotated[_Event, base.OpenEnum()]]
    description: str | None = None
    enabled: bool
    created_at: datetime
    created_by: str | None = None
    failing_since: datetime | None = Field(
        None,
        description="The time of the first failure since the last success. After five "
        "days of failures the webhook is disabled.",
    )
    disabled_reason: Annotated[DisabledReason, base.OpenEnum()] | None = Field(
        None,
        description="The reason why the webhook was disabled automatically, or null.",
    )


class NewWebhook(ListedWebhook):
    """A new webhook. The secret appears only in this response."""

    secret: str = Field(
        description="The secret that signs events, according to Standard Webhooks "
        "1.0.0.",
    )


class NewSecret(base.ResponseBody):
    """A webhook's new secret. The secret appears only in this response."""

    webhook_id: str
    secret: str
    previous_secret_until: datetime = Field(
        description="The time until which events are signed with the previous secret "
        "as well. Accept either signature until then.",
    )


class WebhookList(base.ResponseBody):
    """A tenant's webhooks, in the order in which they were created."""

    webhooks: list[ListedWebhook]


class TrialDelivery(base.ResponseBody):
    """A test event that will be sent to a webhook."""

    delivery_id: str = Field(description="The `webhook-id` of the event.")


class ListedDelivery(base.ResponseBody):
    """An attempt to deliver an event."""

    delivery_id: str = Field(
        description="The `webhook-id` of the event, the same in all attempts.",
    )
    event: Annotated[EventType, base.OpenEnum()]
    attempt: int = Field(description="The number of the attempt, from 1.")
    at: datetime
    status_code: int | None = Field(
        None,
        description="The status of the response. Null without a response.",
    )
    duration_ms: int
    error: str | None = Field(
        None,
        description="The reason of a failure. Null for a success.",
    )
    next_attempt_at: datetime | None = Field(
        None,
        description="The time of the next attempt. Only the latest attempt has it.",
    )


class DeliveryList(base.Page):
    """A page of attempts, those of the latest event first."""

    deliveries: list[ListedDelivery]
    next_cursor: base.NextCursor
