"""Commands about feeds that guards hold: release one, or roll back to an earlier feed.

A release names the feed's hash and the guards that tripped, so that no other feed than
the one that was reviewed is released. The API checks both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from relay_dagster.client.api_client import segment, tenant_path
from relay_dagster.client.errors import (
    BadUsageError,
    ClientError,
    NoResponseError,
)
from relay_dagster.client.hold_report import (
    PLACEHOLDER,
    release_command,
    show_hold,
)
from relay_dagster.client.session import (
    RunId,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.runs import HeldFeed, PublishedFeed, Run

Reason = Annotated[
    str,
    option("Reason, recorded in the audit log.", show_default=False),
]
commands = typer.Typer()


@command(commands)
def release(
    session: Session,
    run_id: RunId,
    reason: Annotated[
        str | None,
        option(
            "Reason, recorded in the run.",
            show_default="prompts at a terminal",
        ),
    ] = None,
    sha256: Annotated[
        str | None,
        option(
            "SHA-256 of the feed that you reviewed.",
            show_default="prompts at a terminal",
        ),
    ] = None,
    guard: Annotated[
        list[str] | None,
        option("Guard that tripped; repeat the option to name all of them."),
    ] = None,
) -> None:
    """Release a feed that is on hold: publish it.

    Without --sha256 and --guard, the command shows the feed and asks for
    confirmation. Without a terminal, it prints the command that releases the feed
    and exits with status 1.
    """
    if (sha256 is None) != (not guard):
        raise BadUsageError(
            "Use --sha256 and --guard together: they identify the feed that you reviewed.",
        )
    if reason is None and sha256 is not None:
        raise BadUsageError("--sha256 and --guard need --reason.")
    screen = session.screen
    if sha256 is None:
        hold = _confirmed_hold(session, run_id, reason)
        sha256 = hold.sha256
        guard = [*hold.guard_names]
    reason = reason or screen.ask("Why is the feed correct?")
    if not reason:
        screen.complain("The feed was not released. A release needs a reason.")
        raise typer.Exit(1)
    path = f"/v1/runs/{segment(run_id)}/release"
    body = {"sha256": sha256, "guards": guard, "reason": reason}
    with _unconfirmed(screen, "released"):
        run = session.api.request(Run, "POST", path, json=body)
    screen.say(
        f"Run {run.run_id} of {run.tenant_id} is released, and its feed is published.",
    )


@command(commands)
def rollback(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Tenant ID.")],
    run_id: RunId,
    reason: Reason,
) -> None:
    """Publish the feed of one of a tenant's earlier runs again."""
    path = tenant_path(tenant, "feed", "rollback")
    body = {"run_id": segment(run_id), "reason": reason}
    with _unconfirmed(session.screen, "rolled back"):
        feed = session.api.request(PublishedFeed, "POST", path, json=body)
    session.screen.say(
        f"The feed of run {feed.run_id} is published again for {feed.tenant_id}.",
    )


def _confirmed_hold(
    session: Session,
    run_id: str,
    reason: str | None,
) -> HeldFeed:
    """Return the hold of a run, after the user has reviewed and confirmed it.

    Raises:
        ClientError: The run has no feed on hold.
        typer.Exit: The user did not confirm, or cannot be asked.
    """
    screen = session.screen
    run = session.api.run(run_id).run
    hold = run.hold
    if hold is None or not run.is_held:
        raise ClientError(
            f"Run {run_id} is {run.status}. It has no feed on hold.",
        )
    screen.say(f"run {run_id} of {run.tenant_id}")
    show_hold(screen, run, hold)
    if not screen.is_terminal:
        command_line = release_command(
            run,
            hold,
            PLACEHOLDER if reason is None else reason,
        )
        screen.complain(
            f"The feed was not released. To release it: {command_line}",
        )
        raise typer.Exit(1)
    if not screen.confirm("Publish this feed?"):
        screen.complain("The feed was not released.")
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
                f"It is not known whether the feed was {participle}. You can safely run the "
                "command again.",
            )
        raise
