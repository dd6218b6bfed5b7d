"""Defines the bucket and the queues of an installation, as the APIs of S3 and SQS take them.

This is their only definition; ``aws/dynamodb/schema.py`` has that of the tables.
`bootstrap` creates them from it, and `make template` writes a section of
``deploy/relay.yaml`` from it. A number, a name, or an ARN may therefore also be a
reference of CloudFormation.

The keys of runs' artifacts begin with a run id, so one rule for each hexadecimal digit
covers them and nothing else. Uploads (``tenants/``) and published feeds (``published/``)
never expire, but their overwritten and deleted versions do.
"""

import string
from typing import Any

from relay_dagster.aws.job_queue import DLQ_RETENTION_SECONDS

BUCKET = "relay-inventory"
RUNS_TABLE = "relay-inventory-runs"
TENANTS_TABLE = "relay-inventory-tenants"
QUEUE_NAME = "relay-inventory-jobs"
DLQ_NAME = "relay-inventory-jobs-dlq"
UPLOADS_NAME = "relay-inventory-uploads"

UPLOADS_PREFIX = "tenants/"
CREATED = "s3:ObjectCreated:*"

# An event that cannot be stored is received every minute, also during a long outage.
UPLOADS_VISIBILITY_SECONDS = 60
UPLOADS_MAX_RECEIVES = 1000

PUBLIC_ACCESS_BLOCK: Any = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
ENCRYPTION: Any = {
    "Rules": [
        {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}},
    ],
}

# Digits in both cases: a job that is sent straight to the queue has its own run id.
_RUN_PREFIXES = sorted(set(string.hexdigits))

# How long an overwritten, deleted, or expired object can be restored
_NONCURRENT = {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}
_NONCURRENT_UPLOAD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}

_NO_DELETE_MARKERS = {"Expiration": {"ExpiredObjectDeleteMarker": True}}
_ABORT_UPLOADS = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}


def lifecycle_rules(retention_days: Any) -> list[dict[str, Any]]:
    """Return the rules of the bucket's lifecycle."""
    expire = {"Expiration": {"Days": retention_days}}
    rules = []
    for prefix in _RUN_PREFIXES:
        rules.append(
            _rule(f"run-artifacts-{prefix}", prefix, expire, _NONCURRENT),
        )
    return [
        *rules,
        _rule("unfinished-uploads", "", _ABORT_UPLOADS),
        _rule(
            "superseded-feeds",
            "published/",
            _NO_DELETE_MARKERS,
            _NONCURRENT,
        ),
        _rule(
            "overwritten-uploads",
            UPLOADS_PREFIX,
            _NO_DELETE_MARKERS,
            _NONCURRENT_UPLOAD,
        ),
    ]


def _rule(name: str, prefix: str, *actions: dict[str, Any]) -> dict[str, Any]:
    rule = {
        "ID": f"relay-{name}",
        "Status": "Enabled",
        "Filter": {"Prefix": prefix},
    }
    for action in actions:
        rule.update(action)
    return rule


def dlq_attributes() -> dict[str, Any]:
    """Return the attributes of a dead-letter queue."""
    return {
        "MessageRetentionPeriod": DLQ_RETENTION_SECONDS,
        "SqsManagedSseEnabled": True,
    }


def queue_attributes(
    dlq_arn: Any,
    visibility_seconds: Any,
    max_receives: Any,
) -> dict[str, Any]:
    """Return the attributes of a queue, which keeps a message as long as SQS can."""
    return {
        "VisibilityTimeout": visibility_seconds,
        "MessageRetentionPeriod": DLQ_RETENTION_SECONDS,
        "RedrivePolicy": {
            "deadLetterTargetArn": dlq_arn,
            "maxReceiveCount": max_receives,
        },
        "SqsManagedSseEnabled": True,
    }


def upload_queue_attributes(dlq_arn: Any) -> dict[str, Any]:
    """Return the attributes of the queue of uploads."""
    return queue_attributes(
        dlq_arn,
        UPLOADS_VISIBILITY_SECONDS,
        UPLOADS_MAX_RECEIVES,
    )


def upload_statement(
    sid: Any,
    queue_arn: Any,
    bucket_arn: Any,
    account: Any,
) -> dict[str, Any]:
    """Return the policy statement that lets the bucket send to the queue of uploads."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {
            "ArnEquals": {"aws:SourceArn": bucket_arn},
            "StringEquals": {"aws:SourceAccount": account},
        },
    }


def upload_notification(queue_arn: Any) -> dict[str, Any]:
    """Return the notification by which the bucket sends events to the queue of uploads."""
    rules = [{"Name": "prefix", "Value": UPLOADS_PREFIX}]
    return {
        "Id": UPLOADS_NAME,
        "QueueArn": queue_arn,
        "Events": [CREATED],
        "Filter": {"Key": {"FilterRules": rules}},
    }
