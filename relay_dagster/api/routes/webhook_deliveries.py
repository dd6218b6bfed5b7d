"""What a webhook is sent: a try of it, and what became of each try to deliver an event.

Nothing is sent from here: the sender does that, and writes down what came of it; never what a
receiver says.
"""

from typing import Annotated

from fastapi import Query

from relay_dagster.api.http.dependencies import PlatformDep, WebhookTestsDep
from relay_dagster.api.http.error_codes import INVALID_REQUEST, answers
from relay_dagster.api.http.problems import exceeded
from relay_dagster.api.http.request_parsing import CURSOR, TenantId, WebhookId, router
from relay_dagster.api.routes.webhooks import find_webhook
from relay_dagster.api.security.auth import MayConfigure, MayRead
from relay_dagster.api.security.rate_limits import RateLimitedError
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.webhooks.errors import WebhookDisabledError
from relay_dagster.webhooks.events import trial_event
from relay_dagster.wire.webhooks import DeliveryList, ListedDelivery, TrialDelivery

routes = router("webhooks")
_log = event_log()

_PLACE = "/v1/tenants/{tenant_id}/webhooks/{webhook_id}"


@routes.post(
    f"{_PLACE}/test",
    status_code=202,
    responses=answers("TENANT_NOT_FOUND", "WEBHOOK_NOT_FOUND", "WEBHOOK_DISABLED"),
)
def send_test_delivery(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    caller: MayConfigure,
    platform: PlatformDep,
    tests: WebhookTestsDep,
) -> TrialDelivery:
    """Have a `webhook.test` sent to a webhook, and to no other: signed and tried like any event.

    A tenant may ask for 10 a minute.
    """
    webhook = find_webhook(platform, tenant_id, webhook_id)
    if not webhook.enabled:
        raise WebhookDisabledError(webhook_id)
    try:
        tests.take(tenant_id)
    except RateLimitedError as error:
        raise exceeded("RATE_LIMITED", str(error), wait_seconds=error.wait_seconds) from error
    event = trial_event(tenant_id, webhook_id, utc_now())
    platform.webhooks.add_event(event)
    sent = {"tenant_id": tenant_id, "webhook_id": webhook_id, "delivery_id": event.event_id}
    _log.info("webhook_test_asked", **sent)
    return TrialDelivery(delivery_id=event.event_id)


@routes.get(
    f"{_PLACE}/deliveries",
    responses=answers("TENANT_NOT_FOUND", "WEBHOOK_NOT_FOUND", INVALID_REQUEST),
)
def list_deliveries(
    tenant_id: TenantId,
    webhook_id: WebhookId,
    caller: MayRead,
    platform: PlatformDep,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at the most.")] = 50,
    cursor: Annotated[str | None, Query(max_length=200, description=CURSOR)] = None,
) -> DeliveryList:
    """List the tries to deliver to a webhook: those of the last event first, of each the last one.

    Events are kept for 30 days. A page may be shorter than `limit`; as long as it has a
    `next_cursor` there may be more.
    """
    find_webhook(platform, tenant_id, webhook_id)
    page = platform.webhooks.tries_of(tenant_id, webhook_id, limit=limit, cursor=cursor)
    deliveries = [
        ListedDelivery.of(
            each.attempt,
            delivery_id=each.event_id,
            event=each.event_type,
            attempt=each.number,
            next_attempt_at=each.next_attempt_at,
        )
        for each in page.tries
    ]
    return DeliveryList(deliveries=deliveries, next_cursor=page.next_cursor)
