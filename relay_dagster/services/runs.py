"""Runs: submit, find and list them; and links to the files that they wrote.

``ledger/submission.py`` submits runs.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_core.publish.artifacts import belongs_to_run
from relay_dagster.aws.dynamodb.codec import by_time
from relay_dagster.aws.dynamodb.cursors import to_cursor
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.http.limits import DEFAULT_API_LIMITS
from relay_dagster.http.security.auth import Call
from relay_dagster.runs.errors import UnknownRunError
from relay_dagster.runs.model import Idempotency, RunRecord
from relay_dagster.runs.ports import Page, utc_now
from relay_dagster.wire import runs as wire
from relay_dagster.wiring import Platform

MAX_LINKS = 200
_FIRST_READ_RECORDS = 10
# The rest of a list's response, around its runs, is shorter than 1 KiB.
_MAX_RUNS_BYTES = DEFAULT_API_LIMITS.answer_bytes - 1024


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


def list_runs(
    call: Call,
    tenant_id: str | None = None,
    status: RunStatus | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> wire.RunList:
    """Return a page of the runs that the caller can access, newest first.

    The page has fewer than ``limit`` runs if they would make it too large.
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
    for name in remaining_names[:MAX_LINKS]:
        links[name] = platform.objects.presign(
            keys[name], is_page=name == "report"
        )
    has_next_page = len(remaining_names) > MAX_LINKS
    return links, remaining_names[MAX_LINKS - 1] if has_next_page else None


def _artifact_order(name: str) -> tuple[bool, str]:
    """Return the sort key of an artifact: the run's own come first."""
    return not belongs_to_run(name), name


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
