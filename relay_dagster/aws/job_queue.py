"""The queues of jobs and of upload events, each with its dead-letter queue.

`intake.tick` decides about jobs, `intake.uploads` reads events. A stale receipt handle
is an answer here and no error: messages come and go meanwhile.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from relay_dagster.aws.clients import LONG_POLL_SECONDS, Clients, adapter, unless
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.job_message import Job

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import MessageSystemAttributeNameType

DLQ_RETENTION_SECONDS = 14 * 24 * 60 * 60
# SQS hands out at most ten messages at a time, and keeps none invisible for more than 12 hours.
MAX_MESSAGES = 10
MAX_VISIBILITY_SECONDS = 12 * 60 * 60
REQUEST_ID = "request_id"
RUN_ID = "run_id"
CAUSE = "cause"
_MAX_CAUSE_CHARACTERS = 1000
_SYSTEM_ATTRIBUTES: "tuple[MessageSystemAttributeNameType, ...]" = (
    "ApproximateReceiveCount",
    "SentTimestamp",
)
_STALE_HANDLE = frozenset(
    {
        "ReceiptHandleIsInvalid",
        "InvalidParameterValue",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
    }
)
READ_SECONDS = 30
# Longer than a reading: dead letters that it has not reached come first in the next one.
HIDDEN_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Message:
    """One receive of a message. ``attributes`` are those that its sender gave; instants are UTC."""

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: datetime
    attributes: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The request that the message was sent for; None where it names none."""
        return self.attributes.get(REQUEST_ID)


@adapter
@dataclass(frozen=True)
class Queue:
    """Receives the messages of one queue, hides them, and deletes them."""

    clients: Clients
    url: str

    def receive(
        self,
        limit: int = MAX_MESSAGES,
        *,
        wait_seconds: int = 0,
        hidden_seconds: int | None = None,
    ) -> list[Message]:
        """Receive up to ten messages, waiting for the first; hidden for so long, or the default."""
        hidden: Any = (
            {} if hidden_seconds is None else {"VisibilityTimeout": hidden_seconds}
        )
        answer = self.clients.sqs_polling.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=min(limit, MAX_MESSAGES),
            WaitTimeSeconds=min(wait_seconds, LONG_POLL_SECONDS),
            **hidden,
            MessageSystemAttributeNames=list(_SYSTEM_ATTRIBUTES),
            MessageAttributeNames=["All"],
        )
        return [_message_of(raw) for raw in answer.get("Messages", [])]

    def extend(self, receipt_handle: str, seconds: float) -> bool:
        """Keep a message hidden for so many seconds, 0 shows it; False for a stale handle."""
        call = partial(
            self.clients.sqs.change_message_visibility,
            QueueUrl=self.url,
            ReceiptHandle=receipt_handle,
            VisibilityTimeout=max(0, min(round(seconds), MAX_VISIBILITY_SECONDS)),
        )
        return unless(_STALE_HANDLE, call) is not None

    def show_all(self, messages: Sequence[Message]) -> None:
        """Make received messages visible again; those that are gone stay gone."""
        self._in_batches(
            self.clients.sqs.change_message_visibility_batch,
            messages,
            VisibilityTimeout=0,
        )

    def delete(self, receipt_handle: str) -> bool:
        """Delete a message, gone or not; False for a stale handle: it may still be there."""
        call = partial(
            self.clients.sqs.delete_message,
            QueueUrl=self.url,
            ReceiptHandle=receipt_handle,
        )
        return unless(_STALE_HANDLE, call) is not None

    def delete_all(self, messages: Sequence[Message]) -> None:
        """Delete messages; one whose handle is no longer good comes again."""
        self._in_batches(self.clients.sqs.delete_message_batch, messages)

    def count(self) -> int:
        """Return about how many messages could be received, now or after their delay."""
        attributes = self.attributes()
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
        return sum(int(attributes.get(name, 0)) for name in names)

    def attributes(self) -> Mapping[str, str]:
        """Return all attributes of the queue, by name."""
        answer = self.clients.sqs.get_queue_attributes(
            QueueUrl=self.url, AttributeNames=["All"]
        )
        return {
            str(name): value for name, value in answer.get("Attributes", {}).items()
        }

    def send_body(
        self, body: str, attributes: Mapping[str, str | None], delay_seconds: int = 0
    ) -> str:
        """Send a body with the attributes that are not empty; return the message id."""
        given: Any = {
            name: {"DataType": "String", "StringValue": _legal(value)}
            for name, value in attributes.items()
            if value
        }
        later: Any = {"DelaySeconds": delay_seconds} if delay_seconds else {}
        answer = self.clients.sqs.send_message(
            QueueUrl=self.url, MessageBody=body, MessageAttributes=given, **later
        )
        return answer["MessageId"]

    def _in_batches(
        self, call: Callable[..., Any], messages: Sequence[Message], **each_with: Any
    ) -> None:
        for start in range(0, len(messages), MAX_MESSAGES):
            some = messages[start : start + MAX_MESSAGES]
            entries = [
                {"Id": str(number), "ReceiptHandle": each.receipt_handle, **each_with}
                for number, each in enumerate(some)
            ]
            call(QueueUrl=self.url, Entries=entries)


