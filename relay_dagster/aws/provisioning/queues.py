"""The queues as they must be: encrypted, with redrive into a dead-letter queue that keeps long.

`bootstrap` makes them and reports how they differ; what goes through is ``aws/sqs/job_queue.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import NO_QUEUE, error_code, maps_aws_errors
from relay_dagster.aws.provisioning.desired_state import Feature
from relay_dagster.aws.sqs.job_queue import DLQ_RETENTION_SECONDS

# A job may wait as long as a message can.
QUEUE_RETENTION_SECONDS = DLQ_RETENTION_SECONDS
_SSE = "SqsManagedSseEnabled"


def dlq_attributes() -> dict[str, str]:
    """Return the attributes of the dead-letter queue."""
    return {"MessageRetentionPeriod": str(DLQ_RETENTION_SECONDS), _SSE: "true"}


def queue_attributes(dlq_arn: str, *, visibility_timeout: int, max_receives: int) -> dict[str, str]:
    """Return the attributes of the queue of jobs."""
    redrive = {"deadLetterTargetArn": dlq_arn, "maxReceiveCount": max_receives}
    return {
        "VisibilityTimeout": str(visibility_timeout),
        "MessageRetentionPeriod": str(QUEUE_RETENTION_SECONDS),
        "RedrivePolicy": json.dumps(redrive),
        _SSE: "true",
    }


@maps_aws_errors
def find_queue_url(clients: Clients, name: str) -> str | None:
    """Return the URL of a queue, None where there is none."""
    try:
        return clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if error_code(error) not in NO_QUEUE:
            raise
        return None


@maps_aws_errors
def create_queue(clients: Clients, name: str, attributes: Mapping[str, str]) -> str:
    """Create a queue and return its URL."""
    wanted: Any = dict(attributes)
    return clients.sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"]


@maps_aws_errors
def queue_arn(clients: Clients, url: str) -> str:
    """Return a queue's ARN."""
    return str(_attributes(clients, url)["QueueArn"])


def queue_features(clients: Clients, url: str, wanted: Mapping[str, str]) -> list[Feature]:
    """Return what a queue must be like, one feature for each attribute."""
    return [_feature(clients, url, name, value) for name, value in wanted.items()]


def _feature(clients: Clients, url: str, name: str, value: str) -> Feature:
    single: Any = {name: value}
    return Feature(
        f"{name} of queue {url.rpartition('/')[2]}",
        _normal(name, value),
        lambda: _normal(name, _read(_attributes(clients, url), name)),
        lambda: clients.sqs.set_queue_attributes(QueueUrl=url, Attributes=single),
    )


def _read(attributes: Mapping[str, str], name: str) -> str | None:
    if name == _SSE:
        # A key of the owner's own is encryption too; off is as good as not set.
        on = attributes.get("KmsMasterKeyId") or attributes.get(_SSE, "").lower() == "true"
        return "true" if on else None
    return attributes.get(name) or None


def _normal(name: str, value: str | None) -> str | None:
    """Return a value such that the same policy in other words is the same."""
    if name != "RedrivePolicy" or value is None:
        return value
    policy = json.loads(value)
    return f"{policy.get('maxReceiveCount')} receives, then {policy.get('deadLetterTargetArn')}"


def _attributes(clients: Clients, url: str) -> Mapping[str, str]:
    answer = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer.get("Attributes", {}).items()}
