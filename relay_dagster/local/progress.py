"""The progress bar of a local run or a check that takes longer than a second."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from relay_core.domain.codes import Stage
from relay_core.library.runner import RunClock

SILENT_SECONDS = 1.0
"""The time before the bar appears."""
_INTERVAL_SECONDS = 0.1
_STAGE_WORDS = {
    Stage.FETCH_INPUTS: "Looking for files",
    Stage.NORMALIZE: "Reading files",
    Stage.MERGE_PRICE: "Choosing offers and prices",
    Stage.WRITE_OUTPUTS: "Writing the feed and the reports",
}


@contextmanager
def progress(clock: RunClock, total_bytes: int) -> Iterator[None]:
    """Show a bar on standard error during a run, if standard error is a terminal.

    The bar shows the bytes of the files that are read, of ``total_bytes``, and then the
    stage.
    """
    if not sys.stderr.isatty():
        yield
        return
    has_ended = threading.Event()
    thread = threading.Thread(
        target=_show,
        args=(clock, total_bytes, has_ended),
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


def _show(
    clock: RunClock,
    total_bytes: int,
    has_ended: threading.Event,
) -> None:
    if has_ended.wait(SILENT_SECONDS):
        return
    # Most runs end before anything is shown.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total_bytes)
        while True:
            bar.update(
                task,
                completed=clock.bytes_read,
                description=_STAGE_WORDS.get(clock.now, str(clock.now)),
            )
            if has_ended.wait(_INTERVAL_SECONDS):
                return
