"""The thread that writes an attempt's heartbeats, through all of its steps.

Three places deal with heartbeats. This thread writes one every ``RELAY_HEARTBEAT_SECONDS``. An item
of its own keeps them as a counter (``beat`` and ``heartbeats`` of ``aws/dynamodb/run_store.py``).
The reconciler (``maintenance/reconciler.py``) stores in the record when it last saw the counter
change, and ends an attempt that has been silent for too long (``maintenance/run_decision.py``). A
process that wakes up after that ends itself at its next heartbeat.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from relay_dagster.logs import event_log
from relay_dagster.runs.errors import FenceLostError

log = event_log()


def end_process() -> NoReturn:
    """End this process at once, whatever its threads are doing."""
    sys.stderr.flush()
    os._exit(1)


class Heartbeat:
    """Calls ``beat`` every ``interval_seconds`` until it is stopped.

    A failed call is only logged: the reconciler tolerates several missing heartbeats. The first one
    comes after an interval, so a shorter run needs none. If the attempt is no longer this process's
    (`FenceLostError`), ``give_up`` is called and the heartbeats end.
    """

    def __init__(
        self,
        beat: Callable[[], object],
        *,
        interval_seconds: float,
        give_up: Callable[[], object] = end_process,
    ) -> None:
        self._beat = beat
        self._give_up = give_up
        self._interval = interval_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay-heartbeat", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self._beat()
            except FenceLostError as error:
                log.error("process_ended", reason=str(error))
                self._give_up()
                return
            except Exception as error:  # noqa: BLE001 - a missing heartbeat is no fault of the run
                log.warning("heartbeat_failed", error=str(error))
