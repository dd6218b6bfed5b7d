"""Links to a tenant's feed and to its suppliers' pages: create, list and delete.

A link's URL appears only in the response that creates it.
"""

import secrets
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http import problems, request_parsing
from relay_dagster.api.http.error_codes import STORED_CONFIG, responds_with
from relay_dagster.api.http.request_parsing import Limit, TenantId, request_body
from relay_dagster.api.routes.tenants import find_config, require_tenant
from relay_dagster.api.routes.uploads import input_with_uploads
from relay_dagster.api.security import auth
from relay_dagster.aws.dynamodb import link_store
from relay_dagster.aws.dynamodb.codec import by_time, digest_of
from relay_dagster.aws.dynamodb.cursors import page_by_time
from relay_dagster.aws.dynamodb.link_store import LinkKind
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire import access as wire

routes = request_parsing.router("feeds")
_log = event_log()
_FEED_LINK_LIFE = timedelta(days=400)
_MAX_SUPPLIER_LINK_LIFE = timedelta(days=366)
_CREATION_ERRORS = (
    "TENANT_CLOSING",
    "LINK_QUOTA_EXCEEDED",
    "PUBLIC_URL_MISSING",
)
_URL_PREFIXES = {LinkKind.FEED: "/f/", LinkKind.SUPPLIER: "/s/"}
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
    require_tenant(call.platform, tenant_id)
    expires_at = body.expires_at or utc_now() + _FEED_LINK_LIFE
    link_id, url = _create_link(
        call,
        tenant_id,
        LinkKind.FEED,
        body.name,
        expires_at,
        channel_id=body.channel_id,
    )
    response.headers["Cache-Control"] = "no-store"
    return wire.NewFeedLink(link_id=link_id, url=url)


@routes.get("/v1/tenants/{tenant_id}/feed-links")
def list_feed_links(
    tenant_id: TenantId, call: auth.MayRead
) -> wire.FeedLinkList:
    """List a tenant's links to its feed, oldest first. The URLs are not included."""
    require_tenant(call.platform, tenant_id)
    links = call.platform.links.of_tenant(tenant_id, LinkKind.FEED)
    return wire.FeedLinkList(
        feed_links=[wire.ListedFeedLink.of(link) for link in links]
    )


@routes.delete("/v1/tenants/{tenant_id}/feed-links/{link_id}", status_code=204)
@responds_with("LINK_NOT_FOUND")
def delete_feed_link(
    tenant_id: TenantId, link_id: _LinkId, call: auth.MayConfigure
) -> None:
    """Delete a link to a tenant's feed. The link stops working immediately."""
    _delete_link(call, tenant_id, link_id, LinkKind.FEED)


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
    input_with_uploads(
        find_config(call.platform, tenant_id), call.platform, body.vendor_id
    )
    if body.expires_at > utc_now() + _MAX_SUPPLIER_LINK_LIFE:
        fault = ConfigFault("expires_at", "must be at most a year ahead")
        raise problems.invalid_request([fault])
    link_id, url = _create_link(
        call,
        tenant_id,
        LinkKind.SUPPLIER,
        body.name,
        body.expires_at,
        vendor_id=body.vendor_id,
    )
    response.headers["Cache-Control"] = "no-store"
    return wire.NewSupplierLink(link_id=link_id, url=url)


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
    require_tenant(call.platform, tenant_id)
    links = call.platform.links.of_tenant(tenant_id, LinkKind.SUPPLIER)
    links_by_time = {
        by_time(link.created_at, link.link_id): link for link in links
    }
    page, next_cursor = page_by_time(links_by_time, limit, cursor)
    return wire.SupplierLinkList(
        supplier_links=[wire.ListedSupplierLink.of(link) for link in page],
        next_cursor=next_cursor,
    )


@routes.delete(
    "/v1/tenants/{tenant_id}/supplier-links/{link_id}", status_code=204
)
@responds_with("LINK_NOT_FOUND")
def delete_supplier_link(
    tenant_id: TenantId, link_id: _LinkId, call: auth.MayUpload
) -> None:
    """Delete a supplier's link. The link stops working immediately."""
    _delete_link(call, tenant_id, link_id, LinkKind.SUPPLIER)


# --- both kinds of links ------------------------------------------------------------


def _create_link(
    call: auth.Call,
    tenant_id: str,
    kind: LinkKind,
    name: str,
    expires_at: datetime,
    *,
    vendor_id: str | None = None,
    channel_id: str | None = None,
) -> tuple[str, str]:
    """Store a new link; return its ID and its URL, whose token is not stored."""
    now = utc_now()
    if expires_at <= now:
        fault = ConfigFault("expires_at", "must be in the future")
        raise problems.invalid_request([fault])
    public_url = call.platform.settings.public_url
    if public_url is None:
        message = (
            "links require RELAY_PUBLIC_URL; set it to the API's public URL in its "
            "environment"
        )
        raise problems.ProblemError("PUBLIC_URL_MISSING", message)
    token = secrets.token_urlsafe(32)
    digest = digest_of(token)
    link = link_store.Link(
        link_id=link_store.link_id_of(digest),
        tenant_id=tenant_id,
        kind=kind,
        digest=digest,
        name=name,
        created_at=now,
        created_by=call.caller.id,
        expires_at=expires_at,
        vendor_id=vendor_id,
        channel_id=channel_id,
    )
    call.platform.links.add(link, call.origin)
    _log.info(f"{kind}_link_created", tenant_id=tenant_id, link_id=link.link_id)
    return link.link_id, f"{public_url}{_URL_PREFIXES[kind]}{token}"


def _delete_link(
    call: auth.Call, tenant_id: str, link_id: str, kind: LinkKind
) -> None:
    if not call.platform.links.remove(tenant_id, link_id, kind, call.origin):
        message = f"tenant {tenant_id} has no link {link_id}; check the link id"
        raise problems.ProblemError("LINK_NOT_FOUND", message)
    _log.info(f"{kind}_link_deleted", tenant_id=tenant_id, link_id=link_id)
