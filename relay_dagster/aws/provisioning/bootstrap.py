"""Creates the AWS resources that an installation lacks, and tells how those that are there differ.

What is there keeps its settings unless asked otherwise; a protection that is not set at all is
missing like a resource that is not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.aws.provisioning.bucket import bucket_exists, bucket_features, create_bucket
from relay_dagster.aws.provisioning.desired_state import Feature, differences, set_missing
from relay_dagster.aws.provisioning.queues import (
    QUEUE_RETENTION_SECONDS,
    create_queue,
    dlq_attributes,
    find_queue_url,
    queue_arn,
    queue_attributes,
    queue_features,
)
from relay_dagster.aws.provisioning.tables import (
    await_table,
    create_table,
    table_exists,
    table_features,
)
from relay_dagster.aws.provisioning.uploads import (
    UPLOADS_NAME,
    dlq_of,
    upload_features,
    upload_queue_attributes,
)
from relay_dagster.aws.sqs.job_queue import JobQueue
from relay_dagster.external_errors import MissingResourceError
from relay_dagster.runs.commits import LookPolicy
from relay_dagster.runs.ports import utc_now
from relay_dagster.settings import ProvisioningSettings, Settings, audit_table_beside

BUCKET = "relay-inventory"
RUNS_TABLE = "relay-inventory-runs"
TENANTS_TABLE = "relay-inventory-tenants"
QUEUE_NAME = "relay-inventory-jobs"
DLQ_NAME = "relay-inventory-jobs-dlq"


def _last_part(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]


class Names(ProvisioningSettings):
    """What the resources are called, and the numbers that they are made with."""

    bucket: str = Field(BUCKET, validation_alias="ARTIFACT_BUCKET")
    runs_table: str = Field(RUNS_TABLE, validation_alias="RUNS_TABLE")
    tenants_table: str = Field(TENANTS_TABLE, validation_alias="TENANTS_TABLE")
    audit_table: str = Field(
        default_factory=lambda read: audit_table_beside(read["tenants_table"]),
        validation_alias="AUDIT_TABLE",
    )
    queue: Annotated[str, AfterValidator(_last_part)] = Field(
        QUEUE_NAME, validation_alias="SQS_QUEUE_URL"
    )
    dlq: Annotated[str, AfterValidator(_last_part)] = Field(
        DLQ_NAME, validation_alias="SQS_DLQ_URL"
    )
    uploads: Annotated[str, AfterValidator(_last_part)] = Field(
        UPLOADS_NAME, validation_alias="UPLOADS_QUEUE_URL"
    )


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The variables to export, in order, and what was created or set, one sentence each."""

    variables: tuple[tuple[str, str], ...]
    changes: tuple[str, ...]


def bootstrap(names: Names | None = None, clients: Clients | None = None) -> list[tuple[str, str]]:
    """Create what is missing; may be called again and again.

    Returns:
        The variables to export, in order, with their values.

    Raises:
        SettingsError: the bucket's name belongs to somebody else.
        ExternalServiceError: AWS fails.
    """
    return list(provision(names, clients).variables)


@maps_aws_errors
def provision(
    names: Names | None = None, clients: Clients | None = None, *, repair: bool = False
) -> Provisioned:
    """Create what is missing, and tell what that was: nothing, when called a second time.

    Args:
        names: what is wanted; by default as the environment says.
        clients: AWS.
        repair: also change settings of resources that are there and differ.

    Raises:
        SettingsError: the bucket's name belongs to somebody else.
        ExternalServiceError: AWS fails.
    """
    names = names or Names.from_env()
    clients = clients or Clients(names.region)
    changes = [*_provide_bucket(clients, names, repair), *_provide_tables(clients, names, repair)]
    dlq_url, of_dlq = _provide_queue(clients, names.dlq, dlq_attributes(), repair)
    wanted = _queue_attributes(clients, names, dlq_url)
    queue_url, of_queue = _provide_queue(clients, names.queue, wanted, repair)
    uploads_url, of_uploads = _provide_uploads(clients, names, repair)
    is_elsewhere = names.audit_table != audit_table_beside(names.tenants_table)
    return Provisioned(
        variables=(
            ("ARTIFACT_BUCKET", names.bucket),
            ("RUNS_TABLE", names.runs_table),
            ("TENANTS_TABLE", names.tenants_table),
            *([("AUDIT_TABLE", names.audit_table)] if is_elsewhere else []),
            ("SQS_QUEUE_URL", queue_url),
            ("SQS_DLQ_URL", dlq_url),
            ("UPLOADS_QUEUE_URL", uploads_url),
            ("WORKER_MAX_CONCURRENCY", str(names.max_concurrency)),
        ),
        changes=(*changes, *of_dlq, *of_queue, *of_uploads),
    )


@maps_aws_errors
def check(settings: Settings, clients: Clients | None = None) -> list[str]:
    """Return how the resources differ from what they must be, one sentence for each difference.

    Raises:
        SettingsError: the bucket belongs to somebody else.
        ExternalServiceError: AWS fails.
    """
    clients = clients or Clients(settings.region)
    found = [
        *(f"bucket_misconfigured: {each}" for each in _bucket_drift(clients, settings)),
        *(f"table_misconfigured: {each}" for each in _table_drift(clients, settings)),
        *(f"queue_misconfigured: {each}" for each in _queue_drift(clients, settings)),
        *(f"queue_misconfigured: {each}" for each in _uploads_drift(clients, settings)),
    ]
    return list(dict.fromkeys(found))


# --- the bucket ---------------------------------------------------------------------------------


