"""Vendors whose files are pulled from servers of the test, on a clock of the test's own."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import trustme

from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.aws.dynamodb.transfer_store import (
    DELIVERIES,
    PULLS,
    PullStore,
    TransferStore,
)
from relay_dagster.aws.dynamodb.work_queue import TableQueue
from relay_dagster.transfers.pull_planner import PullPlanner
from relay_dagster.transfers.puller import Puller
from relay_dagster.triggers.pulls import PullState
from relay_dagster.webhooks.model import Event
from relay_dagster.wiring import Platform
from relay_dagster.work.item import T
from relay_dagster.work.queue import LeasedItem
from support.builders import config_document, vendor_document
from support.fakes import FakeClock, timed
from support.receivers import Received, listening, read_request
from support.webhooks_world import events_told

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
VENDOR = "vendor_1"
_NUMBERS = count()
CSV = b"sku,quantity_available\nA1,5\n"

Answering = Callable[[socket.socket, Received], None]


def file(
    body: bytes = CSV,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Answering:
    """Return what answers with a file."""
    named = {"content-length": str(len(body)), **(headers or {})}
    lines = [
        f"HTTP/1.1 {status} Whatever",
        *(f"{name}: {text}" for name, text in named.items()),
    ]
    data = "\r\n".join([*lines, "", ""]).encode() + body
    return lambda connection, _: connection.sendall(data)


def redirect(location: str, status: int = 302) -> Answering:
    """Return what leads on."""
    return file(b"", status, {"location": location})


def unless_known(body: bytes, etag: str) -> Answering:
    """Return what answers with a file, or with 304 to who names its tag."""

    def answer(connection: socket.socket, request: Received) -> None:
        is_known = request.headers.get("if-none-match") == etag
        named = {"etag": etag}
        file(b"" if is_known else body, 304 if is_known else 200, named)(
            connection, request
        )

    return answer


def tls_of(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """Return how a server with a certificate speaks TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@dataclass
class FileServer:
    """A server of files by HTTP: an answer for each target, which a test may exchange."""

    port: int = 0
    answers: dict[str, Answering] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)
    scheme: str = "http"
    host: str = "127.0.0.1"

    def url(self, target: str = "/feed.csv") -> str:
        return f"{self.scheme}://{self.host}:{self.port}{target}"

    def take(self, connection: socket.socket) -> None:
        request = read_request(connection)
        self.requests.append(request)
        self.answers.get(request.target, file(b"", 404))(connection, request)


@contextmanager
def file_server(
    answers: Mapping[str, Answering] | Answering | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
) -> Iterator[FileServer]:
    """Run a server at a host; what is given alone is the answer of ``/feed.csv``."""
    answers_by_path = (
        answers
        if isinstance(answers, Mapping)
        else {"/feed.csv": answers or file()}
    )
    server = FileServer(
        answers=dict(answers_by_path), scheme="http" if tls is None else "https"
    )

    def serve(connection: socket.socket) -> None:
        if tls is None:
            server.take(connection)
        else:
            with tls.wrap_socket(connection, server_side=True) as encrypted:
                server.take(encrypted)

    with listening(serve, host) as server.port:
        yield server


def pull_config(
    *pulls: Mapping[str, Any] | None, tenant_id: str, **changes: Any
) -> dict[str, Any]:
    """Return a config of a vendor for each pull."""
    vendors = []
    for number, pull in enumerate(pulls, start=1):
        name = f"vendor_{number}"
        inbound = {
            "type": "s3",
            "s3_prefix": f"tenants/{tenant_id}/inbound/{name}/",
            "pull": pull,
        }
        vendors.append(vendor_document(vendor_id=name, inbound=inbound))
    return config_document(*vendors, tenant_id=tenant_id, **changes)


def series_config(tenant_id: str, **pull: Any) -> dict[str, Any]:
    """Return a config of a vendor with changes, whose files are pulled at once."""
    inbound = {
        "type": "s3",
        "s3_prefix": f"tenants/{tenant_id}/inbound/{VENDOR}/",
        "pull": {"secret": "granite", "settle_seconds": 0, **pull},
    }
    vendor = vendor_document(
        vendor_id=VENDOR,
        inbound=inbound,
        changes={"full": "full*.csv", "delta": "delta*.csv"},
        duplicate_skus="last",
    )
    return config_document(vendor, tenant_id=tenant_id)


