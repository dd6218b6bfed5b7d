"""One tick of the queue of uploads: receive S3's events, record them, start the runs that are due.

An upload is stored with its tenant's triggers before its event is deleted, so no process loses one
by dying. Repeated events and events out of order make no difference. Events come from S3 directly,
through SNS or EventBridge. Anybody may send one, so every value is checked.
"""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from relay_dagster.aws.clients import LONG_POLL_SECONDS
from relay_dagster.aws.job_queue import MAX_MESSAGES, Message, UploadQueue
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import drain
from relay_dagster.external_errors import ThrottledError
from relay_dagster.intake.trigger_check import TriggerCheck, take_all, take_due
from relay_dagster.logs import event_log
from relay_dagster.runs.job_message import is_id
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers.rules import UploadEvent, noted
from relay_dagster.wiring import Platform

_CREATED, _CREATED_DETAIL = "ObjectCreated:", "Object Created"
_TENANTS = "tenants"
_MAX_SHOWN = 100
# A tick may last 60 seconds. The longer it polls, the shorter the pauses in which no event is seen.
POLL_SECONDS = 35
MAX_RECEIVED = 500
_ROUNDS = 20
log = event_log()


class NotAnEventError(ValueError):
    """A message body that is no event of S3; the message says why."""


@dataclass(frozen=True, slots=True)
class CreatedObject:
    """An object that was created; ``at`` is the event's time, aware."""

    bucket: str
    key: str
    at: datetime

    @property
    def tenant_id(self) -> str | None:
        """The tenant that its key names; None for a folder and for an object that is no upload."""
        top, _, rest = self.key.partition("/")
        tenant_id, slash, _ = rest.partition("/")
        is_upload = top == _TENANTS and slash and not self.key.endswith("/")
        return tenant_id if is_upload and is_id(tenant_id) else None


def uploads_in(body: str) -> list[CreatedObject]:
    """Return the objects that a body says are created; `NotAnEventError` where it is no event."""
    document = _read_object(body)
    if document.get("Type") == "Notification":
        document = _read_object(document.get("Message"))
    try:
        if document.get("Event") == "s3:TestEvent":
            return []
        if document.get("source") == "aws.s3":
            return list(_of_event_bridge(document))
        if isinstance(document.get("Records"), list):
            return [
                upload
                for record in document["Records"]
                for upload in _of_record(record)
            ]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NotAnEventError(f"an event lacks what it must have: {error!r}") from error
    keys = ", ".join(map(str, document))[:_MAX_SHOWN] or "none"
    raise NotAnEventError(f"it is no event of S3; its keys are {keys}")


def _of_record(record: Mapping[str, Any]) -> Iterator[CreatedObject]:
    name = _text(record["eventName"]).removeprefix("s3:")
    if record["eventSource"] != "aws:s3":
        raise NotAnEventError(f"it is an event of {record['eventSource']!r}, not of S3")
    if name.startswith(_CREATED):
        detail = record["s3"]
        key = unquote_plus(_text(detail["object"]["key"]))
        yield CreatedObject(
            _text(detail["bucket"]["name"]), key, _instant(record["eventTime"])
        )


def _of_event_bridge(document: Mapping[str, Any]) -> Iterator[CreatedObject]:
    """Yield the upload, under its decoded key too if that differs: EventBridge encodes no key."""
    if document["detail-type"] == _CREATED_DETAIL:
        detail = document["detail"]
        key = _text(detail["object"]["key"])
        for each in dict.fromkeys((key, unquote_plus(key))):
            yield CreatedObject(
                _text(detail["bucket"]["name"]), each, _instant(document["time"])
            )


def _read_object(body: object) -> Mapping[str, Any]:
    try:
        document = json.loads(_text(body))
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAnEventError(
            f"the body is not JSON: {str(error)[:_MAX_SHOWN]}"
        ) from error
    if not isinstance(document, dict):
        raise NotAnEventError("the body is not a JSON object")
    return document


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not {type(value).__name__}")
    return value


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


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

    def run(self, poll_seconds: float = POLL_SECONDS) -> str:
        """Record the events that come, and start the runs that are due; return a summary."""
        queue = self.platform.uploads
        if queue is None:
            return "UPLOADS_QUEUE_URL is not set: uploads start nothing"
        until = self.monotonic() + poll_seconds
        left = poll_seconds
        while not self.passes or left >= 1:
            # Wait for the first events, then take all that are there.
            received = some = queue.receive(
                wait_seconds=int(min(left, LONG_POLL_SECONDS))
            )
            while len(some) == MAX_MESSAGES and len(received) < MAX_RECEIVED:
                some = queue.receive()
                received = received + some
            self._record(queue, received)
            self.started += take_due(self.platform, self.clock, self.monotonic)
            self.passes, left = self.passes + 1, until - self.monotonic()
        return f"{self.events} events, {self.started} runs started"

    def _record(self, queue: UploadQueue, messages: Sequence[Message]) -> None:
        """Record uploads, and delete their messages; messages of a failed record come again."""
        bucket = self.platform.objects.bucket
        uploads: dict[str, list[CreatedObject]] = defaultdict(list)
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
            report_fault(
                self.platform.metrics, "uploads_not_noted", error, tenant_id=tenant_id
            )

        def send_to_dlq(refused: tuple[Message, str]) -> None:
            message, cause = refused
            queue.send_to_dlq(message, cause)
            log.error(
                "invalid_upload_event", message_id=message.message_id, error=cause
            )
            self.platform.metrics.worker_error("invalid_upload_event")

        def not_sent(_: tuple[Message, str], error: Exception) -> None:
            report_fault(self.platform.metrics, "upload_event_not_sent_to_dlq", error)

        drain(
            uploads,
            lambda tenant_id: self._note(tenant_id, uploads[tenant_id]),
            not_noted,
        )
        read = [each for each in messages if each.receipt_handle in sources]
        queue.delete_all(
            [each for each in read if not sources[each.receipt_handle] & lost]
        )
        drain(unreadable, send_to_dlq, not_sent)

    def _note(self, tenant_id: str, uploads: Sequence[CreatedObject]) -> None:
        """Store a tenant's uploads with its triggers, and start its run if that is due at once."""
        check = TriggerCheck(self.platform, self.clock)
        for _ in range(_ROUNDS):
            # In this order: the triggers show a config that is stored in between.
            state, plan = self.platform.triggers.get(tenant_id), check.plan(tenant_id)
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
                    self.started += take_all(check, [written], plan)
                return
        raise ThrottledError(
            "note_uploads", f"tenant {tenant_id}: too many writers at once"
        )
