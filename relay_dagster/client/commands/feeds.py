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
        "Output file; by default standard output.",
        "--output",
        "-o",
        show_default=False,
        metavar="FILE",
    ),
]

_Channel = Annotated[
    str | None,
    option(
        "Channel; by default the feed itself.",
        "--channel",
        show_default=False,
        metavar="CHANNEL_ID",
    ),
]

commands = typer.Typer()
feed_links = typer.Typer(
    help="Create, list, and revoke links to a tenant's feed for programs that take a "
    "plain URL.",
    no_args_is_help=True,
)
_LINKS = TableView(
    {
        "link_id": "link_id",
        "name": "name",
        "channel": "channel_id",
        "created": "created_at",
        "by": "created_by",
        "expires": expiry,
        "last used": "last_used_at",
    },
    folded=("name",),
    empty="The tenant has no feed links.",
)


@command(commands, "get")
def get_feed(
    session: Session,
    tenant: Tenant,
    channel: _Channel = None,
    output: _OutputFile = None,
) -> None:
    """Download the live feed, or the file of one of its channels."""
    link = session.api.feed_link(tenant, channel)
    name = f"The feed of {tenant}"
    if channel is not None:
        name = f"Channel {channel} of {tenant}"
    write_file(session, name, link, output)


@command(commands)
def artifacts(
    session: Session,
    run_id: RunId,
    name: Annotated[
        str | None,
        argument("NAME", "Artifact to download.", show_default="lists all"),
    ] = None,
    output: _OutputFile = None,
) -> None:
    """List the artifacts of a run, or download one of them.

    The links in the list are valid for an hour.
    """
    if name is None and output is not None:
        raise BadUsageError("--output needs the name of an artifact.")
    links = session.api.artifacts(run_id)
    if name is None:
        session.screen.table(
            ("name", "link"),
            [*links.items()],
            folded=("link",),
        )
    elif name in links:
        write_file(session, name, links[name], output)
    else:
        names = ", ".join(links) or "none"
        raise BadUsageError(
            f"Run {run_id} has no artifact {name}. It has: {names}.",
        )


def write_file(
    session: Session,
    name: str,
    link: str,
    path: Path | None,
) -> None:
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
        raise BadUsageError(
            f"{path} cannot be written: {error.strerror}.",
        ) from error
    finally:
        partial_path.unlink(missing_ok=True)
    session.screen.say(
        f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256}",
    )


# --- links to the feed ----------------------------------------------------------------


@command(feed_links)
def create(
    session: Session,
    tenant: Tenant,
    name: Annotated[str, option("Name of the recipient.", show_default=False)],
    channel: _Channel = None,
    days: Annotated[
        int | None,
        option(
            "Days until the link expires.",
            show_default="never",
            min=1,
            max=36_500,
        ),
    ] = None,
) -> None:
    """Create a link to the live feed or to one of its channels, and print it.

    The link is shown only this once. Its ID goes to standard error.
    """
    body = {"name": name}
    if channel is not None:
        body["channel_id"] = channel
    if days is not None:
        body["expires_at"] = (
            datetime.now(UTC) + timedelta(days=days)
        ).isoformat()
    path = tenant_path(tenant, "feed-links")
    new_link = session.api.request(NewFeedLink, "POST", path, json=body)
    session.screen.say(new_link.url, whole=True)
    session.screen.complain(
        f"Link {new_link.link_id} of {tenant} is shown only this once. To revoke it: "
        f"relay feed links delete {tenant} {new_link.link_id}",
    )


@command(feed_links, "list")
def list_links(session: Session, tenant: Tenant) -> Output:
    """List a tenant's feed links with their recipients, expiry, and last use."""
    path = tenant_path(tenant, "feed-links")
    links = session.api.request(FeedLinkList, "GET", path)
    return Output(links, lambda: _LINKS.show(session.screen, links.feed_links))


@command(feed_links)
def delete(
    session: Session,
    tenant: Tenant,
    link_id: Annotated[str, argument("LINK_ID", "Link ID, as listed.")],
) -> None:
    """Revoke a feed link. It stops working immediately."""
    session.api.send("DELETE", tenant_path(tenant, "feed-links", link_id))
    session.screen.say(f"Link {link_id} of {tenant} is revoked.")
