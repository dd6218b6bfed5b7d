"""Pauses of run creation, which admins alone begin and end; both act at once."""

from typing import Annotated

from fastapi import Query

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import ORDER_BODY, answers
from relay_dagster.api.http.problems import invalid_request
from relay_dagster.api.http.request_parsing import order, router
from relay_dagster.api.security.auth import Acting, Admin
from relay_dagster.logs import event_log
from relay_dagster.runs.identifiers import ID_PATTERN
from relay_dagster.wire.tenants import PauseInForce, PauseList, PauseOrder, Pausing, ResumeOrder

routes = router("admin")
_log = event_log()


@routes.post("/v1/admin/pause", responses=answers("FORBIDDEN", "TENANT_CLOSING", *ORDER_BODY))
def pause_runs(
    caller: Admin,
    acting: Acting,
    platform: PlatformDep,
    asked: Annotated[PauseOrder, order(PauseOrder)],
) -> Pausing:
    """Stop the creation of runs, of one tenant or of all; runs that are there go on."""
    pause = platform.pauses.begin(asked.tenant_id, asked.reason, asked.public_reason, origin=acting)
    _log.warning("run_creation_paused", tenant_id=asked.tenant_id, reason=asked.reason)
    return Pausing.of(pause)


@routes.get("/v1/admin/pause", responses=answers("FORBIDDEN"))
def list_pauses(caller: Admin, platform: PlatformDep) -> PauseList:
    """List the pauses in force: that of all tenants first, then by tenant."""
    found = platform.pauses.in_force()
    return PauseList(pauses=[PauseInForce.of(each, since=each.paused_at) for each in found])


@routes.delete("/v1/admin/pause", status_code=204, responses=answers("FORBIDDEN", *ORDER_BODY))
def resume_runs(
    caller: Admin,
    acting: Acting,
    platform: PlatformDep,
    asked: Annotated[ResumeOrder, order(ResumeOrder, optional=True)],
    tenant_id: Annotated[str | None, Query(pattern=ID_PATTERN, description="None is all.")] = None,
) -> None:
    """End the pause of one tenant, named in the body or the query, or else that of all.

    The other stays in force.
    """
    if tenant_id is not None and asked.tenant_id not in (None, tenant_id):
        message = "is one tenant in the body and another in the query"
        raise invalid_request([ConfigFault("tenant_id", message)])
    scope = asked.tenant_id or tenant_id
    platform.pauses.end(scope, asked.reason, origin=acting)
    _log.warning("run_creation_resumed", tenant_id=scope, reason=asked.reason)
