"""A tenant's webhooks: create, list, change, delete and test; and their secrets.

This is HTTP only. The rules of ``webhooks/`` change webhooks. The sender, not the API,
sends events and records the outcome of each attempt, without the receiver's words. A
webhook's URL is judged by its text when it is stored; the sender judges what its name
resolves to, at every attempt. A secret appears only in the response that creates it.
"""

from typing import Annotated, Any

from fastapi import Response

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import TenantId, WebhookId
from relay_dagster.http.security.auth import MayConfigure, MayRead
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.services import webhooks
from relay_dagster.tenants.audit import Action
from relay_dagster.webhooks import changes, model
from relay_dagster.wire import webhooks as wire

routes = request_parsing.router("webhooks")
_log = event_log()

_WEBHOOKS = "/v1/tenants/{tenant_id}/webhooks"
_WEBHOOK = _WEBHOOKS + "/{webhook_id}"


@routes.post(_WEBHOOKS, status_code=201)
@responds_with(
    "TENANT_CLOSING",
    "WEBHOOK_QUOTA_EXCEEDED",
    headers=("Cache-Control", "Location"),
)
def create_webhook(
    tenant_id: TenantId,
    call: MayConfigure,
    response: Response,
    body: Annotated[
        wire.WebhookRequest, request_parsing.request_body(wire.WebhookRequest)
    ],
) -> wire.NewWebhook:
    """Create a webhook: an endpoint that receives the tenant's events from now on.

    The response is the only place where the webhook's secret appears. A tenant can have
    10 webhooks.
    """
    webhook = webhooks.create_webhook(tenant_id, call, body)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Location"] = (
        f"/v1/tenants/{tenant_id}/webhooks/{webhook.webhook_id}"
    )
    return webhook


@routes.get(_WEBHOOKS)
def list_webhooks(tenant_id: TenantId, call: MayRead) -> wire.WebhookList:
    """List a tenant's webhooks, in the order in which they were created.

    For a key without the scope `config`, URLs have no path and no query, because these
    may be secret.
    """
    return webhooks.list_webhooks(tenant_id, call)


@routes.get(_WEBHOOK)
def get_webhook(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayRead
) -> wire.ListedWebhook:
    """Retrieve a webhook.

    For a key without the scope `config`, the URL has no path and no query, because
    these may be secret.
    """
    webhook = webhooks.find_webhook(call.platform, tenant_id, webhook_id)
    return webhooks.list_entry(webhook, call.caller)


@routes.patch(_WEBHOOK)
def update_webhook(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    call: MayConfigure,
    body: Annotated[
        wire.WebhookPatchRequest,
        request_parsing.request_body(wire.WebhookPatchRequest),
    ],
) -> wire.ListedWebhook:
    """Update a webhook. Fields that the request does not have are not changed.

    Events that were not delivered yet are sent to the new URL.
    """
    changed_fields = body.changes
    details: dict[str, Any] = {"changed": sorted(changed_fields)}
    for name in ("events", "enabled"):
        if name in changed_fields:
            details[name] = changed_fields[name]
    if "url" in changed_fields:
        details["receiver"] = webhooks.receiver_of(body.url, call.platform)
    webhooks.find_webhook(call.platform, tenant_id, webhook_id)
    now = utc_now()
    entry = call.origin.entry(
        Action.WEBHOOK_CHANGED, tenant_id, webhook_id, now, **details
    )
    rule = changes.edited(
        tenant_id, webhook_id, changes.updated(now, **changed_fields)
    )
    changed_webhooks = call.platform.webhooks.change(tenant_id, rule, entry)
    _log.info(
        "webhook_changed", tenant_id=tenant_id, webhook_id=webhook_id, **details
    )
    return wire.ListedWebhook.of(
        changes.find(changed_webhooks, tenant_id, webhook_id)
    )


@routes.delete(_WEBHOOK, status_code=204)
def delete_webhook(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayConfigure
) -> None:
    """Delete a webhook. Events that were not delivered yet are not sent to it."""
    webhooks.delete_webhook(tenant_id, webhook_id, call)


@routes.post(_WEBHOOK + "/secret:rotate")
@responds_with(headers=("Cache-Control",))
def rotate_webhook_secret(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    call: MayConfigure,
    response: Response,
) -> wire.NewSecret:
    """Replace a webhook's secret.

    The response is the only place where the new secret appears. For 24 hours, events
    are signed with the previous secret as well. If you rotate the secret twice within
    24 hours, the oldest of the three secrets stops being used.
    """
    webhooks.find_webhook(call.platform, tenant_id, webhook_id)
    now = utc_now()
    secret = model.new_secret()
    changed = ["secret"]
    entry = call.origin.entry(
        Action.WEBHOOK_CHANGED, tenant_id, webhook_id, now, changed=changed
    )
    rule = changes.edited(tenant_id, webhook_id, changes.rotated(secret, now))
    call.platform.webhooks.change(tenant_id, rule, entry)
    _log.info(
        "webhook_changed",
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        changed=changed,
    )
    response.headers["Cache-Control"] = "no-store"
    return wire.NewSecret(
        webhook_id=webhook_id,
        secret=secret,
        previous_secret_until=now + model.OLD_SECRET_LIFE,
    )


@routes.post(_WEBHOOK + "/test", status_code=202)
@responds_with("WEBHOOK_DISABLED")
def send_test_delivery(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayConfigure
) -> wire.TrialDelivery:
    """Send a test event, `webhook.test`, to one webhook.

    It is signed and retried like any other event. A tenant can send 10 test events a
    minute.
    """
    return webhooks.send_test_delivery(tenant_id, webhook_id, call)


@routes.get(_WEBHOOK + "/deliveries")
def list_deliveries(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    call: MayRead,
    limit: request_parsing.Limit = 50,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(max_length=200)
    ] = None,
) -> wire.DeliveryList:
    """List the attempts to deliver events to a webhook.

    The latest event comes first, and of each event the latest attempt. Events are kept
    for 30 days. A page may have fewer attempts than `limit`; as long as `next_cursor`
    is set, there may be more.
    """
    webhooks.find_webhook(call.platform, tenant_id, webhook_id)
    page = call.platform.webhooks.tries_of(
        tenant_id, webhook_id, limit=limit, cursor=cursor
    )
    deliveries = [
        wire.ListedDelivery.of(
            delivery.attempt,
            delivery_id=delivery.event_id,
            event=delivery.event_type,
            attempt=delivery.number,
            next_attempt_at=delivery.next_attempt_at,
        )
        for delivery in page.items
    ]
    return wire.DeliveryList(
        deliveries=deliveries, next_cursor=page.next_cursor
    )
