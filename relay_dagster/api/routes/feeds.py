"""The stable URL of a tenant's feed, and decisions on it: releases and rollbacks.

This is HTTP only. The ledger makes each decision's changes, in one transaction.
"""

from typing import Annotated, Any

from fastapi import Header, Query, Response

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import (
    responds_with,
    response_with_headers,
)
from relay_dagster.api.request_parsing import RunId, TenantId, request_body
from relay_dagster.http.security.auth import MayRead, MayRelease
from relay_dagster.logs import event_log
from relay_dagster.services import feeds
from relay_dagster.wire import runs as wire
from relay_dagster.wire.base import Id

ChannelQuery = Annotated[
    Id | None,
    Query(description="The channel. By default, the feed itself."),
]
routes = request_parsing.router("feeds")
tenant_routes = request_parsing.router("tenants")
_log = event_log()

_FEED_HEADERS = ("ETag", "X-Run-Id", "Cache-Control")
_FEED_RESPONSES: dict[int | str, dict[str, Any]] = {
    **response_with_headers(
        302,
        "Location",
        *_FEED_HEADERS,
        description="`Location` is a link to the feed. It expires after an hour.",
    ),
    **response_with_headers(
        304,
        *_FEED_HEADERS,
        description="The live feed is the one that `If-None-Match` names.",
    ),
}


@tenant_routes.get(
    "/v1/tenants/{tenant_id}/feed",
    status_code=302,
    response_class=Response,
    responses=_FEED_RESPONSES,
)
@responds_with("FEED_NOT_FOUND")
def get_feed(
    tenant_id: TenantId,
    call: MayRead,
    channel_id: ChannelQuery = None,
    if_none_match: Annotated[
        str | None,
        Header(
            alias="If-None-Match",
            description="The `ETag` of the feed that you already have.",
        ),
    ] = None,
) -> Response:
    """Redirect to the live feed of a tenant, or to the file of one of its channels."""
    file = feeds.live_file(tenant_id, call.platform, channel_id)
    etag = f'"{file.sha256}"'
    headers = {
        "ETag": etag,
        "X-Run-Id": file.run_id,
        "Cache-Control": "no-store",
    }
    if if_none_match is not None:
        has_feed = if_none_match.strip() == "*" or etag in if_none_match
        if has_feed:
            return Response(status_code=304, headers=headers)
    headers["Location"] = call.platform.objects.presign(file.key)
    return Response(status_code=302, headers=headers)


@routes.post("/v1/runs/{run_id}/release")
@responds_with(
    "RUN_NOT_HELD",
    "HOLD_MISMATCH",
    "TENANT_ALREADY_RUNNING",
    "TENANT_CLOSING",
    "FEED_NOT_KEPT",
)
def release_run(
    run_id: RunId,
    call: MayRelease,
    body: Annotated[wire.ReleaseRequest, request_body(wire.ReleaseRequest)],
) -> wire.Run:
    """Publish the feed of a run that is on hold.

    The request names the reviewed feed by its hash and the guards that tripped, so
    that no other feed is published by mistake.
    """
    return feeds.release_run(run_id, call, body)


@routes.post("/v1/tenants/{tenant_id}/feed/rollback")
@responds_with("TENANT_CLOSING", "TENANT_ALREADY_RUNNING", "FEED_NOT_KEPT")
def roll_back_feed(
    tenant_id: TenantId,
    call: MayRelease,
    body: Annotated[wire.RollbackRequest, request_body(wire.RollbackRequest)],
) -> wire.PublishedFeed:
    """Publish one of a tenant's previous feeds again.

    No guard checks the feed. The next run is compared with it.
    """
    return feeds.roll_back_feed(tenant_id, call, body)
