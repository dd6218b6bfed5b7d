"""Pauses of run creation, for one tenant or for all tenants."""

from typing import Annotated

from fastapi import Query

from relay_core.domain.errors import ConfigFault
from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.http.problems import invalid_request
from relay_dagster.http.security.auth import Admin
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.wire import tenants as wire

routes = request_parsing.router("admin")
_log = event_log()


@routes.post("/v1/admin/pause")
@responds_with("TENANT_CLOSING")
def pause_runs(
    call: Admin,
    body: Annotated[
        wire.PauseRequest, request_parsing.request_body(wire.PauseRequest)
    ],
) -> wire.Pausing:
    """Pause the creation of runs, for one tenant or for all tenants.

    Runs that already exist continue.
    """
    pause = call.platform.pauses.begin(
        body.tenant_id, body.reason, body.public_reason, origin=call.origin
    )
    _log.warning(
        "run_creation_paused", tenant_id=body.tenant_id, reason=body.reason
    )
    return wire.Pausing.of(pause)


@routes.get("/v1/admin/pause")
def list_pauses(
    call: Admin,
    limit: request_parsing.Limit = 100,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(pattern=ID_PATTERN)
    ] = None,
) -> wire.PauseList:
    """List the pauses in effect, that of all tenants first, then sorted by tenant."""
    remaining = [
        pause
        for pause in call.platform.pauses.in_force()
        if (pause.tenant_id or "") >= (cursor or "")
    ]
    pauses = [
        wire.PauseInForce.of(pause, since=pause.paused_at)
        for pause in remaining[:limit]
    ]
    has_next_page = len(remaining) > limit
    return wire.PauseList(
        pauses=pauses,
        next_cursor=remaining[limit].tenant_id if has_next_page else None,
    )


@routes.delete("/v1/admin/pause", status_code=204)
def resume_runs(
    call: Admin,
    body: Annotated[
        wire.ResumeRequest,
        request_parsing.request_body(wire.ResumeRequest, optional=True),
    ],
    tenant_id: Annotated[
        str | None,
        Query(
            pattern=ID_PATTERN,
            description="The tenant to resume. By default, the pause of all tenants "
            "ends.",
        ),
    ] = None,
) -> None:
    """End the pause of one tenant, or of all tenants.

    The tenant is named in the body or in the query. Ending the pause of all tenants
    does not end the pauses of single tenants, and the other way around.
    """
    if tenant_id is not None and body.tenant_id not in (None, tenant_id):
        message = "differs between the body and the query; name one tenant"
        raise invalid_request([ConfigFault("tenant_id", message)])
    resumed_tenant = body.tenant_id or tenant_id
    call.platform.pauses.end(resumed_tenant, body.reason, origin=call.origin)
    _log.warning(
        "run_creation_resumed", tenant_id=resumed_tenant, reason=body.reason
    )
