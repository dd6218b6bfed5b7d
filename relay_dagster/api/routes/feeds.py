"""The stable place of a tenant's feed, and what people decide of it: a release, a rollback.

HTTP alone: what a decision changes is the ledger's, all in one transaction.
"""

from typing import Annotated, Any

from fastapi import Header, Response

from relay_core.domain.codes import RunStatus
from relay_dagster.api.http.error_codes import responds_with, response_with_headers
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import RunId, TenantId, request_body, router
from relay_dagster.api.routes.runs import find_run, shown_run
from relay_dagster.api.security.auth import MayRead, MayRelease
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import FeedNotKeptError
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.model import Release, RunRecord
from relay_dagster.wire.runs import PublishedFeed, ReleaseRequest, RollbackRequest, Run

routes, tenant_routes = router("feeds"), router("tenants")
_log = event_log()

_KEPT = ("ETag", "X-Run-Id", "Cache-Control")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **response_with_headers(
        302, "Location", *_KEPT, description="The feed lies at `Location` for an hour."
    ),
    **response_with_headers(
        304, *_KEPT, description="The feed is the one that `If-None-Match` names."
    ),
}


@tenant_routes.get(
    "/v1/tenants/{tenant_id}/feed",
    status_code=302,
    response_class=Response,
    responses=_ANSWERS,
)
@responds_with("FEED_NOT_FOUND")
def get_feed(
    tenant_id: TenantId,
    call: MayRead,
    if_none_match: Annotated[
        str | None, Header(alias="If-None-Match", description="The ETag of a feed.")
    ] = None,
) -> Response:
    """Redirect to the feed in force: of the last success, release or rollback."""
    pointer = call.platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    if pointer is None:
        raise ProblemError("FEED_NOT_FOUND", f"tenant {tenant_id} has no feed yet")
    feed = pointer.in_force
    tag = f'"{feed.sha256}"'
    headers = {"ETag": tag, "X-Run-Id": feed.run_id, "Cache-Control": "no-store"}
    if if_none_match is not None and (
        if_none_match.strip() == "*" or tag in if_none_match
    ):
        return Response(status_code=304, headers=headers)
    link = call.platform.objects.presign(feed.key)
    return Response(status_code=302, headers={**headers, "Location": link})


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
    asked: Annotated[ReleaseRequest, request_body(ReleaseRequest)],
) -> Run:
    """Publish the feed that a run holds back; name what was reviewed: its hash and the guards."""
    found = find_run(run_id, call)
    is_held = found.status is RunStatus.HELD
    if is_held and not call.platform.objects.exists(str(found.feed_key)):
        raise FeedNotKeptError(found.tenant_id, found.run_id)
    decision = Release(
        asked.sha256, frozenset(asked.guards), asked.reason, by=call.caller.id
    )

    def released(record: RunRecord) -> None:
        _log.info(
            "run_released",
            caller=call.caller.id,
            reason=asked.reason,
            **record.log_facts,
        )
        call.platform.metrics.run_released(record)

    feeds = call.platform.ledger.feeds
    record = feeds.release(found.run_id, decision, origin=call.origin, then=released)
    return shown_run(record, call)


@routes.post("/v1/tenants/{tenant_id}/feed/rollback")
@responds_with("TENANT_CLOSING", "TENANT_ALREADY_RUNNING", "FEED_NOT_KEPT")
def roll_back_feed(
    tenant_id: TenantId,
    call: MayRelease,
    asked: Annotated[RollbackRequest, request_body(RollbackRequest)],
) -> PublishedFeed:
    """Publish one of the tenant's last feeds again, unjudged; the next run is compared with it."""
    feeds = call.platform.ledger.feeds
    kept = call.platform.runs.feed(tenant_id) if is_id(tenant_id) else None
    publication = None if kept is None else kept.kept(asked.run_id, feeds.keep)
    if publication is None or not call.platform.objects.exists(publication.key):
        raise FeedNotKeptError(tenant_id, asked.run_id)

    by = call.caller.id

    def rolled_back(record: RunRecord) -> None:
        facts = {"tenant_id": tenant_id, "run_id": record.run_id}
        _log.info("feed_rolled_back", **facts, caller=by, reason=asked.reason)

    feed = feeds.roll_back(
        tenant_id,
        asked.run_id,
        asked.reason,
        by=by,
        origin=call.origin,
        then=rolled_back,
    )
    return PublishedFeed.of(feed.in_force, tenant_id=tenant_id)
