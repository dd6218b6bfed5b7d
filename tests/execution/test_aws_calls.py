"""How often a run speaks to AWS: each call is a round trip that every run of every tenant pays."""

import json
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster import tags
from relay_dagster.execution.attempt import Launch
from relay_dagster.execution.session import (
    ASSETS,
    FETCHED,
    MERGED,
    NORMALIZED,
    RunSession,
)
from relay_dagster.wiring import Platform
from support.builders import config_document, feed, vendor_document
from support.fakes import CallCounter, dispatch_run, embedded_platform

pytestmark = pytest.mark.platform(heartbeat_seconds=3600)

TENANT = "acme"
RUN_ID = "5c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11"
VENDORS = ("north", "south", "west")
CALLS = {
    # The record; the config's text; the record again, before reports replace those of another; the
    # tenant's feed, when it is pinned and when it moves; which overrides stand.
    "dynamodb.GetItem": 1 + 1 + 1 + 2 + 1,
    # The claim; a stage each for NORMALIZE, MERGE_PRICE and WRITE_OUTPUTS; the end.
    "dynamodb.TransactWriteItems": 1 + 3 + 1,
    # Each vendor's uploads.
    "s3.ListObjectsV2": 3,
    # Each vendor's feed and SKU map into the run; the merged feed and its state to the place where
    # they stay.
    "s3.CopyObject": 3 + 3 + 2,
    # Each SKU map's size, before it is copied.
    "s3.HeadObject": 3,
    # The copies, once.
    "s3.GetObject": 3 + 3,
    # Config snapshot, manifest (once more when all is read), errors, invalid rows and the same by
    # SKU, summary, report and its data; of each vendor its normalized.csv and its work file; the
    # merged feed and its state.
    "s3.PutObject": 9 + 3 + 3 + 2,
}
"""Of a run that has everything: a SKU map for each vendor, invalid rows, warnings. No heartbeat is
among them: the first comes after ``RELAY_HEARTBEAT_SECONDS``."""


def _prepare(platform: Platform, config_version: int | None = 1) -> None:
    """Store a tenant of three vendors with a SKU map each, their feeds, and a dispatched run."""
    vendors = [_vendor(vendor_id) for vendor_id in VENDORS]
    policy = {"max_invalid_rows": 100, "max_invalid_row_pct": "1"}
    document = config_document(*vendors, tenant_id=TENANT, error_policy=policy)
    platform.tenants.put(TENANT, json.dumps(document))
    for vendor_id in VENDORS:
        rows = feed(f"{vendor_id}-1,5,10.00", "B,5,1.00", "C,many,1.00")
        platform.objects.put(
            f"tenants/{TENANT}/inbound/{vendor_id}/feed.csv", rows
        )
        sku_map = feed(f"{vendor_id}-1,A", header="vendor_sku,sku")
        platform.objects.put(f"tenants/{TENANT}/maps/{vendor_id}.csv", sku_map)
    dispatch_run(platform, config_version=config_version)


def _vendor(vendor_id: str) -> dict[str, Any]:
    key = f"tenants/{TENANT}/maps/{vendor_id}.csv"
    return vendor_document(vendor_id, sku_map={"type": "s3", "s3_key": key})


def _run(platform: Platform) -> None:
    launch = Launch(
        "d1",
        TENANT,
        tags.run_tags(RUN_ID, TENANT, attempt=1),
        frozenset(ASSETS),
    )
    session = RunSession(platform, launch)
    try:
        with session.materializing(FETCHED):
            session.claim()
            session.load_config()
            assert session.pin_inputs().vendors_with_feed() == list(VENDORS)
        with session.materializing(NORMALIZED):
            session.claim()
            session.normalize(session.pin_inputs())
            session.stop_if_failed()
        with session.materializing(MERGED):
            session.claim()
            session.write(session.merge())
            session.attempt.end()
    finally:
        session.close()


def test_a_run_of_three_vendors_makes_no_call_without_a_reason(
    platform: Platform,
) -> None:
    _prepare(platform)
    calls = CallCounter(platform)
    _run(platform)
    assert dict(calls) == CALLS
    record = platform.runs.get(RUN_ID)
    assert record is not None
    assert record.status == RunStatus.SUCCEEDED


def test_a_run_that_names_no_config_looks_for_the_latest_and_pins_it(
    platform: Platform,
) -> None:
    _prepare(platform, config_version=None)
    calls = CallCounter(platform)
    _run(platform)
    config_calls = {"dynamodb.GetItem": 1, "dynamodb.TransactWriteItems": 1}
    assert dict(calls) == {
        name: n + config_calls.get(name, 0) for name, n in CALLS.items()
    }


def test_the_metrics_of_a_run_that_succeeds_are_one_call() -> None:
    with embedded_platform(
        heartbeat_seconds=3600, metrics_enabled=True
    ) as platform:
        _prepare(platform)
        calls = CallCounter(platform)
        _run(platform)
    assert dict(calls) == {**CALLS, "cloudwatch.PutMetricData": 1}


def test_a_run_has_s3_copy_the_feeds_and_reads_each_once(
    platform: Platform,
) -> None:
    _prepare(platform)
    calls = CallCounter(platform)
    _run(platform)
    assert not [
        key for key in calls.keys_of("s3.PutObject") if "/inbound/" in key
    ]
    feed_reads = [
        key for key in calls.keys_of("s3.GetObject") if "/inbound/" in key
    ]
    assert len(feed_reads) == len(set(feed_reads)) == 2 * len(VENDORS)


def test_what_a_run_has_in_memory_it_does_not_read_back(
    platform: Platform,
) -> None:
    _prepare(platform)
    calls = CallCounter(platform)
    _run(platform)
    assert [
        key for key in calls.keys_of("s3.GetObject") if "/inbound/" not in key
    ] == []
