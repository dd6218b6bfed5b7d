"""Creates the AWS resources that an installation lacks, and reports how the others differ.

An existing resource keeps its settings, unless a repair is asked for. A protection that is not set
counts as missing, like a resource that does not exist.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.errors import maps_aws_errors
from relay_dagster.aws.job_queue import JobQueue
from relay_dagster.aws.provisioning import resources
from relay_dagster.aws.provisioning.bucket import (
    bucket_exists,
    bucket_features,
    create_bucket,
    create_queue,
    find_queue_arn,
    find_queue_url,
    name_of,
    queue_features,
    upload_notification,
    upload_policy,
)
from relay_dagster.aws.provisioning.resources import Feature, differences, set_missing
from relay_dagster.aws.provisioning.tables import (
    await_table,
    table_exists,
    table_features,
)
from relay_dagster.settings import ProvisioningSettings, Settings, audit_table_beside

_QueueName = Annotated[str, AfterValidator(name_of)]


class Names(ProvisioningSettings):
    """The names of the resources, and the numbers in their definitions."""

    bucket: str = Field(resources.BUCKET, validation_alias="ARTIFACT_BUCKET")
    runs_table: str = Field(resources.RUNS_TABLE, validation_alias="RUNS_TABLE")
    tenants_table: str = Field(
        resources.TENANTS_TABLE, validation_alias="TENANTS_TABLE"
    )
    audit_table: str = Field(
        default_factory=lambda read: audit_table_beside(read["tenants_table"]),
        validation_alias="AUDIT_TABLE",
    )
    queue: _QueueName = Field(resources.QUEUE_NAME, validation_alias="SQS_QUEUE_URL")
    dlq: _QueueName = Field(resources.DLQ_NAME, validation_alias="SQS_DLQ_URL")
    uploads: _QueueName = Field(
        resources.UPLOADS_NAME, validation_alias="UPLOADS_QUEUE_URL"
    )


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The variables to export, in order, and the changes made, one sentence each."""

    variables: tuple[tuple[str, str], ...]
    changes: tuple[str, ...]


def bootstrap(
    names: Names | None = None, clients: Clients | None = None
) -> list[tuple[str, str]]:
    """Provision, and return the variables to export."""
    return list(provision(names, clients).variables)


@maps_aws_errors
def provision(
    names: Names | None = None, clients: Clients | None = None, *, repair: bool = False
) -> Provisioned:
    """Create what is missing, with ``repair`` change what differs; `SettingsError`: not ours."""
    names = names or Names.from_env()
    run = _Provisioning(clients or Clients(names.region), names, repair)
    run.provide_bucket()
    run.provide_tables()
    dlq_url, dlq_arn = run.provide_queue(names.dlq, resources.dlq_attributes())
    queue_url, _ = run.provide_queue(
        names.queue,
        resources.queue_attributes(
            dlq_arn, names.visibility_timeout_seconds, names.max_attempts
        ),
    )
    uploads_url = run.provide_uploads()
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
        changes=tuple(run.changes),
    )


@dataclass
class _Provisioning:
    """One call of `provision`; ``changes`` grows with every resource."""

    clients: Clients
    names: Names
    repair: bool
    changes: list[str] = field(default_factory=list)

    def provide_bucket(self) -> None:
        clients, bucket = self.clients, self.names.bucket
        if not bucket_exists(clients, bucket):
            create_bucket(clients, bucket)
            self.changes.append(f"created bucket {bucket}")
        self._set(bucket_features(clients, bucket, self.names.retention_days))

    def provide_tables(self) -> None:
        for definition, expires in _tables(self.names):
            name = definition["TableName"]
            if not table_exists(self.clients, name):
                self.clients.dynamodb.create_table(**definition)
                self.changes.append(f"created table {name}")
            await_table(self.clients, name)
            self._set(table_features(self.clients, definition, expires=expires))

    def provide_queue(
        self, name: str, attributes: Mapping[str, Any]
    ) -> tuple[str, str]:
        """Return the queue's URL and its ARN."""
        url = find_queue_url(self.clients, name)
        if url is None:
            url = create_queue(self.clients, name, attributes)
            self.changes.append(f"created queue {name}")
        else:
            self._set(queue_features(self.clients, url, attributes))
        return url, str(find_queue_arn(self.clients, url))

    def provide_uploads(self) -> str:
        """Return the URL of the queue of uploads; its policy comes first, since S3 checks it."""
        name, bucket = self.names.uploads, self.names.bucket
        _, dlq_arn = self.provide_queue(_dlq_of(name), resources.dlq_attributes())
        url, arn = self.provide_queue(name, resources.upload_queue_attributes(dlq_arn))
        self._set([upload_policy(self.clients, url, arn, bucket)])
        self._set([upload_notification(self.clients, bucket, arn)])
        return url

    def _set(self, features: list[Feature]) -> None:
        self.changes += set_missing(features, repair=self.repair)


