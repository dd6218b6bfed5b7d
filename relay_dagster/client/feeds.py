"""Files of a tenant's runs, fetched: the feed in force, and a run's artifacts; links to the feed.

A file is written whole or not at all; without a file's name its bytes go to standard output.
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from relay_dagster.client.api_client import tenant_path
from relay_dagster.client.errors import BadUsageError
from relay_dagster.client.links import download_to, opened
from relay_dagster.client.session import (
    RunId,
    Session,
    Shown,
    Tenant,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import TableView, expiry
from relay_dagster.wire.access import FeedLinkList, NewFeedLink

_PIECE = 1 << 20
_Output = Annotated[
    Path | None,
    option(
        "Where it goes; else standard output.",
        "--output",
        "-o",
        default=False,
        metavar="FILE",
    ),
]

commands = typer.Typer()
feed_links = typer.Typer()
_LINKS = TableView(
    {
        "link_id": "link_id",
        "name": "name",
        "created": "created_at",
        "by": "created_by",
        "expires": expiry,
        "last used": "last_used_at",
    },
    folded=("name",),
    empty="the tenant has no links to its feed",
)


@command(commands)
def feed(session: Session, tenant: Tenant, output: _Output = None) -> None:
    """Fetch the feed that is in force."""
    fetch(session, f"the feed of {tenant}", session.api.feed_link(tenant), output)


@command(commands)
def artifacts(
    session: Session,
    run_id: RunId,
    name: Annotated[
        str | None, argument("NAME", "One of them, fetched.", default="lists them")
    ] = None,
    output: _Output = None,
) -> None:
    """List a run's artifacts with links that are good for an hour, or fetch one of them."""
    if name is None and output is not None:
        raise BadUsageError("--output goes with the name of an artifact")
    links = session.api.artifacts(run_id)
    if name is None:
        session.screen.table(("name", "link"), [*links.items()], folded=("link",))
    elif name in links:
        fetch(session, name, links[name], output)
    else:
        there = ", ".join(links) or "none"
        raise BadUsageError(f"run {run_id} has no artifact {name}; it has: {there}")


def fetch(session: Session, name: str, link: str, path: Path | None) -> None:
    """Write a link's file, as it is stored, to a path or to standard output; or `ClientError`."""
    if path is None:
        with opened(name, link) as response:
            for chunk in response.iter_raw(_PIECE):
                sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        return
    part = path.with_name(f".{path.name}.part")
    try:
        digest = download_to(part, name, link)
        part.replace(path)
    except OSError as error:
        raise BadUsageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)
    session.screen.say(f"{path}: {path.stat().st_size:,} bytes, sha256 {digest}")


# --- links to the feed --------------------------------------------------------------------------


@command(feed_links)
def create(
    session: Session,
    tenant: Tenant,
    name: Annotated[str, option("Whom it is for.", default=False)],
    days: Annotated[
        int | None,
        option("For how long it is good.", default="for ever", min=1, max=36_500),
    ] = None,
) -> None:
    """Make a link to the feed in force and print it, this once; its id goes to standard error."""
    order = {"name": name}
    if days is not None:
        order["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    path = tenant_path(tenant, "feed-links")
    made = session.api.ask(NewFeedLink, "POST", path, json=order)
    session.screen.say(made.url, whole=True)
    session.screen.complain(
        f"link {made.link_id} of {tenant}; it is shown this once, and revoked with: "
        f"relay feed-links delete {tenant} {made.link_id}"
    )


@command(feed_links, "list")
def list_links(session: Session, tenant: Tenant) -> Shown:
    """List a tenant's links to its feed: whom each is for, and when it was last used."""
    found = session.api.ask(FeedLinkList, "GET", tenant_path(tenant, "feed-links"))
    return Shown(found, lambda: _LINKS.show(session.screen, found.feed_links))


@command(feed_links)
def delete(
    session: Session,
    tenant: Tenant,
    link_id: Annotated[str, argument("LINK_ID", "As listed.")],
) -> None:
    """Revoke a link, at once."""
    session.api.send("DELETE", tenant_path(tenant, "feed-links", link_id))
    session.screen.say(f"link {link_id} of {tenant} is revoked")
