"""Overrides of single SKUs, and accepted prices of a quarantine.

This is HTTP only. The engine judges overrides, and the store changes them.
"""

from typing import Annotated

from fastapi import Query

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import STORED_CONFIG, responds_with
from relay_dagster.api.request_parsing import RunId, TenantId, request_body
from relay_dagster.http.security.auth import MayConfigure, MayRead, MayRelease
from relay_dagster.logs import event_log
from relay_dagster.services import overrides
from relay_dagster.wire import skus as wire

routes = request_parsing.router("skus")
_log = event_log()


# --- overrides ----------------------------------------------------------------------


@routes.post("/v1/tenants/{tenant_id}/overrides:put")
@responds_with("TENANT_CLOSING", "OVERRIDE_QUOTA_EXCEEDED", *STORED_CONFIG)
def put_overrides(
    tenant_id: TenantId,
    call: MayConfigure,
    body: Annotated[wire.OverridesRequest, request_body(wire.OverridesRequest)],
) -> wire.ChangedOverrides:
    """Create or replace overrides, one per SKU. The next run uses them.

    Either all overrides are stored or none. An accepted price of the SKU is kept.
    """
    return overrides.put_overrides(tenant_id, call, body)


@routes.get("/v1/tenants/{tenant_id}/overrides")
def list_overrides(
    tenant_id: TenantId,
    call: MayRead,
    limit: Annotated[
        int, Query(ge=1, le=1000, description="Maximum number of results.")
    ] = 100,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(max_length=1024)
    ] = None,
) -> wire.OverrideList:
    """List a tenant's overrides and accepted prices, sorted by SKU.

    Expired overrides are not included. A page may have fewer overrides than `limit`; as
    long as `next_cursor` is set, there are more.
    """
    return overrides.list_overrides(tenant_id, call, limit, cursor)


@routes.post("/v1/tenants/{tenant_id}/overrides:remove")
@responds_with("TENANT_CLOSING")
def remove_overrides(
    tenant_id: TenantId,
    call: MayConfigure,
    body: Annotated[
        wire.OverrideRemovalRequest, request_body(wire.OverrideRemovalRequest)
    ],
) -> wire.ChangedOverrides:
    """Remove the overrides and the accepted prices of SKUs.

    SKUs without an override are ignored.
    """
    return overrides.remove_overrides(tenant_id, call, body)


# --- accepted prices ----------------------------------------------------------------


@routes.post("/v1/runs/{run_id}/accept")
@responds_with(
    "RUN_NOT_MERGED",
    "SKU_NOT_QUARANTINED",
    "TENANT_CLOSING",
    "OVERRIDE_QUOTA_EXCEEDED",
    "ARTIFACTS_EXPIRED",
)
def accept_skus(
    run_id: RunId,
    call: MayRelease,
    body: Annotated[wire.AcceptRequest, request_body(wire.AcceptRequest)],
) -> wire.AcceptedSkus:
    """Accept new prices that a run quarantined. The next run publishes them.

    Either all prices are accepted or none. The run must have been published or be on
    hold. An accepted price is valid for 30 days.
    """
    return overrides.accept_skus(run_id, call, body)
