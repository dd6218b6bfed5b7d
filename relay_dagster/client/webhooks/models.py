"""Webhooks and their deliveries, as far as the commands look at them."""

from relay_dagster.client.api_models import Answer, Page


class ListedWebhook(Answer):
    """A webhook, without its secret."""

    webhook_id: str
    url: str
    events: list[str]
    description: str | None = None
    enabled: bool
    created_at: str
    created_by: str | None = None
    failing_since: str | None = None
    disabled_reason: str | None = None


class WebhookList(Answer):
    """All webhooks of a tenant."""

    webhooks: list[ListedWebhook]


class NewSecret(Answer):
    """What a webhook signs with, shown this once; ``previous_secret_until`` of a rotated one."""

    webhook_id: str
    secret: str
    previous_secret_until: str | None = None


class TrialDelivery(Answer):
    """A delivery that tries a webhook out."""

    delivery_id: str


class ListedDelivery(Answer):
    """One try to deliver an event."""

    delivery_id: str
    event: str
    attempt: int
    at: str
    status_code: int | None = None
    duration_ms: int
    error: str | None = None
    next_attempt_at: str | None = None


class DeliveryPage(Page):
    """Some tries, the last first; ``next_cursor`` leads to the next ones."""

    deliveries: list[ListedDelivery]
