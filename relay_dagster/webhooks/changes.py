"""How a tenant's webhooks change: rules that take all of them and return the new ones.

Pure; ``aws/dynamodb/webhook_store.py`` applies them to the stored webhooks.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from relay_dagster.runs.transitions import rule
from relay_dagster.tenants.errors import QuotaExceededError, RefusedError
from relay_dagster.webhooks.model import (
    MAX_WEBHOOKS,
    OLD_SECRET_LIFE,
    DisabledReason,
    Webhook,
)

Webhooks = tuple[Webhook, ...]
"""All webhooks of a tenant, the oldest first."""
WebhooksRule = Callable[[Webhooks], Webhooks]
Edit = Callable[[Webhook], Webhook]


class UnknownWebhookError(RefusedError):
    """The tenant has no such webhook."""

    error_code = "WEBHOOK_NOT_FOUND"
    sentence = "tenant {} has no webhook {}; check the webhook id"


class WebhookDisabledError(RefusedError):
    """The request is only for webhooks that are enabled."""

    error_code = "WEBHOOK_DISABLED"
    sentence = "webhook {} is disabled; enable it first"


def find(webhooks: Webhooks, tenant_id: str, webhook_id: str) -> Webhook:
    """Return one of a tenant's webhooks.

    Raises:
        UnknownWebhookError: The tenant has no webhook with that id.
    """
    for webhook in webhooks:
        if webhook.webhook_id == webhook_id:
            return webhook
    raise UnknownWebhookError(tenant_id, webhook_id)


@rule
def added(webhooks: Webhooks, webhook: Webhook) -> Webhooks:
    """Add a webhook.

    Raises:
        QuotaExceededError: The tenant has as many webhooks as it may have.
    """
    if len(webhooks) >= MAX_WEBHOOKS:
        raise QuotaExceededError(
            "WEBHOOK_QUOTA_EXCEEDED",
            webhook.tenant_id,
            MAX_WEBHOOKS,
        )
    return *webhooks, webhook


@rule
def removed(webhooks: Webhooks, tenant_id: str, webhook_id: str) -> Webhooks:
    """Remove a webhook.

    Raises:
        UnknownWebhookError: The tenant has no webhook with that id.
    """
    removed_webhook = find(webhooks, tenant_id, webhook_id)
    return tuple(
        webhook for webhook in webhooks if webhook is not removed_webhook
    )


@rule
def edited(
    webhooks: Webhooks,
    tenant_id: str,
    webhook_id: str,
    edit: Edit,
) -> Webhooks:
    """Change one webhook.

    Raises:
        UnknownWebhookError: The tenant has no webhook with that id.
    """
    before = find(webhooks, tenant_id, webhook_id)
    return tuple(
        edit(webhook) if webhook is before else webhook for webhook in webhooks
    )


@rule
def updated(webhook: Webhook, /, now: datetime, **changes: Any) -> Webhook:
    """Change what people choose. Failures before a new URL or an enabling do not count.

    A webhook that is enabled again hears events from ``now`` on.
    """
    if "enabled" in changes:
        changes["disabled_reason"] = None
    if changes.get("enabled") or "url" in changes:
        changes["failing_since"] = None
    if changes.get("enabled") and not webhook.enabled:
        changes["enabled_at"] = now
    return replace(webhook, **changes)


@rule
def rotated(webhook: Webhook, secret: str, now: datetime) -> Webhook:
    """Sign with a new secret, and for a while with the one before it too."""
    return replace(
        webhook,
        secret=secret,
        previous_secret=webhook.secret,
        previous_secret_until=now + OLD_SECRET_LIFE,
    )


@rule
def disabled(webhook: Webhook, reason: DisabledReason) -> Webhook:
    """Disable a webhook until somebody enables it; a disabled one keeps its reason."""
    if not webhook.enabled:
        return webhook
    return replace(webhook, enabled=False, disabled_reason=reason)


@rule
def failing(webhook: Webhook, since: datetime) -> Webhook:
    """Note a failure: the first one since the last success counts."""
    return replace(webhook, failing_since=webhook.failing_since or since)


def delivered(webhook: Webhook) -> Webhook:
    """Note a success: the failures before it count no more."""
    return replace(webhook, failing_since=None)
