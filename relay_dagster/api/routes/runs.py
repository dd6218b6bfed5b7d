"""Runs: start, look up, list and cancel; and links to the files that they wrote.

This is HTTP only. ``ledger/submission.py`` submits runs, and the ledger changes them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Header, Query, Response

from relay_core.domain.codes import RunStatus
from relay_core.publish.artifacts import belongs_to_run
from relay_dagster.api.http import request_parsing
from relay_dagster.api.http.error_codes import (
    responds_with,
    response_with_headers,
)
from relay_dagster.api.http.request_parsing import Limit, RunId, TenantFilter
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.api.security.auth import Call, MayRead, MayRun
from relay_dagster.aws.dynamodb.codec import by_time
from relay_dagster.aws.dynamodb.cursors import to_cursor
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.runs.errors import UnknownRunError
from relay_dagster.runs.model import Idempotency, RunRecord
from relay_dagster.runs.ports import Page, utc_now
from relay_dagster.wire import runs as wire
from relay_dagster.wiring import Platform

routes = request_parsing.router("runs")

POLL_AFTER_SECONDS = 2
"""The seconds after which a client should look at a run again."""
_MAX_LINKS = 200
_FIRST_READ_RECORDS = 10
# The rest of a list's response, around its runs, is shorter than 1 KiB.
_MAX_RUNS_BYTES = DEFAULT_API_LIMITS.answer_bytes - 1024
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
    record = submit_run(call, body, idempotency_key)
    response.headers["Location"] = f"/v1/runs/{record.run_id}"
    _set_retry_after(response, record)
    return run_response(record, call)


def submit_run(
    call: Call, body: wire.RunRequest, idempotency_key: str | None = None
) -> RunRecord:
    """Submit a run, and return its record."""
    call.caller.require(body.tenant_id)
    idempotency = None
    if idempotency_key is not None:
        idempotency = _idempotency_of(call.caller.id, body, idempotency_key)
    return call.platform.submission.submit(
        body.tenant_id,
        body.vendors,
        request_id=call.origin.request_id,
        idempotency=idempotency,
        origin=call.origin,
    )


def _idempotency_of(
    caller_id: str, body: wire.RunRequest, key: str
) -> Idempotency:
    """Return the digests to store for a request that has an ``Idempotency-Key``."""
    document = body.model_dump(mode="json")
    # No vendors and an empty list of vendors both mean all vendors.
    document["vendors"] = body.vendors or None
    return Idempotency(
        id=_digest([caller_id, body.tenant_id, key]),
        fingerprint=_digest([document]),
    )


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(
        json.dumps(parts, sort_keys=True).encode()
    ).hexdigest()


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
    if tenant_id is not None:
        call.caller.require(tenant_id)
    tenant_id = tenant_id or call.caller.tenant_id
    list_records = partial(call.platform.runs.list_runs, tenant_id, status)
    return _bounded_page(list_records, limit, cursor, call)


def _bounded_page(
    list_records: Callable[..., Page[RunRecord]],
    limit: int,
    cursor: str | None,
    call: Call,
) -> wire.RunList:
    """Return a page of runs that ends early if its response would be too long.

    A few records are read first. Their size tells how many more the response can hold.
    """
    runs: list[wire.Run] = []
    remaining_bytes = _MAX_RUNS_BYTES
    count = min(limit, _FIRST_READ_RECORDS)
    while count:
        page = list_records(limit=count, cursor=cursor)
        for record in page.items:
            run = run_response(record, call)
            remaining_bytes -= len(run.model_dump_json().encode())
            if remaining_bytes < 0 and runs:
                return wire.RunList(runs=runs, next_cursor=cursor)
            runs.append(run)
            cursor = to_cursor(by_time(record.requested_at, record.run_id))
        cursor = page.next_cursor
        if cursor is None or len(page.items) < count:
            break
        used_bytes = _MAX_RUNS_BYTES - remaining_bytes
        expected_room = remaining_bytes * len(runs) // used_bytes
        count = min(limit - len(runs), expected_room + 1)
    return wire.RunList(runs=runs, next_cursor=cursor)


@routes.get("/v1/runs/{run_id}")
@responds_with(headers=("Retry-After",))
def get_run(
    run_id: RunId, call: MayRead, response: Response
) -> wire.RunDetails:
    """Retrieve a run."""
    record = find_run(run_id, call)
    _set_retry_after(response, record)
    rows = summary_of(record, call.platform).get("rows")
    return wire.RunDetails.of(run_response(record, call), rows=rows)


def find_run(run_id: str, call: Call) -> RunRecord:
    """Return the record of a run that the caller can access.

    Raises:
        UnknownRunError: There is no such run.
    """
    record = call.platform.runs.get_visible(run_id)
    if record is None or not call.caller.reaches(record.tenant_id):
        raise UnknownRunError(run_id)
    return record


def summary_of(record: RunRecord, platform: Platform) -> Mapping[str, Any]:
    """Return the summary of a run; it is empty if there is none, or none any more."""
    key = record.artifacts.get("run_summary")
    if key is None or not record.has_ended:
        return {}
    try:
        content = platform.objects.read_or_none(key)
        summary: Mapping[str, Any] = json.loads(content or b"{}")
    except (ExternalServiceError, ValueError):
        # The run can be shown without its summary.
        return {}
    return summary


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
            max_length=_MAX_LINKS,
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
    record = find_run(run_id, call)
    links, next_cursor = artifact_links(record, call.platform, name, cursor)
    response.headers["Cache-Control"] = "no-store"
    if next_cursor is not None:
        query = urlencode(
            {"name": name or [], "cursor": next_cursor}, doseq=True
        )
        url = f"/v1/runs/{record.run_id}/artifacts?{query}"
        response.headers["Link"] = f'<{url}>; rel="next"'
    return links


def artifact_links(
    record: RunRecord,
    platform: Platform,
    names: Sequence[str] | None = None,
    cursor: str | None = None,
) -> tuple[dict[str, str], str | None]:
    """Return links to the artifacts of a run, keyed by name, and the next cursor.

    ``names`` selects artifacts; by default all are returned. The cursor is None on the
    last page.
    """
    keys = platform.objects.artifacts(record.run_id, record.tenant_id)
    selected_names = set(keys)
    if names is not None:
        selected_names &= set(names)
    remaining_names = sorted(selected_names, key=_artifact_order)
    if cursor is not None:
        last_of_page = _artifact_order(cursor)
        remaining_names = [
            name
            for name in remaining_names
            if _artifact_order(name) > last_of_page
        ]
    links = {}
    for name in remaining_names[:_MAX_LINKS]:
        links[name] = platform.objects.presign(
            keys[name], is_page=name == "report"
        )
    has_next_page = len(remaining_names) > _MAX_LINKS
    return links, remaining_names[_MAX_LINKS - 1] if has_next_page else None


def _artifact_order(name: str) -> tuple[bool, str]:
    """Return the sort key of an artifact: the run's own come first."""
    return not belongs_to_run(name), name