@dataclass
class PullsWorld:
    """Tenants whose vendors' files are pulled, and a puller."""

    platform: Platform
    clock: FakeClock
    tenant_id: str
    puller: Puller

    def store(
        self,
        *pulls: Mapping[str, Any] | None,
        tenant_id: str | None = None,
        **changes: Any,
    ) -> None:
        """Store a config with a vendor for each pull, and have it noted."""
        tenant_id = tenant_id or self.tenant_id
        self.store_document(pull_config(*pulls, tenant_id=tenant_id, **changes))

    def store_document(self, document: Mapping[str, Any]) -> None:
        """Store a config, and have it noted."""
        self.platform.tenants.put(document["tenant_id"], json.dumps(document))
        self.note()

    def note(self) -> None:
        """Have the changes of configs noted, as a tick of the puller does first."""
        PullPlanner(self.platform, self.clock).run()

    def pull(self, after: timedelta = timedelta(0)) -> PullState:
        """Let time pass, pull what is due to its end, and return how the first vendor stands."""
        self.clock.advance(seconds=after.total_seconds())
        pull_all(self.puller)
        return self.state()

    def state(self, vendor_id: str = VENDOR) -> PullState:
        return self.platform.pulls.of_names(self.tenant_id, [vendor_id])[
            vendor_id
        ]

    def key(self, name: str) -> str:
        """Return the key that a pulled file of the first vendor has."""
        return f"tenants/{self.tenant_id}/inbound/{VENDOR}/pulled/{name}"

    def files(self) -> list[str]:
        """Return the names of the first vendor's pulled files; there is no other upload."""
        prefix = f"tenants/{self.tenant_id}/"
        keys = [item.key for item in self.platform.objects.list_objects(prefix)]
        names = [key.removeprefix(self.key("")) for key in keys]
        assert not any("/" in name for name in names)
        return names

    def uploads(self) -> list[bytes]:
        """Return what was pulled, the oldest first."""
        return [
            self.platform.objects.read(self.key(name)) for name in self.files()
        ]

    def staged(self) -> list[str]:
        """Return what lies where files are staged, and parts of files."""
        prefix = f"published/{self.tenant_id}/"
        pending_uploads = self.platform.clients.s3.list_multipart_uploads(
            Bucket=self.platform.objects.bucket
        )
        parts = [upload["Key"] for upload in pending_uploads.get("Uploads", [])]
        objects = [
            item.key for item in self.platform.objects.list_objects(prefix)
        ]
        return [*objects, *(key for key in parts if key.startswith(prefix))]

    def events(self) -> list[Event]:
        """Return what webhooks are told of the tenant."""
        all_events = events_told(self.platform)
        return [
            event for event in all_events if event.tenant_id == self.tenant_id
        ]

    def another(self, **changes: Any) -> Puller:
        """Return another puller, as another process has it."""
        named = {
            "platform": self.platform,
            "clock": self.clock,
            "wait_seconds": 60,
            **changes,
        }
        return Puller(**named)


def take_pull(
    pulls: PullStore, tenant_id: str, vendor_id: str, now: datetime
) -> LeasedItem[PullState]:
    """Take a pull as a puller does whose clock stands still."""
    return taken(pulls.queue, Kind.PULL.key(tenant_id, vendor_id), now)


def taken(queue: TableQueue[T], key: str, now: datetime) -> LeasedItem[T]:
    """Take an item of a queue as a process does whose clock stands still."""
    item = queue.get(key)
    assert item is not None
    leased_item = queue.take(item, now)
    assert leased_item is not None
    return LeasedItem(queue, leased_item, lambda: now)


def pull_all(puller: Puller, seconds: float = 60) -> None:
    """Have a tick take what is due, and wait until all of it is done."""
    puller.run()
    puller.wait(seconds)


@contextmanager
def pulls_world(served: Platform) -> Iterator[PullsWorld]:
    """Yield a world on a served platform, whose clock stands at noon; its pulls end with it."""
    clock = FakeClock(NOON)
    platform = on_clock(served, clock)
    puller = Puller(platform, clock=clock, wait_seconds=60)
    yield PullsWorld(platform, clock, f"acme-{next(_NUMBERS)}", puller)
    remove_transfers(platform.pulls)


def on_clock(served: Platform, clock: FakeClock) -> Platform:
    """Return a platform whose ledger, configs, and transfers tell the time by a clock."""
    database = replace(served.database, clock=clock)
    return replace(
        timed(served, clock),
        tenants=TenantStore(database),
        pulls=TransferStore(database, PULLS),
        deliveries=TransferStore(database, DELIVERIES),
    )


def remove_transfers(transfers: TransferStore[Any, Any]) -> None:
    """Remove the transfers and the plans that a world leaves."""
    ever = NOON + timedelta(days=1000)
    remove_due(transfers.queue, ever)
    remove_due(transfers.plans, ever)


def remove_due(queue: TableQueue[T], now: datetime) -> None:
    for item in queue.due(now, 1000):
        taken_item = queue.take(item, now)
        if taken_item is not None:
            LeasedItem(queue, taken_item, lambda: now).finish(lambda _: None)
