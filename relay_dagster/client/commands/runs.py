"""Commands about runs: start, list, show, and cancel them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer

from relay_core.domain.codes import RunStatus
from relay_dagster.client import run_watch, terminal
from relay_dagster.client.api_client import Polled, segment
from relay_dagster.client.errors import NoResponseError
from relay_dagster.client.run_report import RunReport
from relay_dagster.client.session import (
    Limit,
    Output,
    RunId,
    Session,
    argument,
    command,
    option,
)
from relay_dagster.wire.runs import Run

_WIDE_TERMINAL = 118  # the width that the table of runs needs
Watch = Annotated[bool, option("Follow the run until it ends.", "--watch")]
commands = typer.Typer()


@command(commands)
def run(
    session: Session,
    tenant: Annotated[str, argument("TENANT", "Tenant ID.")],
    vendor: Annotated[
        list[str] | None,
        option("Vendor to run; can be repeated.", show_default="all"),
    ] = None,
    watched: Watch = False,
    idempotency_key: Annotated[
        str | None,
        option(
            "Idempotency key. Repeating the request with the same key within 24 hours "
            "returns the same run.",
        ),
    ] = None,
) -> None:
    """Start a run and print its ID.

    With --watch, the exit status is 0 if the run succeeds, 3 if its feed is on
    hold, and else 1.
    """
    screen = session.screen
    try:
        polled = session.api.start_run(tenant, vendor or [], idempotency_key)
    except NoResponseError as error:
        if error.was_sent:
            screen.complain(
                "It is not known whether the run was started. To check: relay runs list "
                f"--tenant {tenant}",
            )
        raise
    run_id = polled.run.run_id
    screen.say(run_id)
    if watched:
        raise typer.Exit(_watched_to_end(session, polled))
    if screen.is_terminal:
        screen.say(
            f"Follow it with: relay runs show {run_id} --watch", style="dim"
        )


@command(commands, "list")
def list_runs(
    session: Session,
    tenant: Annotated[str | None, option("Filter by tenant.")] = None,
    status: Annotated[RunStatus | None, option("Filter by status.")] = None,
    limit: Limit = 20,
) -> Output:
    """List runs, newest first."""
    newest_runs = list(session.api.runs(tenant, status, limit))
    return Output(newest_runs, lambda: show_runs(session.screen, newest_runs))


@command(commands)
def show(session: Session, run_id: RunId, watched: Watch = False) -> Output:
    """Show a run: its status, counts, and artifacts.

    With --watch, follow the run first, with the exit status of `relay run
    --watch`.
    """
    polled = session.api.run(run_id)
    if not watched:
        report = RunReport.fetched(session, polled.run)
        return Output(report.as_json(), report.show)
    ended_run = run_watch.watch(session, polled, silently=session.as_json)
    report = RunReport.fetched(session, ended_run)
    return Output(
        report.as_json(),
        report.show,
        lambda: run_watch.exit_status(session, ended_run),
    )


@command(commands)
def cancel(session: Session, run_id: RunId) -> Output:
    """Cancel a run.

    A run that is RUNNING stops as soon as possible. A feed on hold is discarded.
    """
    path = f"/v1/runs/{segment(run_id)}/cancel"
    run = session.api.request(Run, "POST", path)
    line = f"Run {run.run_id} of {run.tenant_id} is {run.status}."
    if not run.has_ended:
        line += " It was asked to stop."
    return Output(run, lambda: session.screen.say(line))


def show_runs(screen: terminal.Screen, runs: Sequence[Run]) -> None:
    """Write a table of runs.

    A narrow terminal shows error codes below the rows, so that no run_id is cut.
    """
    if not runs:
        screen.say("No runs found.")
        return
    now = datetime.now(UTC)
    is_narrow = screen.is_terminal and screen.out.width < _WIDE_TERMINAL
    columns: dict[str, terminal.Column] = {
        "run_id": "run_id",
        "tenant_id": "tenant_id",
        "status": "status" if is_narrow else _status_with_stage,
    }
    if screen.is_terminal:
        columns["requested"] = lambda run: terminal.short_age(
            run.requested_at,
            now,
        )
    else:
        columns["requested_at"] = "requested_at"
    notes: list[str] = []
    if is_narrow:
        notes = [run.error_code or _current_stage(run) for run in runs]
    else:
        columns["took"] = _time_taken
        columns["error_code"] = "error_code"
    view = terminal.TableView(columns, folded=("tenant_id",))
    view.show(screen, runs, notes=notes)


def _watched_to_end(session: Session, polled: Polled) -> int:
    """Watch a run until it ends, and return the exit status of the command."""
    screen = session.screen
    run = run_watch.watch(session, polled)
    if run.succeeded:
        screen.say(
            f"{run.status} in {_time_taken(run)}. For details: relay runs show {run.run_id}",
        )
    elif run.is_held:
        screen.complain(
            f"To review and release the feed: relay runs show {run.run_id}",
        )
    elif run.error_code:
        screen.complain(
            f"For causes and samples: relay runs errors {run.run_id}"
        )
    return run_watch.exit_status(session, run)


def _time_taken(run: Run) -> str:
    return terminal.between(run.started_at, run.finished_at)


def _current_stage(run: Run) -> str:
    return "" if run.has_ended else run.stage


def _status_with_stage(run: Run) -> str:
    return f"{run.status} {_current_stage(run)}".strip()
