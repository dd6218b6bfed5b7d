"""The way of S3's upload events: their queue with its dead letters, and the bucket that tells.

What others have the bucket tell, and let send to the queue, stays beside ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.provisioning.desired_state import Feature
from relay_dagster.aws.provisioning.queues import queue_attributes

UPLOADS_NAME = "relay-inventory-uploads"
UPLOADS_PREFIX = "tenants/"
CREATED = "s3:ObjectCreated:*"
# An event comes again each minute for as long as nobody can note it, through a long outage too.
VISIBILITY_SECONDS, MOST_RECEIVES = 60, 1000
_CHANGED = "changed by hand"


def dlq_of(queue_name: str) -> str:
    """Return the name of the dead-letter queue of a queue of uploads."""
    return f"{queue_name}-dlq"


def upload_queue_attributes(dlq_arn: str) -> dict[str, str]:
    """Return the attributes of the queue of uploads."""
    return queue_attributes(
        dlq_arn, visibility_timeout=VISIBILITY_SECONDS, max_receives=MOST_RECEIVES
    )


def upload_features(clients: Clients, bucket: str, url: str, queue_arn: str) -> list[Feature]:
    """Return what lets uploads be told of: S3 asks whether it may send before it takes an order."""
    policy, notification = _statement(bucket, queue_arn), _notification(queue_arn)
    return [
        Feature(
            f"policy of queue {url.rpartition('/')[2]}",
            f"that bucket {bucket} may send",
            lambda: _policy(clients, url, policy),
            lambda: _put_policy(clients, url, policy),
        ),
        Feature(
            f"notification of bucket {bucket}",
            f"{CREATED} under {UPLOADS_PREFIX} to {queue_arn}",
            lambda: _told(clients, bucket, notification),
            lambda: _put_notification(clients, bucket, notification),
        ),
    ]


# --- who may send -------------------------------------------------------------------------------


def _statement(bucket: str, queue_arn: str) -> dict[str, Any]:
    _, partition, _, _, account, _ = queue_arn.split(":")
    return {
        "Sid": f"relay-uploads-of-{bucket}",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": f"arn:{partition}:s3:::{bucket}"},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }


def _policy(clients: Clients, url: str, wanted: Mapping[str, Any]) -> str | None:
    ours = [each for each in _statements(clients, url) if each.get("Sid") == wanted["Sid"]]
    if not ours:
        return None
    bucket = wanted["Sid"].removeprefix("relay-uploads-of-")
    return f"that bucket {bucket} may send" if ours == [wanted] else _CHANGED


def _put_policy(clients: Clients, url: str, wanted: Mapping[str, Any]) -> None:
    others = [each for each in _statements(clients, url) if each.get("Sid") != wanted["Sid"]]
    policy = {"Version": "2012-10-17", "Statement": [*others, wanted]}
    clients.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def _statements(clients: Clients, url: str) -> list[Any]:
    answer = clients.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    return list(json.loads(answer.get("Attributes", {}).get("Policy") or "{}").get("Statement", []))


# --- what is told -------------------------------------------------------------------------------


def _notification(queue_arn: str) -> dict[str, Any]:
    rules = [{"Name": "prefix", "Value": UPLOADS_PREFIX}]
    return {
        "Id": UPLOADS_NAME,
        "QueueArn": queue_arn,
        "Events": [CREATED],
        "Filter": {"Key": {"FilterRules": rules}},
    }


def _told(clients: Clients, bucket: str, wanted: Mapping[str, Any]) -> str | None:
    """Return what is told to the queue, by whatever name: a template gives it none."""
    queues = _orders(clients, bucket).get("QueueConfigurations", [])
    ours = [each for each in queues if each["QueueArn"] == wanted["QueueArn"]]
    if not ours:
        return None
    if [_essence(each) for each in ours] != [_essence(wanted)]:
        return _CHANGED
    return f"{CREATED} under {UPLOADS_PREFIX} to {wanted['QueueArn']}"


def _essence(order: Mapping[str, Any]) -> tuple[Any, ...]:
    rules = order.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return sorted(order["Events"]), [(rule["Name"].lower(), rule["Value"]) for rule in rules]


def _put_notification(clients: Clients, bucket: str, wanted: Mapping[str, Any]) -> None:
    orders = _orders(clients, bucket)
    queues = orders.get("QueueConfigurations", [])
    others = [each for each in queues if each["QueueArn"] != wanted["QueueArn"]]
    whole: Any = {**orders, "QueueConfigurations": [*others, wanted]}
    clients.s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=whole)


def _orders(clients: Clients, bucket: str) -> dict[str, Any]:
    answer: Any = clients.s3.get_bucket_notification_configuration(Bucket=bucket)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}
