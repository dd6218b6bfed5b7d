"""Links to a tenant's feed and to its suppliers' pages: create, list and delete.

Only the result of a creation has a link's URL.
"""

import secrets
from datetime import datetime, timedelta

from relay_core.domain.errors import ConfigFault
from relay_dagster.aws.dynamodb import link_store
from relay_dagster.aws.dynamodb.codec import by_time, digest_of
from relay_dagster.aws.dynamodb.cursors import page_by_time
from relay_dagster.aws.dynamodb.link_store import LinkKind
from relay_dagster.http import problems
from relay_dagster.http.security.auth import Call
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.tenants import find_config, require_tenant
from relay_dagster.services.uploads import input_with_uploads
from relay_dagster.wire import access as wire

_log = event_log()

_FEED_LINK_LIFE = timedelta(days=400)
_MAX_SUPPLIER_LINK_LIFE = timedelta(days=366)
_URL_PREFIXES = {LinkKind.FEED: "/f/", LinkKind.SUPPLIER: "/s/"}


def create_feed_link(
    tenant_id: str,
    call: Call,
    body: wire.FeedLinkRequest,
) -> wire.NewFeedLink:
    """Create a link to a tenant's live feed, or to the file of a channel.

    Raises:
        UnknownTenantError: The tenant has no config.
        ProblemError: The link would already have expired, or the API has no public URL.
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
    return wire.NewFeedLink(link_id=link_id, url=url)


def list_feed_links(tenant_id: str, call: Call) -> wire.FeedLinkList:
    """Return a tenant's links to its feed, oldest first, without their URLs."""
    require_tenant(call.platform, tenant_id)
    links = call.platform.links.of_tenant(tenant_id, LinkKind.FEED)
    return wire.FeedLinkList(
        feed_links=[wire.ListedFeedLink.of(link) for link in links]
    )


def delete_feed_link(tenant_id: str, link_id: str, call: Call) -> None:
    """Delete a link to a tenant's feed.

    Raises:
        ProblemError: The tenant has no such link (404).
    """
    _delete_link(call, tenant_id, link_id, LinkKind.FEED)


def create_supplier_link(
    tenant_id: str,
    call: Call,
    body: wire.SupplierLinkRequest,
) -> wire.NewSupplierLink:
    """Create a link to a page where a vendor's supplier uploads price lists.

    Raises:
        UnknownTenantError: The tenant has no config.
        ProblemError: The vendor takes no uploads, the link would expire in the past or
            too late, or the API has no public URL.
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
    return wire.NewSupplierLink(link_id=link_id, url=url)


def list_supplier_links(
    tenant_id: str,
    call: Call,
    limit: int = 100,
    cursor: str | None = None,
) -> wire.SupplierLinkList:
    """Return a page of a tenant's links for suppliers, oldest first, without URLs."""
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


def delete_supplier_link(tenant_id: str, link_id: str, call: Call) -> None:
    """Delete a supplier's link.

    Raises:
        ProblemError: The tenant has no such link (404).
    """
    _delete_link(call, tenant_id, link_id, LinkKind.SUPPLIER)


def _create_link(
    call: Call,
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
    call: Call, tenant_id: str, link_id: str, kind: LinkKind
) -> None:
    if not call.platform.links.remove(tenant_id, link_id, kind, call.origin):
        message = f"tenant {tenant_id} has no link {link_id}; check the link id"
        raise problems.ProblemError("LINK_NOT_FOUND", message)
    _log.info(f"{kind}_link_deleted", tenant_id=tenant_id, link_id=link_id)
