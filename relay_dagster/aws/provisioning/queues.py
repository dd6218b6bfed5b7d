"""Finds and creates the queues of an installation, and sets what the program relies on."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from relay_dagster.aws import errors
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning import resources


def name_of(url: str) -> str:
    """Return the name of a queue that is given by its name or its URL."""
    return urlsplit(url).path.rpartition("/")[2]


def dlq_name_of(queue_name: str) -> str:
    """Return the name of the dead-letter queue of the queue of uploads."""
    return f"{queue_name}-dlq"


def find_queue_url(clients: Clients, name: str) -> str | None:
    """Return the URL of a queue, or None where there is no such queue."""
    response = errors.unless(
        errors.NO_QUEUE,
        clients.sqs.get_queue_url,
        QueueName=name,
    )
    return None if response is None else response["QueueUrl"]


def find_queue_arn(clients: Clients, url: str) -> str | None:
    """Return the ARN of a queue, or None where there is no such queue."""
    return errors.unless(
        errors.NO_QUEUE,
        _attribute,
        clients,
        url,
        "QueueArn",
    )


def create_queue(
    clients: Clients,
    name: str,
    attributes: Mapping[str, Any],
) -> str:
    """Create a queue and return its URL."""
    response = clients.sqs.create_queue(
        QueueName=name,
        Attributes=_texts(attributes),
    )
    return response["QueueUrl"]


def set_attributes(
    clients: Clients,
    url: str,
    attributes: Mapping[str, Any],
) -> None:
    """Set attributes of a queue."""
    clients.sqs.set_queue_attributes(
        QueueUrl=url,
        Attributes=_texts(attributes),
    )


def permit_upload_events(
    clients: Clients,
    url: str,
    queue_arn: str,
    bucket: str,
) -> list[str]:
    """Let the bucket send to the queue of uploads, unless it may do so already.

    Return a sentence if that is a change. Permissions of others stay.
    """
    sid = f"relay-uploads-of-{bucket}"
    _, partition, _, _, account, _ = queue_arn.split(":")
    policy = json.loads(_attribute(clients, url, "Policy") or "{}")
    statements = policy.get("Statement", [])
    if any(statement.get("Sid") == sid for statement in statements):
        return []
    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    statement = resources.upload_statement(sid, queue_arn, bucket_arn, account)
    policy = {"Version": "2012-10-17", "Statement": [*statements, statement]}
    set_attributes(clients, url, {"Policy": policy})
    return [
        f"set policy of queue {name_of(url)} to that bucket {bucket} may send",
    ]


def _attribute(clients: Clients, url: str, name: Any) -> str | None:
    response = clients.sqs.get_queue_attributes(
        QueueUrl=url,
        AttributeNames=["All"],
    )
    return response.get("Attributes", {}).get(name)


def _texts(attributes: Mapping[str, Any]) -> Any:
    """Return the values of attributes as the text that SQS takes."""
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in attributes.items()
    }
