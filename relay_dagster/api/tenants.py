"""Tenants and their configs: stored as versions, none of which is ever overwritten."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.errors import ConfigFault, RelayError
from relay_dagster.api.auth import Admin, Authenticated
from relay_dagster.api.inputs import (
    JsonBody,
    TenantId,
    entity_tag,
    is_id,
    json_content,
    names_version,
)
from relay_dagster.api.models import ConfigVersion, Tenant
from relay_dagster.api.problems import ProblemError, documented, invalid_request
from relay_dagster.api.services import Services
from relay_dagster.aws.tenant_store import StoredConfig, TenantStore, UnknownTenantError

router = APIRouter(tags=["tenants"])

# A config's numbers keep their text; its keys and rules are in docs/CONFIG.md.
_CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A tenant config of schema_version 1.",
    "required": [
        "tenant_id",
        "timezone",
        "default_currency",
        "vendors",
        "pricing",
        "merge",
        "output",
    ],
}
_CONFIG_EXAMPLE: dict[str, Any] = {
    "schema_version": 1,
    "tenant_id": "acme_parts",
    "timezone": "America/Chicago",
    "default_currency": "USD",
    "vendors": [
        {
            "vendor_id": "granite_supply",
            "inbound": {
                "type": "s3",
                "s3_prefix": "tenants/acme_parts/inbound/granite_supply/",
            },
            "parser": {"format": "csv"},
        }
    ],
    "pricing": {
        "base_margin_pct": "0.20",
        "min_price": "1.00",
        "shipping_handling_flat": "4.95",
    },
    "merge": {"strategy": "best_offer"},
    "output": {"columns": ["sku", "quantity_available", "price"]},
}
_CONFIG_BODY = json_content(_CONFIG_SCHEMA, _CONFIG_EXAMPLE)


@router.post(
    "/v1/tenants",
    status_code=201,
    responses=documented(401, 403, 409, 413, 415, 422, 503),
    openapi_extra=_CONFIG_BODY,
)
def create_tenant(
    caller: Admin, services: Services, body: JsonBody, response: Response
) -> ConfigVersion:
    """Store a new tenant's first config."""
    config, text = _read_config(body)
    version = services.tenants.create(config.tenant_id, text).version
    return _stored(config.tenant_id, version, created=True, response=response)


@router.get("/v1/tenants/{tenant_id}", responses=documented(401, 404, 422, 503))
def get_tenant(
    tenant_id: TenantId,
    caller: Authenticated,
    services: Services,
    response: Response,
    config_version: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
) -> Tenant:
    """Return a tenant's latest config, or one version of it; the ETag is the version."""
    caller.require(tenant_id)
    stored = _find(services.tenants, tenant_id, config_version)
    response.headers["ETag"] = entity_tag(stored.version)
    return Tenant(
        tenant_id=tenant_id,
        config_version=stored.version,
        stored_at=stored.stored_at,
        tenant_config=_shown(stored.text),
    )


@router.put(
    "/v1/tenants/{tenant_id}/config",
    responses={
        201: {"model": ConfigVersion, "description": "The tenant is new."},
        **documented(401, 404, 412, 413, 415, 422, 503),
    },
    openapi_extra=_CONFIG_BODY,
)
def put_config(
    tenant_id: TenantId,
    caller: Authenticated,
    services: Services,
    body: JsonBody,
    response: Response,
    if_match: Annotated[str | None, Header(description="The version that was read.")] = None,
) -> ConfigVersion:
    """Store the next version of a tenant's config; an admin may store a new tenant's first."""
    caller.require(tenant_id)
    config, text = _read_config(body)
    if config.tenant_id != tenant_id:
        message = f'is "{config.tenant_id}", the path says "{tenant_id}"; they must be the same'
        raise invalid_request([ConfigFault("tenant_id", message)])
    expected = None if if_match is None else _expected(services.tenants, tenant_id, if_match)
    may_create = caller.is_admin and if_match is None
    stored = services.tenants.put(tenant_id, text, if_match=expected, may_create=may_create)
    return _stored(tenant_id, stored.version, created=stored.created, response=response)


def _read_config(body: bytes) -> tuple[TenantConfig, str]:
    """Return the config and the text to store: as it came, numbers exactly, without white space.

    Raises:
        ConfigError, UnsupportedSchemaVersionError: it is not a config.
    """
    document = parse_document(body, format="json")
    config = load_config(document)
    return config, json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _stored(tenant_id: str, version: int, *, created: bool, response: Response) -> ConfigVersion:
    response.headers["ETag"] = entity_tag(version)
    if created:
        response.status_code = 201
        response.headers["Location"] = f"/v1/tenants/{tenant_id}"
    return ConfigVersion(tenant_id=tenant_id, config_version=version)


def _find(tenants: TenantStore, tenant_id: str, config_version: int | None) -> StoredConfig:
    if not is_id(tenant_id):
        raise UnknownTenantError(tenant_id)
    if config_version is None:
        stored = tenants.latest(tenant_id)
    else:
        stored = tenants.version(tenant_id, config_version)
    if stored is not None:
        return stored
    latest = tenants.latest_version(tenant_id)
    if latest is None:
        raise UnknownTenantError(tenant_id)
    raise ProblemError(
        404,
        "CONFIG_VERSION_NOT_FOUND",
        f"tenant {tenant_id} has no config version {config_version}; the latest is {latest}",
    )


def _shown(text: str) -> dict[str, Any]:
    """Return a stored config as it takes effect, or as it stands where it no longer can."""
    document = parse_document(text, format="json")
    try:
        return load_config(document).to_document()
    except RelayError:
        return document


def _expected(tenants: TenantStore, tenant_id: str, if_match: str) -> int | None:
    """Return the version that the new one must follow, None for any.

    Raises:
        ProblemError: 412, ``If-Match`` does not name the latest version.
    """
    latest = tenants.latest_version(tenant_id)
    if latest is not None and if_match.strip() == "*":
        return None
    if latest is None or not names_version(if_match, latest):
        found = "has no config" if latest is None else f"is at config version {latest}"
        raise ProblemError(
            412,
            "CONFIG_VERSION_MISMATCH",
            f"tenant {tenant_id} {found}, which If-Match does not name; read it again",
            members={"config_version": latest},
        )
    return latest
