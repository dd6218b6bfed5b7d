"""What routes work with: the parts that the app was made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from relay_dagster.api.security.api_keys import Keyring
from relay_dagster.aws.dynamodb.pause_store import PauseStore
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.aws.s3.object_store import ObjectStore
from relay_dagster.aws.sqs.job_queue import JobQueue
from relay_dagster.runs.ledger import RunLedger
from relay_dagster.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """The stores, the queue and the ledger of one installation, and who may reach them."""

    settings: Settings
    runs: RunStore
    tenants: TenantStore
    queue: JobQueue
    feeds: ObjectStore
    ledger: RunLedger
    keyring: Keyring
    pauses: PauseStore


def _services(request: Request) -> ApiServices:
    services: ApiServices = request.app.state.services
    return services


Services = Annotated[ApiServices, Depends(_services)]