def _provide_bucket(clients: Clients, names: Names, repair: bool) -> list[str]:
    created = []
    if not bucket_exists(clients, names.bucket):
        create_bucket(clients, names.bucket)
        created = [f"created bucket {names.bucket}"]
    features = bucket_features(clients, names.bucket, names.retention_days)
    return [*created, *set_missing(features, repair=repair)]


def _bucket_drift(clients: Clients, settings: Settings) -> list[str]:
    bucket = settings.artifact_bucket
    if not bucket_exists(clients, bucket):
        return [f"bucket {bucket} does not exist"]
    return differences(bucket_features(clients, bucket, settings.retention_days))


# --- the tables ---------------------------------------------------------------------------------


def _definitions(names: Names | Settings) -> list[tuple[dict[str, Any], bool]]:
    """Return each table's definition, and whether its items expire."""
    return [
        (schema.runs_table(names.runs_table), True),
        (schema.tenants_table(names.tenants_table), False),
        (schema.audit_table(names.audit_table), True),
    ]


def _provide_tables(clients: Clients, names: Names, repair: bool) -> Iterator[str]:
    for definition, expires in _definitions(names):
        name = definition["TableName"]
        if not table_exists(clients, name):
            create_table(clients, definition)
            yield f"created table {name}"
        await_table(clients, name)
        features = table_features(clients, definition, expires=expires)
        changes = set_missing(features, repair=repair)
        yield from changes
        if any(f"index {schema.DUE} " in change for change in changes):
            yield from _schedule(clients, names)


def _schedule(clients: Clients, names: Names) -> Iterator[str]:
    """Let the runs be looked at that an older release has left unsettled, for it noted no time."""
    runs = RunStore(clients, names.runs_table, names.audit_table)
    count = runs.schedule_all(LookPolicy(), utc_now())
    if count:
        yield f"scheduled {count} unsettled runs of table {names.runs_table}"


def _table_drift(clients: Clients, settings: Settings) -> Iterator[str]:
    for definition, expires in _definitions(settings):
        name = definition["TableName"]
        if table_exists(clients, name):
            yield from differences(table_features(clients, definition, expires=expires))
        else:
            yield f"table {name} does not exist"


# --- the queues ---------------------------------------------------------------------------------


def _queue_attributes(clients: Clients, names: Names, dlq_url: str) -> dict[str, str]:
    return queue_attributes(
        queue_arn(clients, dlq_url),
        visibility_timeout=names.visibility_timeout_seconds,
        max_receives=names.max_attempts,
    )


def _provide_queue(
    clients: Clients, name: str, attributes: Mapping[str, str], repair: bool
) -> tuple[str, list[str]]:
    url = find_queue_url(clients, name)
    if url is None:
        url = create_queue(clients, name, attributes)
        return url, [f"created queue {name}"]
    return url, set_missing(queue_features(clients, url, attributes), repair=repair)


def _queue_drift(clients: Clients, settings: Settings) -> Iterator[str]:
    urls = (settings.queue_url, settings.dlq_url)
    absent = [url for url in urls if not _queue_exists(clients, url)]
    if absent:
        yield from (f"queue {_last_part(url)} does not exist" for url in absent)
        return
    queue = JobQueue(clients, *urls)
    yield from queue.differences(
        visibility_timeout_seconds=settings.visibility_timeout_seconds,
        max_receives=settings.max_attempts,
    )
    yield from differences(_queue_protection(clients, settings))


def _queue_exists(clients: Clients, url: str) -> bool:
    try:
        queue_arn(clients, url)
    except MissingResourceError:
        return False
    return True


def _queue_protection(clients: Clients, settings: Settings) -> list[Feature]:
    """Return the features of both queues that the program itself does not depend on."""
    retention = str(QUEUE_RETENTION_SECONDS)
    of_queue = {"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": retention}
    return [
        *queue_features(clients, settings.queue_url, of_queue),
        *queue_features(clients, settings.dlq_url, {"SqsManagedSseEnabled": "true"}),
    ]


# --- uploads ------------------------------------------------------------------------------------


def _provide_uploads(clients: Clients, names: Names, repair: bool) -> tuple[str, list[str]]:
    dlq_url, of_dlq = _provide_queue(clients, dlq_of(names.uploads), dlq_attributes(), repair)
    wanted = upload_queue_attributes(queue_arn(clients, dlq_url))
    url, of_queue = _provide_queue(clients, names.uploads, wanted, repair)
    features = upload_features(clients, names.bucket, url, queue_arn(clients, url))
    return url, [*of_dlq, *of_queue, *set_missing(features, repair=repair)]


def _uploads_drift(clients: Clients, settings: Settings) -> Iterator[str]:
    """Yield how the way of upload events differs; without a queue for them there is none."""
    url = settings.uploads_queue_url
    if url is None:
        return
    dlq_url = find_queue_url(clients, dlq_of(_last_part(url)))
    absent = [
        *([] if _queue_exists(clients, url) else [_last_part(url)]),
        *([] if dlq_url else [dlq_of(_last_part(url))]),
    ]
    yield from (f"queue {name} does not exist" for name in absent)
    if dlq_url is None or absent:
        return
    wanted = upload_queue_attributes(queue_arn(clients, dlq_url))
    yield from differences(queue_features(clients, url, wanted))
    yield from differences(queue_features(clients, dlq_url, dlq_attributes()))
    if bucket_exists(clients, settings.artifact_bucket):
        arn = queue_arn(clients, url)
        yield from differences(upload_features(clients, settings.artifact_bucket, url, arn))
