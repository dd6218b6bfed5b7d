"""Runs: asked for, looked at, cancelled; and links to what they wrote.

HTTP alone: how a run is submitted is ``ledger/submission.py``, how it changes is the ledger.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Header, Query

from relay_core.domain.codes import RunStatus
from relay_core.publish.keys import ArtifactKeys
from relay_dagster.api.http.error_codes import responds_with, response_with_headers
from relay_dagster.api.http.request_parsing import (
    IDEMPOTENCY_KEY_PATTERN,
    Limit,
    RunId,
    TenantFilter,
    cursor_query,
    request_body,
    router,
)
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.api.security.api_keys import Caller
from relay_dagster.api.security.auth import Call, MayRead, MayRun
from relay_dagster.aws.dynamodb.codec import by_time
from relay_dagster.aws.dynamodb.table import to_cursor
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.runs.errors import UnknownRunError
from relay_dagster.runs.model import Idempotency, RunRecord
from relay_dagster.runs.ports import Page, utc_now
from relay_dagster.wire.runs import (
    FeedChanges,
    HeldFeed,
    Run,
    RunDetails,
    RunList,
    RunRequest,
)
from relay_dagster.wiring import Platform

routes = router("runs")

POLL_AFTER_SECONDS = 2
_READ_FIRST = 10
_MAX_LINKS = 200
# What stands around the runs of a list is short.
_BYTES_OF_RUNS = DEFAULT_API_LIMITS.answer_bytes - 1024
_LINKS = {
    "application/json": {
        "example": {
            "run_summary": "https://example-bucket.s3.amazonaws.com/"
            "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11/tenants/acme_parts/reports/run_summary.json"
            "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=3600&X-Amz-Signature=..."
        }
    }
}


@routes.post("/v1/runs", status_code=202)
@responds_with(
    *(
        "TENANT_NOT_FOUND",
        "TENANT_CLOSING",
        "TENANT_ALREADY_RUNNING",
        "RUN_QUOTA_EXCEEDED",
    ),
    *(
        "UNKNOWN_VENDOR",
        "IDEMPOTENCY_KEY_REUSED",
        "QUEUE_UNAVAILABLE",
        "RUN_CREATION_PAUSED",
    ),
    headers=("Location", "Retry-After"),
)
def start_run(
    call: MayRun,
    asked: Annotated[RunRequest, request_body(RunRequest)],
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=255,
            pattern=IDEMPOTENCY_KEY_PATTERN,
            description="A second request with the key and body of a first is answered alike.",
        ),
    ] = None,
) -> Run:
    """Ask for a run of a tenant; it is pinned to the config that is the latest now."""
    call.caller.require(asked.tenant_id)
    record = call.platform.submission.submit(
        asked.tenant_id,
        asked.vendors,
        request_id=call.origin.request_id,
        idempotency=_idempotency_of(call.caller, asked, idempotency_key),
        origin=call.origin,
    )
    call.response.headers["Location"] = f"/v1/runs/{record.run_id}"
    return _shown(record, call)


@routes.get("/v1/runs")
@responds_with("TENANT_NOT_FOUND")
def list_runs(
    call: MayRead,
    tenant_id: TenantFilter = None,
    status: Annotated[RunStatus | None, Query(description="None is any.")] = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, cursor_query(max_length=400, pattern="^[A-Za-z0-9_-]+$")
    ] = None,
) -> RunList:
    """List runs, newest first: of one tenant or all, in one status or any.

    A page may be shorter than `limit`; as long as it has a `next_cursor` there may be more.
    """
    if tenant_id is not None:
        call.caller.require(tenant_id)
    whose = tenant_id or call.caller.tenant_id
    listing = partial(call.platform.runs.list_runs, whose, status)
    return _page(listing, limit, cursor, call)


@routes.get("/v1/runs/{run_id}")
@responds_with(headers=("Retry-After",))
def get_run(run_id: RunId, call: MayRead) -> RunDetails:
    """Return a run as it stands."""
    record = find_run(run_id, call)
    shown = _shown(record, call)
    return RunDetails.of(shown, rows=summary_of(record, call.platform).get("rows"))


def summary_of(record: RunRecord, platform: Platform) -> Mapping[str, Any]:
    """Return the summary of an ended run; nothing once that is gone."""
    key = record.artifacts.get("run_summary")
    if key is None or not record.has_ended:
        return {}
    try:
        summary: Mapping[str, Any] = json.loads(
            platform.objects.read_or_none(key) or b"{}"
        )
    except (ExternalServiceError, ValueError):
        return {}  # the record alone tells then
    return summary


@routes.get(
    "/v1/runs/{run_id}/artifacts",
    responses=response_with_headers(200, "Cache-Control", "Link", content=_LINKS),
)
def get_artifacts(
    run_id: RunId,
    call: MayRead,
    name: Annotated[
        list[str] | None,
        Query(
            max_length=_MAX_LINKS,
            description="Of these alone; all where none is named.",
        ),
    ] = None,
    cursor: Annotated[
        str | None, cursor_query(max_length=400, pattern="^[A-Za-z0-9_.-]+$")
    ] = None,
) -> dict[str, str]:
    """Return a link for each artifact that there is, good for an hour without a key.

    At most 200, the run's own before its vendors'; where there are more, `Link` leads to them.
    """
    record = find_run(run_id, call)
    call.response.headers["Cache-Control"] = "no-store"
    found = call.platform.objects.artifacts(record.run_id, record.tenant_id)
    wanted = sorted(found if name is None else found.keys() & set(name), key=_place)
    left = [each for each in wanted if cursor is None or _place(each) > _place(cursor)]
    page = left[:_MAX_LINKS]
    if len(left) > len(page):
        query = urlencode({"name": name or [], "cursor": page[-1]}, doseq=True)
        call.response.headers["Link"] = (
            f'</v1/runs/{record.run_id}/artifacts?{query}>; rel="next"'
        )
    presign = call.platform.objects.presign
    return {each: presign(found[each], is_page=each == "report") for each in page}


def _place(artifact: str) -> tuple[bool, str]:
    """Return the sort key of an artifact: the run's own come first."""
    return not ArtifactKeys.belongs_to_run(artifact), artifact


