"""A run watched until it ends: a live picture at a terminal, or one line per change."""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

import typer
from rich import live, spinner
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from relay_core.domain.codes import Stage
from relay_dagster.client.api_client import Polled
from relay_dagster.client.errors import ApiError, NoResponseError
from relay_dagster.client.session import INTERRUPTED, Session
from relay_dagster.client.terminal import duration, instant, plain, status_style
from relay_dagster.wire.runs import Run, RunDetails

POLL_SECONDS = 2.0
"""The time between two looks at a run if the API does not say."""
HELD = 3
"""The exit status of a run on hold; the local runner has the same."""
MAX_SILENT_SECONDS = 60.0
"""The time without a response from the API after which watching ends."""


def watch(
    session: Session,
    polled: Polled,
    *,
    silently: bool = False,
) -> RunDetails:
    """Show a run's progress until it ends, and return the ended run.

    Args:
        session: The session of the command.
        polled: The run to watch.
        silently: Whether to write to standard error only.

    Raises:
        typer.Exit: The user stopped watching (130); the run goes on.
        ClientError: The API did not answer for `MAX_SILENT_SECONDS`.
    """
    run_id = polled.run.run_id
    watch_again = f"Watch it again with: relay runs show {run_id} --watch"
    screen = session.screen
    view: _Lines | _Picture
    if silently:
        view = _Lines(screen.complain)
    elif not screen.is_terminal:
        view = _Lines(screen.say)
    else:
        view = _Picture(screen.out)
    try:
        with view.live:
            view.show(polled.run)
            while not polled.run.has_ended:
                pause = polled.retry_after
                session.pause(POLL_SECONDS if pause is None else pause)
                polled = _poll(session, run_id, view.report_problem)
                view.show(polled.run)
        return polled.run
    except KeyboardInterrupt:
        screen.complain(f"Run {run_id} continues. {watch_again}")
        raise typer.Exit(INTERRUPTED) from None
    except (NoResponseError, ApiError):
        screen.complain(f"Run {run_id} may still be active. {watch_again}")
        raise


def exit_status(session: Session, run: Run) -> int:
    """Return the exit status of an ended run; write the cause of a failure as last line."""
    if run.succeeded:
        return 0
    session.screen.complain(failure_in_words(run))
    return HELD if run.is_held else 1


def failure_in_words(run: Run) -> str:
    """Return in one line why a run did not succeed."""
    if run.is_held and run.hold is not None:
        return f"{run.status}: {', '.join(run.hold.guard_names)}"
    if run.error_code is None:
        return f"{run.status}: the run was cancelled in {run.failed_stage or run.stage}"
    message = " ".join((run.error_message or "").split())
    return f"{run.error_code}: {message}"


def _poll(
    session: Session,
    run_id: str,
    report_problem: Callable[[str], None],
) -> Polled:
    """Return a run; if the API does not answer, keep asking for a while."""
    waited_seconds = 0.0
    while True:
        try:
            return session.api.run(run_id)
        except (NoResponseError, ApiError) as error:
            is_temporary = (
                isinstance(error, NoResponseError) or error.is_temporary
            )
            if not is_temporary or waited_seconds >= MAX_SILENT_SECONDS:
                raise
            if not waited_seconds:
                report_problem(f"No response, retrying. {error.lines[0]}")
            waited_seconds += POLL_SECONDS
            session.pause(POLL_SECONDS)


def _remarks(run: Run) -> Iterator[str]:
    """Yield remarks about a run besides its stage."""
    if run.cancel_requested_at is not None and not run.has_ended:
        yield "being cancelled"
    if run.next_attempt_at is not None:
        yield f"attempt {run.attempt} ended, {failure_in_words(run)}"
        yield f"next attempt at {instant(run.next_attempt_at)}"


class _Lines:
    """Shows a run as one line per change."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.live = nullcontext()
        self._write = write
        self._last_state: tuple[str, ...] = ()

    def show(self, run: Run) -> None:
        """Write a run's state if it has changed."""
        state = (
            run.status,
            run.stage,
            f"attempt {run.attempt}",
            *_remarks(run),
        )
        if state != self._last_state:
            self._last_state = state
            self._write_with_time("  ".join(state))

    def report_problem(self, problem: str) -> None:
        """Write why there is no response."""
        self._write_with_time(problem)

    def _write_with_time(self, text: str) -> None:
        self._write(f"{datetime.now(UTC):%H:%M:%SZ}  {text}")


class _Picture:
    """Shows the stages of a run: finished ones with a tick, the current one with a spinner."""

    def __init__(self, console: Console) -> None:
        is_unicode = console.encoding.startswith("utf")
        self._tick = "✔" if is_unicode else "+"
        self._cross = "✘" if is_unicode else "x"
        self._spinner = spinner.Spinner(
            "dots" if is_unicode else "line",
            style="cyan",
        )
        self._started_at = time.monotonic()
        self._run: Run | None = None
        self._problem = ""
        self.live = live.Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=8,
        )

    def show(self, run: Run) -> None:
        """Draw a run as it is now."""
        self._run = run
        self._problem = ""
        self.live.refresh()

    def report_problem(self, problem: str) -> None:
        """Write below the picture why it does not change."""
        self._problem = problem
        self.live.refresh()

    def _picture(self) -> RenderableType:
        run = self._run
        if run is None:
            return Text("")
        elapsed = duration(time.monotonic() - self._started_at)
        title = Text(f"{run.status}", style=status_style(run.status))
        title.append(f"  attempt {run.attempt}  {elapsed}", "dim")
        remarks = [*_remarks(run)]
        if self._problem:
            remarks.append(self._problem)
        lines = [Text(plain(remark), style="yellow") for remark in remarks]
        return Group(title, self._stages(run), *lines)

    def _stages(self, run: Run) -> Table:
        table = Table.grid(padding=(0, 1, 0, 1))
        stages = [str(stage) for stage in Stage]
        current_index = stages.index(run.stage) if run.stage in stages else 0
        for index, stage in enumerate(stages):
            mark: RenderableType = " "
            style = "dim"
            if index < current_index or run.succeeded:
                mark = Text(self._tick, "green")
                style = ""
            elif index == current_index and run.has_ended:
                mark = Text(self._cross, "red")
                style = "bold"
            elif index == current_index:
                mark = self._spinner
                style = "bold"
            table.add_row(mark, Text(stage, style=style))
        return table
