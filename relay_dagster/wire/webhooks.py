"""Webhooks, and every attempt to deliver an event to one. Instants are UTC.

A secret is shown where it is made, and once.
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
]
_Url = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_URL),
    Field(
        description="`https`, port 443 or 8443, no user, no fragment; what its name resolves to "
        "must be public."
    ),
]
_Events = Annotated[list[_Event], Field(min_length=1, max_length=len(SUBSCRIBABLE))]
_Description = Annotated[
    Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
    ]
    | None,
    Field(description="For people."),
]


def _without_default(schema: dict[str, Any]) -> None:
    del schema["default"]


class _Chosen(base.RequestBody):
    """The events that are to be sent, each once."""

    _no_repeats = field_validator("events", check_fields=False)(base.each_once("event"))


class WebhookRequest(_Chosen):
    """The body of `POST /v1/tenants/{tenant_id}/webhooks`."""

    url: _Url
    events: _Events
    description: _Description = None


class WebhookPatchRequest(_Chosen):
    """The body of `PATCH` of a webhook: the fields that it names are changed, and no others."""

    url: _Url = Field("", json_schema_extra=_without_default)
    events: _Events = Field([], json_schema_extra=_without_default)
    enabled: bool = Field(
        True,
        strict=True,
        description="True also begins anew with one that the system has disabled.",
        json_schema_extra=_without_default,
    )
    description: _Description = Field(None, json_schema_extra=_without_default)

    @property
    def changes(self) -> dict[str, Any]:
        """The named fields, as a webhook has them."""
        named = {name: getattr(self, name) for name in self.model_fields_set}
        return {**named, "events": tuple(self.events)} if "events" in named else named


class ListedWebhook(base.ResponseBody):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    events: list[Annotated[_Event, base.Open()]]
    description: str | None = None
    enabled: bool
    created_at: datetime
    created_by: str | None = None
    failing_since: datetime | None = Field(
        None,
        description="The first failure since the last success; five days of them disable it.",
    )
    disabled_reason: Annotated[DisabledReason, base.Open()] | None = Field(
        None, description="Why the system has disabled it; null where it has not."
    )


class NewWebhook(ListedWebhook):
    """A webhook that has just been made, with its secret, shown this once."""

    secret: str = Field(
        description="Signs what is sent, as Standard Webhooks 1.0.0 says."
    )


class NewSecret(base.ResponseBody):
    """A webhook's new secret, shown this once."""

    webhook_id: str
    secret: str
    previous_secret_until: datetime = Field(
        description="Until then the secret before signs too: verify by either."
    )


class WebhookList(base.ResponseBody):
    """A tenant's webhooks, in the order in which they were made."""

    webhooks: list[ListedWebhook]


class TrialDelivery(base.ResponseBody):
    """A delivery that tries a webhook out."""

    delivery_id: str = Field(description="The `webhook-id` of what is sent.")


class ListedDelivery(base.ResponseBody):
    """One try to deliver an event."""

    delivery_id: str = Field(
        description="The `webhook-id` of all tries to deliver the event."
    )
    event: Annotated[EventType, base.Open()]
    attempt: int = Field(description="From 1.")
    at: datetime
    status_code: int | None = Field(None, description="Null where nobody answered.")
    duration_ms: int
    error: str | None = Field(None, description="Null of a success.")
    next_attempt_at: datetime | None = Field(
        None, description="Set on the last try, if one follows."
    )


class DeliveryList(base.Page):
    """A page of tries, those of the last event first."""

    deliveries: list[ListedDelivery]
    next_cursor: base.NextCursor
