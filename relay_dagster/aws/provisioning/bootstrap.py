"""Creates the AWS resources that an installation lacks, and checks its queues.

A protection that is not set counts as missing, like a resource that does not exist. What
exists keeps its settings. Only the attributes of the queues, on which the program relies,
are compared with the variables and can be repaired.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.errors import maps_aws_errors
from relay_dagster.aws.job_queue import DLQ_RETENTION_SECONDS, JobQueue
from relay_dagster.aws.provisioning import buckets, queues, resources, tables
from relay_dagster.settings import (
    ProvisioningSettings,
    Settings,
    audit_table_beside,
)

_QueueName = Annotated[str, AfterValidator(queues.name_of)]


class Names(ProvisioningSettings):
    """The names of the resources, and the numbers in their definitions."""

    bucket: str = Field(resources.BUCKET, validation_alias="ARTIFACT_BUCKET")
    runs_table: str = Field(resources.RUNS_TABLE, validation_alias="RUNS_TABLE")
    tenants_table: str = Field(
        resources.TENANTS_TABLE,
        validation_alias="TENANTS_TABLE",
    )
    audit_table: str = Field(
        default_factory=lambda fields: audit_table_beside(
            fields["tenants_table"],
        ),
        validation_alias="AUDIT_TABLE",
    )
    queue: _QueueName = Field(
        resources.QUEUE_NAME,
        validation_alias="SQS_QUEUE_URL",
    )
    dlq: _QueueName = Field(resources.DLQ_NAME, validation_alias="SQS_DLQ_URL")
    uploads: _QueueName = Field(
        resources.UPLOADS_NAME,
        validation_alias="UPLOADS_QUEUE_URL",
    )


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The variables to export, in order, and a sentence for each change."""

    variables: tuple[tuple[str, str], ...]
    changes: tuple[str, ...]


def bootstrap(
    names: Names | None = None,
    clients: Clients | None = None,
) -> list[tuple[str, str]]:
    """Create missing resources, and return the variables to export."""
    return list(provision(names, clients).variables)


@maps_aws_errors
def provision(
    names: Names | None = None,
    clients: Clients | None = None,
    *,
    repair: bool = False,
) -> Provisioned:
    """Create missing resources, and with ``repair`` set the attributes of the job queue.

    Raises:
        SettingsError: The bucket belongs to another account.
    """
    names = names or Names.from_env()
    provisioning = _Provisioning(clients or Clients(names.region), names)
    provisioning.provide_bucket()
    provisioning.provide_tables()
    job_queue = provisioning.provide_job_queue()
    if repair:
        provisioning.repair(job_queue)
    uploads_url = provisioning.provide_uploads()
    variables = [
        ("ARTIFACT_BUCKET", names.bucket),
        ("RUNS_TABLE", names.runs_table),
        ("TENANTS_TABLE", names.tenants_table),
    ]
    if names.audit_table != audit_table_beside(names.tenants_table):
        variables.append(("AUDIT_TABLE", names.audit_table))
    variables += [
        ("SQS_QUEUE_URL", job_queue.url),
        ("SQS_DLQ_URL", job_queue.dlq_url),
        ("UPLOADS_QUEUE_URL", uploads_url),
        ("WORKER_MAX_CONCURRENCY", str(names.max_concurrency)),
    ]
    return Provisioned(tuple(variables), tuple(provisioning.changes))


