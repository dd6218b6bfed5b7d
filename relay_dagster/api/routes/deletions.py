"""Tenants deleted and restored, by admins alone.

HTTP alone: what stops at once is ``tenants/closing.py``, what is removed then, and when, is
``maintenance/deletion.py``.
"""

from typing import Annotated

from fastapi import Query, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import INVALID_REQUEST, answers
from relay_dagster.api.http.openapi_headers import carrying
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import TenantId, router
from relay_dagster.api.routes.tenants import require_id
from relay_dagster.api.security.auth import Acting, Admin
from relay_dagster.logs import event_log
from relay_dagster.runs.identifiers import is_id
from relay_dagster.tenants.deletion import TenantState
from relay_dagster.wire.tenants import TenantDeletion, TenantStanding

routes = router("tenants")
_log = event_log()


@routes.delete(
    "/v1/tenants/{tenant_id}",
    status_code=202,
    responses={
        **carrying(202, "Location"),
        **answers("FORBIDDEN", "TENANT_NOT_FOUND", INVALID_REQUEST),
    },
)
def delete_tenant(
    tenant_id: TenantId,
    caller: Admin,
    acting: Acting,
    platform: PlatformDep,
    response: Response,
    confirm: Annotated[str, Query(description="The tenant's id once more.")],
) -> TenantDeletion:
    """Delete a tenant with all that it has, after a time in which it can be restored.

    Its keys and triggers stop at once, its run is cancelled, nothing new is started or stored.
    """
    if confirm != tenant_id:
        message = "is not the tenant's id, which it must repeat; nothing is deleted"
        raise invalid_request([ConfigFault("confirm", message)])
    require_id(tenant_id)
    deletion = platform.closing.ask(tenant_id, acting)
    until = deletion.delete_after.isoformat()
    _log.warning("tenant_deletion_asked", tenant_id=tenant_id, delete_after=until)
    response.headers["Location"] = f"/v1/tenants/{tenant_id}/deletion"
    return TenantDeletion.of(deletion)


@routes.get(
    "/v1/tenants/{tenant_id}/deletion",
    responses=answers("FORBIDDEN", "DELETION_NOT_FOUND"),
)
def get_deletion(tenant_id: TenantId, caller: Admin, platform: PlatformDep) -> TenantDeletion:
    """Tell how far a tenant's deletion is, or when it was over."""
    found = platform.deletions.get(tenant_id) if is_id(tenant_id) else None
    if found is None:
        message = f"tenant {tenant_id} is not being deleted, and was not"
        raise ProblemError("DELETION_NOT_FOUND", message)
    return TenantDeletion.of(found)


@routes.post(
    "/v1/tenants/{tenant_id}/restore",
    responses=answers("FORBIDDEN", "TENANT_NOT_FOUND", "RESTORE_TOO_LATE"),
)
def restore_tenant(
    tenant_id: TenantId, caller: Admin, acting: Acting, platform: PlatformDep
) -> TenantStanding:
    """Take a tenant's deletion back: its keys work again, and its triggers go on.

    A run that was cancelled stays so. A tenant that nobody deletes stays as it is.
    """
    require_id(tenant_id)
    platform.closing.restore(tenant_id, acting)
    _log.warning("tenant_restored", tenant_id=tenant_id)
    return TenantStanding(tenant_id=tenant_id, state=TenantState.ACTIVE)
