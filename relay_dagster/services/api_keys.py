"""Tenants' API keys: create, list and delete.

A key that creates keys cannot grant more than it has. Admins can grant every scope.
"""

from functools import partial

from relay_core.domain.errors import ConfigFault
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.http.security.api_keys import Caller
from relay_dagster.http.security.auth import (
    Call,
    require_scopes,
)
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.services.tenants import require_tenant
from relay_dagster.wire import access as wire

_log = event_log()


def create_api_key(
    tenant_id: str,
    call: Call,
    body: wire.KeyRequest,
) -> wire.NewTenantKey:
    """Create a key for a tenant, and return it; only its digest is stored.

    Raises:
        UnknownTenantError: The tenant has no config.
        ProblemError: The caller lacks a scope of the key (403), or the key would expire
            in the past or after the caller's own key (422).
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


def list_api_keys(
    tenant_id: str,
    call: Call,
    limit: int = 100,
    cursor: str | None = None,
) -> wire.KeyList:
    """Return a page of a tenant's keys, sorted by ID, without the keys themselves."""
    require_tenant(call.platform, tenant_id)
    keys, next_cursor = call.platform.api_keys.of_tenant(
        tenant_id, limit=limit, after=cursor
    )
    return wire.KeyList(
        api_keys=[wire.ListedKey.of(key) for key in keys],
        next_cursor=next_cursor,
    )


def delete_api_key(
    tenant_id: str,
    key_id: str,
    call: Call,
    with_made: bool = False,
) -> None:
    """Delete a key of a tenant; with ``with_made``, also the keys that it led to.

    Raises:
        ProblemError: The tenant has no such key (404), or the caller lacks one of its
            scopes (403).
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
