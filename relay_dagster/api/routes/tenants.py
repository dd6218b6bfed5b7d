"""Tenants and their configs, stored as versions, none of which is overwritten; deletions; pauses.

A config is judged here before it is stored, by the engine's own rules; a run judges it again. A
deletion stops at once what ``ledger/closing.py`` says; what is removed then, and when, is
``maintenance/deletion.py``.
"""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Query

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.domain.errors import ConfigFault, RelayError
from relay_core.domain.limits import STORED_CONFIG_LIMITS, Limits
from relay_dagster.api.http.config_schema import REFERENCE
from relay_dagster.api.http.error_codes import (
    CONFIG_BODY,
    responds_with,
    response_with_headers,
)
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import (
    Limit,
    TenantId,
    cursor_query,
    entity_tag,
    json_body,
    names_version,
    request_body,
    router,
)
from relay_dagster.api.security.auth import (
    Admin,
    Call,
    MayConfigure,
    MayRead,
    require_scopes,
)
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig, TenantStore
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import UnknownTenantError
from relay_dagster.runs.job_message import ID_PATTERN, is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire import tenants as wire
from relay_dagster.wire.tenants import (
    PauseInForce,
    PauseList,
    PauseRequest,
    Pausing,
    ResumeRequest,
)
from relay_dagster.wiring import Platform

routes, pause_routes = router("tenants"), router("admin")
_log = event_log()

_CONFIG_SCHEMA = {"$ref": REFERENCE.format(model="TenantConfig")}
_ConfigBody = Annotated[bytes, json_body(_CONFIG_SCHEMA)]


@routes.post("/v1/tenants", status_code=201)
@responds_with(
    "TENANT_EXISTS", "TENANT_CLOSING", *CONFIG_BODY, headers=("ETag", "Location")
)
def create_tenant(call: Admin, body: _ConfigBody) -> wire.ConfigVersion:
    """Store a new tenant's first config."""
    config, text = _read_config(body, call.platform.settings.limits)
    return _stored(
        call.platform.tenants.create(config.tenant_id, text, origin=call.origin), call
    )


@routes.get("/v1/tenants/{tenant_id}")
@responds_with("CONFIG_VERSION_NOT_FOUND", headers=("ETag",))
def get_tenant(
    tenant_id: TenantId,
    call: MayRead,
    config_version: Annotated[
        int | None, Query(ge=1, lt=2**53, description="None is the latest.")
    ] = None,
) -> wire.Tenant:
    """Return a tenant's latest config, or one version of it; the ETag is the version.

    Of a tenant that was deleted the answer, 404, has its `state`.
    """
    latest = _latest(tenant_id, call.platform)
    stored: StoredConfig | None = latest
    if config_version is not None:
        stored = call.platform.tenants.version(tenant_id, config_version)
    if stored is None:
        message = f"tenant {tenant_id} has no config version {config_version}"
        message = f"{message}; the latest is {latest.version}"
        raise ProblemError("CONFIG_VERSION_NOT_FOUND", message)
    call.response.headers["ETag"] = entity_tag(stored.version)
    config = read_stored(call.platform, stored)
    deletion = call.platform.deletions.under_way(tenant_id)
    # A config that can no longer take effect is shown as it is stored.
    shown = stored_document(stored) if config is None else config.to_document()
    return wire.Tenant(
        tenant_id=tenant_id,
        config_version=stored.version,
        **standing_of(deletion),
        stored_at=stored.stored_at,
        next_run_at=next_run_at(read_stored(call.platform, latest)),
        tenant_config=shown,
    )


@routes.get("/v1/tenants/{tenant_id}/versions")
def list_versions(
    tenant_id: TenantId,
    call: MayRead,
    limit: Limit = 50,
    cursor: Annotated[str | None, cursor_query(pattern="^[1-9][0-9]{0,14}$")] = None,
) -> wire.VersionList:
    """List the versions of a tenant's config, the latest first."""
    require_id(tenant_id)
    before = None if cursor is None else int(cursor)
    found = call.platform.tenants.versions(tenant_id, limit=limit, before=before)
    if not found and before is None:
        raise UnknownTenantError(tenant_id)
    more = found and found[-1].version > 1
    return wire.VersionList(
        tenant_id=tenant_id,
        versions=[
            wire.Version(config_version=each.version, stored_at=each.stored_at)
            for each in found
        ],
        next_cursor=str(found[-1].version) if more else None,
    )


