"""One tick of the queue of uploads: take S3's events, note them of their tenants, start what may.

What an event tells is kept with the tenant's triggers before it is deleted, so nothing is lost
with a process; told twice or out of order it comes to the same.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from relay_dagster.aws.clients import LONG_POLL_SECONDS
from relay_dagster.aws.cloudwatch.metrics import report_fault
from relay_dagster.aws.sqs.job_queue import MAX_MESSAGES, Message
from relay_dagster.aws.sqs.upload_queue import UploadQueue
from relay_dagster.drain import drain
from relay_dagster.external_errors import ThrottledError
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.runs.triggers.state import TriggerState
from relay_dagster.triggers.check import TriggerCheck
from relay_dagster.triggers.due import take_all, take_due
from relay_dagster.triggers.events import NotAnEventError, Upload, uploads_in
from relay_dagster.triggers.rules import Plan, noted
from relay_dagster.wiring import Platform

# A tick may last 60: the shorter the share of the pauses between them, the sooner events are seen.
POLL_SECONDS = 35
MAX_AT_ONCE = 500
_ROUNDS = 20

log = event_log()


@dataclass
class UploadTick:
    """Takes in events for some seconds.

    Args:
        platform: the stores and the queue.
        clock: tells the time, aware.
        monotonic: tells how long the tick has lasted, in seconds.
    """

    platform: Platform
    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    passes: int = 0
    events: int = 0
    started: int = 0
    _check: TriggerCheck = field(init=False)

    def __post_init__(self) -> None:
        """Check with the tick's own clock."""
        self._check = TriggerCheck(self.platform, self.clock)

    def run(self, poll_seconds: float = POLL_SECONDS) -> str:
        """Take in what comes meanwhile, and start what is due; return what came of it."""
        queue = self.platform.uploads
        if queue is None:
            return "UPLOADS_QUEUE_URL is not set: uploads start nothing"
        until = self.monotonic() + poll_seconds
        left = poll_seconds
        while not self.passes or left >= 1:
            self._take_in(queue, self._receive(queue, min(left, LONG_POLL_SECONDS)))
            self.started += take_due(self.platform, self.clock, self.monotonic)
            self.passes, left = self.passes + 1, until - self.monotonic()
        return f"{self.events} events, {self.started} runs started"

    def _receive(self, queue: UploadQueue, wait_seconds: float) -> list[Message]:
        """Wait for the first events, then take those that are there."""
        received = some = queue.receive(wait_seconds=int(wait_seconds))
        while len(some) == MAX_MESSAGES and len(received) < MAX_AT_ONCE:
            some = queue.receive()
            received = received + some
        return received

    def _take_in(self, queue: UploadQueue, messages: Sequence[Message]) -> None:
        """Note uploads, and delete the messages of those that are noted; the others come again."""
        uploads: dict[str, list[Upload]] = defaultdict(list)
        sources: dict[str, set[str]] = {}
        unreadable: list[tuple[Message, str]] = []
        for message in messages:
            try:
                found = list(self._ours(uploads_in(message.body)))
            except NotAnEventError as error:
                unreadable.append((message, str(error)))
                continue
            sources[message.receipt_handle] = {name for name, _ in found}
            for tenant_id, upload in found:
                uploads[tenant_id].append(upload)
        self.events += len(sources)
        lost: set[str] = set()

        def not_noted(tenant_id: str, error: Exception) -> None:
            lost.add(tenant_id)
            report_fault(self.platform.metrics, "uploads_not_noted", error, tenant_id=tenant_id)

        drain(uploads, lambda tenant_id: self._note(tenant_id, uploads[tenant_id]), not_noted)
        read = [each for each in messages if each.receipt_handle in sources]
        queue.delete_all([each for each in read if not sources[each.receipt_handle] & lost])
        drain(unreadable, lambda each: self._send_to_dlq(queue, *each), self._not_sent_to_dlq)

    def _ours(self, uploads: Iterable[Upload]) -> Iterable[tuple[str, Upload]]:
        """Return the uploads of tenants, each with its tenant."""
        bucket = self.platform.objects.bucket
        ours = ((each.tenant_id, each) for each in uploads if each.bucket == bucket)
        return ((name, each) for name, each in ours if name is not None)

    def _note(self, tenant_id: str, uploads: Sequence[Upload]) -> None:
        """Note a tenant's uploads, and start its run where that may start at once."""
        written = self._noted(tenant_id, uploads)
        if written is None:
            return
        state, plan = written
        if state.due_at is not None and state.due_at <= self.clock():
            self.started += take_all(self._check, [state], plan)

    def _noted(self, tenant_id: str, uploads: Sequence[Upload]) -> tuple[TriggerState, Plan] | None:
        """Return the tenant's triggers with uploads noted, and the plan that they were noted by.

        None where these start nothing.
        """
        for _ in range(_ROUNDS):
            # In this order: a config that is stored in between is seen in the triggers.
            state, plan = self.platform.triggers.get(tenant_id), self._check.plan(tenant_id)
            found = [(each.at, plan.vendors_of(each.key)) for each in uploads]
            vendors = set[str]().union(*(some for _, some in found))
            if not vendors:
                return None
            instants = [at for at, some in found if some]
            after = noted(state, vendors, instants, plan, self.clock())
            written = self.platform.triggers.put(state, after)
            if written is not None:
                return written, plan
        raise ThrottledError("note_uploads", f"tenant {tenant_id}: too many writers at once")

    def _send_to_dlq(self, queue: UploadQueue, message: Message, cause: str) -> None:
        queue.bury(message, cause)
        log.error("invalid_upload_event", message_id=message.message_id, error=cause)
        self.platform.metrics.worker_error("invalid_upload_event")

    def _not_sent_to_dlq(self, _: tuple[Message, str], error: Exception) -> None:
        report_fault(self.platform.metrics, "upload_event_not_buried", error)
