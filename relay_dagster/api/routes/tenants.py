"""Tenants and their configs, which are stored as versions.

No version of a config is ever overwritten. The engine's own rules judge a config before
it is stored, and again in each run.
"""

from typing import Annotated

from fastapi import Header, Query, Response

from relay_dagster.api import documented_responses, request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import Limit, TenantId
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig
from relay_dagster.http.config_schema import REFERENCE
from relay_dagster.http.entity_tags import entity_tag
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.auth import (
    Admin,
    MayConfigure,
    MayRead,
)
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.services.tenants import (
    config_document,
    deletion_fields,
    find_config,
    next_run_at,
    parse_config,
    read_stored,
    require_id,
    store_config,
)
from relay_dagster.tenants.errors import UnknownTenantError
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
    *documented_responses.CONFIG_BODY,
    headers=("ETag", "Location"),
)
def create_tenant(
    call: Admin, response: Response, body: _ConfigBody
) -> wire.ConfigVersion:
    """Create a tenant with its first config."""
    config, text = parse_config(body, call.platform.settings.limits)
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
    response.headers["ETag"] = entity_tag(stored.version)
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
    responses=documented_responses.response_with_headers(
        201,
        "ETag",
        "Location",
        model=wire.ConfigVersion,
        description="The tenant was created.",
    ),
)
@responds_with(
    *documented_responses.CONFIG_BODY,
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


def _version_response(
    config: StoredConfig, response: Response
) -> wire.ConfigVersion:
    response.headers["ETag"] = entity_tag(config.version)
    is_new_tenant = config.version == 1
    if is_new_tenant:
        response.status_code = 201
        response.headers["Location"] = f"/v1/tenants/{config.tenant_id}"
    return wire.ConfigVersion(
        tenant_id=config.tenant_id, config_version=config.version
    )


# --- what other routes and the pages need of a tenant -------------------------------
