"""Creates the AWS resources that an installation lacks; changes none that is there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from relay_dagster import settings as env
from relay_dagster.aws import tables
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.job_queue import DLQ_RETENTION_SECONDS, JobQueue
from relay_dagster.aws.verdicts import error_code, speaks_aws
from relay_dagster.settings import Settings, SettingsError

BUCKET = "relay-inventory"
RUNS_TABLE = "relay-inventory-runs"
TENANTS_TABLE = "relay-inventory-tenants"
QUEUE_NAME = "relay-inventory-jobs"
DLQ_NAME = "relay-inventory-jobs-dlq"
_NO_QUEUE = frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"})
_NO_LOCATION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the resources are called, and the two numbers that the queue is made with."""

    bucket: str = BUCKET
    runs_table: str = RUNS_TABLE
    tenants_table: str = TENANTS_TABLE
    queue: str = QUEUE_NAME
    dlq: str = DLQ_NAME
    max_receives: int = 3
    visibility_timeout_seconds: int = 300
    max_concurrency: int = 2
    region: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Names:
        """Read names and numbers from the variables that are set; the others have defaults.

        Raises:
            SettingsError: a number is bad.
        """
        given = os.environ if environ is None else environ
        return cls(
            bucket=given.get("ARTIFACT_BUCKET") or BUCKET,
            runs_table=given.get("RUNS_TABLE") or RUNS_TABLE,
            tenants_table=given.get("TENANTS_TABLE") or TENANTS_TABLE,
            queue=_last_part(given.get("SQS_QUEUE_URL")) or QUEUE_NAME,
            dlq=_last_part(given.get("SQS_DLQ_URL")) or DLQ_NAME,
            max_receives=env.max_attempts_from(given),
            visibility_timeout_seconds=env.visibility_timeout_from(given),
            max_concurrency=env.max_concurrency_from(given),
            region=env.region_from(given),
        )


def bootstrap(names: Names | None = None, clients: Clients | None = None) -> list[tuple[str, str]]:
    """Create what is missing; may be called again and again.

    Returns:
        The variables to export, in order, with their values.

    Raises:
        SettingsError: the bucket's name belongs to somebody else.
        WorldError: AWS fails.
    """
    names = names or Names.from_env()
    clients = clients or Clients(names.region)
    _ensure_bucket(clients, names.bucket)
    _ensure_table(clients, tables.runs_table(names.runs_table), expires=True)
    _ensure_table(clients, tables.tenants_table(names.tenants_table), expires=False)
    queue_url, dlq_url = _ensure_queues(clients, names)
    return [
        ("ARTIFACT_BUCKET", names.bucket),
        ("RUNS_TABLE", names.runs_table),
        ("TENANTS_TABLE", names.tenants_table),
        ("SQS_QUEUE_URL", queue_url),
        ("SQS_DLQ_URL", dlq_url),
        ("WORKER_MAX_CONCURRENCY", str(names.max_concurrency)),
    ]


def check(settings: Settings, clients: Clients | None = None) -> list[str]:
    """Return how the queues differ from what the variables say, one sentence for each difference.

    Raises:
        WorldError: AWS fails, or a queue is not there.
    """
    clients = clients or Clients(settings.region)
    return JobQueue(clients, settings.queue_url, settings.dlq_url).differences(
        visibility_timeout_seconds=settings.visibility_timeout_seconds,
        max_receives=settings.max_attempts,
    )


@speaks_aws
def _ensure_bucket(clients: Clients, bucket: str) -> None:
    s3 = clients.s3
    try:
        s3.head_bucket(Bucket=bucket)
        return
    except ClientError as error:
        if error_code(error) in {"403", "Forbidden", "AccessDenied"}:
            raise _not_ours(bucket) from error
        if error_code(error) not in {"404", "NoSuchBucket", "NotFound"}:
            raise
    region = s3.meta.region_name
    where: Any = (
        {}
        if region == _NO_LOCATION
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    try:
        s3.create_bucket(Bucket=bucket, **where)
    except ClientError as error:
        if error_code(error) == "BucketAlreadyOwnedByYou":
            return
        if error_code(error) == "BucketAlreadyExists":
            raise _not_ours(bucket) from error
        raise


def _not_ours(bucket: str) -> SettingsError:
    return SettingsError(
        "ARTIFACT_BUCKET",
        f"must be another name: {bucket!r} is there, and is not these credentials' to use",
    )


@speaks_aws
def _ensure_table(clients: Clients, definition: Mapping[str, Any], *, expires: bool) -> None:
    dynamodb = clients.dynamodb
    name = definition["TableName"]
    try:
        dynamodb.describe_table(TableName=name)
    except dynamodb.exceptions.ResourceNotFoundException:
        dynamodb.create_table(**definition)
    dynamodb.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
    )
    if expires:
        _ensure_expiry(clients, name)


def _ensure_expiry(clients: Clients, table: str) -> None:
    answer = clients.dynamodb.describe_time_to_live(TableName=table)
    if answer["TimeToLiveDescription"].get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}:
        return
    clients.dynamodb.update_time_to_live(
        TableName=table,
        TimeToLiveSpecification={"Enabled": True, "AttributeName": tables.EXPIRY},
    )


@speaks_aws
def _ensure_queues(clients: Clients, names: Names) -> tuple[str, str]:
    dlq_url = _ensure_queue(
        clients, names.dlq, {"MessageRetentionPeriod": str(DLQ_RETENTION_SECONDS)}
    )
    answer = clients.sqs.get_queue_attributes(QueueUrl=dlq_url, AttributeNames=["QueueArn"])
    redrive = {
        "deadLetterTargetArn": answer["Attributes"]["QueueArn"],
        "maxReceiveCount": names.max_receives,
    }
    attributes = {
        "VisibilityTimeout": str(names.visibility_timeout_seconds),
        "RedrivePolicy": json.dumps(redrive),
    }
    return _ensure_queue(clients, names.queue, attributes), dlq_url


def _ensure_queue(clients: Clients, name: str, attributes: Mapping[str, str]) -> str:
    """Return the queue's URL. One that is there keeps its attributes: a check tells differences."""
    try:
        return clients.sqs.get_queue_url(QueueName=name)["QueueUrl"]
    except ClientError as error:
        if error_code(error) not in _NO_QUEUE:
            raise
    wanted: Any = dict(attributes)
    return clients.sqs.create_queue(QueueName=name, Attributes=wanted)["QueueUrl"]


def _last_part(url: str | None) -> str:
    return urlsplit(url or "").path.rpartition("/")[2]
