"""Commands about access: a tenant's API keys, and the audit log."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.session import (
    Limit,
    Output,
    Session,
    Tenant,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import TableView, expiry
from relay_dagster.wire.access import (
    AuditItem,
    AuditList,
    KeyList,
    NewTenantKey,
)

keys = typer.Typer(
    help="Create, list, and delete the API keys of a tenant.",
    no_args_is_help=True,
)
commands = typer.Typer()
_KEYS = TableView(
    {
        "key_id": "key_id",
        "name": "name",
        "scopes": "scopes",
        "created": "created_at",
        "by": "created_by",
        "expires": expiry,
        "last used": "last_used_at",
    },
    folded=("name", "scopes"),
    empty="The tenant has no API keys.",
)
_MAX_LISTED_VALUES = 3
_HIDDEN_DETAILS = ("changed_count", "expires_at", "sha256")


# --- keys -----------------------------------------------------------------------------


@command(keys, "list")
def list_keys(session: Session, tenant: Tenant) -> Output:
    """List a tenant's API keys with their scopes, expiry, and last use."""
    pages = session.api.pages(KeyList, tenant_path(tenant, "api-keys"))
    tenant_keys = [key for page in pages for key in page.api_keys]
    by_age = sorted(tenant_keys, key=lambda key: key.created_at)
    return Output(tenant_keys, lambda: _KEYS.show(session.screen, by_age))


@command(keys)
def create(
    session: Session,
    tenant: Tenant,
    name: Annotated[str | None, option("Name for people.")] = None,
    scope: Annotated[
        list[str] | None,
        option(
            "Scope: read, run, config, release, upload or keys; can be repeated.",
            show_default="all except keys",
        ),
    ] = None,
    days: Annotated[
        int | None,
        option(
            "Days until the key expires.",
            show_default="never",
            min=1,
            max=36_500,
        ),
    ] = None,
) -> None:
    """Create an API key and print it.

    The key is shown only this once. Its ID goes to standard error.
    """
    body: dict[str, Any] = {}
    if name is not None:
        body["name"] = name
    if scope:
        body["scopes"] = scope
    if days is not None:
        body["expires_at"] = (
            datetime.now(UTC) + timedelta(days=days)
        ).isoformat()
    new_key = session.api.request(
        NewTenantKey,
        "POST",
        tenant_path(tenant, "api-keys"),
        json=body,
    )
    session.screen.say(new_key.api_key, whole=True)
    session.screen.complain(
        f"Key {new_key.key_id} of {tenant} is shown only this once. To delete it: "
        f"relay keys delete {tenant} {new_key.key_id}",
    )


@command(keys)
def delete(
    session: Session,
    tenant: Tenant,
    key_id: Annotated[str, argument("KEY_ID", "Key ID, as listed.")],
) -> None:
    """Delete an API key. It stops working immediately."""
    session.api.send("DELETE", tenant_path(tenant, "api-keys", key_id))
    session.screen.say(f"Key {key_id} of {tenant} is deleted.")


# --- the audit log --------------------------------------------------------------------


@command(commands)
def audit(
    session: Session,
    tenant: Annotated[
        str | None,
        argument(
            "[TENANT]",
            "Tenant ID.",
            show_default="all that the key may read",
        ),
    ] = None,
    action: Annotated[
        str | None,
        option(
            "Filter by action, such as config.put; docs/API.md lists all actions.",
        ),
    ] = None,
    limit: Limit = 20,
) -> Output:
    """Show the audit log of the last 400 days, newest entries first."""
    query = {"tenant_id": tenant, "action": action}
    pages = session.api.pages(AuditList, "/v1/audit", query, limit)
    entries = list(
        islice((entry for page in pages for entry in page.audit), limit),
    )
    return Output(entries, lambda: AUDIT.show(session.screen, entries))


def _actor(entry: AuditItem) -> str:
    return f"{entry.actor.name or entry.actor.id} ({entry.actor.kind})"


def _details(details: Mapping[str, Any]) -> str:
    """Return the details of an entry in one line, with the first values of long lists."""
    visible = {
        name: value
        for name, value in details.items()
        if value is not None and value != [] and name not in _HIDDEN_DETAILS
    }
    before = visible.pop("config_version_before", None)
    after = visible.pop("config_version_after", None)
    parts = []
    if before is not None:
        parts.append(f"config version {before} -> {after}")
    for name, value in visible.items():
        values = value if isinstance(value, list) else [value]
        text = ", ".join(map(str, values[:_MAX_LISTED_VALUES]))
        if len(values) > _MAX_LISTED_VALUES:
            text += f" and {len(values) - _MAX_LISTED_VALUES} more"
        parts.append(f"{name} {text}")
    return "; ".join(parts)


AUDIT = TableView(
    {
        "when": "occurred_at",
        "who": _actor,
        "from": "address",
        "did": "action",
        "tenant": lambda entry: entry.tenant_id or "all",
        "target": "target",
        "details": lambda entry: _details(entry.details),
    },
    folded=("target", "details"),
    empty="The audit log has no such entry.",
)
