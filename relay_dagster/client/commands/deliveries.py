"""Commands about deliveries of the feed to a tenant's servers."""

from typing import Annotated

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.session import (
    Output,
    Session,
    Tenant,
    argument,
    command,
)
from relay_dagster.client.terminal import TableView
from relay_dagster.wire.deliveries import FeedDelivery, FeedDeliveryList

deliveries = typer.Typer(
    help="List a tenant's deliveries, and send the live feed to one of its servers.",
    no_args_is_help=True,
)
DELIVERIES = TableView(
    {
        "delivery_id": "delivery_id",
        "delivered": "last_delivered_at",
        "run": "last_run_id",
        "what": "what",
        "rows": "rows",
        "pending run": "pending_run_id",
        "next": "next_at",
        "failures": "failures",
        "last error": "last_error",
    },
    folded=("last error",),
    empty="The tenant has no deliveries.",
)
"""The table of a tenant's deliveries."""


@command(deliveries, "list")
def list_deliveries(session: Session, tenant: Tenant) -> Output:
    """List a tenant's deliveries with the last file and the last error of each."""
    path = tenant_path(tenant, "deliveries")
    standings = session.api.request(FeedDeliveryList, "GET", path)
    return Output(
        standings,
        lambda: DELIVERIES.show(session.screen, standings.deliveries),
    )


@command(deliveries)
def send(
    session: Session,
    tenant: Tenant,
    delivery_id: Annotated[
        str, argument("DELIVERY_ID", "Delivery ID, as listed.")
    ],
) -> Output:
    """Send the whole live feed to a server now.

    For the result, see `relay feed deliveries list`.
    """
    path = tenant_path(tenant, "deliveries", delivery_id, "send")
    standing = session.api.request(FeedDelivery, "POST", path)
    line = (
        f"The live feed of {tenant} is being sent to {delivery_id}. For the result: "
        f"relay feed deliveries list {tenant}"
    )
    return Output(standing, lambda: session.screen.say(line))
