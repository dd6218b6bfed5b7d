"""A tenant's webhooks: made, listed, changed, deleted, tried out; their secrets, each shown once.

HTTP alone: how webhooks change is ``webhooks/``. Nothing is sent from here: the sender does that,
and writes down the outcome of each try, never a receiver's words. A URL's text is judged where it
is stored; what its name resolves to, by the sender at every call.
"""

from typing import Annotated, Any
from urllib.parse import urlsplit

from relay_core.domain.destination import UnfitUrlError, judge_url
from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.error_codes import responds_with
from relay_dagster.api.http.problems import invalid_request
from relay_dagster.api.http.request_parsing import (
    Limit,
    TenantId,
    WebhookId,
    cursor_query,
    request_body,
    router,
)
from relay_dagster.api.routes.tenants import require_tenant
from relay_dagster.api.security.api_keys import Caller
from relay_dagster.api.security.auth import MayConfigure, MayRead
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.tenants.scopes import Scope
from relay_dagster.webhooks import changes as webhook_changes
from relay_dagster.webhooks import model
from relay_dagster.webhooks.model import trial_event
from relay_dagster.wire import webhooks as wire
from relay_dagster.wiring import Platform

routes = router("webhooks")
_log = event_log()

_PLACE = "/v1/tenants/{tenant_id}/webhooks"


def find_webhook(platform: Platform, tenant_id: str, webhook_id: str) -> model.Webhook:
    """Return one of a tenant's webhooks; `UnknownWebhookError` where there is none with that id."""
    known = platform.webhooks.of_tenant(tenant_id) if is_id(tenant_id) else ()
    return webhook_changes.find(known, tenant_id, webhook_id)


@routes.post(_PLACE, status_code=201)
@responds_with(
    "TENANT_CLOSING", "WEBHOOK_QUOTA_EXCEEDED", headers=("Cache-Control", "Location")
)
def create_webhook(
    tenant_id: TenantId,
    call: MayConfigure,
    asked: Annotated[wire.WebhookRequest, request_body(wire.WebhookRequest)],
) -> wire.NewWebhook:
    """Make a webhook: a URL that gets a tenant's events from now on. The secret is shown this once.

    A tenant has at most 10.
    """
    receiver = _receiver_of(asked.url, call.platform)
    require_tenant(call.platform, tenant_id)
    now = utc_now()
    made = model.Webhook(
        webhook_id=model.new_webhook_id(),
        tenant_id=tenant_id,
        url=asked.url,
        events=tuple(asked.events),
        description=asked.description,
        secret=model.new_secret(),
        created_at=now,
        created_by=call.caller.id,
    )
    details = {"receiver": receiver, "events": asked.events}
    entry = call.origin.entry(
        Action.WEBHOOK_CREATED, tenant_id, made.webhook_id, now, **details
    )
    call.platform.webhooks.change(tenant_id, webhook_changes.added(made), entry)
    _log.info(
        "webhook_created", tenant_id=tenant_id, webhook_id=made.webhook_id, **details
    )
    call.response.headers["Cache-Control"] = "no-store"
    call.response.headers["Location"] = (
        f"/v1/tenants/{tenant_id}/webhooks/{made.webhook_id}"
    )
    return wire.NewWebhook.of(made)


@routes.get(_PLACE)
def list_webhooks(tenant_id: TenantId, call: MayRead) -> wire.WebhookList:
    """List a tenant's webhooks in the order in which they were made.

    A key without `config` is shown no URL's path and query: they may be a secret.
    """
    require_tenant(call.platform, tenant_id)
    webhooks = call.platform.webhooks.of_tenant(tenant_id)
    return wire.WebhookList(webhooks=[_shown(each, call.caller) for each in webhooks])


@routes.get(f"{_PLACE}/{{webhook_id}}")
def get_webhook(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayRead
) -> wire.ListedWebhook:
    """Return a webhook as it stands; to a key without `config` without its URL's path and query."""
    return _shown(find_webhook(call.platform, tenant_id, webhook_id), call.caller)


@routes.patch(f"{_PLACE}/{{webhook_id}}")
def update_webhook(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    call: MayConfigure,
    asked: Annotated[wire.WebhookPatchRequest, request_body(wire.WebhookPatchRequest)],
) -> wire.ListedWebhook:
    """Change what is named of a webhook. What waits to be sent goes where it then leads."""
    changes = asked.changes
    details: dict[str, Any] = {"changed": sorted(changes)}
    details |= {
        name: changes[name] for name in ("events", "enabled") if name in changes
    }
    if "url" in changes:
        details["receiver"] = _receiver_of(asked.url, call.platform)
    find_webhook(call.platform, tenant_id, webhook_id)
    now = utc_now()
    entry = call.origin.entry(
        Action.WEBHOOK_CHANGED, tenant_id, webhook_id, now, **details
    )
    rule = webhook_changes.edited(
        tenant_id, webhook_id, webhook_changes.updated(now, **changes)
    )
    after = call.platform.webhooks.change(tenant_id, rule, entry)
    _log.info("webhook_changed", tenant_id=tenant_id, webhook_id=webhook_id, **details)
    return wire.ListedWebhook.of(webhook_changes.find(after, tenant_id, webhook_id))


