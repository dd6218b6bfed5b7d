"""Commands about feeds that guards hold: release one, or roll back to an earlier feed.

A release names the feed's hash and the guards that tripped, so that no other feed than
the one that was reviewed is released. The API checks both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from relay_dagster.client.api_client import segment, tenant_path
from relay_dagster.client.errors import BadUsageError, ClientError, NoResponseError
from relay_dagster.client.hold_report import PLACEHOLDER, release_command, show_hold
from relay_dagster.client.session import RunId, Session, argument, command, option
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.runs import HeldFeed, PublishedFeed, Run

Reason = Annotated[
    str, option("Why; it stands in the run, or in the log.", show_default=False)
]
commands = typer.Typer()


@command(commands)
def release(
    session: Session,
    run_id: RunId,
    reason: Annotated[
        str | None,
        option("Why; it stands in the run.", show_default="asks at a terminal"),
    ] = None,
    sha256: Annotated[
        str | None,
        option("Of the feed that was looked at.", show_default="asks at a terminal"),
    ] = None,
    guard: Annotated[
        list[str] | None,
        option("One that tripped, all must be named; may be repeated."),
    ] = None,
) -> None:
    """Publish the feed that a run holds back; shows it and asks, unless hash and guards are given.

    Where nobody can be asked, the command that releases what is shown is printed, with status 1.
    """
    if (sha256 is None) != (not guard):
        raise BadUsageError(
            "--sha256 and --guard go together: they say what was looked at"
        )
    if reason is None and sha256 is not None:
        raise BadUsageError("--reason: a release that nobody is asked about needs one")
    screen = session.screen
    if sha256 is None:
        hold = _confirmed_hold(session, run_id, reason)
        sha256 = hold.sha256
        guard = [*hold.guard_names]
    reason = reason or screen.ask("why is it right?")
    if not reason:
        screen.complain("nothing is released: a release needs a reason")
        raise typer.Exit(1)
    path = f"/v1/runs/{segment(run_id)}/release"
    body = {"sha256": sha256, "guards": guard, "reason": reason}
    with _unconfirmed(screen, "released"):
        run = session.api.request(Run, "POST", path, json=body)
    screen.say(
        f"run {run.run_id} of {run.tenant_id} is released: its feed is published"
    )


@command(commands)
def rollback(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Whose feed.")],
    run_id: RunId,
    reason: Reason,
) -> None:
    """Publish the feed of one of the tenant's earlier runs again."""
    path = tenant_path(tenant, "feed", "rollback")
    body = {"run_id": segment(run_id), "reason": reason}
    with _unconfirmed(session.screen, "rolled back"):
        feed = session.api.request(PublishedFeed, "POST", path, json=body)
    session.screen.say(
        f"{feed.tenant_id}: the feed of run {feed.run_id} is published again"
    )


def _confirmed_hold(session: Session, run_id: str, reason: str | None) -> HeldFeed:
    """Return the hold of a run, after the user has reviewed and confirmed it.

    Raises:
        ClientError: The run has no feed on hold.
        typer.Exit: The user did not confirm, or cannot be asked.
    """
    screen = session.screen
    run = session.api.run(run_id).run
    hold = run.hold
    if hold is None or not run.is_held:
        raise ClientError(f"run {run_id} is {run.status}: nothing of it is held back")
    screen.say(f"run {run_id} of {run.tenant_id}")
    show_hold(screen, run, hold)
    if not screen.is_terminal:
        command_line = release_command(
            run,
            hold,
            PLACEHOLDER if reason is None else reason,
        )
        screen.complain(f"nothing is released; to do so: {command_line}")
        raise typer.Exit(1)
    if not screen.confirm("publish this feed?"):
        screen.complain("nothing is released")
        raise typer.Exit(1)
    return hold


@contextmanager
def _unconfirmed(screen: Screen, participle: str) -> Iterator[None]:
    """If a request was sent and not answered, say that it may have been carried out."""
    try:
        yield
    except NoResponseError as error:
        if error.was_sent:
            screen.complain(
                f"whether it was {participle} is not known; the same command again does "
                "no harm"
            )
        raise
