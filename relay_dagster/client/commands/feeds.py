"""Commands about files of runs: the live feed, a run's artifacts, and links to the feed.

A file is written as a whole or not at all. Without a file name, its bytes go to standard
output.
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
    Output,
    RunId,
    Session,
    Tenant,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import TableView, expiry
from relay_dagster.wire.access import FeedLinkList, NewFeedLink

_CHUNK_BYTES = 1 << 20
_OutputFile = Annotated[
    Path | None,
    option(
        "Where it goes; else standard output.",
        "--output",
        "-o",
        show_default=False,
        metavar="FILE",
    ),
]

commands = typer.Typer()
feed_links = typer.Typer(
    help="Make links to a tenant's feed for programs that take a plain URL, "
    "and revoke them.",
    no_args_is_help=True,
)
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
def feed(session: Session, tenant: Tenant, output: _OutputFile = None) -> None:
    """Fetch the feed that is in force."""
    link = session.api.feed_link(tenant)
    write_file(session, f"the feed of {tenant}", link, output)


@command(commands)
def artifacts(
    session: Session,
    run_id: RunId,
    name: Annotated[
        str | None,
        argument("NAME", "One of them, fetched.", show_default="lists them"),
    ] = None,
    output: _OutputFile = None,
) -> None:
    """List a run's artifacts with links that are good for an hour, or fetch one of them."""
    if name is None and output is not None:
        raise BadUsageError("--output goes with the name of an artifact")
    links = session.api.artifacts(run_id)
    if name is None:
        session.screen.table(("name", "link"), [*links.items()], folded=("link",))
    elif name in links:
        write_file(session, name, links[name], output)
    else:
        names = ", ".join(links) or "none"
        raise BadUsageError(f"run {run_id} has no artifact {name}; it has: {names}")


def write_file(session: Session, name: str, link: str, path: Path | None) -> None:
    """Write the file behind a link to a path, or to standard output.

    Raises:
        ClientError: The file cannot be downloaded or written.
    """
    if path is None:
        with opened(name, link) as response:
            for chunk in response.iter_raw(_CHUNK_BYTES):
                sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
        return
    partial_path = path.with_name(f".{path.name}.part")
    try:
        sha256 = download_to(partial_path, name, link)
        partial_path.replace(path)
    except OSError as error:
        raise BadUsageError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        partial_path.unlink(missing_ok=True)
    session.screen.say(f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256}")


# --- links to the feed ----------------------------------------------------------------


@command(feed_links)
def create(
    session: Session,
    tenant: Tenant,
    name: Annotated[str, option("Whom it is for.", show_default=False)],
    days: Annotated[
        int | None,
        option("For how long it is good.", show_default="for ever", min=1, max=36_500),
    ] = None,
) -> None:
    """Make a link to the feed in force and print it, this once; its id goes to standard error."""
    body = {"name": name}
    if days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    path = tenant_path(tenant, "feed-links")
    new_link = session.api.request(NewFeedLink, "POST", path, json=body)
    session.screen.say(new_link.url, whole=True)
    session.screen.complain(
        f"link {new_link.link_id} of {tenant}; it is shown this once, and revoked with: "
        f"relay feed-links delete {tenant} {new_link.link_id}"
    )


@command(feed_links, "list")
def list_links(session: Session, tenant: Tenant) -> Output:
    """List a tenant's links to its feed: whom each is for, and when it was last used."""
    path = tenant_path(tenant, "feed-links")
    links = session.api.request(FeedLinkList, "GET", path)
    return Output(links, lambda: _LINKS.show(session.screen, links.feed_links))


@command(feed_links)
def delete(
    session: Session,
    tenant: Tenant,
    link_id: Annotated[str, argument("LINK_ID", "As listed.")],
) -> None:
    """Revoke a link, at once."""
    session.api.send("DELETE", tenant_path(tenant, "feed-links", link_id))
    session.screen.say(f"link {link_id} of {tenant} is revoked")
