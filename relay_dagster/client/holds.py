"""A feed that is held back: what holds it, and the decision to publish it all the same.

What was looked at is named by its hash and its guards, so that nothing else is released; the API
judges that, nothing does here.
"""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from relay_dagster.client.api_client import segment, tenant_path
from relay_dagster.client.errors import BadUsageError, ClientError, NoAnswerError
from relay_dagster.client.session import RunId, Session, argument, command, option
from relay_dagster.client.terminal import Screen
from relay_dagster.wire.runs import HeldFeed, PublishedFeed, Run

Reason = Annotated[
    str, option("Why; it stands in the run, or in the log.", default=False)
]
commands = typer.Typer()


@command(commands)
def release(
    session: Session,
    run_id: RunId,
    reason: Annotated[
        str | None, option("Why; it stands in the run.", default="asks at a terminal")
    ] = None,
    sha256: Annotated[
        str | None,
        option("Of the feed that was looked at.", default="asks at a terminal"),
    ] = None,
    guard: Annotated[
        list[str] | None,
        option("One that tripped, all must be named; may be repeated."),
    ] = None,
) -> None:
    """Publish the feed that a run holds back; shows it and asks, unless hash and guards are given.

    Where nobody can be asked, the command that releases what is shown is printed, with status 1.
    """
    if (sha256 is None) is not (not guard):
        raise BadUsageError(
            "--sha256 and --guard go together: they say what was looked at"
        )
    if reason is None and sha256 is not None:
        raise BadUsageError("--reason: a release that nobody is asked about needs one")
    screen = session.screen
    if sha256 is None:
        run = session.api.run(run_id).run
        if run.hold is None or not run.is_held:
            raise ClientError(
                f"run {run_id} is {run.status}: nothing of it is held back"
            )
        screen.say(f"run {run_id} of {run.tenant_id}")
        show_hold(screen, run, run.hold)
        if not screen.is_terminal:
            command = release_command(
                run, run.hold, *([] if reason is None else [reason])
            )
            screen.complain(f"nothing is released; to do so: {command}")
            raise typer.Exit(1)
        if not screen.agrees("publish this feed?"):
            screen.complain("nothing is released")
            raise typer.Exit(1)
        sha256, guard = run.hold.sha256, [*run.hold.guard_names]
    reason = reason or screen.ask("why is it right?")
    if not reason:
        screen.complain("nothing is released: a release needs a reason")
        raise typer.Exit(1)
    order = {"sha256": sha256, "guards": guard, "reason": reason}
    with _unconfirmed(screen, "released"):
        done = session.api.ask(
            Run, "POST", f"/v1/runs/{segment(run_id)}/release", json=order
        )
    screen.say(
        f"run {done.run_id} of {done.tenant_id} is released: its feed is published"
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
    order = {"run_id": segment(run_id), "reason": reason}
    with _unconfirmed(session.screen, "rolled back"):
        feed = session.api.ask(PublishedFeed, "POST", path, json=order)
    session.screen.say(
        f"{feed.tenant_id}: the feed of run {feed.run_id} is published again"
    )


def show_hold(screen: Screen, run: Run, hold: HeldFeed) -> None:
    """Write what held a run, and while it is held the command that releases it."""
    screen.section(f"held back against the feed of run {hold.baseline_run_id}")
    for guard in hold.guards:
        show_guard(screen, guard)
    if run.is_held:
        screen.say(
            "the shop keeps the feed that it has; the next run's takes this one's place"
        )
        screen.say("release it, once it is found right, with:")
        screen.say(release_command(run, hold), indent=2, whole=True)


def release_command(run: Run, hold: HeldFeed, reason: str = "why it is right") -> str:
    """Return the command that releases exactly what a hold shows."""
    guards = (word for name in hold.guard_names for word in ("--guard", name))
    words = ("--sha256", hold.sha256, *guards, "--reason", reason)
    return shlex.join(("relay", "release", run.run_id, *words))


def show_guard(screen: Screen, guard: Mapping[str, Any]) -> None:
    """Write a guard's result, with its examples."""
    whose = f" of {guard['vendor_id']}" if guard.get("vendor_id") else ""
    side = f", {guard['side']} side" if guard.get("side") else ""
    share = f"{guard['count']:,} of {guard['of']:,}, {guard['value']}"
    screen.say(
        f"{guard['guard']}{whose}{side}: {share}; the limit is {guard['limit']}",
        indent=2,
    )
    for each in guard.get("examples", ()):
        now = "gone" if each["after"] is None else each["after"]
        screen.say(f"{each['sku']}: {each['before']} -> {now}", indent=6)


@contextmanager
def _unconfirmed(screen: Screen, what: str) -> Iterator[None]:
    """Say of a request without an answer, where it was sent, that it may be carried out."""
    try:
        yield
    except NoAnswerError as error:
        if error.was_sent:
            screen.complain(
                f"whether it was {what} is not known; the same command again does no harm"
            )
        raise
