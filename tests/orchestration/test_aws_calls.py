"""How often a run speaks to AWS: each call is a round trip that every run of every tenant pays."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from builders import config_document, feed, vendor_document
from fakes import embedded_platform
from relay_core.models import RunStatus
from relay_dagster import tags
from relay_dagster.aws.platform import Platform
from relay_dagster.records import RunRequest
from relay_dagster.run_life import Launch
from relay_dagster.run_session import ASSETS, FETCHED, MERGED, NORMALIZED, RunSession

TENANT = "acme"
RUN_ID = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
VENDORS = ("north", "south", "west")
MOST_CALLS = 39
"""Of a run that has everything: a SKU map for each vendor, invalid rows, warnings."""


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform() as platform:
        yield platform


class CallCounter(Counter[str]):
    """Counts the calls that the clients of a platform make, retries not among them."""

    def __init__(self, platform: Platform) -> None:
        super().__init__()
        self._keys: dict[str, list[str]] = {}
        clients = platform.clients
        for client in (clients.s3, clients.dynamodb, clients.sqs, clients.cloudwatch):
            client.meta.events.register("before-call", self._count)

    def keys_of(self, operation: str) -> list[str]:
        """Return the S3 keys that an operation was called for, in order."""
        return self._keys.get(operation, [])

    def _count(self, model: Any, params: Any, **_: Any) -> None:
        operation = f"{model.service_model.service_name}.{model.name}"
        self[operation] += 1
        self._keys.setdefault(operation, []).append(params.get("url_path", ""))


def _prepare(platform: Platform) -> None:
    """Store a tenant of three vendors with a SKU map each, their feeds, and a dispatched run."""
    vendors = [_vendor(vendor_id) for vendor_id in VENDORS]
    policy = {"max_invalid_rows": 100, "max_invalid_row_pct": "1"}
    document = config_document(*vendors, tenant_id=TENANT, error_policy=policy)
    platform.tenants.put(TENANT, json.dumps(document))
    for vendor_id in VENDORS:
        rows = feed(f"{vendor_id}-1,5,10.00", "B,5,1.00", "C,many,1.00")
        platform.feeds.put(f"tenants/{TENANT}/inbound/{vendor_id}/feed.csv", rows)
        sku_map = feed(f"{vendor_id}-1,A", header="vendor_sku,sku")
        platform.feeds.put(f"tenants/{TENANT}/maps/{vendor_id}.csv", sku_map)
    platform.ledger.reserve(RunRequest(run_id=RUN_ID, tenant_id=TENANT))
    platform.ledger.dispatch(RUN_ID, 1, message_id="m", receipt_handle="h")


def _vendor(vendor_id: str) -> dict[str, Any]:
    key = f"tenants/{TENANT}/maps/{vendor_id}.csv"
    return vendor_document(vendor_id, sku_map={"type": "s3", "s3_key": key})


def _run(platform: Platform) -> None:
    launch = Launch("d1", TENANT, tags.run_tags(RUN_ID, TENANT, attempt=1), frozenset(ASSETS))
    session = RunSession(platform, launch)
    try:
        with session.step(FETCHED):
            assert session.inputs.found() == list(VENDORS)
        with session.step(NORMALIZED):
            session.judge(session.normalize())
        with session.step(MERGED):
            session.publish(session.merge())
    finally:
        session.close()


def test_a_run_of_three_vendors_makes_few_calls(platform: Platform) -> None:
    _prepare(platform)
    calls = CallCounter(platform)
    _run(platform)
    assert calls.total() <= MOST_CALLS, dict(calls)
    record = platform.runs.get(RUN_ID)
    assert record is not None
    assert record.status == RunStatus.SUCCEEDED


def test_a_run_has_s3_copy_the_feeds_and_reads_each_once(platform: Platform) -> None:
    _prepare(platform)
    calls = CallCounter(platform)
    _run(platform)
    assert not [key for key in calls.keys_of("s3.PutObject") if "/inbound/" in key]
    read = [key for key in calls.keys_of("s3.GetObject") if "/inbound/" in key]
    assert len(read) == len(set(read)) == len(VENDORS)


def test_what_a_run_has_in_memory_it_does_not_read_back(platform: Platform) -> None:
    _prepare(platform)
    calls = CallCounter(platform)
    _run(platform)
    read = [key for key in calls.keys_of("s3.GetObject") if "/inbound/" not in key]
    assert sorted(key.rpartition("/")[2] for key in read) == ["sku_map.csv"] * len(VENDORS)
