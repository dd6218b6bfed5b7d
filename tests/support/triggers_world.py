"""A platform on embedded AWS whose triggers are looked at on a clock of the test's own."""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.intake.trigger_check import take_due
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.runs.model import RunRecord
from relay_dagster.triggers.rules import TriggerState
from relay_dagster.wiring import Platform
from support.builders import config_document, vendor_document
from support.fakes import FakeClock, embedded_platform, served_platform, timed

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TENANT = "acme"


@dataclass
class TriggersWorld:
    """Tenants with triggers, their uploads, and what looks at both."""

    platform: Platform
    clock: FakeClock

    def store(self, tenant_id: str = TENANT, **triggers: Any) -> None:
        """Store a config of two vendors with these triggers."""
        vendors = [
            vendor_document(
                vendor_id=name,
                inbound={
                    "type": "s3",
                    "s3_prefix": f"tenants/{tenant_id}/inbound/{name}/",
                },
            )
            for name in ("vendor_1", "vendor_2")
        ]
        changes = {
            "tenant_id": tenant_id,
            "timezone": "Europe/Berlin",
            "triggers": triggers,
        }
        document = config_document(*vendors, **changes)
        self.platform.tenants.put(tenant_id, json.dumps(document))

    def store_without_vendors(self) -> None:
        """Store the latest config with its triggers, but without its vendors."""
        latest = self.platform.tenants.latest(TENANT)
        assert latest is not None
        document = {**json.loads(latest.text), "vendors": []}
        self.platform.tenants.put(TENANT, json.dumps(document))

    def upload(
        self, vendor_id: str = "vendor_1", name: str = "feed.csv"
    ) -> str:
        """Upload a feed, of which the bucket tells; return its key."""
        key = f"tenants/{TENANT}/inbound/{vendor_id}/{name}"
        self.platform.objects.put(key, uuid.uuid4().bytes)
        return key

    def tell(self, body: Mapping[str, Any] | str) -> None:
        """Send a message to the queue of uploads."""
        text = body if isinstance(body, str) else json.dumps(body)
        url = self.platform.settings.uploads_queue_url
        self.platform.clients.sqs.send_message(
            QueueUrl=str(url), MessageBody=text
        )

    def drain(self) -> None:
        """Forget what the bucket has told so far."""
        queue = self.platform.uploads
        assert queue is not None
        while messages := queue.receive():
            queue.delete_all(messages)

    def take_in(self) -> str:
        """Take events in once, without waiting, and start what is due."""
        return UploadTick(self.platform, self.clock).run(poll_seconds=0)

    def look(self, seconds: float = 0) -> int:
        """Start what is due after so many seconds."""
        self.clock.advance(seconds=seconds)
        return take_due(self.platform, self.clock)

    def watch(self, seconds: float, every: float = 5) -> int:
        """Look again and again for so long; return how many runs were started."""
        return self.look() + sum(
            self.look(every) for _ in range(int(seconds / every))
        )

    def runs(self, tenant_id: str = TENANT) -> Sequence[RunRecord]:
        """Return the tenant's runs, the oldest first."""
        return self.platform.runs.list_runs(tenant_id).items[::-1]

    def end(self, record: RunRecord, **pinned: datetime | None) -> None:
        """Let a run pin the uploads of vendors, and end; the tenant is free then."""
        ledger = self.platform.ledger
        run_id = record.run_id
        ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
        vendors = {
            name: {
                "selection": None if at is None else "latest",
                "last_modified": None
                if at is None
                else at.isoformat().replace("+00:00", "Z"),
            }
            for name, at in pinned.items()
        }
        if vendors:
            body = json.dumps({"vendors": vendors}).encode()
            self.platform.objects.put(record.keys.input_manifest, body)
        ledger.cancel(run_id)

    def modified(self, vendor_id: str = "vendor_1") -> datetime:
        latest = self.platform.objects.latest_object(
            f"tenants/{TENANT}/inbound/{vendor_id}/"
        )
        assert latest is not None
        return latest.last_modified

    @property
    def state(self) -> TriggerState:
        return self.platform.triggers.get(TENANT)

    def dead(self) -> list[str]:
        """Return the bodies in the dead-letter queue of uploads."""
        url = str(self.platform.settings.uploads_queue_url) + "-dlq"
        answer = self.platform.clients.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10
        )
        return [message["Body"] for message in answer.get("Messages", [])]


def s3_event(
    key: str, at: datetime = NOON, bucket: str = "relay-inventory"
) -> dict[str, Any]:
    """Return what S3 itself sends."""
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventTime": at.isoformat().replace("+00:00", "Z"),
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": bucket},
                    "object": {"key": quote_plus(key)},
                },
            }
        ]
    }


@contextmanager
def triggers_world(
    now: datetime = NOON, *, shared: bool = False
) -> Iterator[TriggersWorld]:
    """Yield a world whose clock stands at an instant; a shared one may be used by threads."""
    clock = FakeClock(now)
    with served_platform() if shared else embedded_platform() as platform:
        tenants = TenantStore(replace(platform.database, clock=clock))
        yield TriggersWorld(
            replace(timed(platform, clock), tenants=tenants), clock
        )
