"""The queues of an installation, for ``aws/job_queue.py``: whether they exist, their features."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.error_mapping import NO_QUEUE, unless
from relay_dagster.aws.provisioning import resources
from relay_dagster.aws.provisioning.desired_state import Feature, shared_list

_SSE = "SqsManagedSseEnabled"


def find_queue_url(clients: Clients, name: str) -> str | None:
    """Return the URL of a queue, None where there is none."""
    return unless(NO_QUEUE, lambda: clients.sqs.get_queue_url(QueueName=name)["QueueUrl"])


def create_queue(clients: Clients, name: str, attributes: Mapping[str, Any]) -> str:
    """Create a queue and return its URL."""
    texts: Any = {name: _text(value) for name, value in attributes.items()}
    return clients.sqs.create_queue(QueueName=name, Attributes=texts)["QueueUrl"]


def find_queue_arn(clients: Clients, url: str) -> str | None:
    """Return the ARN of a queue, None where there is none."""
    return unless(NO_QUEUE, lambda: _attributes(clients, url).get("QueueArn"))


def queue_features(clients: Clients, url: str, wanted: Mapping[str, Any]) -> list[Feature]:
    """Return the features of a queue, one for each attribute."""

    def feature(name: str, value: str) -> Feature:
        single: Any = {name: value}
        return Feature(
            f"{name} of queue {name_of(url)}",
            _normal(name, value),
            lambda: _normal(name, _read(_attributes(clients, url), name)),
            lambda: clients.sqs.set_queue_attributes(QueueUrl=url, Attributes=single),
        )

    return [feature(name, _text(value)) for name, value in wanted.items()]


def upload_policy(clients: Clients, url: str, queue_arn: str, bucket: str) -> Feature:
    """Return the bucket's right to send as a feature; the rights of others stay."""
    sid = f"relay-uploads-of-{bucket}"
    _, partition, _, _, account, _ = queue_arn.split(":")

    def statements() -> list[Any]:
        policy = json.loads(_attributes(clients, url).get("Policy") or "{}")
        return list(policy.get("Statement", []))

    def store(whole: list[Any]) -> None:
        policy = json.dumps({"Version": "2012-10-17", "Statement": whole})
        clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})

    bucket_arn = f"arn:{partition}:s3:::{bucket}"
    return shared_list(
        f"policy of queue {name_of(url)}",
        f"that bucket {bucket} may send",
        statements,
        [resources.upload_statement(sid, queue_arn, bucket_arn, account)],
        is_ours=lambda statement: statement.get("Sid") == sid,
        essence=lambda statement: statement,
        store=store,
    )


def name_of(url: str) -> str:
    """Return the name of a queue that is given by its name or its URL."""
    return urlsplit(url).path.rpartition("/")[2]


def _read(attributes: Mapping[str, str], name: str) -> str | None:
    if name == _SSE:
        # A key of the owner's own is encryption too; off is as good as not set.
        on = attributes.get("KmsMasterKeyId") or attributes.get(_SSE, "").lower() == "true"
        return "true" if on else None
    return attributes.get(name) or None


def _normal(name: str, value: str | None) -> str | None:
    """Return a value in a form in which equal policies are equal texts."""
    if name != "RedrivePolicy" or value is None:
        return value
    policy = json.loads(value)
    return f"{policy.get('maxReceiveCount')} receives, then {policy.get('deadLetterTargetArn')}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _attributes(clients: Clients, url: str) -> Mapping[str, str]:
    answer = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return {str(name): value for name, value in answer.get("Attributes", {}).items()}
