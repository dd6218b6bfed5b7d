"""Stand-ins: a clock that is set by hand, and a whole platform on embedded AWS in this process."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import httpx
import pytest

from relay_dagster.aws.clients import Clients
from relay_dagster.aws.job_queue import JobQueue, Message
from relay_dagster.devstack.moto_server import serving
from relay_dagster.execution.published_copies import copies_of, feed_copy_key
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.runs.model import ChannelFile, NewRun, Outcome, RunRecord
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect, poll_schedule
from support.bootstrapped_aws import bootstrapped, bootstrapped_aws, put_back
from support.builders import RUN_ID

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """Tells the time that it was set to."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **amount: float) -> datetime:
        """Move on, as `timedelta` takes it (``seconds=5``), and return the new time."""
        self.now += timedelta(**amount)
        return self.now


class Seconds:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class CallCounter(Counter[str]):
    """Counts the calls that the clients of a platform make, retries not among them."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._keys: dict[str, list[str]] = {}
        self._lock = threading.Lock()  # calls are made from many threads
        clients = platform.clients
        sqs = (clients.sqs, clients.sqs_polling)
        for client in (clients.s3, clients.dynamodb, clients.cloudwatch, *sqs):
            client.meta.events.register("before-call", self._count)

    def keys_of(self, operation: str) -> list[str]:
        """Return the S3 keys that an operation was called for, in order."""
        return self._keys.get(operation, [])

    def _count(self, model: Any, params: Any, **_: Any) -> None:
        operation = f"{model.service_model.service_name}.{model.name}"
        with self._lock:
            self[operation] += 1
            self._keys.setdefault(operation, []).append(
                params.get("url_path", "")
            )


@cache
def embedded_clients(public_s3_endpoint_url: str | None = None) -> Clients:
    """Return clients for embedded AWS; making them takes longer than a test."""
    return Clients("us-east-1", public_s3_endpoint_url=public_s3_endpoint_url)


@contextmanager
def embedded_platform(
    clock: FakeClock | None = None, **changes: Any
) -> Iterator[Platform]:
    """Yield a bootstrapped platform in this process; ``changes`` are fields of its settings.

    With a clock, the ledger tells the time by it and spreads no back-off.
    """
    with bootstrapped_aws() as variables:
        clients = embedded_clients(changes.get("public_s3_endpoint_url"))
        settings = Settings.from_env(
            {**variables, "AWS_REGION": "us-east-1"}
        ).model_copy(update={"api_keys": ("admin-key",), **changes})
        platform = connect(settings, clients=clients)
        yield platform if clock is None else timed(platform, clock)


def timed(platform: Platform, clock: FakeClock) -> Platform:
    """Return a platform whose ledger tells the time by a clock and spreads no back-off."""
    settings = platform.settings
    ledger = RunLedger(
        platform.runs,
        poll_schedule(settings),
        clock=clock,
        rng=lambda: 0.5,
    )
    return replace(platform, ledger=ledger)


def dispatch_run(
    platform: Platform,
    *,
    run_id: str = RUN_ID,
    attempt: int = 1,
    **changes: Any,
) -> None:
    """Bring a run of tenant ``acme`` to an attempt that nobody has claimed; reserve it first."""
    if attempt == 1:
        platform.ledger.reserve(
            NewRun(run_id=run_id, tenant_id="acme", **changes)
        )
    platform.ledger.dispatch(
        run_id, attempt, message_id="m", receipt_handle="h"
    )


TRIPPED = {
    "guard": "skus_removed",
    "tripped": True,
    "value": "0.9000",
    "limit": "0.50",
    "count": 18,
    "of": 20,
    "examples": [{"sku": "A-1", "before": "10.00", "after": None}],
}
"""A guard that trips, as a run tells of it."""
CHANGES = {
    "added": 0,
    "removed": 18,
    "changed": 1,
    "unchanged": 1,
    "price_up": 1,
    "price_down": 0,
    "came_in_stock": 0,
    "went_out_of_stock": 0,
    "vendor_changed": 1,
}
"""What a feed changes, as a run tells of it."""


def published_outcome(
    platform: Platform,
    record: RunRecord,
    feed: bytes = b"sku\nA-1\n",
    channels: Mapping[str, bytes] | None = None,
) -> Outcome:
    """Write a run's merged feed, publish it where the run is of all vendors; return its outcome.

    ``channels`` has the files of channels by id, in CSV.
    """
    keys = record.keys
    platform.objects.put(keys.merged_inventory("csv"), feed)
    platform.objects.put(keys.state, b"state")
    artifacts = {"merged_inventory": keys.merged_inventory("csv")}
    if record.vendors is not None:
        return Outcome(artifacts=artifacts)
    files = []
    for channel_id, data in (channels or {}).items():
        key = keys.channel(channel_id, "csv")
        platform.objects.put(key, data)
        artifacts[f"channel_{channel_id}"] = key
        digest = hashlib.sha256(data).hexdigest()
        files.append(
            ChannelFile(channel_id, "csv", digest, data.count(b"\n") - 1)
        )
    for key, copy in copies_of(keys, "csv", files).items():
        platform.objects.copy(key, copy)
    return Outcome(
        artifacts=artifacts,
        feed_key=feed_copy_key(record, "csv"),
        feed_sha256=hashlib.sha256(feed).hexdigest(),
        channels=tuple(files),
    )


def held_outcome(
    platform: Platform,
    record: RunRecord,
    channels: Mapping[str, bytes] | None = None,
) -> Outcome:
    """Return the outcome of a run whose feed is held back, with files of channels."""
    outcome = published_outcome(platform, record, b"sku\n", channels)
    return replace(outcome, guards=(TRIPPED,), changes=CHANGES)


@contextmanager
def served_aws() -> Iterator[str]:
    """Yield the URL of an empty AWS that threads may share; boto3 finds it by its variable."""
    with serving() as url, pytest.MonkeyPatch.context() as patch:
        # Its state is this process's, and outlives it.
        httpx.post(f"{url}/moto-api/reset", trust_env=False)
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        yield url


@contextmanager
def served_platform(**changes: Any) -> Iterator[Platform]:
    """Yield a bootstrapped platform over HTTP, as `served_aws`; changes are of its settings."""
    variables, states = bootstrapped()
    with served_aws() as url:
        put_back(states)
        here = {
            name: value.replace("https://sqs.us-east-1.amazonaws.com", url)
            for name, value in variables.items()
        }
        settings = Settings.from_env({**here, "AWS_REGION": "us-east-1"})
        clients = Clients("us-east-1")
        # Made at once: they take the address from the environment, which tests clean.
        for name in ("dynamodb", "s3", "sqs"):
            getattr(clients, name)
        yield connect(
            settings.model_copy(update={"api_keys": ("admin-key",), **changes}),
            clients=clients,
        )


def peek_dead(queue: JobQueue) -> list[Message]:
    """Return some dead letters without hiding them from anybody."""
    return queue.dead.receive(hidden_seconds=0, wait_seconds=0)