@maps_aws_errors
def check(settings: Settings, clients: Clients | None = None) -> list[str]:
    """Return how the resources differ from their definitions, a sentence each."""
    clients = clients or Clients(settings.region)
    bucket = settings.artifact_bucket
    has_bucket = bucket_exists(clients, bucket)
    drift = [f"bucket {bucket} does not exist"]
    if has_bucket:
        drift = differences(bucket_features(clients, bucket, settings.retention_days))
    tables = []
    for definition, expires in _tables(settings):
        if table_exists(clients, definition["TableName"]):
            tables += differences(table_features(clients, definition, expires=expires))
        else:
            tables.append(f"table {definition['TableName']} does not exist")
    found = [
        *(f"bucket_misconfigured: {each}" for each in drift),
        *(f"table_misconfigured: {each}" for each in tables),
        *(f"queue_misconfigured: {each}" for each in _queue_drift(clients, settings)),
        *(
            f"queue_misconfigured: {each}"
            for each in _uploads_drift(clients, settings, has_bucket)
        ),
    ]
    return list(dict.fromkeys(found))


def _tables(names: Names | Settings) -> list[tuple[dict[str, Any], bool]]:
    """Return each table's definition, and whether its items expire."""
    return [
        (schema.runs_table(names.runs_table), True),
        (schema.tenants_table(names.tenants_table), False),
        (schema.audit_table(names.audit_table), True),
    ]


def _queue_drift(clients: Clients, settings: Settings) -> Iterator[str]:
    """Yield how the queues of jobs differ; `JobQueue` knows what the program depends on."""
    urls = (settings.queue_url, settings.dlq_url)
    absent = [url for url in urls if find_queue_arn(clients, url) is None]
    yield from (f"queue {name_of(url)} does not exist" for url in absent)
    if absent:
        return
    yield from JobQueue(clients, *urls).differences(
        visibility_timeout_seconds=settings.visibility_timeout_seconds,
        max_receives=settings.max_attempts,
    )
    wanted = resources.dlq_attributes()
    yield from differences(queue_features(clients, settings.queue_url, wanted))
    del wanted["MessageRetentionPeriod"]
    yield from differences(queue_features(clients, settings.dlq_url, wanted))


def _uploads_drift(
    clients: Clients, settings: Settings, has_bucket: bool
) -> Iterator[str]:
    """Yield how the delivery of upload events differs; without a queue for them there is none."""
    url, bucket = settings.uploads_queue_url, settings.artifact_bucket
    if url is None:
        return
    arn, dlq_name = find_queue_arn(clients, url), _dlq_of(name_of(url))
    dlq_url = find_queue_url(clients, dlq_name)
    if arn is None:
        yield f"queue {name_of(url)} does not exist"
    if dlq_url is None:
        yield f"queue {dlq_name} does not exist"
    if arn is None or dlq_url is None:
        return
    wanted = resources.upload_queue_attributes(find_queue_arn(clients, dlq_url))
    yield from differences(queue_features(clients, url, wanted))
    yield from differences(queue_features(clients, dlq_url, resources.dlq_attributes()))
    if has_bucket:
        yield from differences([upload_policy(clients, url, arn, bucket)])
        yield from differences([upload_notification(clients, bucket, arn)])


def _dlq_of(queue_name: str) -> str:
    return f"{queue_name}-dlq"