@routes.post("/v1/runs/{run_id}/cancel", status_code=202)
@responds_with("RUN_ALREADY_FINISHED", headers=("Retry-After",))
def cancel_run(run_id: RunId, call: MayRun, response: Response) -> wire.Run:
    """Cancel a run.

    A run that is waiting is cancelled at once, a run that is executing as soon as it
    can be stopped. The feed of a run on hold is discarded.
    """
    record = find_run(run_id, call)
    cancelled = call.platform.ledger.request_cancel(
        record.run_id, origin=call.origin
    )
    _set_retry_after(response, cancelled)
    return run_response(cancelled, call)


def _set_retry_after(response: Response, record: RunRecord) -> None:
    """Tell the client when to look again at a run that has not ended."""
    if not record.has_ended:
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)


def run_response(record: RunRecord, call: Call) -> wire.Run:
    """Return a run as its caller may see it; only admins may see where it executes."""
    hold = None
    if record.hold is not None:
        guards = [dict(guard) for guard in record.hold.guards]
        hold = wire.HeldFeed.of(record.hold, guards=guards)
    changes = None
    if record.changes is not None:
        changes = wire.FeedChanges(
            baseline_run_id=str(record.baseline_run_id), **record.changes
        )
    dagster_run_id = record.dagster_run_id if call.caller.is_admin else None
    dagster_url = None
    if dagster_run_id is not None:
        dagster_url = _dagster_url(record, dagster_run_id, call.platform)
    return wire.Run.of(
        record,
        hold=hold,
        changes=changes,
        dagster_run_id=dagster_run_id,
        dagster_url=dagster_url,
    )


def _dagster_url(
    record: RunRecord, dagster_run_id: str, platform: Platform
) -> str | None:
    """Return the URL of a run in Dagster's UI, or None if the UI has no page of it."""
    webserver_url = platform.settings.dagster_webserver_url
    if not webserver_url:
        return None
    now = utc_now()
    age = now - (record.finished_at or now)
    if age > timedelta(days=platform.settings.dagster_retention_days):
        return None
    return f"{webserver_url}/runs/{dagster_run_id}"
