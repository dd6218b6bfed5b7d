"""Tenants' configs: find and read the stored versions, and store the next one.

No version of a config is ever overwritten. The engine's own rules judge a config before
it is stored, and again in each run.
"""

import json
from datetime import datetime
from typing import Any

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.domain.errors import ConfigFault, RelayError
from relay_core.domain.limits import STORED_CONFIG_LIMITS, Limits
from relay_dagster.aws.dynamodb.tenant_store import StoredConfig, TenantStore
from relay_dagster.http.entity_tags import names_version
from relay_dagster.http.problems import ProblemError, invalid_request
from relay_dagster.http.security.auth import (
    Call,
    require_scopes,
)
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.deletion import Deletion, TenantState
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.tenants.scopes import Scope
from relay_dagster.wiring import Platform


def store_config(
    tenant_id: str, call: Call, body: bytes, if_match: str | None
) -> StoredConfig:
    """Store the next version of a tenant's config, and return it.

    Raises:
        ConfigError: The config is not valid.
        ProblemError: It is another tenant's (422), its version is not the next one
            (412), or the caller may not make one of its changes (403).
    """
    config, text = parse_config(body, call.platform.settings.limits)
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


def parse_config(body: bytes, limits: Limits) -> tuple[TenantConfig, str]:
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
    if latest is not None and names_version(if_match, latest):
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
