"""What admins alone do: tenants' keys, and pauses of run creation.

Both act at once; who may call is `security.auth.Admin`, and what is kept is in the stores.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.dependencies import KeyringDep, PlatformDep
from relay_dagster.api.http.error_codes import ORDER_BODY, answers
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import (
    JsonBody,
    OptionalJsonBody,
    TenantId,
    json_content,
    read_body,
)
from relay_dagster.api.models.runs_tenants import NewTenantKey, PauseOrder, Pausing, ResumeOrder
from relay_dagster.api.openapi.headers import carrying
from relay_dagster.api.security.auth import Admin
from relay_dagster.aws.dynamodb.tenant_store import UnknownTenantError
from relay_dagster.logs import event_log
from relay_dagster.runs.identifiers import ID_PATTERN, is_id

router = APIRouter(tags=["admin"])
_log = event_log()

_PAUSE_BODY = json_content(
    {"$ref": "#/components/schemas/PauseOrder"},
    {"tenant_id": "acme_parts", "reason": "the backlog keeps growing"},
)
_RESUME_BODY = json_content(
    {"$ref": "#/components/schemas/ResumeOrder"}, {"tenant_id": "acme_parts"}, required=False
)


@router.post(
    "/v1/tenants/{tenant_id}/api-keys",
    status_code=201,
    responses={
        **carrying(201, "Cache-Control"),
        **answers("FORBIDDEN", "TENANT_NOT_FOUND"),
    },
)
def create_api_key(
    tenant_id: TenantId,
    caller: Admin,
    platform: PlatformDep,
    keyring: KeyringDep,
    response: Response,
) -> NewTenantKey:
    """Make a key of a tenant. The key is shown this once; only its digest is kept."""
    if not is_id(tenant_id) or platform.tenants.latest_version(tenant_id) is None:
        raise UnknownTenantError(tenant_id)
    key_id, key = keyring.issue(tenant_id)
    _log.info("api_key_created", tenant_id=tenant_id, key_id=key_id, caller=caller.id)
    response.headers["Cache-Control"] = "no-store"
    return NewTenantKey(key_id=key_id, api_key=key)


@router.delete(
    "/v1/tenants/{tenant_id}/api-keys/{key_id}",
    status_code=204,
    responses=answers("FORBIDDEN", "TENANT_NOT_FOUND", "API_KEY_NOT_FOUND"),
)
def revoke_api_key(
    tenant_id: TenantId,
    key_id: Annotated[str, Path(description="What `POST` named it.")],
    caller: Admin,
    keyring: KeyringDep,
) -> None:
    """Revoke a key of a tenant, at once."""
    known = is_id(tenant_id) and is_id(key_id) and keyring.revoke(tenant_id, key_id)
    if not known:
        raise ProblemError("API_KEY_NOT_FOUND", f"tenant {tenant_id} has no key {key_id}")
    _log.info("api_key_revoked", tenant_id=tenant_id, key_id=key_id, caller=caller.id)


@router.post(
    "/v1/admin/pause",
    responses=answers("FORBIDDEN", *ORDER_BODY),
    openapi_extra=_PAUSE_BODY,
)
def pause_runs(caller: Admin, platform: PlatformDep, body: JsonBody) -> Pausing:
    """Stop the creation of runs, of one tenant or of all; runs that are there go on."""
    order = read_body(PauseOrder, body)
    pause = platform.pauses.begin(order.tenant_id, order.reason)
    _log.warning("run_creation_paused", tenant_id=order.tenant_id, reason=order.reason)
    return Pausing(tenant_id=pause.tenant_id, reason=pause.reason, paused_at=pause.paused_at)


@router.delete(
    "/v1/admin/pause",
    status_code=204,
    responses=answers("FORBIDDEN", *ORDER_BODY),
    openapi_extra=_RESUME_BODY,
)
def resume_runs(
    caller: Admin,
    platform: PlatformDep,
    body: OptionalJsonBody,
    tenant_id: Annotated[str | None, Query(pattern=ID_PATTERN, description="None is all.")] = None,
) -> None:
    """End the pause of one tenant, named in the body or the query, or else that of all.

    The other stays in force.
    """
    order = read_body(ResumeOrder, body) if body else ResumeOrder()
    if tenant_id is not None and order.tenant_id not in (None, tenant_id):
        message = "is one tenant in the body and another in the query"
        raise invalid_request([ConfigFault("tenant_id", message)])
    scope = order.tenant_id or tenant_id
    platform.pauses.end(scope)
    _log.warning("run_creation_resumed", tenant_id=scope, reason=order.reason)
