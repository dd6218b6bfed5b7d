"""A run watched to its end, asked for as often as the API says: a live picture, or lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from relay_core.domain.codes import Stage
from relay_dagster.client.api_client import Polled
from relay_dagster.client.errors import NoAnswerError, RefusedError
from relay_dagster.client.session import INTERRUPTED, Session
from relay_dagster.client.terminal import duration, instant, plain, status_style
from relay_dagster.wire.runs import Run, RunDetails

POLL_SECONDS = 2.0
"""How long to wait where the API does not say."""
HELD = 3
"""The exit status of a run that is held, the local runner's, too."""
MAX_SILENT_SECONDS = 60.0
"""How long the API may fail to answer before watching ends."""


def watch(session: Session, polled: Polled, *, silently: bool = False) -> RunDetails:
    """Show a run's progress until it is final, and return how it ended.

    ``silently`` writes to standard error, and leaves standard output to the command.

    `typer.Exit`: 130, the user has stopped watching; the run goes on. `ClientError`: the API has
    not answered for `MAX_SILENT_SECONDS`.
    """
    run_id = polled.run.run_id
    again = f"look again with: relay show {run_id} --watch"
    screen = session.screen
    view: _Lines | _Picture
    if silently or not screen.is_terminal:
        view = _Lines(screen.complain if silently else screen.say)
    else:
        view = _Picture(screen.out)
    try:
        with view.live:
            view.show(polled.run)
            while not polled.run.has_ended:
                session.pause(
                    POLL_SECONDS if polled.retry_after is None else polled.retry_after
                )
                polled = _poll(session, polled.run.run_id, view.report_problem)
                view.show(polled.run)
        return polled.run
    except KeyboardInterrupt:
        screen.complain(f"run {run_id} goes on; {again}")
        raise typer.Exit(INTERRUPTED) from None
    except (NoAnswerError, RefusedError):
        screen.complain(f"run {run_id} may go on; {again}")
        raise


def exit_status(session: Session, run: Run) -> int:
    """Return 0 for a run that succeeded; else say why as the last line of standard error."""
    if run.succeeded:
        return 0
    session.screen.complain(cause_of(run))
    return HELD if run.is_held else 1


def cause_of(run: Run) -> str:
    """Return ``error_code: message`` in one line; of a held or cancelled run that it is."""
    if run.is_held and run.hold is not None:
        return f"{run.status}: {', '.join(run.hold.guard_names)}"
    if run.error_code is None:
        return f"{run.status}: the run was cancelled in {run.failed_stage or run.stage}"
    return f"{run.error_code}: {' '.join((run.error_message or '').split())}"


def _poll(
    session: Session, run_id: str, report_problem: Callable[[str], None]
) -> Polled:
    """Look at a run, over and over while the API does not answer."""
    waited = 0.0
    while True:
        try:
            return session.api.run(run_id)
        except (NoAnswerError, RefusedError) as error:
            passing = isinstance(error, NoAnswerError) or error.may_pass
            if not passing or waited >= MAX_SILENT_SECONDS:
                raise
            if not waited:
                report_problem(f"no answer, trying again: {error.lines[0]}")
            waited += POLL_SECONDS
            session.pause(POLL_SECONDS)


def _remarks(run: Run) -> Iterator[str]:
    """Yield what is to be said of a run beside its stage."""
    if run.cancel_requested_at is not None and not run.has_ended:
        yield "it is being cancelled"
    if run.next_attempt_at is not None:
        yield f"attempt {run.attempt} ended, {cause_of(run)}"
        yield f"the next one starts at {instant(run.next_attempt_at)}"


class _Lines:
    """One line for each change."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.live = nullcontext()
        self._say = say
        self._shown: tuple[str, ...] = ()

    def show(self, run: Run) -> None:
        """Write a run's state where it has changed."""
        state = (run.status, run.stage, f"attempt {run.attempt}", *_remarks(run))
        if state != self._shown:
            self._shown = state
            self._say(f"{datetime.now(UTC):%H:%M:%SZ}  {'  '.join(state)}")

    def report_problem(self, problem: str) -> None:
        """Write why there is no answer."""
        self._say(f"{datetime.now(UTC):%H:%M:%SZ}  {problem}")


class _Picture:
    """The stages, those behind ticked, the present one with a spinner and the time so far."""

    def __init__(self, console: Console) -> None:
        utf = console.encoding.startswith("utf")
        self._done, self._ended = ("✔", "✘") if utf else ("+", "x")
        self._spinner = Spinner("dots" if utf else "line", style="cyan")
        self._began = time.monotonic()
        self._run: Run | None = None
        self._problem = ""
        self.live = Live(
            console=console, get_renderable=self._drawn, refresh_per_second=8
        )

    def show(self, run: Run) -> None:
        """Draw a run as it is now."""
        self._run, self._problem = run, ""
        self.live.refresh()

    def report_problem(self, problem: str) -> None:
        """Say under the picture why it stands still."""
        self._problem = problem
        self.live.refresh()

    def _drawn(self) -> RenderableType:
        run = self._run
        if run is None:
            return Text("")
        head = Text(f"{run.status}", style=status_style(run.status))
        head.append(
            f"  attempt {run.attempt}  {duration(time.monotonic() - self._began)}",
            "dim",
        )
        below = [
            Text(plain(line), style="yellow")
            for line in (*_remarks(run), self._problem)
            if line
        ]
        table = Table.grid(padding=(0, 1, 0, 1))
        names = [str(stage) for stage in Stage]
        reached = names.index(run.stage) if run.stage in names else 0
        for place, name in enumerate(names):
            mark: RenderableType = " "
            style = "dim"
            if place < reached or run.succeeded:
                mark, style = Text(self._done, "green"), ""
            elif place == reached:
                mark = Text(self._ended, "red") if run.has_ended else self._spinner
                style = "bold"
            table.add_row(mark, Text(name, style=style))
        return Group(head, table, *below)
