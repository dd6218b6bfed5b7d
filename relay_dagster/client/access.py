"""Keys of a tenant: made, listed, deleted; the audit: who did what."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.session import (
    Limit,
    Session,
    Shown,
    Tenant,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import TableView, expiry
from relay_dagster.wire.access import AuditList, KeyList, NewTenantKey

keys = typer.Typer()
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
    empty="the tenant has no keys",
)


@command(keys, "list")
def list_keys(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's keys: what each may do, until when, and when it was last used."""
    pages = session.api.pages(KeyList, tenant_path(tenant, "api-keys"))
    found = [key for page in pages for key in page.api_keys]
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
        int | None,
        option("For how long it is good.", default="for ever", min=1, max=36_500),
    ] = None,
) -> None:
    """Make a key and print it, this once; its id goes to standard error."""
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    asked = {
        "name": name,
        "scopes": scope or None,
        "expires_at": until and until.isoformat(),
    }
    order = {field: value for field, value in asked.items() if value is not None}
    made = session.api.ask(
        NewTenantKey, "POST", tenant_path(tenant, "api-keys"), json=order
    )
    session.screen.say(made.api_key, whole=True)
    session.screen.complain(
        f"key {made.key_id} of {tenant}; it is shown this once, and deleted with: "
        f"relay keys delete {tenant} {made.key_id}"
    )


@command(keys)
def delete(
    session: Session,
    tenant: Tenant,
    key_id: Annotated[str, argument("KEY_ID", "As listed.")],
) -> None:
    """Delete a key, at once."""
    session.api.send("DELETE", tenant_path(tenant, "api-keys", key_id))
    session.screen.say(f"key {key_id} of {tenant} is deleted")


_MAX_PATHS = 3
_HIDDEN = ("changed_count", "expires_at", "sha256")
commands = typer.Typer()


@command(commands)
def audit(
    session: Session,
    tenant: Annotated[
        str | None, argument("[TENANT]", "Whose.", default="all that the key reaches")
    ] = None,
    action: Annotated[
        str | None, option("Only this, such as config.put; docs/API.md has them all.")
    ] = None,
    limit: Limit = 20,
) -> Shown:
    """Show who did what, newest first: entries of the last 400 days."""
    asked = {"tenant_id": tenant, "action": action}
    pages = session.api.pages(AuditList, "/v1/audit", asked, limit)
    found = list(islice((entry for page in pages for entry in page.audit), limit))
    return Shown(found, lambda: AUDIT.show(session.screen, found))


def _details(details: Mapping[str, Any]) -> str:
    """Return the details of an act in one line; of many changed paths it has the first ones."""
    shown = {
        name: value
        for name, value in details.items()
        if value is not None and value != [] and name not in _HIDDEN
    }
    before, after = (
        shown.pop(f"config_version_{side}", None) for side in ("before", "after")
    )
    parts = [] if before is None else [f"config version {before} -> {after}"]
    for name, value in shown.items():
        listed = value if isinstance(value, list) else [value]
        rest = (
            f" and {len(listed) - _MAX_PATHS} more" if len(listed) > _MAX_PATHS else ""
        )
        parts.append(f"{name} {', '.join(map(str, listed[:_MAX_PATHS]))}{rest}")
    return "; ".join(parts)


AUDIT = TableView(
    {
        "when": "occurred_at",
        "who": lambda entry: (
            f"{entry.actor.name or entry.actor.id} ({entry.actor.kind})"
        ),
        "from": "address",
        "did": "action",
        "tenant": lambda entry: entry.tenant_id or "all",
        "target": "target",
        "details": lambda entry: _details(entry.details),
    },
    folded=("target", "details"),
    empty="the audit has no such entry",
)
