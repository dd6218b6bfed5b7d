"""Tenants' keys: made, listed, deleted; and the audit, to be read alone.

A key that makes keys gives none of them more than it has; admins give what they like.
"""

from functools import partial
from typing import Annotated

from fastapi import Path, Query

from relay_core.domain.errors import ConfigFault
from relay_dagster.api.http.error_codes import responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import (
    Limit,
    TenantFilter,
    TenantId,
    cursor_query,
    request_body,
    router,
)
from relay_dagster.api.limits import DEFAULT_API_LIMITS
from relay_dagster.api.routes.tenants import require_tenant
from relay_dagster.api.security.auth import MayMakeKeys, MayRead, require_scopes
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import AUDIT_ID_PATTERN, Action
from relay_dagster.wire import access

routes, audit_routes = router("api keys"), router("audit")
_log = event_log()
# What stands around the entries of a list is short.
_BYTES_OF_ENTRIES = DEFAULT_API_LIMITS.answer_bytes - 1024


@routes.post("/v1/tenants/{tenant_id}/api-keys", status_code=201)
@responds_with("TENANT_CLOSING", "KEY_QUOTA_EXCEEDED", headers=("Cache-Control",))
def create_api_key(
    tenant_id: TenantId,
    call: MayMakeKeys,
    asked: Annotated[access.KeyRequest, request_body(access.KeyRequest, optional=True)],
) -> access.NewTenantKey:
    """Make a key of a tenant. The key is shown this once; only its digest is kept.

    Without scopes it has all but `keys`. A key makes none with a scope that it lacks, nor one that
    is good for longer. A tenant has at most 50, expired ones too.
    """
    require_scopes(call.caller, asked.scopes)
    latest, message = call.caller.expires_at, None
    if asked.expires_at is not None and asked.expires_at <= utc_now():
        message = "lies in the past; name a later instant"
    elif latest is not None and (asked.expires_at is None or asked.expires_at > latest):
        message = f"must be {latest.isoformat()} at the latest, when the key that asks expires"
    if message is not None:
        raise invalid_request([ConfigFault("expires_at", message)])
    require_tenant(call.platform, tenant_id)
    key_id, key = call.parts.keyring.issue(tenant_id, asked, call.caller, call.origin)
    _log.info(
        "api_key_created", tenant_id=tenant_id, key_id=key_id, scopes=asked.scopes
    )
    call.response.headers["Cache-Control"] = "no-store"
    return access.NewTenantKey(key_id=key_id, api_key=key)


@routes.get("/v1/tenants/{tenant_id}/api-keys")
def list_api_keys(
    tenant_id: TenantId,
    call: MayRead,
    limit: Limit = 100,
    cursor: Annotated[str | None, cursor_query(pattern="^[0-9a-f]{16}$")] = None,
) -> access.KeyList:
    """List a tenant's keys by their ids: what each may do, until when, and when it was last used.

    The list lags by a moment.
    """
    require_tenant(call.platform, tenant_id)
    keys, more = call.platform.api_keys.of_tenant(tenant_id, limit=limit, after=cursor)
    return access.KeyList(
        api_keys=[access.ListedKey.of(key) for key in keys], next_cursor=more
    )


@routes.delete("/v1/tenants/{tenant_id}/api-keys/{key_id}", status_code=204)
@responds_with("API_KEY_NOT_FOUND")
def delete_api_key(
    tenant_id: TenantId,
    key_id: Annotated[str, Path(description="What `POST` named it.")],
    call: MayMakeKeys,
    with_made: Annotated[
        bool,
        Query(
            description="The keys that it has made go too, and those that they have made."
        ),
    ] = False,
) -> None:
    """Delete a key of a tenant; from now on it is nobody's.

    A key deletes none with a scope that it lacks.
    """
    revoked: list[str] = []
    if is_id(tenant_id) and is_id(key_id):
        judge = partial(require_scopes, call.caller)
        revoke = call.parts.keyring.revoke
        revoked = revoke(tenant_id, key_id, call.origin, judge, with_made=with_made)
    if not revoked:
        raise ProblemError(
            "API_KEY_NOT_FOUND", f"tenant {tenant_id} has no key {key_id}"
        )
    for each in revoked:
        _log.info("api_key_deleted", tenant_id=tenant_id, key_id=each)


@audit_routes.get("/v1/audit")
@responds_with("TENANT_NOT_FOUND")
def list_audit(
    call: MayRead,
    tenant_id: TenantFilter = None,
    action: Annotated[Action | None, Query(description="None is any.")] = None,
    limit: Limit = 50,
    cursor: Annotated[str | None, cursor_query(pattern=AUDIT_ID_PATTERN)] = None,
) -> access.AuditList:
    """List who did what, newest first; entries are kept for 400 days.

    A page may be shorter than `limit`; as long as it has a `next_cursor` there may be more.
    """
    if tenant_id is not None:
        call.caller.require(tenant_id)
    whose = tenant_id or call.caller.tenant_id
    page = call.platform.audit.list_entries(whose, action, limit=limit, after=cursor)
    shown: list[access.AuditItem] = []
    left = _BYTES_OF_ENTRIES
    for entry in page.items:
        document = entry.to_document()
        # Why runs are paused is for admins alone.
        if not call.caller.is_admin and entry.action in (
            Action.RUNS_PAUSED,
            Action.RUNS_RESUMED,
        ):
            del document["details"]["reason"]
        item = access.AuditItem.model_validate(document)
        left -= len(item.model_dump_json().encode())
        if left < 0:
            return access.AuditList(audit=shown, next_cursor=shown[-1].audit_id)
        shown.append(item)
    return access.AuditList(audit=shown, next_cursor=page.next_cursor)
