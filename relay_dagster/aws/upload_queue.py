"""The queue of S3's upload events and its dead-letter queue; `triggers.events` reads the bodies."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.aws.job_queue import MAX_MESSAGES, JobQueue, Message, receive
from relay_dagster.external_errors import MissingResourceError


@dataclass(frozen=True)
class UploadQueue:
    """Receives events, ten at a time, and deletes those that are recorded."""

    clients: Clients
    queue_url: str

    @maps_aws_errors
    def receive(self, *, wait_seconds: int = 0) -> list[Message]:
        """Receive up to ten events, waiting for the first for so long."""
        return receive(self.clients, self.queue_url, MAX_MESSAGES, wait_seconds)

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
        """Send a body that is no event to the dead-letter queue, with the cause, and delete it.

        Raises:
            MissingResourceError: the queue has no dead-letter queue; the message stays.
        """
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
