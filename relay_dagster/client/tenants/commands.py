"""`relay upload` and `relay tenant`: options and flow, as in ``client/commands.py``."""

from pathlib import Path
from typing import Annotated

import typer

from relay_dagster.client.commands import LOCAL_API, ApiKey, ApiUrl, Json

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Which one.", show_default=False)]

tenant = typer.Typer(help="See how a tenant stands, delete it, restore it.")


def add_to(app: typer.Typer) -> None:
    """Give an application the commands about one tenant."""
    app.command()(upload)
    app.add_typer(tenant, name="tenant", no_args_is_help=True)


def upload(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="Whose vendor it is.", show_default=False)
    ],
    vendor: Annotated[
        str, typer.Argument(metavar="VENDOR", help="Whose feed it is.", show_default=False)
    ],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="It keeps its name.", show_default=False)
    ],
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Upload a vendor's feed, which needs no rights in the bucket, and print its key.

    What starts a run of it is told on standard error.
    """
    from relay_dagster.client.session import connected
    from relay_dagster.client.tenants.uploads import send, what_starts_a_run

    with connected(api_url, api_key) as session:
        session.screen.say(send(session, tenant, vendor, file))
        session.screen.complain(what_starts_a_run(session, tenant))


@tenant.command()
def status(
    tenant: Tenant, as_json: Json = False, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """Show a tenant's feed, what is under way, and what each vendor gave to the last run.

    Of one that was deleted, when that was.
    """
    from relay_dagster.client.session import connected
    from relay_dagster.client.tenants.deletions import TenantCalls, show_deletion
    from relay_dagster.client.views.tenants import show_status
    from relay_dagster.wire.tenants import TenantDeletion

    with connected(api_url, api_key) as session:
        found = TenantCalls(session.api, tenant).status()
        if as_json:
            session.screen.show_json(found.as_json())
        elif isinstance(found, TenantDeletion):
            show_deletion(session.screen, found)
        else:
            show_status(session.screen, tenant, found)


@tenant.command()
def delete(
    tenant: Tenant,
    confirm: Annotated[
        str, typer.Option(metavar="TENANT", help="Its id once more.", show_default=False)
    ],
    as_json: Json = False,
    api_url: ApiUrl = LOCAL_API,
    api_key: ApiKey = None,
) -> None:
    """Delete a tenant and all that it has; for some days it can be restored."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.tenants.deletions import TenantCalls, show_deletion

    with connected(api_url, api_key) as session:
        asked = TenantCalls(session.api, tenant).delete(confirm)
        if as_json:
            session.screen.show_json(asked.as_json())
        else:
            show_deletion(session.screen, asked)


@tenant.command()
def restore(
    tenant: Tenant, as_json: Json = False, api_url: ApiUrl = LOCAL_API, api_key: ApiKey = None
) -> None:
    """Take a tenant's deletion back: its keys work again, and its triggers go on."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.tenants.deletions import TenantCalls

    with connected(api_url, api_key) as session:
        restored = TenantCalls(session.api, tenant).restore()
        if as_json:
            session.screen.show_json(restored.as_json())
        else:
            session.screen.say(f"tenant {restored.tenant_id} is {restored.state}")
