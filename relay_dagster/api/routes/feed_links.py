"""Links to a tenant's feed: made, listed, revoked. A link is shown where it is made, and once."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import Path, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import ORDER_BODY, answers
from relay_dagster.api.http.openapi_headers import carrying
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import TenantId, order, router
from relay_dagster.api.routes.tenants import require_tenant
from relay_dagster.api.security.auth import Acting, MayConfigure, MayRead
from relay_dagster.aws.dynamodb.api_key_store import digest_of
from relay_dagster.aws.dynamodb.link_store import Link, LinkKind, link_id_of
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire.access import FeedLinkList, FeedLinkOrder, ListedFeedLink, NewFeedLink

routes = router("feeds")
_log = event_log()


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
    now, base = utc_now(), platform.settings.public_url
    if asked.expires_at is not None and asked.expires_at <= now:
        message = "lies in the past; name a later instant"
        raise invalid_request([ConfigFault("expires_at", message)])
    if base is None:
        message = "a link needs RELAY_PUBLIC_URL, where this API is reached, in its environment"
        raise ProblemError("PUBLIC_URL_MISSING", message)
    token = secrets.token_urlsafe(32)
    digest = digest_of(token)
    link = Link(
        link_id=link_id_of(digest),
        tenant_id=tenant_id,
        kind=LinkKind.FEED,
        digest=digest,
        name=asked.name,
        created_at=now,
        created_by=caller.id,
        expires_at=asked.expires_at,
    )
    platform.links.add(link, acting)
    _log.info("feed_link_created", tenant_id=tenant_id, link_id=link.link_id)
    response.headers["Cache-Control"] = "no-store"
    return NewFeedLink(link_id=link.link_id, url=f"{base}/f/{token}")


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
    if not platform.links.remove(tenant_id, link_id, LinkKind.FEED, acting):
        raise ProblemError("LINK_NOT_FOUND", f"tenant {tenant_id} has no link {link_id}")
    _log.info("feed_link_deleted", tenant_id=tenant_id, link_id=link_id)