@routes.put(
    "/v1/tenants/{tenant_id}/config",
    responses=response_with_headers(
        201,
        "ETag",
        "Location",
        model=wire.ConfigVersion,
        description="The tenant is new.",
    ),
)
@responds_with(
    *(*CONFIG_BODY, "TENANT_EXISTS", "TENANT_CLOSING"),
    *("CONFIG_VERSION_MISMATCH", "CONFIG_QUOTA_EXCEEDED"),
    headers=("ETag",),
)
def put_config(
    tenant_id: TenantId,
    call: MayConfigure,
    body: _ConfigBody,
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The version that was read.")
    ] = None,
) -> wire.ConfigVersion:
    """Store the next version of a tenant's config; an admin may store a new tenant's first.

    A key that changes `guards` or `default_currency` has `release`, too.
    """
    config, text = _read_config(body, call.platform.settings.limits)
    if config.tenant_id != tenant_id:
        message = f'is "{config.tenant_id}", the path says "{tenant_id}"; they must be the same'
        raise invalid_request([ConfigFault("tenant_id", message)])
    expected = (
        None
        if if_match is None
        else _expected(call.platform.tenants, tenant_id, if_match)
    )
    stored = call.platform.tenants.put(
        tenant_id,
        text,
        if_match=expected,
        may_create=call.caller.is_admin and if_match is None,
        origin=call.origin,
        judge=lambda before: _require_release(call, config, before),
    )
    return _stored(stored, call)


def _require_release(call: Call, config: TenantConfig, stored: StoredConfig) -> None:
    """Refuse, with 403, a config that changes what needs a right that the caller's key lacks."""
    if Scope.RELEASE in call.caller.scopes:
        return
    before = read_stored(call.platform, stored)
    guarded = (config.guards, config.default_currency)
    if before is None or guarded != (before.guards, before.default_currency):
        require_scopes(call.caller, [Scope.RELEASE])


def _read_config(body: bytes, limits: Limits) -> tuple[TenantConfig, str]:
    """Return the config and the text to store, without white space; raises as `load_config`."""
    document = parse_document(body, format="json", limits=limits)
    config = load_config(document, limits)
    return config, json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _stored(config: StoredConfig, call: Call) -> wire.ConfigVersion:
    call.response.headers["ETag"] = entity_tag(config.version)
    if config.version == 1:  # the tenant is new
        call.response.status_code = 201
        call.response.headers["Location"] = f"/v1/tenants/{config.tenant_id}"
    return wire.ConfigVersion(tenant_id=config.tenant_id, config_version=config.version)


def require_id(tenant_id: str) -> None:
    """Raise `UnknownTenantError` where no tenant could have the id."""
    if not is_id(tenant_id):
        raise UnknownTenantError(tenant_id)


def require_tenant(platform: Platform, tenant_id: str) -> None:
    """Raise `UnknownTenantError` where the tenant has no config."""
    require_id(tenant_id)
    if platform.tenants.latest_version(tenant_id) is None:
        raise UnknownTenantError(tenant_id)


def find_config(platform: Platform, tenant_id: str) -> StoredConfig:
    """Return a tenant's latest config; `UnknownTenantError` where it has none."""
    require_id(tenant_id)
    stored = platform.tenants.latest(tenant_id)
    if stored is None:
        raise UnknownTenantError(tenant_id)
    return stored


def _latest(tenant_id: str, platform: Platform) -> StoredConfig:
    """Return the latest config; where there is none, tell if there was a tenant: 404."""
    try:
        return find_config(platform, tenant_id)
    except UnknownTenantError as error:
        deletion = platform.deletions.get(tenant_id) if is_id(tenant_id) else None
        if deletion is None:
            raise
        message = f"{error}; it was deleted, see /v1/tenants/{tenant_id}/deletion"
        members = {"state": deletion.state}
        raise ProblemError(error.error_code, message, members=members) from error


def standing_of(deletion: Deletion | None) -> dict[str, Any]:
    """Return a tenant's `state` and `delete_after`; of one that nobody deletes with None."""
    if deletion is None:
        return {"state": TenantState.ACTIVE, "delete_after": None}
    return {"state": deletion.state, "delete_after": deletion.delete_after}


def read_stored(platform: Platform, stored: StoredConfig) -> TenantConfig | None:
    """Return a stored config as it takes effect; None where it no longer can."""
    try:
        return platform.tenants.parsed(stored)
    except RelayError:
        return None


def stored_document(stored: StoredConfig) -> dict[str, Any]:
    """Return a stored config as it was sent."""
    return parse_document(stored.text, format="json", limits=STORED_CONFIG_LIMITS)


def next_run_at(latest: TenantConfig | None) -> datetime | None:
    """Return when the schedule is due next; a config that can no longer be read has none."""
    return None if latest is None else latest.next_run_after(utc_now())


