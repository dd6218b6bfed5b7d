"""The line at a terminal that says what a run of more than some seconds is doing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from relay_core.domain.codes import Stage

SILENT_SECONDS = 3.0
_STEP_SECONDS = 0.5
_CLEAR = "\r\x1b[K"


class Clock(Protocol):
    """Tells what a run is doing, and since when it goes on."""

    now: Stage

    def elapsed(self) -> float:
        """Return the seconds since the run began."""


@contextmanager
def progress(clock: Clock) -> Iterator[None]:
    """Keep a line on standard error while a run goes on, where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    beside = threading.Thread(target=_show, args=(clock, done), daemon=True)
    beside.start()
    try:
        yield
    finally:
        done.set()
        beside.join()


def _show(clock: Clock, done: threading.Event) -> None:
    is_shown = False
    while not done.wait(_STEP_SECONDS):
        if clock.elapsed() >= SILENT_SECONDS:
            is_shown = True
            sys.stderr.write(f"{_CLEAR}{clock.now}, {clock.elapsed():.0f} s")
            sys.stderr.flush()
    if is_shown:
        sys.stderr.write(_CLEAR)
        sys.stderr.flush()
