"""Why a tenant's webhooks are not changed as asked."""

from __future__ import annotations

from relay_dagster.runs.webhooks.model import MOST_WEBHOOKS


class UnknownWebhookError(Exception):
    """The tenant has no such webhook."""

    def __init__(self, tenant_id: str, webhook_id: str) -> None:
        super().__init__(f"tenant {tenant_id} has no webhook {webhook_id}")


class TooManyWebhooksError(Exception):
    """The tenant has as many as it may have."""

    def __init__(self, tenant_id: str) -> None:
        super().__init__(f"tenant {tenant_id} has {MOST_WEBHOOKS} webhooks, the most it may have")


class WebhookDisabledError(Exception):
    """What is asked for is only for webhooks that are enabled."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"webhook {webhook_id} is disabled; enable it first")
