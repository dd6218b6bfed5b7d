"""The demo's channels, and the delivery of one of them to a server on this machine."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.commands.deliveries import DELIVERIES
from relay_dagster.client.session import Session
from relay_dagster.devstack import demo_output as output
from relay_dagster.devstack.sftp_server import SftpFolder
from relay_dagster.runs.model import RunRecord
from relay_dagster.wire.deliveries import FeedDelivery, FeedDeliveryList

DELIVERY_SECONDS = 60
_POLL_SECONDS = 0.2
_SECRET = "marketplace"  # noqa: S105 - the name of a secret, not a secret
CHANNELS: list[dict[str, Any]] = [
    {
        "channel_id": "marketplace",
        "output": {
            "columns": ["sku", "quantity_available", "price", "availability"],
        },
        "when": {"in_stock": True, "conditions": ["new"]},
        "price": {"pct": "0.12", "flat": "0.30", "ending": "0.99"},
        "stock": {"hold_back": 2, "cap": 50},
    },
    {
        "channel_id": "outlet",
        "output": {
            "columns": [{"column": "sku", "as": "id"}, "price", "title"],
            "compression": "gzip",
        },
        "when": {"conditions": ["used", "refurb"]},
    },
]
"""The channels that the demo adds to the sample tenant's config."""


class NotDeliveredError(Exception):
    """The demo's feed was not delivered; the message says why."""


def settings_for(folder: SftpFolder) -> dict[str, Any]:
    """Return the sections of the config by which a channel is delivered to a folder."""
    delivery = {
        "delivery_id": "marketplace",
        "url": folder.url,
        "channel_id": "marketplace",
        "secret": _SECRET,
        "host_key": folder.host_key,
        "file_name": "{channel_id}-{seq}.csv",
    }
    return {"channels": CHANNELS, "deliveries": [delivery]}


def store_secret(session: Session, tenant: str, folder: SftpFolder) -> None:
    """Store the password of the folder's user, for its server only."""
    path = tenant_path(tenant, "secrets", _SECRET)
    secret = {"value": folder.password, "host": folder.host}
    session.api.send("PUT", path, json=secret)


def show_channels(
    console: Console,
    artifacts: Mapping[str, Path],
    record: RunRecord,
) -> None:
    """Print the file of each channel with its rows and its size."""
    output.title(console, "The same feed for other shops: its channels")
    table = Table("channel", "rows", "bytes", "file", box=None, pad_edge=False)
    for file in record.channels:
        path = artifacts[f"channel_{file.channel_id}"]
        size = f"{path.stat().st_size:,}"
        table.add_row(file.channel_id, f"{file.rows:,}", size, path.name)
    console.print(table)


def show_delivery(
    console: Console,
    session: Session,
    tenant: str,
    folder: SftpFolder,
) -> None:
    """Wait until the channel is delivered, and print what the server has then.

    Raises:
        NotDeliveredError: It was not delivered in time.
    """
    delivery = _delivered(session, tenant)
    output.title(
        console,
        f"Delivered to {folder.url}: relay feed deliveries list {tenant}",
    )
    DELIVERIES.show(session.screen, [delivery])
    console.print()
    table = Table("on the server", "bytes", box=None, pad_edge=False)
    for path in sorted(folder.path.iterdir()):
        table.add_row(path.name, f"{path.stat().st_size:,}")
    console.print(table)


def _delivered(session: Session, tenant: str) -> FeedDelivery:
    """Return the status of the tenant's delivery once its file has arrived."""
    path = tenant_path(tenant, "deliveries")
    asked_since = time.monotonic()
    while True:
        standings = session.api.request(FeedDeliveryList, "GET", path)
        (delivery,) = standings.deliveries
        if delivery.last_delivered_at is not None:
            return delivery
        if time.monotonic() - asked_since > DELIVERY_SECONDS:
            raise NotDeliveredError(
                f"the feed was not delivered: {delivery.last_error}"
            )
        # The API is asked again: it announces deliveries only to webhooks, and the demo
        # has no receiver.
        time.sleep(_POLL_SECONDS)
