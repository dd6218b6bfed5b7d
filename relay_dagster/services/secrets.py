"""Tenants' secrets, which pulls use: store, list and delete.

No result contains the value of a secret.
"""

from relay_dagster.aws.secrets import SecretValue
from relay_dagster.http.problems import ProblemError
from relay_dagster.http.security.auth import Call
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.services.tenants import require_tenant
from relay_dagster.wire import access as wire

_log = event_log()


def put_secret(
    tenant_id: str,
    name: str,
    call: Call,
    body: wire.SecretRequest,
) -> None:
    """Store a secret for one host, or replace the secret of that name."""
    require_tenant(call.platform, tenant_id)
    secret = SecretValue(body.value.get_secret_value(), body.host)
    call.platform.secrets.put(tenant_id, name, secret, call.origin)
    _log.info("secret_put", tenant_id=tenant_id, name=name, host=body.host)


def list_secrets(tenant_id: str, call: Call) -> wire.SecretList:
    """Return a tenant's secrets, sorted by name, without their values."""
    require_tenant(call.platform, tenant_id)
    secrets = call.platform.secrets.of_tenant(tenant_id)
    return wire.SecretList(
        secrets=[wire.ListedSecret.of(secret) for secret in secrets]
    )


def delete_secret(
    tenant_id: str,
    name: str,
    call: Call,
) -> None:
    """Delete a secret.

    Raises:
        ProblemError: The tenant has no such secret (404).
    """
    is_deleted = False
    if is_id(name):
        is_deleted = call.platform.secrets.remove(tenant_id, name, call.origin)
    if not is_deleted:
        message = f"tenant {tenant_id} has no secret {name}; check the name"
        raise ProblemError("SECRET_NOT_FOUND", message)
    _log.info("secret_deleted", tenant_id=tenant_id, name=name)
