"""The process of `relay server transfers`: all calls to strangers' servers that move files.

It needs no database of Dagster and starts no run, so a server that makes it crash stops
nothing else. On SIGTERM it gives its leases back, and another process goes on.
"""

import signal
import threading

from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import drain, fail
from relay_dagster.logs import event_log
from relay_dagster.transfers.delivery_sender import DeliverySender
from relay_dagster.transfers.puller import Puller
from relay_dagster.transfers.room import TransferRoom
from relay_dagster.wiring import Platform

CHECK_SECONDS = 1.0
"""The pause between two queries for transfers that are due."""
STOP_SECONDS = 20.0
"""The longest that the process waits at its end until all leases are given back."""
log = event_log()


class Transfers:
    """The pulls and the deliveries of a process, which share one room."""

    def __init__(self, platform: Platform) -> None:
        self.room = TransferRoom()
        self.puller = Puller(platform, room=self.room)
        self.sender = DeliverySender(platform, room=self.room)

    def run(self) -> tuple[int, int]:
        """Begin due transfers while there is room; return the pulls and deliveries in hand.

        Raises:
            Exception: The first error of either, once both have had their turn.
        """
        workers: list[Puller | DeliverySender] = [self.puller, self.sender]
        pulls, deliveries = drain(workers, _take_due, fail)
        return pulls or 0, deliveries or 0


def serve(platform: Platform) -> None:
    """Make due transfers until a signal stops the process."""
    is_over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: is_over.set())
    log.info("transfers_begun")
    transfers = Transfers(platform)
    while not is_over.wait(CHECK_SECONDS):
        make_due(transfers, platform)
    transfers.room.stop(STOP_SECONDS)
    log.info("transfers_ended")


def make_due(transfers: Transfers, platform: Platform) -> None:
    """Begin the transfers that are due; report an error, and go on with the next check."""
    try:
        transfers.run()
    except Exception as error:  # noqa: BLE001 - the next check may succeed
        report_fault(platform.metrics, "tick_error", error, process="transfers")


def _take_due(worker: Puller | DeliverySender) -> int:
    return worker.run()