def _expected(tenants: TenantStore, tenant_id: str, if_match: str) -> int | None:
    """Return the version that the new one must follow, None for any; 412: it is not the latest."""
    latest = tenants.latest_version(tenant_id)
    if latest is not None and if_match.strip() == "*":
        return None
    if latest is None or not names_version(if_match, latest):
        found = "has no config" if latest is None else f"is at config version {latest}"
        message = (
            f"tenant {tenant_id} {found}, which If-Match does not name; read it again"
        )
        members = {"config_version": latest}
        raise ProblemError("CONFIG_VERSION_MISMATCH", message, members=members)
    return latest


@routes.delete("/v1/tenants/{tenant_id}", status_code=202)
@responds_with(headers=("Location",))
def delete_tenant(
    tenant_id: TenantId,
    call: Admin,
    confirm: Annotated[str, Query(description="The tenant's id once more.")],
) -> wire.TenantDeletion:
    """Delete a tenant with all that it has, after a time in which it can be restored.

    Its keys and triggers stop at once, its run is cancelled, nothing new is started or stored.
    """
    if confirm != tenant_id:
        message = "is not the tenant's id, which it must repeat; nothing is deleted"
        raise invalid_request([ConfigFault("confirm", message)])
    require_id(tenant_id)
    deletion = call.platform.closing.ask(tenant_id, call.origin)
    until = deletion.delete_after.isoformat()
    _log.warning("tenant_deletion_asked", tenant_id=tenant_id, delete_after=until)
    call.response.headers["Location"] = f"/v1/tenants/{tenant_id}/deletion"
    return wire.TenantDeletion.of(deletion)


@routes.get("/v1/tenants/{tenant_id}/deletion")
@responds_with("DELETION_NOT_FOUND")
def get_deletion(tenant_id: TenantId, call: Admin) -> wire.TenantDeletion:
    """Return how far a tenant's deletion is, or when it was over."""
    found = call.platform.deletions.get(tenant_id) if is_id(tenant_id) else None
    if found is None:
        message = f"tenant {tenant_id} is not being deleted, and was not"
        raise ProblemError("DELETION_NOT_FOUND", message)
    return wire.TenantDeletion.of(found)


@routes.post("/v1/tenants/{tenant_id}/restore")
@responds_with("RESTORE_TOO_LATE")
def restore_tenant(tenant_id: TenantId, call: Admin) -> wire.TenantStanding:
    """Take a tenant's deletion back: its keys work again, and its triggers go on.

    A run that was cancelled stays so. A tenant that nobody deletes stays as it is.
    """
    require_id(tenant_id)
    call.platform.deletions.restore(tenant_id, call.origin)
    _log.warning("tenant_restored", tenant_id=tenant_id)
    return wire.TenantStanding(tenant_id=tenant_id, state=TenantState.ACTIVE)


@pause_routes.post("/v1/admin/pause")
@responds_with("TENANT_CLOSING")
def pause_runs(
    call: Admin, asked: Annotated[PauseRequest, request_body(PauseRequest)]
) -> Pausing:
    """Stop the creation of runs, of one tenant or of all; runs that are there go on."""
    wanted = (asked.tenant_id, asked.reason, asked.public_reason)
    pause = call.platform.pauses.begin(*wanted, origin=call.origin)
    _log.warning("run_creation_paused", tenant_id=asked.tenant_id, reason=asked.reason)
    return Pausing.of(pause)


@pause_routes.get("/v1/admin/pause")
def list_pauses(
    call: Admin,
    limit: Limit = 100,
    cursor: Annotated[str | None, cursor_query(pattern=ID_PATTERN)] = None,
) -> PauseList:
    """List the pauses in force: that of all tenants first, then by tenant."""
    found = call.platform.pauses.in_force()
    left = [each for each in found if (each.tenant_id or "") >= (cursor or "")]
    return PauseList(
        pauses=[PauseInForce.of(each, since=each.paused_at) for each in left[:limit]],
        next_cursor=left[limit].tenant_id if left[limit:] else None,
    )


@pause_routes.delete("/v1/admin/pause", status_code=204)
def resume_runs(
    call: Admin,
    asked: Annotated[ResumeRequest, request_body(ResumeRequest, optional=True)],
    tenant_id: Annotated[
        str | None, Query(pattern=ID_PATTERN, description="None is all.")
    ] = None,
) -> None:
    """End the pause of one tenant, named in the body or the query, or else that of all.

    The other stays in force.
    """
    if tenant_id is not None and asked.tenant_id not in (None, tenant_id):
        message = "is one tenant in the body and another in the query"
        raise invalid_request([ConfigFault("tenant_id", message)])
    scope = asked.tenant_id or tenant_id
    call.platform.pauses.end(scope, asked.reason, origin=call.origin)
    _log.warning("run_creation_resumed", tenant_id=scope, reason=asked.reason)
