"""Links to a tenant's feed and for its suppliers: made, listed, revoked.

A link is shown where it is made, and once.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import ORDER_BODY, answers
from relay_dagster.api.http.openapi_headers import carrying
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import TenantId, order, router
from relay_dagster.api.routes.tenants import find_config, require_tenant
from relay_dagster.api.routes.uploads import prefix_of, vendor_of
from relay_dagster.api.security.api_keys import Caller
from relay_dagster.api.security.auth import Acting, MayConfigure, MayRead, MayUpload
from relay_dagster.aws.dynamodb.api_key_store import digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, link_id_of
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Origin
from relay_dagster.wire.access import (
    FeedLinkList,
    FeedLinkOrder,
    ListedFeedLink,
    ListedSupplierLink,
    NewFeedLink,
    NewSupplierLink,
    SupplierLinkList,
    SupplierLinkOrder,
)
from relay_dagster.wiring import Platform

routes = router("feeds")
_log = event_log()
_MAX_LIFE = timedelta(days=366)


@routes.post(
    "/v1/tenants/{tenant_id}/feed-links",
    status_code=201,
    responses={
        **carrying(201, "Cache-Control"),
        **answers(
            "TENANT_NOT_FOUND",
            "TENANT_CLOSING",
            "LINK_QUOTA_EXCEEDED",
            "PUBLIC_URL_MISSING",
            *ORDER_BODY,
        ),
    },
)
def create_feed_link(
    tenant_id: TenantId,
    caller: MayConfigure,
    acting: Acting,
    platform: PlatformDep,
    asked: Annotated[FeedLinkOrder, order(FeedLinkOrder)],
    response: Response,
) -> NewFeedLink:
    """Make a link that gives whoever has it the feed in force. It is shown this once."""
    require_tenant(platform.tenants, tenant_id)
    link = Made(tenant_id, LinkKind.FEED, asked.name, asked.expires_at)
    link_id, token = link.kept(caller, acting, platform)
    response.headers["Cache-Control"] = "no-store"
    return NewFeedLink(link_id=link_id, url=f"{platform.settings.public_url}/f/{token}")


@dataclass(frozen=True, slots=True)
class Made:
    """A link that is asked for."""

    tenant_id: str
    kind: LinkKind
    name: str
    expires_at: datetime | None
    vendor_id: str | None = None

    def kept(self, caller: Caller, acting: Origin, platform: Platform) -> tuple[str, str]:
        """Keep the link; return its id and its token, which nobody is told again.

        Raises:
            ProblemError: 422, it would be over; 409, nobody knows where this API is reached.
            LinkQuotaExceededError: there are as many as there may be.
            TenantClosingError: the tenant is being deleted.
        """
        now = utc_now()
        if self.expires_at is not None and self.expires_at <= now:
            message = "lies in the past; name a later instant"
            raise invalid_request([ConfigFault("expires_at", message)])
        if platform.settings.public_url is None:
            message = "a link needs RELAY_PUBLIC_URL, where this API is reached, in its environment"
            raise ProblemError("PUBLIC_URL_MISSING", message)
        token = secrets.token_urlsafe(32)
        digest = digest_of(token)
        link = Link(
            link_id=link_id_of(digest),
            tenant_id=self.tenant_id,
            kind=self.kind,
            digest=digest,
            name=self.name,
            created_at=now,
            created_by=caller.id,
            expires_at=self.expires_at,
            vendor_id=self.vendor_id,
        )
        platform.links.add(link, acting)
        facts = {"tenant_id": self.tenant_id, "link_id": link.link_id}
        _log.info(f"{self.kind}_link_created", **facts)
        return link.link_id, token


@routes.get("/v1/tenants/{tenant_id}/feed-links", responses=answers("TENANT_NOT_FOUND"))
def list_feed_links(tenant_id: TenantId, caller: MayRead, platform: PlatformDep) -> FeedLinkList:
    """List a tenant's links to its feed, the oldest first, without what they are called by."""
    require_tenant(platform.tenants, tenant_id)
    found = platform.links.of_tenant(tenant_id, LinkKind.FEED)
    return FeedLinkList(feed_links=[*map(ListedFeedLink.of, found)])


