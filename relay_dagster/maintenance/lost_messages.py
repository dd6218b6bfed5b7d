"""Messages that are gone although their runs wait for them: purged, expired, or of another queue.

A run's record has the time when it has waited long enough (`DueQueue.MESSAGE`). While the queue
has a backlog that clock stands still. A message that was sent before the queue was seen empty, and
not received for ``RELAY_MESSAGE_LOST_SECONDS`` since then, is sent again. A second message for a
run does no harm.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import drain
from relay_dagster.logs import event_log
from relay_dagster.maintenance.memory import Memory
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.model import DueQueue, RunRecord
from relay_dagster.wiring import Platform

MAX_RUNS = 100
_NOTES = 10

log = event_log()


@dataclass
class QueueWatch(Memory):
    """About ten instants at which the queue was seen empty, oldest first."""

    empty_at: list[float] = field(default_factory=list)

    def note_empty(self, now: datetime, lost_seconds: float) -> None:
        """Store that the queue is empty; keep the last instant over ``lost_seconds`` ago."""
        instant = now.timestamp()
        if not self.empty_at or instant - self.empty_at[-1] >= lost_seconds / _NOTES:
            self.empty_at.append(instant)
        matters_since = self._last_before(instant - lost_seconds)
        self.empty_at = [at for at in self.empty_at if at >= (matters_since or 0)]

    def due_until(self, now: datetime, lost_seconds: float) -> datetime | None:
        """Return the time up to which runs that wait for their message are due; None for no run."""
        seen = self._last_before(now.timestamp() - lost_seconds)
        if seen is None:
            return None
        return datetime.fromtimestamp(seen, UTC) + timedelta(seconds=lost_seconds)

    def _last_before(self, instant: float) -> float | None:
        return max((at for at in self.empty_at if at <= instant), default=None)


def send_lost_again(platform: Platform, watch: QueueWatch, now: datetime) -> int:
    """Send lost messages again; return how many runs wait for theirs.

    Raises:
        ExternalServiceError: queue or table fails.
    """
    if platform.queue.count_waiting():
        return 0
    lost_seconds = platform.settings.message_lost_seconds
    watch.note_empty(now, lost_seconds)
    until = watch.due_until(now, lost_seconds)
    if until is None:
        return 0

    def put_off(record: RunRecord, error: Exception) -> None:
        if isinstance(error, RunError):
            log.info("message_not_lost", reason=str(error), **record.log_facts)
            return
        report_fault(platform.metrics, "message_not_sent_again", error, **record.log_facts)
        platform.ledger.postpone(record)

    records = platform.runs.due(DueQueue.MESSAGE, until, MAX_RUNS)
    return len(drain(records, platform.submission.send_again, put_off))
