"""How a tenant's webhooks change: rules that take all of them and return what is to be.

They are pure; ``aws/dynamodb/webhook_store.py`` applies them to what is stored.
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
"""All that a tenant has, in the order in which they were made."""
WebhooksRule = Callable[[Webhooks], Webhooks]
Edit = Callable[[Webhook], Webhook]


class UnknownWebhookError(RefusedError):
    """The tenant has no such webhook."""

    error_code, sentence = "WEBHOOK_NOT_FOUND", "tenant {} has no webhook {}"


class WebhookDisabledError(RefusedError):
    """What is asked for is only for webhooks that are enabled."""

    error_code, sentence = "WEBHOOK_DISABLED", "webhook {} is disabled; enable it first"


def find(webhooks: Webhooks, tenant_id: str, webhook_id: str) -> Webhook:
    """Return one of a tenant's webhooks; `UnknownWebhookError` where there is none with that id."""
    for webhook in webhooks:
        if webhook.webhook_id == webhook_id:
            return webhook
    raise UnknownWebhookError(tenant_id, webhook_id)


@rule
def added(webhooks: Webhooks, webhook: Webhook) -> Webhooks:
    """Add one; `QuotaExceededError` where the tenant has as many as it may have."""
    if len(webhooks) >= MAX_WEBHOOKS:
        raise QuotaExceededError(
            "WEBHOOK_QUOTA_EXCEEDED", webhook.tenant_id, MAX_WEBHOOKS
        )
    return *webhooks, webhook


@rule
def removed(webhooks: Webhooks, tenant_id: str, webhook_id: str) -> Webhooks:
    """Remove one; `UnknownWebhookError` where there is none."""
    gone = find(webhooks, tenant_id, webhook_id)
    return tuple(each for each in webhooks if each is not gone)


@rule
def edited(webhooks: Webhooks, tenant_id: str, webhook_id: str, edit: Edit) -> Webhooks:
    """Change one; `UnknownWebhookError` where there is none."""
    before = find(webhooks, tenant_id, webhook_id)
    return tuple(edit(each) if each is before else each for each in webhooks)


@rule
def updated(webhook: Webhook, /, now: datetime, **changes: Any) -> Webhook:
    """Change what people choose; what is enabled, or has moved, begins anew with ``now``."""
    if "enabled" in changes:
        changes["disabled_reason"] = None
    if changes.get("enabled") or "url" in changes:
        changes["failing_since"] = None
    is_anew = changes.get("enabled") and not webhook.enabled
    return replace(
        webhook, **changes, enabled_at=now if is_anew else webhook.enabled_at
    )


@rule
def rotated(webhook: Webhook, secret: str, now: datetime) -> Webhook:
    """Sign with a new secret; the one before signs too for a while, an older one no more."""
    return replace(
        webhook,
        secret=secret,
        previous_secret=webhook.secret,
        previous_secret_until=now + OLD_SECRET_LIFE,
    )


@rule
def disabled(webhook: Webhook, reason: DisabledReason) -> Webhook:
    """Send nothing to it any more, until somebody enables it; one that is disabled stays so."""
    if not webhook.enabled:
        return webhook
    return replace(webhook, enabled=False, disabled_reason=reason)


@rule
def failing(webhook: Webhook, since: datetime) -> Webhook:
    """Note a failure: the first since the last success counts."""
    return replace(webhook, failing_since=webhook.failing_since or since)


def delivered(webhook: Webhook) -> Webhook:
    """Note a success: the failures before it count no more."""
    return replace(webhook, failing_since=None)
