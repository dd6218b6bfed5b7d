"""Deliveries of the feed to a tenant's servers: list them, and send one now.

The sensors, or `relay server transfers`, make the deliveries.
"""

from typing import Annotated

from fastapi import Path

from relay_dagster.api.documented_responses import STORED_CONFIG, responds_with
from relay_dagster.api.request_parsing import TenantId, router
from relay_dagster.http.security.auth import MayRead, MayRelease
from relay_dagster.logs import event_log
from relay_dagster.services import deliveries
from relay_dagster.wire.deliveries import FeedDelivery, FeedDeliveryList

routes = router("feeds")
_log = event_log()


@routes.get("/v1/tenants/{tenant_id}/deliveries")
@responds_with(*STORED_CONFIG)
def list_feed_deliveries(
    tenant_id: TenantId, call: MayRead
) -> FeedDeliveryList:
    """List a tenant's deliveries, with the file that each server got last."""
    return deliveries.deliveries_of(call.platform, tenant_id)


@routes.post(
    "/v1/tenants/{tenant_id}/deliveries/{delivery_id}/send",
    status_code=202,
)
@responds_with("FEED_NOT_FOUND", "TENANT_CLOSING", *STORED_CONFIG)
def send_feed_delivery(
    tenant_id: TenantId,
    delivery_id: Annotated[
        str,
        Path(description="The delivery's ID, as in the tenant's config."),
    ],
    call: MayRelease,
) -> FeedDelivery:
    """Send the whole live feed to a server now.

    If a delivery to the server is already running, this one starts when it is finished.
    """
    return deliveries.send_now(call, tenant_id, delivery_id)
