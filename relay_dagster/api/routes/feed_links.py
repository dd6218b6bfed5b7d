"""Links to a tenant's feed and to its suppliers' pages: create, list and delete.

A link's URL appears only in the response that creates it.
"""

from typing import Annotated

from fastapi import Path, Response

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import STORED_CONFIG, responds_with
from relay_dagster.api.request_parsing import Limit, TenantId, request_body
from relay_dagster.http.security import auth
from relay_dagster.logs import event_log
from relay_dagster.services import links
from relay_dagster.wire import access as wire

routes = request_parsing.router("feeds")
_log = event_log()
_CREATION_ERRORS = (
    "TENANT_CLOSING",
    "LINK_QUOTA_EXCEEDED",
    "PUBLIC_URL_MISSING",
)
_LinkId = Annotated[str, Path(description="The link's ID.")]


# --- links to the feed --------------------------------------------------------------


@routes.post("/v1/tenants/{tenant_id}/feed-links", status_code=201)
@responds_with(*_CREATION_ERRORS, headers=("Cache-Control",))
def create_feed_link(
    tenant_id: TenantId,
    call: auth.MayConfigure,
    response: Response,
    body: Annotated[wire.FeedLinkRequest, request_body(wire.FeedLinkRequest)],
) -> wire.NewFeedLink:
    """Create a link to a tenant's live feed, or to the file of a channel.

    Anyone who has the link can download the feed. The response is the only place where
    the link appears.
    """
    response.headers["Cache-Control"] = "no-store"
    return links.create_feed_link(tenant_id, call, body)


@routes.get("/v1/tenants/{tenant_id}/feed-links")
def list_feed_links(
    tenant_id: TenantId, call: auth.MayRead
) -> wire.FeedLinkList:
    """List a tenant's links to its feed, oldest first. The URLs are not included."""
    return links.list_feed_links(tenant_id, call)


@routes.delete("/v1/tenants/{tenant_id}/feed-links/{link_id}", status_code=204)
@responds_with("LINK_NOT_FOUND")
def delete_feed_link(
    tenant_id: TenantId, link_id: _LinkId, call: auth.MayConfigure
) -> None:
    """Delete a link to a tenant's feed. The link stops working immediately."""
    links.delete_feed_link(tenant_id, link_id, call)


# --- links to suppliers' pages ------------------------------------------------------


@routes.post("/v1/tenants/{tenant_id}/supplier-links", status_code=201)
@responds_with(
    *_CREATION_ERRORS,
    "UNKNOWN_VENDOR",
    *STORED_CONFIG,
    headers=("Cache-Control",),
)
def create_supplier_link(
    tenant_id: TenantId,
    call: auth.MayUpload,
    response: Response,
    body: Annotated[
        wire.SupplierLinkRequest, request_body(wire.SupplierLinkRequest)
    ],
) -> wire.NewSupplierLink:
    """Create a link to a page where a vendor's supplier uploads price lists.

    The response is the only place where the link appears.
    """
    # A vendor that does not upload cannot have a supplier's page.
    response.headers["Cache-Control"] = "no-store"
    return links.create_supplier_link(tenant_id, call, body)


@routes.get("/v1/tenants/{tenant_id}/supplier-links")
def list_supplier_links(
    tenant_id: TenantId,
    call: auth.MayRead,
    limit: Limit = 100,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(max_length=200)
    ] = None,
) -> wire.SupplierLinkList:
    """List a tenant's links for suppliers, oldest first. The URLs are not included."""
    return links.list_supplier_links(tenant_id, call, limit, cursor)


@routes.delete(
    "/v1/tenants/{tenant_id}/supplier-links/{link_id}", status_code=204
)
@responds_with("LINK_NOT_FOUND")
def delete_supplier_link(
    tenant_id: TenantId, link_id: _LinkId, call: auth.MayUpload
) -> None:
    """Delete a supplier's link. The link stops working immediately."""
    links.delete_supplier_link(tenant_id, link_id, call)


# --- both kinds of links ------------------------------------------------------------
