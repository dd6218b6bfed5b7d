"""Why a tenant's webhooks are not changed as asked; each has the code that callers are told."""

from typing import ClassVar

from relay_dagster.webhooks.model import MAX_WEBHOOKS


class WebhookError(Exception):
    """Base of every refusal."""

    error_code: ClassVar[str] = "webhook_error"


class UnknownWebhookError(WebhookError):
    """The tenant has no such webhook."""

    error_code = "WEBHOOK_NOT_FOUND"

    def __init__(self, tenant_id: str, webhook_id: str) -> None:
        super().__init__(f"tenant {tenant_id} has no webhook {webhook_id}")


class TooManyWebhooksError(WebhookError):
    """The tenant has as many as it may have."""

    error_code = "WEBHOOK_QUOTA_EXCEEDED"

    def __init__(self, tenant_id: str) -> None:
        super().__init__(
            f"tenant {tenant_id} has {MAX_WEBHOOKS} webhooks, the most it may have; delete one"
        )


class WebhookDisabledError(WebhookError):
    """What is asked for is only for webhooks that are enabled."""

    error_code = "WEBHOOK_DISABLED"

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"webhook {webhook_id} is disabled; enable it first")
