"""Tenants' API keys: create, list and delete.

A key that creates keys cannot grant more than it has. Admins can grant every scope.
"""

from typing import Annotated

from fastapi import Path, Query, Response

from relay_dagster.api import request_parsing
from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import Limit, TenantId
from relay_dagster.http.security.auth import (
    MayMakeKeys,
    MayRead,
)
from relay_dagster.logs import event_log
from relay_dagster.services import api_keys
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
    response.headers["Cache-Control"] = "no-store"
    return api_keys.create_api_key(tenant_id, call, body)


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
    return api_keys.list_api_keys(tenant_id, call, limit, cursor)


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
    api_keys.delete_api_key(tenant_id, key_id, call, with_made=with_made)
