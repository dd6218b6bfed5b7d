"""Keys of a tenant: made, listed, deleted."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from relay_dagster.client.session import Session, Shown, Tenant, command
from relay_dagster.client.terminal import Screen, instant
from relay_dagster.wire.access import ListedKey

keys = typer.Typer()


@command(keys, "list")
def list_keys(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's keys: what each may do, until when, and when it was last used."""
    found = list(session.api.keys(tenant))
    return Shown(found, lambda: show_keys(session.screen, found))


@command(keys)
def create(
    session: Session,
    tenant: Tenant,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What it may do: read, run, config, release, upload, keys; may be repeated.",
            show_default="all but keys",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(help="For how long it is good.", show_default="for ever", min=1, max=36_500),
    ] = None,
) -> None:
    """Make a key and print it, this once; its id goes to standard error."""
    until = None if days is None else datetime.now(UTC) + timedelta(days=days)
    made = session.api.create_key(tenant, name, scope or [], until)
    session.screen.say(made.api_key, whole=True)
    session.screen.complain(
        f"key {made.key_id} of {tenant}; it is shown this once, and deleted with: "
        f"relay keys delete {tenant} {made.key_id}"
    )


@command(keys)
def delete(
    session: Session,
    tenant: Tenant,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As listed.", show_default=False)],
) -> None:
    """Delete a key, at once."""
    session.api.delete_key(tenant, key_id)
    session.screen.say(f"key {key_id} of {tenant} is deleted")


def show_keys(screen: Screen, keys: Sequence[ListedKey]) -> None:
    """Write a table of keys, the newest last."""
    if not keys:
        screen.complain("the tenant has no keys")
        return
    names = ("key_id", "name", "scopes", "created", "by", "expires", "last used")
    rows = [
        (
            key.key_id,
            key.name,
            " ".join(key.scopes),
            instant(key.created_at),
            key.created_by or "-",
            "never" if key.expires_at is None else instant(key.expires_at),
            instant(key.last_used_at),
        )
        for key in sorted(keys, key=lambda key: key.created_at)
    ]
    screen.table(names, rows, folded=("name", "scopes"))
