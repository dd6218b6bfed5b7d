"""Sends and receives the messages of SQS: jobs and upload events, and their dead letters.

`intake.decision` decides about jobs, and `intake.uploads` reads events. A stale receipt
handle is a result here and not an error, because other receivers change messages too.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from relay_dagster.aws import errors
from relay_dagster.aws.clients import LONG_POLL_SECONDS, Clients
from relay_dagster.drain import Deadline
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.job_message import Job

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import MessageSystemAttributeNameType

DLQ_RETENTION_SECONDS = 14 * 24 * 60 * 60
"""How long a dead-letter queue keeps a message."""

MAX_MESSAGES = 10
"""The number of messages that SQS takes or returns in one call."""

MAX_VISIBILITY_SECONDS = 12 * 60 * 60
"""How long SQS hides a message after its receive."""

DEAD_LETTER_READ_SECONDS = 30
"""How long one reading of the dead letters takes, unless it has a deadline."""

# Longer than a reading, so that the next one begins with the messages not read yet.
_DEAD_LETTER_HIDDEN_SECONDS = 120

# Names of message attributes
REQUEST_ID = "request_id"
RUN_ID = "run_id"
CAUSE = "cause"

_MAX_ATTRIBUTE_CHARACTERS = 1000
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
    },
)


@dataclass(frozen=True, slots=True)
class Message:
    """A received message.

    ``attributes`` are those that the sender has set. ``receive_count`` includes this
    receive.
    """

    message_id: str
    receipt_handle: str
    body: str
    receive_count: int
    sent_at: datetime
    attributes: Mapping[str, str]

    @property
    def request_id(self) -> str | None:
        """The id of the request for which the message was sent, or None."""
        return self.attributes.get(REQUEST_ID)


@errors.adapter
@dataclass(frozen=True)
class Queue:
    """A queue, whose messages are received, hidden, and deleted."""

    clients: Clients
    url: str

    def receive(
        self,
        limit: int = MAX_MESSAGES,
        *,
        wait_seconds: int = 0,
        hidden_seconds: int | None = None,
    ) -> list[Message]:
        """Receive up to ten messages, and wait for the first one.

        The messages are hidden for ``hidden_seconds``, or as long as the queue's default
        says.
        """
        options: Any = {}
        if hidden_seconds is not None:
            options["VisibilityTimeout"] = hidden_seconds
        response = self.clients.sqs_polling.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=min(limit, MAX_MESSAGES),
            WaitTimeSeconds=min(wait_seconds, LONG_POLL_SECONDS),
            MessageSystemAttributeNames=list(_SYSTEM_ATTRIBUTES),
            MessageAttributeNames=["All"],
            **options,
        )
        messages = []
        for raw in response.get("Messages", []):
            system_attributes: Any = raw.get("Attributes", {})
            sent_seconds = (
                int(system_attributes.get("SentTimestamp") or 0) / 1000
            )
            receive_count = system_attributes.get("ApproximateReceiveCount", 1)
            attributes = {}
            for name, value in raw.get("MessageAttributes", {}).items():
                if "StringValue" in value:
                    attributes[name] = value["StringValue"]
            message = Message(
                message_id=raw["MessageId"],
                receipt_handle=raw["ReceiptHandle"],
                body=raw["Body"],
                receive_count=int(receive_count),
                sent_at=datetime.fromtimestamp(sent_seconds, UTC),
                attributes=attributes,
            )
            messages.append(message)
        return messages

    def extend(self, receipt_handle: str, seconds: float) -> bool:
        """Hide a message for a number of seconds; 0 shows it.

        Return False for a stale handle.
        """
        visibility = max(0, min(round(seconds), MAX_VISIBILITY_SECONDS))
        response = errors.unless(
            _STALE_HANDLE,
            self.clients.sqs.change_message_visibility,
            QueueUrl=self.url,
            ReceiptHandle=receipt_handle,
            VisibilityTimeout=visibility,
        )
        return response is not None

    def show_all(self, messages: Sequence[Message]) -> None:
        """Make received messages visible again, as far as they still exist."""
        call = self.clients.sqs.change_message_visibility_batch
        self._in_batches(call, messages, VisibilityTimeout=0)

    def delete(self, receipt_handle: str) -> bool:
        """Delete a message, which may be gone already.

        Return False for a stale handle. The message may then still be in the queue.
        """
        response = errors.unless(
            _STALE_HANDLE,
            self.clients.sqs.delete_message,
            QueueUrl=self.url,
            ReceiptHandle=receipt_handle,
        )
        return response is not None

    def delete_all(self, messages: Sequence[Message]) -> None:
        """Delete messages. A message with a stale handle is received again."""
        self._in_batches(self.clients.sqs.delete_message_batch, messages)

    def count(self) -> int:
        """Return the approximate number of visible messages, delayed ones included."""
        attributes = self.attributes()
        visible = int(attributes.get("ApproximateNumberOfMessages", 0))
        delayed = int(attributes.get("ApproximateNumberOfMessagesDelayed", 0))
        return visible + delayed

    def attributes(self) -> Mapping[str, str]:
        """Return all attributes of the queue, by name."""
        response = self.clients.sqs.get_queue_attributes(
            QueueUrl=self.url,
            AttributeNames=["All"],
        )
        attributes = response.get("Attributes", {})
        return {str(name): value for name, value in attributes.items()}

    def send_body(
        self,
        body: str,
        attributes: Mapping[str, str | None],
        delay_seconds: int = 0,
    ) -> str:
        """Send a body with the attributes that are not empty. Return the message id."""
        message_attributes: Any = {}
        for name, value in attributes.items():
            if not value:
                continue
            # SQS accepts 1,000 characters, of those that XML allows.
            legal_characters = []
            for character in value[:_MAX_ATTRIBUTE_CHARACTERS]:
                is_legal = character.isprintable() or character in "\t\n\r"
                legal_characters.append(character if is_legal else " ")
            message_attributes[name] = {
                "DataType": "String",
                "StringValue": "".join(legal_characters),
            }
        options: Any = {"DelaySeconds": delay_seconds} if delay_seconds else {}
        response = self.clients.sqs.send_message(
            QueueUrl=self.url,
            MessageBody=body,
            MessageAttributes=message_attributes,
            **options,
        )
        return response["MessageId"]

    def _in_batches(
        self,
        call: Callable[..., Any],
        messages: Sequence[Message],
        **options: Any,
    ) -> None:
        """Call with ten messages at a time, each of them with the options."""
        for start in range(0, len(messages), MAX_MESSAGES):
            batch = messages[start : start + MAX_MESSAGES]
            entries = []
            for number, message in enumerate(batch):
                handle = message.receipt_handle
                entries.append(
                    {"Id": str(number), "ReceiptHandle": handle, **options},
                )
            call(QueueUrl=self.url, Entries=entries)


@errors.adapter
@dataclass(frozen=True)
class JobQueue(Queue):
    """The queue of jobs, which has a dead-letter queue."""

    dlq_url: str

    @property
    def dead(self) -> Queue:
        """The dead-letter queue."""
        return Queue(self.clients, self.dlq_url)

    def send(self, job: Job, request_id: str | None = None) -> str:
        """Send a job and return its message id."""
        return self.send_body(job.body(), {REQUEST_ID: request_id})

    def send_again(self, message: Message, *, delay_seconds: int = 0) -> str:
        """Send a message's body and attributes again, and return the new message id."""
        return self.send_body(message.body, message.attributes, delay_seconds)

    def send_dead(
        self,
        body: str,
        *,
        cause: str,
        run_id: str | None = None,
        request_id: str | None = None,
    ) -> str:
        """Send a body to the dead-letter queue and return the message id."""
        attributes = {RUN_ID: run_id, CAUSE: cause, REQUEST_ID: request_id}
        return self.dead.send_body(body, attributes)

    def differences(
        self,
        *,
        visibility_timeout_seconds: int,
        max_receives: int,
    ) -> list[str]:
        """Return a sentence for each attribute of the queues that is not as required."""
        queue = self.attributes()
        dlq = self.dead.attributes()
        redrive = json.loads(queue.get("RedrivePolicy") or "{}")
        comparisons = [
            (
                "VisibilityTimeout",
                queue.get("VisibilityTimeout"),
                visibility_timeout_seconds,
            ),
            (
                "RedrivePolicy.maxReceiveCount",
                redrive.get("maxReceiveCount"),
                max_receives,
            ),
            (
                "RedrivePolicy.deadLetterTargetArn",
                redrive.get("deadLetterTargetArn"),
                dlq.get("QueueArn"),
            ),
            (
                "MessageRetentionPeriod of the dead-letter queue",
                dlq.get("MessageRetentionPeriod"),
                DLQ_RETENTION_SECONDS,
            ),
        ]
        sentences = []
        for name, actual, required in comparisons:
            if str(actual) != str(required):
                actual_text = "not set" if actual is None else actual
                sentences.append(f"{name} is {actual_text}, not {required}")
        return sentences


