"""Tenants and their configs, which are stored as versions.

No version of a config is ever overwritten. The engine's own rules judge a config before
it is stored, and again in each run.
"""

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import Header, Query, Response

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.domain.errors import ConfigFault, RelayError
from relay_core.domain.limits import STORED_CONFIG_LIMITS, Limits
from relay_dagster.api.http import error_codes, request_parsing
from relay_dagster.api.http.config_schema import REFERENCE
from relay_dagster.api.http.error_codes import responds_with
from relay_dagster.api.http.problems import ProblemError, invalid_request
from relay_dagster.api.http.request_parsing import Limit, TenantId
from relay_dagster.api.security.auth import (
    Admin,
    Call,
    MayConfigure,
    MayRead,
    require_scopes,
)
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig, TenantStore
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wire import tenants as wire
from relay_dagster.wiring import Platform

routes = request_parsing.router("tenants")
_log = event_log()

_CONFIG_SCHEMA = {"$ref": REFERENCE.format(model="TenantConfig")}
_ConfigBody = Annotated[bytes, request_parsing.json_body(_CONFIG_SCHEMA)]


# --- configs ------------------------------------------------------------------------


@routes.post("/v1/tenants", status_code=201)
@responds_with(
    "TENANT_EXISTS",
    "TENANT_CLOSING",
    *error_codes.CONFIG_BODY,
    headers=("ETag", "Location"),
)
def create_tenant(
    call: Admin, response: Response, body: _ConfigBody
) -> wire.ConfigVersion:
    """Create a tenant with its first config."""
    config, text = _parse_config(body, call.platform.settings.limits)
    stored = call.platform.tenants.create(
        config.tenant_id, text, origin=call.origin
    )
    return _version_response(stored, response)


@routes.get("/v1/tenants/{tenant_id}")
@responds_with("CONFIG_VERSION_NOT_FOUND", headers=("ETag",))
def get_tenant(
    tenant_id: TenantId,
    call: MayRead,
    response: Response,
    config_version: Annotated[
        int | None,
        Query(ge=1, lt=2**53, description="The default is the latest version."),
    ] = None,
) -> wire.Tenant:
    """Retrieve a tenant's config, in its latest version by default.

    Defaults are filled in. `ETag` is the version. If the tenant was deleted, the 404
    response has its `state`.
    """
    latest = _find_latest_config(tenant_id, call.platform)
    stored: StoredConfig | None = latest
    if config_version is not None:
        stored = call.platform.tenants.version(tenant_id, config_version)
    if stored is None:
        message = (
            f"tenant {tenant_id} has no config version {config_version}; "
            f"the latest is {latest.version}"
        )
        raise ProblemError("CONFIG_VERSION_NOT_FOUND", message)
    response.headers["ETag"] = request_parsing.entity_tag(stored.version)
    deletion = call.platform.deletions.under_way(tenant_id)
    return wire.Tenant(
        tenant_id=tenant_id,
        config_version=stored.version,
        **deletion_fields(deletion),
        stored_at=stored.stored_at,
        next_run_at=next_run_at(read_stored(call.platform, latest)),
        tenant_config=config_document(call.platform, stored),
    )


def _find_latest_config(tenant_id: str, platform: Platform) -> StoredConfig:
    """Return a tenant's latest config; the error says if the tenant was deleted."""
    try:
        return find_config(platform, tenant_id)
    except UnknownTenantError as error:
        deletion = (
            platform.deletions.get(tenant_id) if is_id(tenant_id) else None
        )
        if deletion is None:
            raise
        message = f"tenant {tenant_id} was deleted; see /v1/tenants/{tenant_id}/deletion"
        members = {"state": deletion.state}
        raise ProblemError(
            error.error_code, message, members=members
        ) from error


@routes.get("/v1/tenants/{tenant_id}/versions")
def list_versions(
    tenant_id: TenantId,
    call: MayRead,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, request_parsing.cursor_query(pattern="^[1-9][0-9]{0,14}$")
    ] = None,
) -> wire.VersionList:
    """List the versions of a tenant's config, latest first."""
    require_id(tenant_id)
    before = None if cursor is None else int(cursor)
    configs = call.platform.tenants.versions(
        tenant_id, limit=limit, before=before
    )
    if not configs and before is None:
        raise UnknownTenantError(tenant_id)
    next_cursor = None
    if configs and configs[-1].version > 1:
        next_cursor = str(configs[-1].version)
    versions = [
        wire.Version(config_version=config.version, stored_at=config.stored_at)
        for config in configs
    ]
    return wire.VersionList(
        tenant_id=tenant_id, versions=versions, next_cursor=next_cursor
    )


@routes.put(
    "/v1/tenants/{tenant_id}/config",
    responses=error_codes.response_with_headers(
        201,
        "ETag",
        "Location",
        model=wire.ConfigVersion,
        description="The tenant was created.",
    ),
)
@responds_with(
    *error_codes.CONFIG_BODY,
    "TENANT_EXISTS",
    "TENANT_CLOSING",
    "CONFIG_VERSION_MISMATCH",
    "CONFIG_QUOTA_EXCEEDED",
    headers=("ETag",),
)
def put_config(
    tenant_id: TenantId,
    call: MayConfigure,
    response: Response,
    body: _ConfigBody,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="The `ETag` of the version that you read. If the tenant has a "
            "newer version by now, the response is 412 and nothing is stored.",
        ),
    ] = None,
) -> wire.ConfigVersion:
    """Store the next version of a tenant's config.

    An admin key can also create a tenant this way. A key that changes `guards` or
    `default_currency` needs the scope `release` as well.
    """
    stored = store_config(tenant_id, call, body, if_match)
    return _version_response(stored, response)