@adapter
@dataclass(frozen=True)
class JobQueue(Queue):
    """The queue of jobs, and its dead-letter queue."""

    dlq_url: str

    @property
    def dead(self) -> Queue:
        """The dead-letter queue."""
        return Queue(self.clients, self.dlq_url)

    def send(self, job: Job, request_id: str | None = None) -> str:
        """Send a job and return its message id."""
        return self.send_body(job.body(), {REQUEST_ID: request_id})

    def send_again(self, message: Message, *, delay_seconds: int = 0) -> str:
        """Send the body and attributes again, to be received after a delay; return the new id."""
        return self.send_body(message.body, message.attributes, delay_seconds)

    def send_dead(
        self,
        body: str,
        *,
        cause: str,
        run_id: str | None = None,
        request_id: str | None = None,
    ) -> str:
        """Send a body to the dead-letter queue; return the message id."""
        return self.dead.send_body(
            body, {RUN_ID: run_id, CAUSE: cause, REQUEST_ID: request_id}
        )

    def differences(
        self, *, visibility_timeout_seconds: int, max_receives: int
    ) -> list[str]:
        """Return how the queues' attributes differ from those required, one sentence each."""
        queue, dlq = self.attributes(), self.dead.attributes()
        redrive = json.loads(queue.get("RedrivePolicy") or "{}")
        found = {
            "VisibilityTimeout": (
                queue.get("VisibilityTimeout"),
                visibility_timeout_seconds,
            ),
            "RedrivePolicy.maxReceiveCount": (
                redrive.get("maxReceiveCount"),
                max_receives,
            ),
            "RedrivePolicy.deadLetterTargetArn": (
                redrive.get("deadLetterTargetArn"),
                dlq.get("QueueArn"),
            ),
            "MessageRetentionPeriod of the dead-letter queue": (
                dlq.get("MessageRetentionPeriod"),
                DLQ_RETENTION_SECONDS,
            ),
        }
        return [
            f"{name} is {'not set' if is_ is None else is_}, not {wanted}"
            for name, (is_, wanted) in found.items()
            if str(is_) != str(wanted)
        ]


def _legal(value: str) -> str:
    """Return a text that SQS accepts: characters that XML allows, at most 1,000 of them."""
    legal = (each if each.isprintable() or each in "\t\n\r" else " " for each in value)
    return "".join(legal)[:_MAX_CAUSE_CHARACTERS]


def _message_of(raw: Mapping[str, Any]) -> Message:
    system = raw.get("Attributes", {})
    return Message(
        message_id=raw["MessageId"],
        receipt_handle=raw["ReceiptHandle"],
        body=raw["Body"],
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_at=datetime.fromtimestamp(
            int(system.get("SentTimestamp") or 0) / 1000, UTC
        ),
        attributes={
            name: value["StringValue"]
            for name, value in raw.get("MessageAttributes", {}).items()
            if "StringValue" in value
        },
    )


def read_whole(
    queue: JobQueue, deadline: Deadline | None = None
) -> Iterator[list[Message]]:
    """Yield all dead letters in batches, each once.

    SQS returns any of them, and asks all of its servers where it waits. So those that were read
    stay hidden until the end; past the deadline they stay so, and the next reading goes on.
    """
    deadline, read = deadline or Deadline.after(READ_SECONDS), list[Message]()
    while messages := queue.dead.receive(wait_seconds=1, hidden_seconds=HIDDEN_SECONDS):
        read += messages
        yield messages
        if deadline.has_passed():
            return
    queue.dead.show_all(read)


@adapter
@dataclass(frozen=True)
class UploadQueue(Queue):
    """The queue of S3's events."""

    def send_to_dlq(self, message: Message, cause: str) -> None:
        """Move a body that is no event to its dead-letter queue, or raise where there is none."""
        policy = json.loads(self.attributes().get("RedrivePolicy") or "{}")
        arn = str(policy.get("deadLetterTargetArn", ""))
        if not arn:
            raise MissingResourceError(
                "sqs.SendMessage", "the queue of uploads has no dead-letter queue"
            )
        # SQS has the two in one account and region.
        dlq_url = f"{self.url.rpartition('/')[0]}/{arn.rpartition(':')[2]}"
        Queue(self.clients, dlq_url).send_body(message.body, {CAUSE: cause})
        self.delete_all([message])
