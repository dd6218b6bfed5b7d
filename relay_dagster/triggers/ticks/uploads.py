"""One tick of the queue of uploads: receive S3's events, record them, start the runs that are due.

An upload is stored with its tenant's triggers before its event is deleted, so no process loses one
by dying. Repeated events and events out of order make no difference.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from relay_dagster.aws.clients import LONG_POLL_SECONDS
from relay_dagster.aws.job_queue import MAX_MESSAGES, Message
from relay_dagster.aws.metrics import report_fault
from relay_dagster.aws.upload_queue import UploadQueue
from relay_dagster.drain import drain
from relay_dagster.external_errors import ThrottledError
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers.events import NotAnEventError, Upload, uploads_in
from relay_dagster.triggers.rules import noted
from relay_dagster.triggers.state import UploadEvent
from relay_dagster.triggers.ticks.check import TriggerCheck
from relay_dagster.triggers.ticks.due import take_all, take_due
from relay_dagster.wiring import Platform

# A tick may last 60 seconds. The longer it polls, the shorter the pauses in which no event is seen.
POLL_SECONDS = 35
MAX_AT_ONCE = 500
_ROUNDS = 20

log = event_log()


@dataclass
class UploadTick:
    """Receives events for some seconds."""

    platform: Platform  # the stores and the queue
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    # Tells how long the tick has lasted, in seconds
    monotonic: Callable[[], float] = time.monotonic
    passes: int = 0
    events: int = 0
    started: int = 0
    _check: TriggerCheck = field(init=False)

    def __post_init__(self) -> None:
        """Check with the tick's own clock."""
        self._check = TriggerCheck(self.platform, self.clock)

    def run(self, poll_seconds: float = POLL_SECONDS) -> str:
        """Record the events that come, and start the runs that are due; return a summary."""
        queue = self.platform.uploads
        if queue is None:
            return "UPLOADS_QUEUE_URL is not set: uploads start nothing"
        until = self.monotonic() + poll_seconds
        left = poll_seconds
        while not self.passes or left >= 1:
            # Wait for the first events, then take all that are there.
            received = some = queue.receive(wait_seconds=int(min(left, LONG_POLL_SECONDS)))
            while len(some) == MAX_MESSAGES and len(received) < MAX_AT_ONCE:
                some = queue.receive()
                received = received + some
            self._record(queue, received)
            self.started += take_due(self.platform, self.clock, self.monotonic)
            self.passes, left = self.passes + 1, until - self.monotonic()
        return f"{self.events} events, {self.started} runs started"

    def _record(self, queue: UploadQueue, messages: Sequence[Message]) -> None:
        """Record uploads, and delete their messages; messages of a failed record come again."""
        bucket = self.platform.objects.bucket
        uploads: dict[str, list[Upload]] = defaultdict(list)
        sources: dict[str, set[str]] = {}
        unreadable: list[tuple[Message, str]] = []
        for message in messages:
            try:
                found = uploads_in(message.body)
            except NotAnEventError as error:
                unreadable.append((message, str(error)))
                continue
            tenants = sources[message.receipt_handle] = set()
            for upload in found:
                if upload.bucket == bucket and upload.tenant_id is not None:
                    tenants.add(upload.tenant_id)
                    uploads[upload.tenant_id].append(upload)
        self.events += len(sources)
        lost: set[str] = set()

        def not_noted(tenant_id: str, error: Exception) -> None:
            lost.add(tenant_id)
            report_fault(self.platform.metrics, "uploads_not_noted", error, tenant_id=tenant_id)

        def send_to_dlq(refused: tuple[Message, str]) -> None:
            message, cause = refused
            queue.send_to_dlq(message, cause)
            log.error("invalid_upload_event", message_id=message.message_id, error=cause)
            self.platform.metrics.worker_error("invalid_upload_event")

        def not_sent(_: tuple[Message, str], error: Exception) -> None:
            report_fault(self.platform.metrics, "upload_event_not_buried", error)

        drain(uploads, lambda tenant_id: self._note(tenant_id, uploads[tenant_id]), not_noted)
        read = [each for each in messages if each.receipt_handle in sources]
        queue.delete_all([each for each in read if not sources[each.receipt_handle] & lost])
        drain(unreadable, send_to_dlq, not_sent)

    def _note(self, tenant_id: str, uploads: Sequence[Upload]) -> None:
        """Store a tenant's uploads with its triggers, and start its run if that is due at once."""
        for _ in range(_ROUNDS):
            # In this order: the triggers show a config that is stored in between.
            state, plan = self.platform.triggers.get(tenant_id), self._check.plan(tenant_id)
            found = [
                (vendor_id, UploadEvent(each.at, each.key))
                for each in uploads
                for vendor_id in plan.vendors_of(each.key)
            ]
            if not found:
                return
            after = noted(state, found, plan, self.clock())
            written = self.platform.triggers.put(state, after)
            if written is not None:
                if written.due_at is not None and written.due_at <= self.clock():
                    self.started += take_all(self._check, [written], plan)
                return
        raise ThrottledError("note_uploads", f"tenant {tenant_id}: too many writers at once")
