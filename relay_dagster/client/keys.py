"""Keys of a tenant: made, listed, deleted."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.session import Session, Shown, Tenant, argument, command, option
from relay_dagster.client.terminal import TableView, instant
from relay_dagster.wire.access import NewTenantKey

keys = typer.Typer()
_KEYS = TableView(
    {
        "key_id": "key_id",
        "name": "name",
        "scopes": "scopes",
        "created": "created_at",
        "by": "created_by",
        "expires": lambda key: "never" if key.expires_at is None else instant(key.expires_at),
        "last used": "last_used_at",
    },
    folded=("name", "scopes"),
    empty="the tenant has no keys",
)


@command(keys, "list")
def list_keys(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's keys: what each may do, until when, and when it was last used."""
    found = list(session.api.keys(tenant))
    by_age = sorted(found, key=lambda key: key.created_at)
    return Shown(found, lambda: _KEYS.show(session.screen, by_age))


@command(keys)
def create(
    session: Session,
    tenant: Tenant,
    name: Annotated[str | None, option("What people call it.")] = None,
    scope: Annotated[
        list[str] | None,
        option(
            "What it may do: read, run, config, release, upload, keys; may be repeated.",
            default="all but keys",
        ),
    ] = None,
    days: Annotated[
        int | None, option("For how long it is good.", default="for ever", min=1, max=36_500)
    ] = None,
) -> None:
    """Make a key and print it, this once; its id goes to standard error."""
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    asked = {"name": name, "scopes": scope or None, "expires_at": until and until.isoformat()}
    order = {field: value for field, value in asked.items() if value is not None}
    made = session.api.ask(NewTenantKey, "POST", tenant_path(tenant, "api-keys"), json=order)
    session.screen.say(made.api_key, whole=True)
    session.screen.complain(
        f"key {made.key_id} of {tenant}; it is shown this once, and deleted with: "
        f"relay keys delete {tenant} {made.key_id}"
    )


@command(keys)
def delete(
    session: Session, tenant: Tenant, key_id: Annotated[str, argument("KEY_ID", "As listed.")]
) -> None:
    """Delete a key, at once."""
    session.api.send("DELETE", tenant_path(tenant, "api-keys", key_id))
    session.screen.say(f"key {key_id} of {tenant} is deleted")
