"""How a tenant's webhooks change: rules that take all of them and return what is to be.

They are pure; ``aws/dynamodb/webhook_store.py`` applies them to what is stored.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from relay_dagster.webhooks.errors import TooManyWebhooksError, UnknownWebhookError
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


def find(webhooks: Webhooks, tenant_id: str, webhook_id: str) -> Webhook:
    """Return one of a tenant's webhooks.

    Raises:
        UnknownWebhookError: there is none with that id.
    """
    for webhook in webhooks:
        if webhook.webhook_id == webhook_id:
            return webhook
    raise UnknownWebhookError(tenant_id, webhook_id)


def added(webhook: Webhook) -> WebhooksRule:
    """Add one; `TooManyWebhooksError` where the tenant has as many as it may have."""

    def rule(webhooks: Webhooks) -> Webhooks:
        if len(webhooks) >= MAX_WEBHOOKS:
            raise TooManyWebhooksError(webhook.tenant_id)
        return *webhooks, webhook

    return rule


def removed(tenant_id: str, webhook_id: str) -> WebhooksRule:
    """Remove one; `UnknownWebhookError` where there is none."""

    def rule(webhooks: Webhooks) -> Webhooks:
        gone = find(webhooks, tenant_id, webhook_id)
        return tuple(each for each in webhooks if each is not gone)

    return rule


def edited(tenant_id: str, webhook_id: str, edit: Edit) -> WebhooksRule:
    """Change one; `UnknownWebhookError` where there is none."""

    def rule(webhooks: Webhooks) -> Webhooks:
        before = find(webhooks, tenant_id, webhook_id)
        return tuple(edit(each) if each is before else each for each in webhooks)

    return rule


# --- of one webhook -----------------------------------------------------------------------------


def updated(now: datetime, **changes: Any) -> Edit:
    """Change what people choose; one that is enabled, or has moved, begins anew.

    Events from before ``now`` are not for one that is enabled by it.
    """
    if "enabled" in changes:
        changes["disabled_reason"] = None
    if changes.get("enabled") or "url" in changes:
        changes["failing_since"] = None

    def edit(webhook: Webhook) -> Webhook:
        is_anew = changes.get("enabled") and not webhook.enabled
        return replace(webhook, **changes, enabled_at=now if is_anew else webhook.enabled_at)

    return edit


def rotated(secret: str, now: datetime) -> Edit:
    """Sign with a new secret; the one before signs too for a while, an older one no more."""

    def edit(webhook: Webhook) -> Webhook:
        until = now + OLD_SECRET_LIFE
        return replace(
            webhook,
            secret=secret,
            previous_secret=webhook.secret,
            previous_secret_until=until,
        )

    return edit


def disabled(reason: DisabledReason) -> Edit:
    """Send nothing to it any more, until somebody enables it; one that is disabled stays so."""

    def edit(webhook: Webhook) -> Webhook:
        if not webhook.enabled:
            return webhook
        return replace(webhook, enabled=False, disabled_reason=reason)

    return edit


def failing(since: datetime) -> Edit:
    """Note a failure: the first since the last success counts."""

    def edit(webhook: Webhook) -> Webhook:
        return replace(webhook, failing_since=webhook.failing_since or since)

    return edit


def delivered(webhook: Webhook) -> Webhook:
    """Note a success: the failures before it count no more."""
    return replace(webhook, failing_since=None)
