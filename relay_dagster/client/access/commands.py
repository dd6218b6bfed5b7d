"""`relay keys` and `relay audit`: options and flow, as in ``client/commands.py``."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from relay_dagster.client.commands import LOCAL_API, ApiKey, ApiUrl, Json

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Whose.", show_default=False)]

keys = typer.Typer(help="Make keys of a tenant, see what they may do, and delete them.")


def add_to(app: typer.Typer) -> None:
    """Give an application the commands about keys and the audit."""
    app.command()(audit)
    app.add_typer(keys, name="keys", no_args_is_help=True)


def audit(
    tenant: Annotated[
        str | None,
        typer.Argument(metavar="[TENANT]", help="Whose.", show_default="all that the key reaches"),
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only this, such as config.put; docs/API.md has them all.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Show who did what, newest first: entries of the last 400 days."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.access import show_audit

    with connected(api_url, api_key) as session:
        found = list(session.api.audit(tenant, action, limit))
        if as_json:
            session.screen.show_json([each.as_json() for each in found])
        else:
            show_audit(session.screen, found)


@keys.command("list")
def list_keys(
    tenant: Tenant, as_json: Json = False, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """List a tenant's keys: what each may do, until when, and when it was last used."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.access import show_keys

    with connected(api_url, api_key) as session:
        found = list(session.api.keys(tenant))
        if as_json:
            session.screen.show_json([each.as_json() for each in found])
        else:
            show_keys(session.screen, found)


@keys.command()
def create(
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
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Make a key and print it, this once; its id goes to standard error."""
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        until = None if days is None else datetime.now(UTC) + timedelta(days=days)
        made = session.api.create_key(tenant, name, scope or [], until)
        session.screen.say(made.api_key, whole=True)
        session.screen.complain(
            f"key {made.key_id} of {tenant}; it is shown this once, and deleted with: "
            f"relay keys delete {tenant} {made.key_id}"
        )


@keys.command()
def delete(
    tenant: Tenant,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As listed.", show_default=False)],
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Delete a key, at once."""
    from relay_dagster.client.session import connected

    with connected(api_url, api_key) as session:
        session.api.delete_key(tenant, key_id)
        session.screen.say(f"key {key_id} of {tenant} is deleted")
