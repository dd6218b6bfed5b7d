"""Deletions of tenants: start, look up and cancel.

``ledger/closing.py`` has the work that a deletion stops immediately, and
``maintenance/deletion.py`` the data that it removes later.
"""

from typing import Annotated

from fastapi import Query, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import TenantId, router
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.http.security.auth import Admin
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.services.tenants import require_id
from relay_dagster.tenants.deletion import TenantState
from relay_dagster.wire import tenants as wire

routes = router("tenants")
_log = event_log()


@routes.delete("/v1/tenants/{tenant_id}", status_code=202)
@responds_with(headers=("Location",))
def delete_tenant(
    tenant_id: TenantId,
    call: Admin,
    response: Response,
    confirm: Annotated[
        str, Query(description="The tenant's ID again, to confirm.")
    ],
) -> wire.TenantDeletion:
    """Delete a tenant and all of its data.

    The tenant's keys and triggers stop working immediately, its run is cancelled, and
    no run starts any more. The data is removed after a period in which the tenant can
    be restored.
    """
    if confirm != tenant_id:
        message = "must repeat the tenant's id; nothing was deleted"
        raise invalid_request([ConfigFault("confirm", message)])
    require_id(tenant_id)
    deletion = call.platform.closing.ask(tenant_id, call.origin)
    _log.warning(
        "tenant_deletion_asked",
        tenant_id=tenant_id,
        delete_after=deletion.delete_after.isoformat(),
    )
    response.headers["Location"] = f"/v1/tenants/{tenant_id}/deletion"
    return wire.TenantDeletion.of(deletion)


@routes.get("/v1/tenants/{tenant_id}/deletion")
@responds_with("DELETION_NOT_FOUND")
def get_deletion(tenant_id: TenantId, call: Admin) -> wire.TenantDeletion:
    """Retrieve the progress of a tenant's deletion, also after it is finished."""
    deletion = (
        call.platform.deletions.get(tenant_id) if is_id(tenant_id) else None
    )
    if deletion is None:
        message = f"tenant {tenant_id} is not being deleted and was not deleted"
        raise ProblemError("DELETION_NOT_FOUND", message)
    return wire.TenantDeletion.of(deletion)


@routes.post("/v1/tenants/{tenant_id}/restore")
@responds_with("RESTORE_TOO_LATE")
def restore_tenant(tenant_id: TenantId, call: Admin) -> wire.TenantStanding:
    """Cancel a tenant's deletion.

    The tenant's keys and triggers work again. A run that was cancelled stays cancelled.
    Restoring a tenant that is not being deleted changes nothing.
    """
    require_id(tenant_id)
    call.platform.deletions.restore(tenant_id, call.origin)
    _log.warning("tenant_restored", tenant_id=tenant_id)
    return wire.TenantStanding(tenant_id=tenant_id, state=TenantState.ACTIVE)
