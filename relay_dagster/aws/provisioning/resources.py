"""The bucket and the queues of an installation, as the APIs of S3 and SQS take them.

This is their one definition; ``aws/dynamodb/schema.py`` has that of the tables. `bootstrap` creates
them from it, and `make template` writes the section of ``deploy/relay.yaml``. So a number, a name
or an ARN may also be a reference of CloudFormation.

The keys of runs' artifacts begin with a run_id, so one rule for each hexadecimal digit covers them
and nothing else. Uploads (``tenants/``) and published feeds (``published/``) never expire; their
overwritten or deleted versions do.
"""

import json
import string
from collections.abc import Callable, Iterable
from dataclasses import dataclass
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
# An event that nobody can record comes again each minute, through a long outage too.
UPLOADS_VISIBILITY_SECONDS, UPLOADS_MAX_RECEIVES = 60, 1000

PUBLIC_ACCESS_BLOCK: Any = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
ENCRYPTION: Any = {
    "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
}
# Both cases: a job that was sent straight to the queue brings its own run_id.
_RUN_PREFIXES = sorted(set(string.hexdigits))
# For how long an overwritten, deleted or expired object can still be brought back.
_NONCURRENT = {"NoncurrentVersionExpiration": {"NoncurrentDays": 7}}
_NONCURRENT_UPLOAD = {"NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
_NO_DELETE_MARKERS = {"Expiration": {"ExpiredObjectDeleteMarker": True}}
CHANGED = "changed by hand"


def lifecycle_rules(retention_days: Any) -> list[dict[str, Any]]:
    """Return the rules of the bucket's lifecycle."""
    expire: dict[str, Any] = {"Expiration": {"Days": retention_days}}
    abort = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
    return [
        *(
            _rule(f"run-artifacts-{each}", each, expire, _NONCURRENT)
            for each in _RUN_PREFIXES
        ),
        _rule("unfinished-uploads", "", abort),
        _rule("superseded-feeds", "published/", _NO_DELETE_MARKERS, _NONCURRENT),
        _rule(
            "overwritten-uploads",
            UPLOADS_PREFIX,
            _NO_DELETE_MARKERS,
            _NONCURRENT_UPLOAD,
        ),
    ]


def _rule(name: str, prefix: str, *actions: dict[str, Any]) -> dict[str, Any]:
    rule = {"ID": f"relay-{name}", "Status": "Enabled", "Filter": {"Prefix": prefix}}
    return {key: value for part in (rule, *actions) for key, value in part.items()}


def dlq_attributes() -> dict[str, Any]:
    """Return the attributes of a dead-letter queue."""
    return {
        "MessageRetentionPeriod": DLQ_RETENTION_SECONDS,
        "SqsManagedSseEnabled": True,
    }


def queue_attributes(
    dlq_arn: Any, visibility_seconds: Any, max_receives: Any
) -> dict[str, Any]:
    """Return the attributes of a queue; a message may wait as long as SQS keeps one."""
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
    return queue_attributes(dlq_arn, UPLOADS_VISIBILITY_SECONDS, UPLOADS_MAX_RECEIVES)


def upload_statement(
    sid: Any, queue_arn: Any, bucket_arn: Any, account: Any
) -> dict[str, Any]:
    """Return the statement of the policy by which the bucket may send to the queue of uploads."""
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


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a resource.

    ``read`` returns its value, None where it is not set. ``apply`` sets the wanted value; it is
    None where that takes more than a call.
    """

    name: str
    wanted: Any
    read: Callable[[], Any]
    apply: Callable[[], Any] | None = None


def shared_list(
    name: str,  # the feature's name
    shown: str,  # its value while our entries are as wanted
    entries: Callable[[], list[Any]],  # reads the whole list
    wanted: list[Any],  # our entries
    *,
    is_ours: Callable[[Any], bool],  # recognizes an entry of ours
    essence: Callable[[Any], Any],  # the part of an entry that is compared
    store: Callable[[list[Any]], Any],  # writes the whole list
    # Returns its value while our entries differ
    describe: Callable[[list[Any]], str] = lambda _: CHANGED,
) -> Feature:
    """Return our entries of a list as a feature; the entries of others stay beside them."""

    def essences(those: list[Any]) -> list[str]:
        return sorted(json.dumps(essence(each), sort_keys=True) for each in those)

    def read() -> str | None:
        ours = [each for each in entries() if is_ours(each)]
        if not ours:
            return None
        return shown if essences(ours) == essences(wanted) else describe(ours)

    def apply() -> None:
        store([*(each for each in entries() if not is_ours(each)), *wanted])

    return Feature(name, shown, read, apply)


def set_missing(features: Iterable[Feature], *, repair: bool = False) -> list[str]:
    """Set the features that are not set, with ``repair`` also those that differ; return which."""
    changes = []
    for feature in features:
        is_ = feature.read()
        if (
            is_ == feature.wanted
            or feature.apply is None
            or not (is_ is None or repair)
        ):
            continue
        feature.apply()
        was = "" if is_ is None else f" (it was {_shown(is_)})"
        changes.append(f"set {feature.name} to {_shown(feature.wanted)}{was}")
    return changes


def differences(features: Iterable[Feature]) -> list[str]:
    """Return how features differ from their wanted values, one sentence each."""
    found = ((feature, feature.read()) for feature in features)
    return [
        f"{feature.name} is {_shown(is_)}, not {_shown(feature.wanted)}"
        for feature, is_ in found
        if is_ != feature.wanted
    ]


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
