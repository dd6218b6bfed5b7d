"""Tenants whose feeds are delivered to servers of the test, on a clock of the test's own."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from relay_core.domain.codes import Stage
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.transfer_store import DeliveryStore
from relay_dagster.aws.secrets import SecretValue
from relay_dagster.deliveries.model import DeliveryState
from relay_dagster.runs.model import ChannelFile, NewRun
from relay_dagster.transfers.delivery_sender import DeliverySender
from relay_dagster.webhooks.model import Event
from relay_dagster.wiring import Platform
from relay_dagster.work.queue import LeasedItem
from support.builders import config_document
from support.fakes import FakeClock, published_outcome
from support.pulls_world import on_clock, remove_transfers, taken
from support.sftp_servers import PASSWORD, SftpServer
from support.webhooks_world import events_told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BAZAAR = "bazaar"
FEED = b"sku\nA-1\n"
_NUMBERS = count()


@dataclass
class DeliveriesWorld:
    """A tenant whose feed is delivered, and a sender."""

    platform: Platform
    clock: FakeClock
    tenant_id: str
    sender: DeliverySender

    def entry(self, server: SftpServer, **changes: Any) -> dict[str, Any]:
        """Return the entry of a delivery to the folder ``in`` of a server."""
        (server.root / "in").mkdir(exist_ok=True)
        secret = SecretValue(PASSWORD, f"127.0.0.1:{server.port}")
        self.platform.secrets.put(self.tenant_id, "bazaar", secret)
        return {
            "delivery_id": BAZAAR,
            "url": server.url("/in/"),
            "secret": "bazaar",
            "host_key": server.host_line,
            "file_name": "stock.csv",
            **changes,
        }

    def store(self, *entries: dict[str, Any], **changes: Any) -> None:
        """Store a config with deliveries."""
        document = config_document(
            tenant_id=self.tenant_id,
            deliveries=list(entries),
            **changes,
        )
        del document["vendors"][0]["inbound"]["s3_prefix"]
        document["vendors"][0]["inbound"]["type"] = "local"
        self.platform.tenants.put(self.tenant_id, json.dumps(document))

    def publish(
        self, feed: bytes = FEED, channels: dict[str, bytes] | None = None
    ) -> str:
        """Have a run publish a feed and its channels, and return the run's id."""
        run_id = str(uuid.uuid4())
        ledger = self.platform.ledger
        ledger.reserve(NewRun(run_id=run_id, tenant_id=self.tenant_id))
        ledger.dispatch(run_id, 1, message_id="m", receipt_handle="h")
        record = ledger.claim(run_id, 1, f"dagster-{run_id}")
        config = self.platform.tenants.latest(self.tenant_id)
        version = None if config is None else config.version
        record = ledger.pin(record.fence, version, None)
        record = ledger.enter_stage(record.fence, Stage.WRITE_OUTPUTS)
        outcome = published_outcome(self.platform, record, feed)
        rows = feed.count(b"\n") - 1
        channel_files = []
        for channel_id, data in (channels or {}).items():
            name = f"published/{self.tenant_id}/{run_id}.{channel_id}.csv"
            self.platform.objects.put(name, data)
            sha256 = hashlib.sha256(data).hexdigest()
            file = ChannelFile(channel_id, "csv", sha256, data.count(b"\n") - 1)
            channel_files.append(file)
        outcome = replace(
            outcome,
            counts={"record_count": rows},
            channels=tuple(channel_files),
        )
        ledger.succeed(record.fence, outcome)
        return run_id

    def roll_back(self, run_id: str) -> None:
        """Publish an earlier feed again."""
        self.platform.ledger.feeds.roll_back(self.tenant_id, run_id)

    def send(self, after: timedelta = timedelta(0)) -> DeliveryState:
        """Let time pass, send what is due to its end, and return the first delivery."""
        self.clock.advance(seconds=after.total_seconds())
        send_all(self.sender)
        return self.state()

    def state(self, delivery_id: str = BAZAAR) -> DeliveryState:
        states = self.platform.deliveries.of_names(
            self.tenant_id, [delivery_id]
        )
        return states[delivery_id]

    def another(self, **changes: Any) -> DeliverySender:
        """Return another sender, as another process has it."""
        named = {
            "platform": self.platform,
            "clock": self.clock,
            "wait_seconds": 60,
            **changes,
        }
        return DeliverySender(**named)

    def take(self) -> LeasedItem[DeliveryState]:
        """Take the first delivery as a sender does that dies then."""
        return take_delivery(
            self.platform.deliveries, self.tenant_id, self.clock()
        )

    def events(self) -> list[Event]:
        """Return the events of deliveries."""
        events = events_told(self.platform)
        return [
            event
            for event in events
            if event.tenant_id == self.tenant_id
            and event.type.startswith("feed.deliver")
        ]


def take_delivery(
    deliveries: DeliveryStore,
    tenant_id: str,
    now: datetime,
    delivery_id: str = BAZAAR,
) -> LeasedItem[DeliveryState]:
    """Take a delivery as a sender does whose clock stands still."""
    key = Kind.DELIVERY.key(tenant_id, delivery_id)
    return taken(deliveries.queue, key, now)


def send_all(sender: DeliverySender, seconds: float = 60) -> None:
    """Have ticks take what is due, and wait until all of it is done."""
    sender.run()
    sender.wait(seconds)


def files_at(server: SftpServer) -> dict[str, bytes]:
    """Return the files in the folder ``in`` of a server, by name."""
    folder = server.root / "in"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@contextmanager
def deliveries_world(served: Platform) -> Iterator[DeliveriesWorld]:
    """Yield a world on a served platform, whose clock stands at noon."""
    clock = FakeClock(NOON)
    platform = on_clock(served, clock)
    sender = DeliverySender(platform, clock=clock, wait_seconds=60)
    yield DeliveriesWorld(platform, clock, f"shop-{next(_NUMBERS)}", sender)
    remove_transfers(platform.deliveries)
