"""The platform: the stores, queues, ledger and metrics that all entry points share."""

from dataclasses import dataclass
from datetime import timedelta

from relay_dagster.aws.clients import LONG_TIMEOUTS, Clients, Timeouts
from relay_dagster.aws.dynamodb.api_key_store import ApiKeyStore, SessionStore
from relay_dagster.aws.dynamodb.audit_store import AuditStore
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.link_store import LinkStore
from relay_dagster.aws.dynamodb.pause_store import PauseStore
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.aws.dynamodb.transfer_store import (
    DELIVERIES,
    PULLS,
    DeliveryStore,
    PullStore,
    TransferStore,
)
from relay_dagster.aws.dynamodb.trigger_store import TriggerStore
from relay_dagster.aws.dynamodb.webhook_store import WebhookStore
from relay_dagster.aws.job_queue import JobQueue, UploadQueue
from relay_dagster.aws.metrics import Metrics
from relay_dagster.aws.object_store import ObjectStore
from relay_dagster.aws.overrides import OverrideStore
from relay_dagster.aws.secrets import SecretStore
from relay_dagster.ledger.closing import TenantClosing
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.ledger.submission import Submission
from relay_dagster.runs.poll_schedule import PollSchedule
from relay_dagster.settings import Settings


@dataclass(frozen=True, slots=True)
class Platform:
    """The parts of one installation."""

    settings: Settings
    clients: Clients
    database: Database
    runs: RunStore
    tenants: TenantStore
    deletions: DeletionStore
    triggers: TriggerStore
    pulls: PullStore
    deliveries: DeliveryStore
    pauses: PauseStore
    api_keys: ApiKeyStore
    links: LinkStore
    sessions: SessionStore
    secrets: SecretStore
    overrides: OverrideStore
    webhooks: WebhookStore
    audit: AuditStore
    objects: ObjectStore
    queue: JobQueue
    metrics: Metrics
    ledger: RunLedger

    @property
    def submission(self) -> Submission:
        """Return the one way in which runs are started."""
        return Submission(
            ledger=self.ledger,
            send=self.queue.send,
            pause_of=self.pauses.of,
            configs=self.tenants,
            runs_per_hour=self.settings.max_runs_per_hour,
        )

    @property
    def closing(self) -> TenantClosing:
        """Return the one way in which deletions of tenants begin."""
        return TenantClosing(
            begin=self.deletions.ask,
            ledger=self.ledger,
            runs=self.runs,
            grace=timedelta(hours=self.settings.deletion_grace_hours),
        )

    def queue_differences(self) -> list[str]:
        """Return how the attributes of the queues differ from the variables."""
        return self.queue.differences(
            visibility_timeout_seconds=self.settings.visibility_timeout_seconds,
            max_receives=self.settings.max_attempts,
        )

    @property
    def uploads(self) -> UploadQueue | None:
        """Return the queue of S3's events, or None if there is none."""
        url = self.settings.uploads_queue_url
        return None if url is None else UploadQueue(self.clients, url)


def connect(
    settings: Settings,
    timeouts: Timeouts = LONG_TIMEOUTS,
    *,
    clients: Clients | None = None,
) -> Platform:
    """Return the platform of the settings; no request is sent before its first use."""
    if clients is None:
        clients = Clients(
            settings.region,
            timeouts,
            public_s3_endpoint_url=settings.public_s3_endpoint_url,
        )

    def count_unreadable() -> None:
        metrics.worker_error("unreadable")

    database = Database.of(clients, settings, count_unreadable)
    runs = RunStore(database)
    objects = ObjectStore(clients, settings.artifact_bucket)
    metrics = _metrics(clients, settings, runs)
    return Platform(
        settings=settings,
        clients=clients,
        database=database,
        runs=runs,
        tenants=TenantStore(database, settings.max_config_versions_per_day),
        deletions=DeletionStore(database),
        triggers=TriggerStore(database),
        pulls=TransferStore(database, PULLS),
        deliveries=TransferStore(database, DELIVERIES),
        pauses=PauseStore(database),
        api_keys=ApiKeyStore(database),
        links=LinkStore(database),
        sessions=SessionStore(database),
        secrets=SecretStore(database, settings.secrets_prefix),
        overrides=OverrideStore(database, objects),
        webhooks=WebhookStore(database),
        audit=AuditStore(database),
        objects=objects,
        queue=JobQueue(clients, settings.queue_url, settings.dlq_url),
        metrics=metrics,
        ledger=RunLedger(
            runs,
            poll_schedule(settings),
            keep_published=settings.keep_published,
        ),
    )


def _metrics(clients: Clients, settings: Settings, runs: RunStore) -> Metrics:
    def consecutive_failures(tenant_id: str) -> int:
        return runs.lock(tenant_id).consecutive_failures

    return Metrics(
        clients,
        namespace=settings.metrics_namespace,
        environment=settings.environment,
        enabled=settings.metrics_enabled,
        consecutive_failures=consecutive_failures,
    )


def poll_schedule(settings: Settings) -> PollSchedule:
    """Return the schedule of attempts and checks that the settings describe."""
    return PollSchedule(
        max_attempts=settings.max_attempts,
        base_seconds=settings.backoff_base_seconds,
        max_seconds=settings.backoff_max_seconds,
        stale_seconds=settings.heartbeat_stale_seconds,
        visibility_seconds=settings.visibility_timeout_seconds,
        message_lost_seconds=settings.message_lost_seconds,
    )
