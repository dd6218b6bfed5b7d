"""A tenant's webhooks: create, list, find, delete and test them.

A webhook's URL is judged by its text when it is stored; the sender judges what its name
resolves to, at every attempt. Only the result of a creation has the secret.
"""

from urllib.parse import urlsplit

from relay_core.domain.destination import UnfitUrlError, judge_url
from relay_core.domain.errors import ConfigFault
from relay_dagster.http.problems import invalid_request
from relay_dagster.http.security.api_keys import Caller
from relay_dagster.http.security.auth import Call
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.tenants import require_tenant
from relay_dagster.tenants.audit import Action
from relay_dagster.tenants.scopes import Scope
from relay_dagster.webhooks import changes, model, run_events
from relay_dagster.wire import webhooks as wire
from relay_dagster.wiring import Platform

_log = event_log()


def create_webhook(
    tenant_id: str,
    call: Call,
    body: wire.WebhookRequest,
) -> wire.NewWebhook:
    """Create a webhook, and return it with its secret.

    Raises:
        ProblemError: Nothing may be sent to the URL (422).
        RefusedError: The tenant is being deleted, or has too many webhooks.
    """
    receiver = receiver_of(body.url, call.platform)
    require_tenant(call.platform, tenant_id)
    now = utc_now()
    webhook = model.Webhook(
        webhook_id=model.new_webhook_id(),
        tenant_id=tenant_id,
        url=body.url,
        events=tuple(body.events),
        description=body.description,
        secret=model.new_secret(),
        created_at=now,
        created_by=call.caller.id,
    )
    webhook_id = webhook.webhook_id
    details = {"receiver": receiver, "events": body.events}
    entry = call.origin.entry(
        Action.WEBHOOK_CREATED, tenant_id, webhook_id, now, **details
    )
    call.platform.webhooks.change(tenant_id, changes.added(webhook), entry)
    _log.info(
        "webhook_created", tenant_id=tenant_id, webhook_id=webhook_id, **details
    )
    return wire.NewWebhook.of(webhook)


def list_webhooks(tenant_id: str, call: Call) -> wire.WebhookList:
    """Return a tenant's webhooks as the caller may see them, oldest first."""
    require_tenant(call.platform, tenant_id)
    webhooks = call.platform.webhooks.of_tenant(tenant_id)
    return wire.WebhookList(
        webhooks=[list_entry(webhook, call.caller) for webhook in webhooks]
    )


def find_webhook(
    platform: Platform, tenant_id: str, webhook_id: str
) -> model.Webhook:
    """Return one of a tenant's webhooks.

    Raises:
        UnknownWebhookError: The tenant has no such webhook.
    """
    webhooks = (
        platform.webhooks.of_tenant(tenant_id) if is_id(tenant_id) else ()
    )
    return changes.find(webhooks, tenant_id, webhook_id)


def delete_webhook(tenant_id: str, webhook_id: str, call: Call) -> None:
    """Delete a webhook and its undelivered events.

    Raises:
        UnknownWebhookError: The tenant has no such webhook.
    """
    webhook = find_webhook(call.platform, tenant_id, webhook_id)
    receiver = judge_url(webhook.url, allow_loopback=True).receiver
    entry = call.origin.entry(
        Action.WEBHOOK_DELETED,
        tenant_id,
        webhook_id,
        utc_now(),
        receiver=receiver,
    )
    rule = changes.removed(tenant_id, webhook_id)
    call.platform.webhooks.change(tenant_id, rule, entry)
    _log.info("webhook_deleted", tenant_id=tenant_id, webhook_id=webhook_id)


def send_test_delivery(
    tenant_id: str, webhook_id: str, call: Call
) -> wire.TrialDelivery:
    """Store a test event for one webhook, which the sender delivers.

    Raises:
        UnknownWebhookError: The tenant has no such webhook.
        WebhookDisabledError: The webhook is disabled.
        RateLimitedError: The tenant sends too many test events.
    """
    webhook = find_webhook(call.platform, tenant_id, webhook_id)
    if not webhook.enabled:
        raise changes.WebhookDisabledError(webhook_id)
    call.parts.webhook_tests.take(tenant_id)
    event = run_events.trial_event(tenant_id, webhook_id, utc_now())
    call.platform.webhooks.add_event(event)
    _log.info(
        "webhook_test_asked",
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        delivery_id=event.event_id,
    )
    return wire.TrialDelivery(delivery_id=event.event_id)


def list_entry(webhook: model.Webhook, caller: Caller) -> wire.ListedWebhook:
    """Return a webhook as its caller may see it.

    Without the scope `config`, its URL has no path and no query, which may be secret.
    """
    if Scope.CONFIG in caller.scopes:
        return wire.ListedWebhook.of(webhook)
    url = urlsplit(webhook.url)
    return wire.ListedWebhook.of(webhook, url=f"{url.scheme}://{url.netloc}")


def receiver_of(url: str, platform: Platform) -> str:
    """Return the host and port of a webhook's URL, whose path may be secret.

    Raises:
        ProblemError: Nothing may be sent to the URL (422).
    """
    allow_loopback = platform.settings.webhook_allow_loopback
    try:
        return judge_url(url, allow_loopback=allow_loopback).receiver
    except UnfitUrlError as error:
        raise invalid_request([ConfigFault("url", str(error))]) from error
