"""Tenants' secrets, which pulls use: store, list and delete.

No response contains the value of a secret.
"""

from typing import Annotated

from fastapi import Path, Response

from relay_dagster.api.documented_responses import responds_with
from relay_dagster.api.request_parsing import (
    TenantId,
    request_body,
    router,
)
from relay_dagster.http.security.auth import MayConfigure, MayRead
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN
from relay_dagster.services import secrets
from relay_dagster.wire import access as wire

routes = router("tenants")
_log = event_log()


@routes.put("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("TENANT_CLOSING", "SECRET_QUOTA_EXCEEDED", "SECRETS_UNAVAILABLE")
def put_secret(
    tenant_id: TenantId,
    name: Annotated[
        str,
        Path(
            description="The secret's name, in the same format as an ID.",
            pattern=ID_PATTERN,
        ),
    ],
    call: MayConfigure,
    body: Annotated[wire.SecretRequest, request_body(wire.SecretRequest)],
) -> Response:
    """Store a secret for one host, or replace the secret of that name."""
    secrets.put_secret(tenant_id, name, call, body)
    return Response(status_code=204)


@routes.get("/v1/tenants/{tenant_id}/secrets")
def list_secrets(tenant_id: TenantId, call: MayRead) -> wire.SecretList:
    """List a tenant's secrets, sorted by name. Their values are never returned."""
    return secrets.list_secrets(tenant_id, call)


@routes.delete("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("SECRET_NOT_FOUND", "SECRETS_UNAVAILABLE")
def delete_secret(
    tenant_id: TenantId,
    name: Annotated[str, Path(description="The secret's name.")],
    call: MayConfigure,
) -> None:
    """Delete a secret. This cannot be undone."""
    secrets.delete_secret(tenant_id, name, call)