@routes.delete(f"{_PLACE}/{{webhook_id}}", status_code=204)
def delete_webhook(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayConfigure
) -> None:
    """Delete a webhook; what waits to be sent to it is not sent."""
    webhook = find_webhook(call.platform, tenant_id, webhook_id)
    details = {"receiver": judge_url(webhook.url, allow_loopback=True).receiver}
    entry = call.origin.entry(
        Action.WEBHOOK_DELETED, tenant_id, webhook_id, utc_now(), **details
    )
    call.platform.webhooks.change(
        tenant_id, webhook_changes.removed(tenant_id, webhook_id), entry
    )
    _log.info("webhook_deleted", tenant_id=tenant_id, webhook_id=webhook_id)


@routes.post(f"{_PLACE}/{{webhook_id}}/secret:rotate")
@responds_with(headers=("Cache-Control",))
def rotate_webhook_secret(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayConfigure
) -> wire.NewSecret:
    """Make a new secret of a webhook, shown this once.

    The one before signs too for 24 hours; of three that were good within them the oldest is not.
    """
    find_webhook(call.platform, tenant_id, webhook_id)
    now, secret = utc_now(), model.new_secret()
    details = {"changed": ["secret"]}
    entry = call.origin.entry(
        Action.WEBHOOK_CHANGED, tenant_id, webhook_id, now, **details
    )
    rule = webhook_changes.edited(
        tenant_id, webhook_id, webhook_changes.rotated(secret, now)
    )
    call.platform.webhooks.change(tenant_id, rule, entry)
    _log.info("webhook_changed", tenant_id=tenant_id, webhook_id=webhook_id, **details)
    call.response.headers["Cache-Control"] = "no-store"
    until = now + model.OLD_SECRET_LIFE
    return wire.NewSecret(
        webhook_id=webhook_id, secret=secret, previous_secret_until=until
    )


@routes.post(f"{_PLACE}/{{webhook_id}}/test", status_code=202)
@responds_with("WEBHOOK_DISABLED")
def send_test_delivery(
    tenant_id: TenantId, webhook_id: WebhookId, call: MayConfigure
) -> wire.TrialDelivery:
    """Have a `webhook.test` sent to a webhook, and to no other: signed and tried like any event.

    A tenant may ask for 10 a minute.
    """
    webhook = find_webhook(call.platform, tenant_id, webhook_id)
    if not webhook.enabled:
        raise webhook_changes.WebhookDisabledError(webhook_id)
    call.parts.webhook_tests.take(tenant_id)
    event = trial_event(tenant_id, webhook_id, utc_now())
    call.platform.webhooks.add_event(event)
    sent = {
        "tenant_id": tenant_id,
        "webhook_id": webhook_id,
        "delivery_id": event.event_id,
    }
    _log.info("webhook_test_asked", **sent)
    return wire.TrialDelivery(delivery_id=event.event_id)


@routes.get(f"{_PLACE}/{{webhook_id}}/deliveries")
def list_deliveries(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    call: MayRead,
    limit: Limit = 50,
    cursor: Annotated[str | None, cursor_query(max_length=200)] = None,
) -> wire.DeliveryList:
    """List the tries to deliver to a webhook: those of the last event first, of each the last one.

    Events are kept for 30 days. A page may be shorter than `limit`; as long as it has a
    `next_cursor` there may be more.
    """
    find_webhook(call.platform, tenant_id, webhook_id)
    page = call.platform.webhooks.tries_of(
        tenant_id, webhook_id, limit=limit, cursor=cursor
    )
    deliveries = [
        wire.ListedDelivery.of(
            each.attempt,
            delivery_id=each.event_id,
            event=each.event_type,
            attempt=each.number,
            next_attempt_at=each.next_attempt_at,
        )
        for each in page.items
    ]
    return wire.DeliveryList(deliveries=deliveries, next_cursor=page.next_cursor)


def _shown(webhook: model.Webhook, caller: Caller) -> wire.ListedWebhook:
    if Scope.CONFIG in caller.scopes:
        return wire.ListedWebhook.of(webhook)
    url = urlsplit(webhook.url)
    return wire.ListedWebhook.of(webhook, url=f"{url.scheme}://{url.netloc}")


def _receiver_of(url: str, platform: Platform) -> str:
    """Return who answers at a URL, whose path may be a secret; 422: nothing is sent there."""
    allow_loopback = platform.settings.webhook_allow_loopback
    try:
        return judge_url(url, allow_loopback=allow_loopback).receiver
    except UnfitUrlError as error:
        raise invalid_request([ConfigFault("url", str(error))]) from error
