"""`relay upload` and `relay tenant`: options and flow, as in ``client/commands.py``."""

from pathlib import Path
from typing import Annotated

import typer

from relay_dagster.client.commands import LOCAL_API, ApiKey, ApiUrl, Json

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="Which one.", show_default=False)]

tenant = typer.Typer(help="See how a tenant stands.")


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
    """Show a tenant's feed, what is under way, and what each vendor gave to the last run."""
    from relay_dagster.client.session import connected
    from relay_dagster.client.views.tenants import show_status

    with connected(api_url, api_key) as session:
        found = session.api.status(tenant)
        if as_json:
            session.screen.show_json(found.as_json())
        else:
            show_status(session.screen, tenant, found)