@routes.delete(
    "/v1/tenants/{tenant_id}/feed-links/{link_id}",
    status_code=204,
    responses=answers("TENANT_NOT_FOUND", "LINK_NOT_FOUND"),
)
def delete_feed_link(
    tenant_id: TenantId,
    link_id: Annotated[str, Path(description="What `POST` named it.")],
    caller: MayConfigure,
    acting: Acting,
    platform: PlatformDep,
) -> None:
    """Revoke a link to a tenant's feed; from now on it is nobody's."""
    _revoke(tenant_id, link_id, LinkKind.FEED, acting, platform)


def _revoke(
    tenant_id: str, link_id: str, kind: LinkKind, acting: Origin, platform: Platform
) -> None:
    if not platform.links.remove(tenant_id, link_id, kind, acting):
        raise ProblemError("LINK_NOT_FOUND", f"tenant {tenant_id} has no link {link_id}")
    _log.info(f"{kind}_link_deleted", tenant_id=tenant_id, link_id=link_id)


@routes.post(
    "/v1/tenants/{tenant_id}/supplier-links",
    status_code=201,
    responses={
        **carrying(201, "Cache-Control"),
        **answers(
            "TENANT_NOT_FOUND",
            "TENANT_CLOSING",
            "LINK_QUOTA_EXCEEDED",
            "PUBLIC_URL_MISSING",
            *ORDER_BODY,
            "UNKNOWN_VENDOR",
            "invalid_config",
            "unsupported_schema_version",
        ),
    },
)
def create_supplier_link(
    tenant_id: TenantId,
    caller: MayUpload,
    acting: Acting,
    platform: PlatformDep,
    asked: Annotated[SupplierLinkOrder, order(SupplierLinkOrder)],
    response: Response,
) -> NewSupplierLink:
    """Make a link to a page by which a vendor's supplier uploads lists. It is shown this once."""
    stored = find_config(platform.tenants, tenant_id)
    vendor = vendor_of(platform.tenants.parsed(stored), stored.version, asked.vendor_id)
    prefix_of(vendor)
    if asked.expires_at > utc_now() + _MAX_LIFE:
        raise invalid_request([ConfigFault("expires_at", "lies more than a year ahead")])
    link = Made(tenant_id, LinkKind.SUPPLIER, asked.name, asked.expires_at, asked.vendor_id)
    link_id, token = link.kept(caller, acting, platform)
    response.headers["Cache-Control"] = "no-store"
    return NewSupplierLink(link_id=link_id, url=f"{platform.settings.public_url}/s/{token}")


@routes.get("/v1/tenants/{tenant_id}/supplier-links", responses=answers("TENANT_NOT_FOUND"))
def list_supplier_links(
    tenant_id: TenantId, caller: MayRead, platform: PlatformDep
) -> SupplierLinkList:
    """List a tenant's links for suppliers, the oldest first, without what they are called by."""
    require_tenant(platform.tenants, tenant_id)
    found = platform.links.of_tenant(tenant_id, LinkKind.SUPPLIER)
    return SupplierLinkList(supplier_links=[*map(ListedSupplierLink.of, found)])


@routes.delete(
    "/v1/tenants/{tenant_id}/supplier-links/{link_id}",
    status_code=204,
    responses=answers("TENANT_NOT_FOUND", "LINK_NOT_FOUND"),
)
def delete_supplier_link(
    tenant_id: TenantId,
    link_id: Annotated[str, Path(description="What `POST` named it.")],
    caller: MayUpload,
    acting: Acting,
    platform: PlatformDep,
) -> None:
    """Revoke a supplier's link; from now on it is nobody's."""
    _revoke(tenant_id, link_id, LinkKind.SUPPLIER, acting, platform)
