"""Tenants' secrets, for pulls: put, listed by name, deleted. A value is never shown again."""

from typing import Annotated

from fastapi import Path, Response

from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import TENANT_CHANGE, answers
from relay_dagster.api.http.problems import ProblemError
from relay_dagster.api.http.request_parsing import TenantId, order, router
from relay_dagster.api.routes.tenants import require_tenant
from relay_dagster.api.security.auth import Acting, MayConfigure, MayRead
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.logs import event_log
from relay_dagster.runs.identifiers import ID_PATTERN, is_id
from relay_dagster.wire.access import ListedSecret, SecretList, SecretOrder

routes = router("tenants")
_log = event_log()

_Name = Annotated[
    str,
    Path(description="A name like an id.", pattern=ID_PATTERN),
]


@routes.put(
    "/v1/tenants/{tenant_id}/secrets/{name}",
    status_code=204,
    responses=answers(*TENANT_CHANGE, "SECRET_QUOTA_EXCEEDED", "SECRETS_UNAVAILABLE"),
)
def put_secret(
    tenant_id: TenantId,
    name: _Name,
    caller: MayConfigure,
    acting: Acting,
    platform: PlatformDep,
    asked: Annotated[SecretOrder, order(SecretOrder)],
) -> Response:
    """Keep a secret, for one host alone, in place of one of the name."""
    require_tenant(platform.tenants, tenant_id)
    secret = SecretValue(asked.value.get_secret_value(), asked.host)
    platform.secrets.put(tenant_id, name, secret, acting)
    _log.info("secret_put", tenant_id=tenant_id, name=name, host=asked.host)
    return Response(status_code=204)


@routes.get("/v1/tenants/{tenant_id}/secrets", responses=answers("TENANT_NOT_FOUND"))
def list_secrets(tenant_id: TenantId, caller: MayRead, platform: PlatformDep) -> SecretList:
    """List a tenant's secrets by name: the host that each is for, and since when."""
    require_tenant(platform.tenants, tenant_id)
    found = platform.secrets.of_tenant(tenant_id)
    return SecretList(secrets=[*map(ListedSecret.of, found)])


@routes.delete(
    "/v1/tenants/{tenant_id}/secrets/{name}",
    status_code=204,
    responses=answers("TENANT_NOT_FOUND", "SECRET_NOT_FOUND", "SECRETS_UNAVAILABLE"),
)
def delete_secret(
    tenant_id: TenantId,
    name: Annotated[str, Path(description="As listed.")],
    caller: MayConfigure,
    acting: Acting,
    platform: PlatformDep,
) -> None:
    """Delete a secret, for good."""
    if not is_id(name) or not platform.secrets.remove(tenant_id, name, acting):
        raise ProblemError("SECRET_NOT_FOUND", f"tenant {tenant_id} has no secret {name}")
    _log.info("secret_deleted", tenant_id=tenant_id, name=name)
