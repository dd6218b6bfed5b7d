"""Runs: asked for, looked at, cancelled; and links to what they wrote."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response

from relay_core.models import RunStatus
from relay_dagster.api.auth import Authenticated
from relay_dagster.api.inputs import (
    ID_PATTERN,
    JsonBody,
    RequestId,
    RunId,
    json_content,
    read_body,
    read_idempotency_key,
)
from relay_dagster.api.keys import Caller
from relay_dagster.api.models import Run, RunList, RunOrder
from relay_dagster.api.problems import documented
from relay_dagster.api.run_orders import OrderDesk, idempotency_of
from relay_dagster.api.services import ApiServices, Services
from relay_dagster.records import RunRecord
from relay_dagster.run_errors import UnknownRunError

router = APIRouter(tags=["runs"])

POLL_AFTER_SECONDS = 2
_ORDER_BODY = json_content(
    {"$ref": "#/components/schemas/RunOrder"},
    {"tenant_id": "acme_parts", "run_type": "inventory_sync"},
)


@router.post(
    "/v1/runs",
    status_code=202,
    responses=documented(401, 404, 409, 413, 415, 422, 503),
    openapi_extra=_ORDER_BODY,
)
def start_run(
    caller: Authenticated,
    services: Services,
    body: JsonBody,
    request_id: RequestId,
    response: Response,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Run:
    """Ask for a run of a tenant; it is pinned to the config that is the latest now."""
    order = read_body(RunOrder, body)
    key = read_idempotency_key(idempotency_key)
    caller.require(order.tenant_id)
    desk = OrderDesk(services)
    record = desk.take(order, idempotency_of(caller, order, key), request_id)
    response.headers["Location"] = f"/v1/runs/{record.run_id}"
    return _shown(record, services, response)


@router.get("/v1/runs", responses=documented(401, 404, 422, 503))
def list_runs(
    caller: Authenticated,
    services: Services,
    tenant_id: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
    status: RunStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=400)] = None,
) -> RunList:
    """List runs, newest first: of one tenant or all, in one status or any."""
    if tenant_id is not None:
        caller.require(tenant_id)
    page = services.runs.list_runs(
        tenant_id or caller.tenant_id, status, limit=limit, cursor=cursor
    )
    url = services.settings.dagster_webserver_url
    return RunList(
        runs=[Run.of(record, url) for record in page.records], next_cursor=page.next_cursor
    )


@router.get("/v1/runs/{run_id}", responses=documented(401, 404, 503))
def get_run(run_id: RunId, caller: Authenticated, services: Services, response: Response) -> Run:
    """Return a run as it stands."""
    return _shown(_find(run_id, caller, services), services, response)


@router.get("/v1/runs/{run_id}/artifacts", responses=documented(401, 404, 503))
def get_artifacts(
    run_id: RunId, caller: Authenticated, services: Services, response: Response
) -> dict[str, str]:
    """Return a link for each artifact that there is, good for an hour without a key."""
    record = _find(run_id, caller, services)
    response.headers["Cache-Control"] = "no-store"
    found = services.feeds.artifacts(record.run_id, record.tenant_id)
    return {name: services.feeds.presign(key) for name, key in found.items()}


@router.post("/v1/runs/{run_id}/cancel", status_code=202, responses=documented(401, 404, 409, 503))
def cancel_run(run_id: RunId, caller: Authenticated, services: Services, response: Response) -> Run:
    """Cancel a run: at once where nothing is under way, else as soon as it can be stopped."""
    record = _find(run_id, caller, services)
    return _shown(services.ledger.request_cancel(record.run_id), services, response)


def _find(run_id: str, caller: Caller, services: ApiServices) -> RunRecord:
    record = services.runs.get_visible(run_id)
    if record is None or not caller.reaches(record.tenant_id):
        raise UnknownRunError(run_id)
    return record


def _shown(record: RunRecord, services: ApiServices, response: Response) -> Run:
    if not record.is_final:
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    return Run.of(record, services.settings.dagster_webserver_url)
