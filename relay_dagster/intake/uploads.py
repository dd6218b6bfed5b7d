"""One tick of the queue of uploads: record S3's events, and start the runs that are due.

An upload is stored with its tenant's triggers before its event is deleted, so no process
loses one by dying. Repeated events, and events out of order, make no difference.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay_dagster.aws.clients import LONG_POLL_SECONDS
from relay_dagster.aws.dynamodb.codec import digest_of
from relay_dagster.aws.job_queue import MAX_MESSAGES, Message, UploadQueue
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import drain
from relay_dagster.intake.trigger_check import TriggerCheck, take_due
from relay_dagster.intake.upload_events import (
    CreatedObject,
    NotAnEventError,
    uploads_in,
)
from relay_dagster.logs import event_log
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers import link_uploads, rules
from relay_dagster.triggers.rules import TriggerQueue, TriggerState, UploadEvent
from relay_dagster.wiring import Platform

POLL_SECONDS = 35
"""The length of a tick, which may last 60 seconds: between two ticks no event is seen."""
MAX_RECEIVED = 500
_EVENT_ID_LENGTH = 16
log = event_log()


@dataclass(frozen=True, slots=True, eq=False)
class UploadMessage:
    """A message that tells of uploads."""

    message: Message
    tenant_ids: set[str]  # the tenants whose uploads it tells of


@dataclass
class UploadTick:
    """Receives events for some seconds."""

    platform: Platform  # the stores and the queue
    clock: Callable[[], datetime] = utc_now  # tells the time, aware
    # Measures durations, in seconds.
    monotonic: Callable[[], float] = time.monotonic
    events: int = 0  # the number of messages that were events
    started: int = 0  # the number of runs that were started

    def run(self, poll_seconds: float = POLL_SECONDS) -> str:
        """Record the events that come, start the runs that are due, and sum up."""
        queue = self.platform.uploads
        if queue is None:
            return "UPLOADS_QUEUE_URL is not set: uploads start nothing"
        until = self.monotonic() + poll_seconds
        self._pass(queue, poll_seconds)
        remaining_seconds = until - self.monotonic()
        while remaining_seconds >= 1:
            self._pass(queue, remaining_seconds)
            remaining_seconds = until - self.monotonic()
        return f"{self.events} events, {self.started} runs started"

    def _pass(self, queue: UploadQueue, seconds: float) -> None:
        """Wait for the first events, record all that have come, start due runs."""
        wait_seconds = int(min(seconds, LONG_POLL_SECONDS))
        batch = queue.receive(wait_seconds=wait_seconds)
        messages = batch
        while len(batch) == MAX_MESSAGES and len(messages) < MAX_RECEIVED:
            batch = queue.receive()
            messages = messages + batch
        self._record(queue, messages)
        self.started += take_due(self.platform, self.clock, self.monotonic)

    def _record(self, queue: UploadQueue, messages: Sequence[Message]) -> None:
        """Record the uploads that messages tell of, and delete the messages.

        Messages with uploads that could not be recorded are received again.
        """
        bucket = self.platform.objects.bucket
        uploads: dict[str, list[CreatedObject]] = defaultdict(list)
        upload_messages: list[UploadMessage] = []
        invalid_messages: list[tuple[Message, str]] = []
        for message in messages:
            try:
                created_objects = uploads_in(message.body)
            except NotAnEventError as error:
                invalid_messages.append((message, str(error)))
                continue
            tenant_ids = set()
            for upload in created_objects:
                if upload.bucket == bucket and upload.tenant_id is not None:
                    tenant_ids.add(upload.tenant_id)
                    uploads[upload.tenant_id].append(upload)
            upload_messages.append(UploadMessage(message, tenant_ids))
        self.events += len(upload_messages)
        failed_tenants = self._note_all(uploads)
        recorded_messages = [
            upload_message.message
            for upload_message in upload_messages
            if not upload_message.tenant_ids & failed_tenants
        ]
        queue.delete_all(recorded_messages)
        self._send_to_dlq(queue, invalid_messages)

    def _note_all(self, uploads: dict[str, list[CreatedObject]]) -> set[str]:
        """Store uploads by tenant, and return the tenants for which that failed."""
        failed_tenants: set[str] = set()

        def note(tenant_id: str) -> None:
            self._note(tenant_id, uploads[tenant_id])

        def report(tenant_id: str, error: Exception) -> None:
            failed_tenants.add(tenant_id)
            metrics = self.platform.metrics
            report_fault(
                metrics, "uploads_not_noted", error, tenant_id=tenant_id
            )

        drain(uploads, note, report)
        return failed_tenants

    def _note(self, tenant_id: str, uploads: Sequence[CreatedObject]) -> None:
        """Store a tenant's uploads with its triggers; start a run that is due at once."""
        check = TriggerCheck(self.platform, self.clock)
        uploads = [
            upload
            for upload in uploads
            if self._is_within_quota(tenant_id, upload)
        ]

        def note(state: TriggerState) -> TriggerState | None:
            # The plan is read after the triggers, which a config that is stored in
            # between changes.
            plan = check.plan(tenant_id)
            input_uploads = []
            for upload in uploads:
                for input_name in plan.inputs_taking(upload.key):
                    event = UploadEvent(upload.at, upload.key)
                    input_uploads.append((input_name, event))
            if not input_uploads:
                return None
            return rules.noted(state, input_uploads, plan, self.clock())

        item = self.platform.triggers.update(tenant_id, note)
        if item is not None and item.is_due(self.clock()):
            worker = check.worker(TriggerQueue.DUE)
            self.started += worker.handle_now(item) is not None

    def _is_within_quota(self, tenant_id: str, upload: CreatedObject) -> bool:
        """Count a supplier's upload; return False if its link has sent too many."""
        link_id = link_uploads.link_of_upload(upload.key)
        if link_id is None:
            return True
        # An event that is received again is the same event.
        event_id = digest_of(f"{upload.key} {upload.at.isoformat()}")
        has_room = self.platform.links.count_upload(
            tenant_id,
            link_id,
            event_id[:_EVENT_ID_LENGTH],
            min(upload.at, self.clock()),
        )
        if not has_room:
            log.warning(
                "too_many_supplier_uploads",
                tenant_id=tenant_id,
                link_id=link_id,
            )
        return has_room

    def _send_to_dlq(
        self,
        queue: UploadQueue,
        invalid_messages: Sequence[tuple[Message, str]],
    ) -> None:
        """Send messages that are no events to the dead letters, with their causes."""

        def send(invalid_message: tuple[Message, str]) -> None:
            message, cause = invalid_message
            queue.send_to_dlq(message, cause)
            message_id = message.message_id
            log.error(
                "invalid_upload_event", message_id=message_id, error=cause
            )
            self.platform.metrics.worker_error("invalid_upload_event")

        def report(_: tuple[Message, str], error: Exception) -> None:
            report_fault(
                self.platform.metrics, "upload_event_not_sent_to_dlq", error
            )

        drain(invalid_messages, send, report)
