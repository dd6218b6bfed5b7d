"""The stable URL of a tenant's feed, and decisions on it: releases and rollbacks.

This is HTTP only. The ledger makes each decision's changes, in one transaction.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Header, Query, Response

from relay_core.domain.codes import RunStatus
from relay_dagster.api.http import request_parsing
from relay_dagster.api.http.error_codes import (
    responds_with,
    response_with_headers,
)
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import RunId, TenantId, request_body
from relay_dagster.api.routes.runs import find_run, run_response
from relay_dagster.api.security.auth import Call, MayRead, MayRelease
from relay_dagster.feeds.pointer import (
    PublishedFile,
    file_of,
    files_of,
    files_of_run,
)
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.model import Release
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
    pointer = call.platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    if pointer is None:
        raise ProblemError(
            "FEED_NOT_FOUND",
            f"tenant {tenant_id} has no feed yet; start a run of all vendors",
        )
    feed = file_of(pointer.in_force, channel_id)
    if feed is None:
        raise lacking_channel(str(channel_id))
    etag = f'"{feed.sha256}"'
    headers = {
        "ETag": etag,
        "X-Run-Id": pointer.in_force.run_id,
        "Cache-Control": "no-store",
    }
    if if_none_match is not None:
        has_feed = if_none_match.strip() == "*" or etag in if_none_match
        if has_feed:
            return Response(status_code=304, headers=headers)
    headers["Location"] = call.platform.objects.presign(feed.key)
    return Response(status_code=302, headers=headers)


def lacking_channel(channel_id: str) -> ProblemError:
    """Return the error of a live feed that was published without a channel."""
    return ProblemError(
        "FEED_NOT_FOUND",
        f"the live feed has no channel {channel_id}; add it to channels in the config, "
        "and start a run of all vendors",
    )


def _are_kept(call: Call, files: Sequence[PublishedFile]) -> bool:
    """Return whether all published copies of a feed are there."""
    objects = call.platform.objects
    return bool(files) and all(objects.exists(file.key) for file in files)


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
    record = find_run(run_id, call)
    is_held = record.status is RunStatus.HELD
    if is_held and not _are_kept(call, files_of_run(record)):
        raise FeedNotKeptError(record.tenant_id, record.run_id)
    decision = Release(
        body.sha256, frozenset(body.guards), body.reason, by=call.caller.id
    )
    result = call.platform.ledger.feeds.release(
        record.run_id, decision, origin=call.origin
    )
    if result.was_changed:
        _log.info(
            "run_released",
            caller=call.caller.id,
            reason=body.reason,
            **result.record.log_facts,
        )
        call.platform.metrics.run_released(result.record)
    return run_response(result.record, call)


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
    feeds = call.platform.ledger.feeds
    pointer = call.platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    publication = None
    if pointer is not None:
        publication = pointer.republishable(body.run_id, feeds.keep)
    if publication is None or not _are_kept(call, files_of(publication)):
        raise FeedNotKeptError(tenant_id, body.run_id)

    rollback = feeds.roll_back(
        tenant_id,
        body.run_id,
        body.reason,
        by=call.caller.id,
        origin=call.origin,
    )
    if rollback.was_changed:
        _log.info(
            "feed_rolled_back",
            tenant_id=tenant_id,
            run_id=body.run_id,
            caller=call.caller.id,
            reason=body.reason,
        )
    return wire.PublishedFeed.of(rollback.feed.in_force, tenant_id=tenant_id)