@dataclass
class _Provisioning:
    """One call of `provision`. ``changes`` grows with each step."""

    clients: Clients
    names: Names
    changes: list[str] = field(default_factory=list)

    def provide_bucket(self) -> None:
        name = self.names.bucket
        if not buckets.bucket_exists(self.clients, name):
            buckets.create_bucket(self.clients, name)
            self.changes.append(f"created bucket {name}")
        self.changes += buckets.protect_bucket(
            self.clients,
            name,
            self.names.retention_days,
        )

    def provide_tables(self) -> None:
        self._provide_table(schema.runs_table(self.names.runs_table))
        self._provide_table(
            schema.tenants_table(self.names.tenants_table),
            expires=False,
        )
        self._provide_table(schema.audit_table(self.names.audit_table))

    def _provide_table(
        self,
        definition: dict[str, Any],
        *,
        expires: bool = True,
    ) -> None:
        name = definition["TableName"]
        if not tables.table_exists(self.clients, name):
            self.clients.dynamodb.create_table(**definition)
            self.changes.append(f"created table {name}")
        tables.await_table(self.clients, name)
        self.changes += tables.add_missing_indexes(self.clients, definition)
        self.changes += tables.protect_table(
            self.clients,
            name,
            expires=expires,
        )

    def provide_job_queue(self) -> JobQueue:
        dlq_url, dlq_arn = self._provide_queue(
            self.names.dlq,
            resources.dlq_attributes(),
        )
        attributes = resources.queue_attributes(
            dlq_arn,
            self.names.visibility_timeout_seconds,
            self.names.max_attempts,
        )
        url, _ = self._provide_queue(self.names.queue, attributes)
        return JobQueue(self.clients, url, dlq_url)

    def repair(self, job_queue: JobQueue) -> None:
        """Set the attributes of the job queue and its dead-letter queue as they must be."""
        differences = job_queue.differences(
            visibility_timeout_seconds=self.names.visibility_timeout_seconds,
            max_receives=self.names.max_attempts,
        )
        if not differences:
            return
        dlq_arn = queues.find_queue_arn(self.clients, job_queue.dlq_url)
        redrive = {
            "deadLetterTargetArn": dlq_arn,
            "maxReceiveCount": self.names.max_attempts,
        }
        attributes = {
            "VisibilityTimeout": self.names.visibility_timeout_seconds,
            "RedrivePolicy": redrive,
        }
        queues.set_attributes(self.clients, job_queue.url, attributes)
        dlq_attributes = {"MessageRetentionPeriod": DLQ_RETENTION_SECONDS}
        queues.set_attributes(self.clients, job_queue.dlq_url, dlq_attributes)
        self.changes += [
            f"repaired queue: {difference}" for difference in differences
        ]

    def provide_uploads(self) -> str:
        """Return the URL of the queue of uploads."""
        name = self.names.uploads
        _, dlq_arn = self._provide_queue(
            queues.dlq_name_of(name),
            resources.dlq_attributes(),
        )
        attributes = resources.upload_queue_attributes(dlq_arn)
        url, arn = self._provide_queue(name, attributes)
        # S3 checks the permission when the notification is set.
        self.changes += queues.permit_upload_events(
            self.clients,
            url,
            arn,
            self.names.bucket,
        )
        self.changes += buckets.notify_of_uploads(
            self.clients,
            self.names.bucket,
            arn,
        )
        return url

    def _provide_queue(
        self,
        name: str,
        attributes: Mapping[str, Any],
    ) -> tuple[str, str]:
        """Return the URL and the ARN of a queue, which is created if it is missing."""
        url = queues.find_queue_url(self.clients, name)
        if url is None:
            url = queues.create_queue(self.clients, name, attributes)
            self.changes.append(f"created queue {name}")
        return url, str(queues.find_queue_arn(self.clients, url))


@maps_aws_errors
def check(settings: Settings, clients: Clients | None = None) -> list[str]:
    """Return a sentence for each way in which the job queue is not as it must be."""
    clients = clients or Clients(settings.region)
    sentences = []
    for url in (settings.queue_url, settings.dlq_url):
        if queues.find_queue_arn(clients, url) is None:
            sentences.append(f"queue {queues.name_of(url)} does not exist")
    if not sentences:
        job_queue = JobQueue(clients, settings.queue_url, settings.dlq_url)
        sentences = job_queue.differences(
            visibility_timeout_seconds=settings.visibility_timeout_seconds,
            max_receives=settings.max_attempts,
        )
    return [f"queue_misconfigured: {sentence}" for sentence in sentences]
