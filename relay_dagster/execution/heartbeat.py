"""The heartbeat of an attempt, and the end of its process."""

import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from relay_dagster.logs import event_log
from relay_dagster.runs.errors import FenceLostError

_log = event_log()


def end_process() -> NoReturn:
    """End this process at once, whatever its threads are doing."""
    sys.stderr.flush()
    os._exit(1)


@dataclass(eq=False)
class Heartbeat:
    """The thread that shows, through all steps of an attempt, that its process lives.

    It calls ``beat`` in intervals. ``RunStore.beat`` counts the calls in an item of
    their own. The reconciler notes in the record when it last saw the count change, and
    ends an attempt that is silent for too long. A process that wakes up after that gets
    `FenceLostError`, and gives up. Any other failed call is only logged: several
    missing heartbeats are tolerated. The first heartbeat comes after an interval, so a
    shorter run needs none.
    """

    beat: Callable[[], object]
    interval_seconds: float
    give_up: Callable[[], object] = end_process
    _stopped: threading.Event = field(
        default_factory=threading.Event,
        init=False,
    )
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(
            target=self._run,
            name="relay-heartbeat",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(self.interval_seconds):
            try:
                self.beat()
            except FenceLostError as error:
                _log.error("process_ended", reason=str(error))
                self.give_up()
                return
            except Exception as error:  # noqa: BLE001 - no fault of the run
                _log.warning("heartbeat_failed", error=str(error))
