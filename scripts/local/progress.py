"""The line at a terminal that shows the stage of a run that takes some seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from relay_core.domain.codes import Stage

SILENT_SECONDS = 3.0
"""The time before the line appears."""
_INTERVAL_SECONDS = 0.5
_CLEAR_LINE = "\r\x1b[K"


class Clock(Protocol):
    """Tells the current stage of a run, and how long the run takes.

    Attributes:
        now: The current stage.
    """

    now: Stage

    def elapsed(self) -> float:
        """Return the seconds since the run started."""


@contextmanager
def progress(clock: Clock) -> Iterator[None]:
    """Show a line on standard error during a run, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    has_ended = threading.Event()
    thread = threading.Thread(
        target=_show,
        args=(clock, has_ended),
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


def _show(clock: Clock, has_ended: threading.Event) -> None:
    is_visible = False
    while not has_ended.wait(_INTERVAL_SECONDS):
        if clock.elapsed() >= SILENT_SECONDS:
            is_visible = True
            sys.stderr.write(
                f"{_CLEAR_LINE}{clock.now}, {clock.elapsed():.0f} s",
            )
            sys.stderr.flush()
    if is_visible:
        sys.stderr.write(_CLEAR_LINE)
        sys.stderr.flush()