def store_config(
    tenant_id: str, call: Call, body: bytes, if_match: str | None
) -> StoredConfig:
    """Store the next version of a tenant's config, and return it.

    Raises:
        ConfigError: The config is not valid.
        ProblemError: It is another tenant's (422), its version is not the next one
            (412), or the caller may not make one of its changes (403).
    """
    config, text = _parse_config(body, call.platform.settings.limits)
    if config.tenant_id != tenant_id:
        message = (
            f'is "{config.tenant_id}", but must be the tenant in the path, '
            f'"{tenant_id}"'
        )
        raise invalid_request([ConfigFault("tenant_id", message)])
    tenants = call.platform.tenants
    expected_version = None
    if if_match is not None:
        expected_version = _expected_version(tenants, tenant_id, if_match)

    def judge(previous: StoredConfig) -> None:
        _require_release_scope(call, config, previous)

    return tenants.put(
        tenant_id,
        text,
        if_match=expected_version,
        may_create=call.caller.is_admin and if_match is None,
        origin=call.origin,
        judge=judge,
    )


def _parse_config(body: bytes, limits: Limits) -> tuple[TenantConfig, str]:
    """Return a config, and the text to store: the document without white space.

    Raises:
        ConfigError: The config is not valid.
    """
    document = parse_document(body, format="json", limits=limits)
    config = load_config(document, limits)
    return config, json.dumps(
        document, ensure_ascii=False, separators=(",", ":")
    )


def _expected_version(
    tenants: TenantStore, tenant_id: str, if_match: str
) -> int | None:
    """Return the version that the new one must follow; None for any version.

    Raises:
        ProblemError: ``If-Match`` does not name the latest version (412).
    """
    latest = tenants.latest_version(tenant_id)
    if latest is not None and if_match.strip() == "*":
        return None
    if latest is not None and request_parsing.names_version(if_match, latest):
        return latest
    state = (
        "has no config" if latest is None else f"is at config version {latest}"
    )
    message = f"tenant {tenant_id} {state}, which If-Match does not name; retrieve it again"
    members = {"config_version": latest}
    raise ProblemError("CONFIG_VERSION_MISMATCH", message, members=members)


def _require_release_scope(
    call: Call, config: TenantConfig, stored: StoredConfig
) -> None:
    """Require the scope `release` of a key that changes guards or the default currency.

    Raises:
        ProblemError: The key does not have the scope (403).
    """
    if Scope.RELEASE in call.caller.scopes:
        return
    previous = read_stored(call.platform, stored)
    if (
        previous is None
        or config.guards != previous.guards
        or config.default_currency != previous.default_currency
    ):
        require_scopes(call.caller, [Scope.RELEASE])


def _version_response(
    config: StoredConfig, response: Response
) -> wire.ConfigVersion:
    response.headers["ETag"] = request_parsing.entity_tag(config.version)
    is_new_tenant = config.version == 1
    if is_new_tenant:
        response.status_code = 201
        response.headers["Location"] = f"/v1/tenants/{config.tenant_id}"
    return wire.ConfigVersion(
        tenant_id=config.tenant_id, config_version=config.version
    )


# --- what other routes and the pages need of a tenant -------------------------------


def require_id(tenant_id: str) -> None:
    """Require that a text can be the ID of a tenant.

    Raises:
        UnknownTenantError: No tenant can have the ID.
    """
    if not is_id(tenant_id):
        raise UnknownTenantError(tenant_id)


def require_tenant(platform: Platform, tenant_id: str) -> None:
    """Require that a tenant has a config.

    Raises:
        UnknownTenantError: The tenant has no config.
    """
    require_id(tenant_id)
    if platform.tenants.latest_version(tenant_id) is None:
        raise UnknownTenantError(tenant_id)


def find_config(platform: Platform, tenant_id: str) -> StoredConfig:
    """Return a tenant's latest config.

    Raises:
        UnknownTenantError: The tenant has no config.
    """
    require_id(tenant_id)
    stored = platform.tenants.latest(tenant_id)
    if stored is None:
        raise UnknownTenantError(tenant_id)
    return stored


def read_stored(
    platform: Platform, stored: StoredConfig
) -> TenantConfig | None:
    """Return a stored config as it takes effect, or None if it cannot be read."""
    try:
        return platform.tenants.parsed(stored)
    except RelayError:
        return None


def stored_document(stored: StoredConfig) -> dict[str, Any]:
    """Return a stored config as it was sent."""
    return parse_document(
        stored.text, format="json", limits=STORED_CONFIG_LIMITS
    )


def config_document(platform: Platform, stored: StoredConfig) -> dict[str, Any]:
    """Return a stored config with its defaults; as it was sent if it cannot be read."""
    config = read_stored(platform, stored)
    return stored_document(stored) if config is None else config.to_document()


def next_run_at(config: TenantConfig | None) -> datetime | None:
    """Return when the schedule of a config is due next, or None if there is none."""
    return None if config is None else config.next_run_after(utc_now())


def deletion_fields(deletion: Deletion | None) -> dict[str, Any]:
    """Return the `state` and `delete_after` of a tenant, whose deletion may be None."""
    if deletion is None:
        return {"state": TenantState.ACTIVE, "delete_after": None}
    return {"state": deletion.state, "delete_after": deletion.delete_after}
