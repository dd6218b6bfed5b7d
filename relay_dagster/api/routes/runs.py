"""Runs: start, look up, list and cancel; and links to the files that they wrote.

This is HTTP only. ``ledger/submission.py`` submits runs, and the ledger changes them.
"""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Header, Query, Response

from relay_core.domain.codes import RunStatus
from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import (
    responds_with,
    response_with_headers,
)
from relay_dagster.api.request_parsing import Limit, RunId, TenantFilter
from relay_dagster.http.security.auth import MayRead, MayRun
from relay_dagster.runs.model import RunRecord
from relay_dagster.services import runs
from relay_dagster.wire import runs as wire

routes = request_parsing.router("runs")

POLL_AFTER_SECONDS = 2
"""The seconds after which a client should look at a run again."""
_EXAMPLE_LINK = (
    "https://example-bucket.s3.amazonaws.com/"
    "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11/tenants/acme_parts/reports/run_summary.json"
    "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=..."
)
_LINKS_EXAMPLE = {
    "application/json": {"example": {"run_summary": _EXAMPLE_LINK}}
}


@routes.post("/v1/runs", status_code=202)
@responds_with(
    "TENANT_NOT_FOUND",
    "TENANT_CLOSING",
    "NO_VENDORS",
    "TENANT_ALREADY_RUNNING",
    "RUN_QUOTA_EXCEEDED",
    "UNKNOWN_VENDOR",
    "IDEMPOTENCY_KEY_REUSED",
    "QUEUE_UNAVAILABLE",
    "RUN_CREATION_PAUSED",
    headers=("Location", "Retry-After"),
)
def start_run(
    call: MayRun,
    response: Response,
    body: Annotated[
        wire.RunRequest, request_parsing.request_body(wire.RunRequest)
    ],
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=255,
            pattern=request_parsing.IDEMPOTENCY_KEY_PATTERN,
            description="Idempotency key. Repeating the request with the same key "
            "within 24 hours returns the same run.",
        ),
    ] = None,
) -> wire.Run:
    """Start a run for a tenant.

    The run uses the tenant's latest config, even if the config changes before it
    begins.
    """
    record = runs.submit_run(call, body, idempotency_key)
    response.headers["Location"] = f"/v1/runs/{record.run_id}"
    _set_retry_after(response, record)
    return runs.run_response(record, call)


@routes.get("/v1/runs")
@responds_with("TENANT_NOT_FOUND")
def list_runs(
    call: MayRead,
    tenant_id: TenantFilter = None,
    status: Annotated[
        RunStatus | None,
        Query(description="Filter by status. The default is every status."),
    ] = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None,
        request_parsing.cursor_query(
            max_length=400, pattern="^[A-Za-z0-9_-]+$"
        ),
    ] = None,
) -> wire.RunList:
    """List runs, newest first.

    A page may have fewer runs than `limit`; as long as `next_cursor` is set, there may
    be more.
    """
    return runs.list_runs(call, tenant_id, status, limit, cursor)


@routes.get("/v1/runs/{run_id}")
@responds_with(headers=("Retry-After",))
def get_run(
    run_id: RunId, call: MayRead, response: Response
) -> wire.RunDetails:
    """Retrieve a run."""
    record = runs.find_run(run_id, call)
    _set_retry_after(response, record)
    rows = runs.summary_of(record, call.platform).get("rows")
    return wire.RunDetails.of(runs.run_response(record, call), rows=rows)


@routes.get(
    "/v1/runs/{run_id}/artifacts",
    responses=response_with_headers(
        200, "Cache-Control", "Link", content=_LINKS_EXAMPLE
    ),
)
def get_artifacts(
    run_id: RunId,
    call: MayRead,
    response: Response,
    name: Annotated[
        list[str] | None,
        Query(
            max_length=runs.MAX_LINKS,
            description="Filter by artifact name. The default is every artifact.",
        ),
    ] = None,
    cursor: Annotated[
        str | None,
        request_parsing.cursor_query(
            max_length=400, pattern="^[A-Za-z0-9_.-]+$"
        ),
    ] = None,
) -> dict[str, str]:
    """Return a link to each artifact of a run.

    The links work without a key, and expire after an hour. A response has at most 200
    links, those of the run before those of its vendors. If there are more, the `Link`
    header has the URL of the next page.
    """
    record = runs.find_run(run_id, call)
    links, next_cursor = runs.artifact_links(
        record, call.platform, name, cursor
    )
    response.headers["Cache-Control"] = "no-store"
    if next_cursor is not None:
        query = urlencode(
            {"name": name or [], "cursor": next_cursor}, doseq=True
        )
        url = f"/v1/runs/{record.run_id}/artifacts?{query}"
        response.headers["Link"] = f'<{url}>; rel="next"'
    return links


@routes.post("/v1/runs/{run_id}/cancel", status_code=202)
@responds_with("RUN_ALREADY_FINISHED", headers=("Retry-After",))
def cancel_run(run_id: RunId, call: MayRun, response: Response) -> wire.Run:
    """Cancel a run.

    A run that is waiting is cancelled at once, a run that is executing as soon as it
    can be stopped. The feed of a run on hold is discarded.
    """
    record = runs.find_run(run_id, call)
    cancelled = call.platform.ledger.request_cancel(
        record.run_id, origin=call.origin
    )
    _set_retry_after(response, cancelled)
    return runs.run_response(cancelled, call)


def _set_retry_after(response: Response, record: RunRecord) -> None:
    """Tell the client when to look again at a run that has not ended."""
    if not record.has_ended:
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