@routes.post("/v1/runs/{run_id}/cancel", status_code=202)
@responds_with("RUN_ALREADY_FINISHED", headers=("Retry-After",))
def cancel_run(run_id: RunId, call: MayRun) -> Run:
    """Cancel a run: at once where nothing is under way, else as soon as it can be stopped.

    A feed that is held back is discarded.
    """
    record = find_run(run_id, call)
    cancelled = call.platform.ledger.request_cancel(record.run_id, origin=call.origin)
    return _shown(cancelled, call)


def _page(
    listing: Callable[..., Page[RunRecord]], limit: int, cursor: str | None, call: Call
) -> RunList:
    """Return a page that ends early, before its answer would be too long.

    A few records are read first; they tell how many more the answer has room for.
    """
    runs: list[Run] = []
    left, wanted = _BYTES_OF_RUNS, min(limit, _READ_FIRST)
    while wanted:
        found = listing(limit=wanted, cursor=cursor)
        for record in found.items:
            run = shown_run(record, call)
            left -= len(run.model_dump_json().encode())
            if left < 0 and runs:
                return RunList(runs=runs, next_cursor=cursor)
            runs.append(run)
            cursor = to_cursor(by_time(record.requested_at, record.run_id))
        cursor = found.next_cursor
        if cursor is None or len(found.items) < wanted:
            break
        room = left * len(runs) // (_BYTES_OF_RUNS - left)
        wanted = min(limit - len(runs), room + 1)
    return RunList(runs=runs, next_cursor=cursor)


def _idempotency_of(
    caller: Caller, asked: RunRequest, key: str | None
) -> Idempotency | None:
    """Return the digests that are stored of a request with an ``Idempotency-Key``."""
    if key is None:
        return None
    body = asked.model_dump(mode="json") | {"vendors": asked.vendors or None}
    return Idempotency(
        id=_digest([caller.id, asked.tenant_id, key]), fingerprint=_digest([body])
    )


def _digest(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find_run(run_id: str, call: Call) -> RunRecord:
    """Return the record of a run that the caller reaches; `UnknownRunError` where there is none."""
    record = call.platform.runs.get_visible(run_id)
    if record is None or not call.caller.reaches(record.tenant_id):
        raise UnknownRunError(run_id)
    return record


def shown_run(record: RunRecord, call: Call) -> Run:
    """Return a run as its caller may see it; where it executes is for admins alone."""
    settings, now = call.platform.settings, utc_now()
    dagster_run_id = record.dagster_run_id if call.caller.is_admin else None
    kept = timedelta(days=settings.dagster_retention_days)
    webserver = settings.dagster_webserver_url
    has_page = (
        webserver and dagster_run_id and now - (record.finished_at or now) <= kept
    )
    url = f"{webserver}/runs/{dagster_run_id}" if has_page else None
    hold = changes = None
    if record.hold is not None:
        hold = HeldFeed.of(record.hold, guards=[*map(dict, record.hold.guards)])
    if record.changes is not None:
        changes = FeedChanges(
            baseline_run_id=str(record.baseline_run_id), **record.changes
        )
    shown = {"hold": hold, "changes": changes, "dagster_run_id": dagster_run_id}
    return Run.of(record, **shown, dagster_url=url)


def _shown(record: RunRecord, call: Call) -> Run:
    if not record.has_ended:
        call.response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    return shown_run(record, call)
