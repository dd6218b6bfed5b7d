"""The queues of jobs and of upload events, each with its dead-letter queue.

`intake.decision` decides about jobs, `triggers.ticks.uploads` reads events. A stale receipt handle
is an answer here and no error: messages come and go meanwhile.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from relay_dagster.aws.clients import LONG_POLL_SECONDS, Clients
from relay_dagster.aws.error_mapping import maps_aws_errors, unless
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.job_message import Job

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
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


@dataclass(frozen=True)
class JobQueue:
    """Sends, receives and deletes jobs and dead letters."""

    clients: Clients
    queue_url: str
    dlq_url: str

    def send(self, job: Job, request_id: str | None = None) -> str:
        """Send a job and return its message id."""
        return self._send(self.queue_url, job.body(), {REQUEST_ID: request_id})

    def send_again(self, message: Message, *, delay_seconds: int = 0) -> str:
        """Send the body and attributes again, to be received after a delay; return the new id."""
        return self._send(self.queue_url, message.body, message.attributes, delay_seconds)

    @maps_aws_errors
    def receive(
        self, limit: int = MAX_MESSAGES, *, wait_seconds: int = 0, hidden_seconds: int | None = None
    ) -> list[Message]:
        """Receive up to ten messages, hidden for so many seconds, None for the queue's own."""
        return receive(
            self.clients.sqs_polling, self.queue_url, limit, wait_seconds, hidden_seconds
        )

    @maps_aws_errors
    def extend(self, receipt_handle: str, seconds: float) -> bool:
        """Keep a message hidden for so many seconds, 0 shows it; False for a stale handle."""
        call = partial(
            self.clients.sqs.change_message_visibility,
            QueueUrl=self.queue_url,
            ReceiptHandle=receipt_handle,
            VisibilityTimeout=max(0, min(round(seconds), MAX_VISIBILITY_SECONDS)),
        )
        return unless(_STALE_HANDLE, call) is not None

    @maps_aws_errors
    def delete(self, receipt_handle: str) -> bool:
        """Delete a message, gone or not; False for a stale handle: it may still be there."""
        return self._delete(self.queue_url, receipt_handle)

    @maps_aws_errors
    def count_waiting(self) -> int:
        """Return about how many messages could be received, now or after their delay."""
        attributes = self._attributes(self.queue_url)
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed")
        return sum(int(attributes.get(name, 0)) for name in names)

    def send_dead(
        self, body: str, *, cause: str, run_id: str | None = None, request_id: str | None = None
    ) -> str:
        """Send a body to the dead-letter queue; return the message id."""
        attributes = {RUN_ID: run_id, CAUSE: cause, REQUEST_ID: request_id}
        return self._send(self.dlq_url, body, attributes)

    @maps_aws_errors
    def receive_dead(self, *, hidden_seconds: int, wait_seconds: int = 1) -> list[Message]:
        """Receive some dead letters, hidden meanwhile; by waiting SQS asks all of its servers."""
        return receive(self.clients.sqs, self.dlq_url, MAX_MESSAGES, wait_seconds, hidden_seconds)

    @maps_aws_errors
    def show_dead(self, messages: Sequence[Message]) -> None:
        """Make received dead letters visible again; those that are gone stay gone."""
        for start in range(0, len(messages), MAX_MESSAGES):
            some = messages[start : start + MAX_MESSAGES]
            self.clients.sqs.change_message_visibility_batch(
                QueueUrl=self.dlq_url,
                Entries=[
                    {
                        "Id": str(number),
                        "ReceiptHandle": each.receipt_handle,
                        "VisibilityTimeout": 0,
                    }
                    for number, each in enumerate(some)
                ],
            )

    @maps_aws_errors
    def count_dead(self) -> int:
        """Return about how many dead letters are visible."""
        return int(self._attributes(self.dlq_url).get("ApproximateNumberOfMessages", 0))

    @maps_aws_errors
    def delete_dead(self, receipt_handle: str) -> bool:
        """Delete a dead letter; answers as `delete` does."""
        return self._delete(self.dlq_url, receipt_handle)

    @maps_aws_errors
    def differences(self, *, visibility_timeout_seconds: int, max_receives: int) -> list[str]:
        """Return how the queues' attributes differ from those required, one sentence each."""
        queue = self._attributes(self.queue_url)
        dlq = self._attributes(self.dlq_url)
        redrive = json.loads(queue.get("RedrivePolicy") or "{}")
        found = {
            "VisibilityTimeout": (queue.get("VisibilityTimeout"), visibility_timeout_seconds),
            "RedrivePolicy.maxReceiveCount": (redrive.get("maxReceiveCount"), max_receives),
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

    def _attributes(self, url: str) -> Mapping[str, str]:
        answer = self.clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return {str(name): value for name, value in answer.get("Attributes", {}).items()}

    @maps_aws_errors
    def _send(
        self, url: str, body: str, attributes: Mapping[str, str | None], delay_seconds: int = 0
    ) -> str:
        given: Any = {
            name: {"DataType": "String", "StringValue": _legal(value)}
            for name, value in attributes.items()
            if value
        }
        later: Any = {"DelaySeconds": delay_seconds} if delay_seconds else {}
        answer = self.clients.sqs.send_message(
            QueueUrl=url, MessageBody=body, MessageAttributes=given, **later
        )
        return answer["MessageId"]

    def _delete(self, url: str, receipt_handle: str) -> bool:
        call = partial(self.clients.sqs.delete_message, QueueUrl=url, ReceiptHandle=receipt_handle)
        return unless(_STALE_HANDLE, call) is not None


def _legal(value: str) -> str:
    """Return a text that SQS accepts: characters that XML allows, at most 1,000 of them."""
    legal = (each if each.isprintable() or each in "\t\n\r" else " " for each in value)
    return "".join(legal)[:_MAX_CAUSE_CHARACTERS]


def receive(
    client: "SQSClient",
    queue_url: str,
    limit: int,
    wait_seconds: int,
    hidden_seconds: int | None = None,
) -> list[Message]:
    """Receive up to ``limit`` messages of a queue (ten at most), waiting for the first."""
    hidden: Any = {} if hidden_seconds is None else {"VisibilityTimeout": hidden_seconds}
    answer = client.receive_message(
        QueueUrl=queue_url,
        MaxNumberOfMessages=min(limit, MAX_MESSAGES),
        WaitTimeSeconds=min(wait_seconds, LONG_POLL_SECONDS),
        **hidden,
        MessageSystemAttributeNames=list(_SYSTEM_ATTRIBUTES),
        MessageAttributeNames=["All"],
    )
    answers: Any = answer.get("Messages", [])
    return [
        Message(
            message_id=raw["MessageId"],
            receipt_handle=raw["ReceiptHandle"],
            body=raw["Body"],
            receive_count=int(system.get("ApproximateReceiveCount", 1)),
            sent_at=datetime.fromtimestamp(int(system.get("SentTimestamp") or 0) / 1000, UTC),
            attributes={
                name: value["StringValue"]
                for name, value in raw.get("MessageAttributes", {}).items()
                if "StringValue" in value
            },
        )
        for raw in answers
        for system in [raw.get("Attributes", {})]
    ]


def read_whole(queue: JobQueue, deadline: Deadline | None = None) -> Iterator[list[Message]]:
    """Yield all dead letters in batches, each once.

    SQS returns any of them, so those that were read stay hidden until the end; past the deadline
    they stay so, and the next reading goes on with the others.
    """
    deadline, read = deadline or Deadline.after(READ_SECONDS), list[Message]()
    while messages := queue.receive_dead(hidden_seconds=HIDDEN_SECONDS):
        read += messages
        yield messages
        if deadline.has_passed():
            return
    queue.show_dead(read)


@dataclass(frozen=True)
class UploadQueue:
    """Receives events, ten at a time, and deletes those that are recorded."""

    clients: Clients
    queue_url: str

    @maps_aws_errors
    def receive(self, *, wait_seconds: int = 0) -> list[Message]:
        """Receive up to ten events, waiting for the first for so long."""
        return receive(self.clients.sqs_polling, self.queue_url, MAX_MESSAGES, wait_seconds)

    @maps_aws_errors
    def delete_all(self, messages: Sequence[Message]) -> None:
        """Delete events; one whose handle is no longer good comes again, and does no harm."""
        for start in range(0, len(messages), MAX_MESSAGES):
            some = messages[start : start + MAX_MESSAGES]
            entries: Any = [
                {"Id": str(number), "ReceiptHandle": each.receipt_handle}
                for number, each in enumerate(some)
            ]
            self.clients.sqs.delete_message_batch(QueueUrl=self.queue_url, Entries=entries)

    @maps_aws_errors
    def send_to_dlq(self, message: Message, cause: str) -> None:
        """Move a body that is no event to its dead-letter queue, or raise where there is none."""
        answer = self.clients.sqs.get_queue_attributes(
            QueueUrl=self.queue_url, AttributeNames=["RedrivePolicy"]
        )
        policy = json.loads(answer.get("Attributes", {}).get("RedrivePolicy") or "{}")
        arn = str(policy.get("deadLetterTargetArn", ""))
        if not arn:
            raise MissingResourceError(
                "sqs.SendMessage", "the queue of uploads has no dead-letter queue"
            )
        # SQS has the two in one account and region.
        dlq_url = f"{self.queue_url.rpartition('/')[0]}/{arn.rpartition(':')[2]}"
        JobQueue(self.clients, self.queue_url, dlq_url).send_dead(message.body, cause=cause)
        self.delete_all([message])
