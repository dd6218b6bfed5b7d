"""The progress bar of a local run: at a terminal alone, and only for a long run."""

from __future__ import annotations

import io
import sys
import time

import pytest

from relay_core.domain.codes import Stage
from relay_core.library.runner import RunClock
from relay_dagster.local import progress as module
from relay_dagster.local.progress import progress

SECONDS = 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_during_a_run(monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    """Return what a terminal has once the bar shows a text, or at the end of the time."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    clock = RunClock()
    end = time.monotonic() + SECONDS
    with progress(clock, 4_000_000), clock.stage(Stage.NORMALIZE):
        clock.bytes_read = 1_000_000
        while text not in terminal.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
    return terminal.getvalue()


def test_the_bar_shows_the_stage_and_the_bytes_that_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0)
    monkeypatch.setenv("TERM", "xterm")
    shown = shown_during_a_run(monkeypatch, "1.0/4.0 MB")
    assert "Reading files" in shown
    assert "1.0/4.0 MB" in shown


def test_a_short_run_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress(RunClock(), 1):
        pass
    assert terminal.getvalue() == ""


def test_nothing_is_shown_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    with progress(RunClock(), 1):
        pass
    assert pipe.getvalue() == ""
