"""Tenants' API keys: create, list and delete.

A key that creates keys cannot grant more than it has. Admins can grant every scope.
"""

from functools import partial
from typing import Annotated

from fastapi import Path, Query, Response

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http import request_parsing
from relay_dagster.api.http.error_codes import responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import Limit, TenantId
from relay_dagster.api.routes.tenants import require_tenant
from relay_dagster.api.security.api_keys import Caller
from relay_dagster.api.security.auth import MayMakeKeys, MayRead, require_scopes
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.wire import access as wire

routes = request_parsing.router("api keys")
_log = event_log()


@routes.post("/v1/tenants/{tenant_id}/api-keys", status_code=201)
@responds_with(
    "TENANT_CLOSING", "KEY_QUOTA_EXCEEDED", headers=("Cache-Control",)
)
def create_api_key(
    tenant_id: TenantId,
    call: MayMakeKeys,
    response: Response,
    body: Annotated[
        wire.KeyRequest,
        request_parsing.request_body(wire.KeyRequest, optional=True),
    ],
) -> wire.NewTenantKey:
    """Create a key for a tenant.

    The response is the only place where the key appears: the API stores only its
    digest. The default scopes are all scopes except `keys`. A key can create keys with
    its own scopes only, and they expire no later than it does. A tenant can have 50
    keys, including expired keys.
    """
    require_scopes(call.caller, body.scopes)
    problem = _expiry_problem(body, call.caller)
    if problem is not None:
        raise invalid_request([ConfigFault("expires_at", problem)])
    require_tenant(call.platform, tenant_id)
    key_id, key = call.parts.keyring.issue(
        tenant_id, body, call.caller, call.origin
    )
    _log.info(
        "api_key_created",
        tenant_id=tenant_id,
        key_id=key_id,
        scopes=body.scopes,
    )
    response.headers["Cache-Control"] = "no-store"
    return wire.NewTenantKey(key_id=key_id, api_key=key)


def _expiry_problem(body: wire.KeyRequest, caller: Caller) -> str | None:
    """Return why a new key cannot expire when the request says, or None if it can."""
    expires_at = body.expires_at
    if expires_at is not None and expires_at <= utc_now():
        return "is in the past; choose a later time"
    latest = caller.expires_at
    if latest is not None and (expires_at is None or expires_at > latest):
        return (
            f"must be {latest.isoformat()} at the latest, "
            "when the key that asks expires"
        )
    return None


@routes.get("/v1/tenants/{tenant_id}/api-keys")
def list_api_keys(
    tenant_id: TenantId,
    call: MayRead,
    limit: Limit = 100,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(pattern="^[0-9a-f]{16}$")
    ] = None,
) -> wire.KeyList:
    """List a tenant's keys, sorted by ID.

    Each entry has the key's scopes, its expiry and its last use. A key that was created
    or deleted a moment ago may not be reflected yet.
    """
    require_tenant(call.platform, tenant_id)
    keys, next_cursor = call.platform.api_keys.of_tenant(
        tenant_id, limit=limit, after=cursor
    )
    return wire.KeyList(
        api_keys=[wire.ListedKey.of(key) for key in keys],
        next_cursor=next_cursor,
    )


@routes.delete("/v1/tenants/{tenant_id}/api-keys/{key_id}", status_code=204)
@responds_with("API_KEY_NOT_FOUND")
def delete_api_key(
    tenant_id: TenantId,
    key_id: Annotated[str, Path(description="The key's ID.")],
    call: MayMakeKeys,
    with_made: Annotated[
        bool,
        Query(
            description="Also delete the keys that this key created, and the keys that "
            "those keys created."
        ),
    ] = False,
) -> None:
    """Delete a key of a tenant. Requests with the key fail from now on.

    A key cannot delete a key that has a scope which it lacks.
    """
    revoked_ids: list[str] = []
    if is_id(tenant_id) and is_id(key_id):
        revoked_ids = call.parts.keyring.revoke(
            tenant_id,
            key_id,
            call.origin,
            judge=partial(require_scopes, call.caller),
            with_made=with_made,
        )
    if not revoked_ids:
        message = f"tenant {tenant_id} has no key {key_id}; check the key id"
        raise ProblemError("API_KEY_NOT_FOUND", message)
    for revoked_id in revoked_ids:
        _log.info("api_key_deleted", tenant_id=tenant_id, key_id=revoked_id)