@errors.adapter
@dataclass(frozen=True)
class UploadQueue(Queue):
    """The queue of S3's events."""

    def send_to_dlq(self, message: Message, cause: str) -> None:
        """Move a message that is not an event to the dead-letter queue.

        Raises:
            MissingResourceError: The queue has no dead-letter queue.
        """
        policy = json.loads(self.attributes().get("RedrivePolicy") or "{}")
        dlq_arn = str(policy.get("deadLetterTargetArn", ""))
        if not dlq_arn:
            raise MissingResourceError(
                "sqs.SendMessage",
                "the queue of uploads has no dead-letter queue",
            )
        # SQS requires both queues to be in the same account and region.
        base_url = self.url.rpartition("/")[0]
        dlq_name = dlq_arn.rpartition(":")[2]
        dlq = Queue(self.clients, f"{base_url}/{dlq_name}")
        dlq.send_body(message.body, {CAUSE: cause})
        self.delete_all([message])


def read_dead_letters(
    queue: JobQueue,
    deadline: Deadline | None = None,
) -> Iterator[list[Message]]:
    """Yield all dead letters in batches, each letter once.

    SQS returns any messages that are visible, and asks all of its servers only if the
    receive waits. The letters that were read therefore stay hidden until the end. After
    the deadline they stay hidden for longer, and the next reading continues.
    """
    if deadline is None:
        deadline = Deadline.after(DEAD_LETTER_READ_SECONDS)
    read_messages: list[Message] = []
    while True:
        messages = queue.dead.receive(
            wait_seconds=1,
            hidden_seconds=_DEAD_LETTER_HIDDEN_SECONDS,
        )
        if not messages:
            break
        read_messages += messages
        yield messages
        if deadline.has_passed():
            return
    queue.dead.show_all(read_messages)
