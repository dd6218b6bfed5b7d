"""Tenants' secrets, which pulls use: store, list and delete.

No response contains the value of a secret.
"""

from typing import Annotated

from fastapi import Path, Response

from relay_dagster.api.http.error_codes import responds_with
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import (
    TenantId,
    request_body,
    router,
)
from relay_dagster.api.routes.tenants import require_tenant
from relay_dagster.api.security.auth import MayConfigure, MayRead
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import ID_PATTERN, is_id
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
    require_tenant(call.platform, tenant_id)
    secret = SecretValue(body.value.get_secret_value(), body.host)
    call.platform.secrets.put(tenant_id, name, secret, call.origin)
    _log.info("secret_put", tenant_id=tenant_id, name=name, host=body.host)
    return Response(status_code=204)


@routes.get("/v1/tenants/{tenant_id}/secrets")
def list_secrets(tenant_id: TenantId, call: MayRead) -> wire.SecretList:
    """List a tenant's secrets, sorted by name. Their values are never returned."""
    require_tenant(call.platform, tenant_id)
    secrets = call.platform.secrets.of_tenant(tenant_id)
    return wire.SecretList(
        secrets=[wire.ListedSecret.of(secret) for secret in secrets]
    )


@routes.delete("/v1/tenants/{tenant_id}/secrets/{name}", status_code=204)
@responds_with("SECRET_NOT_FOUND", "SECRETS_UNAVAILABLE")
def delete_secret(
    tenant_id: TenantId,
    name: Annotated[str, Path(description="The secret's name.")],
    call: MayConfigure,
) -> None:
    """Delete a secret. This cannot be undone."""
    is_deleted = False
    if is_id(name):
        is_deleted = call.platform.secrets.remove(tenant_id, name, call.origin)
    if not is_deleted:
        message = f"tenant {tenant_id} has no secret {name}; check the name"
        raise ProblemError("SECRET_NOT_FOUND", message)
    _log.info("secret_deleted", tenant_id=tenant_id, name=name)
