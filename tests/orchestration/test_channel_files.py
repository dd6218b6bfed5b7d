"""Channels on their way: artifacts, published copies, holds, and withdrawal together."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.execution.published_copies import unpublish
from relay_dagster.feeds.pointer import file_of, files_of
from relay_dagster.runs.model import Release
from support.builders import feed, vendor_document
from support.run_world import TENANT, World

FIRST, SECOND = (f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "12")
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]
SHOP = {
    "channel_id": "shop",
    "output": {"columns": ["sku", "price"], "compression": "gzip"},
    "price": {"pct": "0.10"},
}
MARKET = {
    "channel_id": "market",
    "output": {"columns": ["sku"], "format": "parquet"},
}


def sync(world: World, run_id: str, *rows: str, **order: Any) -> None:
    world.upload("vendor_1", feed(*(rows or WHOLE)), name=f"{run_id[0]}.csv")
    world.run(run_id, **order)


def published(world: World) -> set[str]:
    prefix = f"published/{TENANT}/"
    objects = world.platform.objects.list_objects(prefix)
    return {item.key.removeprefix(prefix) for item in objects}


def summary_of(world: World, run_id: str) -> dict[str, Any]:
    return world.report("run_summary", run_id)


def copies_of(run_id: str) -> set[str]:
    suffixes = ("csv", "state.parquet", "shop.csv.gz", "market.parquet")
    return {f"{run_id}.{suffix}" for suffix in suffixes}


def stored(world: World, key: str) -> tuple[bytes, str]:
    response = world.platform.clients.s3.get_object(
        Bucket=world.platform.objects.bucket, Key=key
    )
    return response["Body"].read(), response["ContentType"]


def test_a_run_leaves_an_artifact_and_a_published_copy_of_each_channel(
    world: World,
) -> None:
    world.store_config(channels=[SHOP, MARKET])
    sync(world, FIRST)
    record = world.record(FIRST)
    assert record.status is RunStatus.SUCCEEDED
    folder = f"{record.keys.prefix}outputs/channels/"
    assert record.artifacts["channel_shop"] == f"{folder}shop.csv.gz"
    assert record.artifacts["channel_market"] == f"{folder}market.parquet"
    assert published(world) == copies_of(FIRST)
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    files = files_of(pointer.in_force)
    assert [(file.channel_id, file.rows) for file in files] == [
        (None, 20),
        ("shop", 20),
        ("market", 20),
    ]
    shop = file_of(pointer.in_force, "shop")
    assert shop is not None
    assert shop.suffix == "csv.gz"
    for key in (record.artifacts["channel_shop"], shop.key):
        data, content_type = stored(world, key)
        assert content_type == "application/gzip"
        assert hashlib.sha256(data).hexdigest() == shop.sha256
        lines = gzip.decompress(data).decode().splitlines()
        assert lines[:2] == ["sku,price", "S00,11.00"]
    summary = summary_of(world, FIRST)
    assert summary["channels"] == {"shop": 20, "market": 20}


def test_a_run_of_some_vendors_writes_channels_and_publishes_none(
    world: World,
) -> None:
    world.store_config(
        vendor_document("vendor_1"),
        vendor_document("vendor_2", required=False),
        channels=[SHOP],
    )
    sync(world, FIRST, vendors=["vendor_1"])
    record = world.record(FIRST)
    assert "channel_shop" in record.artifacts
    assert record.channels == ()
    assert published(world) == set()


def test_a_held_feed_is_released_with_its_channels(world: World) -> None:
    world.store_config(channels=[SHOP, MARKET])
    sync(world, FIRST)
    sync(world, SECOND, *WHOLE[:2])
    held = world.record(SECOND)
    assert held.status is RunStatus.HELD
    assert published(world) == copies_of(FIRST) | copies_of(SECOND)
    hold = held.hold
    assert hold is not None
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    shop = file_of(pointer.in_force, "shop")
    assert shop is not None
    assert shop.rows == 20
    decision = Release(hold.sha256, hold.guard_names, "right", "a person")
    world.platform.ledger.feeds.release(SECOND, decision)
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    shop = file_of(pointer.in_force, "shop")
    assert shop is not None
    assert (shop.rows, shop.key) == (2, f"published/acme/{SECOND}.shop.csv.gz")


def test_a_held_feed_that_is_given_up_takes_its_channels_along(
    world: World,
) -> None:
    world.store_config(channels=[SHOP, MARKET])
    sync(world, FIRST)
    sync(world, SECOND, *WHOLE[:2])
    unpublish(world.platform.objects, world.record(SECOND))
    assert published(world) == copies_of(FIRST)


def test_a_failed_run_leaves_no_file_of_a_channel(world: World) -> None:
    world.store_config(channels=[SHOP])
    sync(world, FIRST, "A,1,")
    record = world.record(FIRST)
    assert record.status is RunStatus.FAILED
    assert "channel_shop" not in record.artifacts
    assert summary_of(world, FIRST)["channels"] is None
    assert published(world) == set()


def test_dagster_has_the_first_rows_of_each_channel(world: World) -> None:
    world.store_config(channels=[SHOP, MARKET])
    world.upload("vendor_1", feed(*WHOLE))
    (event,) = world.run(FIRST).asset_materializations_for_node(
        "merged_inventory"
    )
    rows = [
        event.metadata[f"channels/{name}"].value for name in ("shop", "market")
    ]
    assert rows == [20, 20]
    shop: Any = event.metadata["channel_shop"]
    assert shop.records[0].data == {"sku": "S00", "price": "11.00"}
    assert len(shop.records) == 5


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_channels_of_earlier_configs_are_gone_with_the_next_run(
    world: World,
    compression: str,
) -> None:
    file = {"columns": ["sku"], "compression": compression}
    world.store_config(channels=[{"channel_id": "shop", "output": file}])
    sync(world, FIRST)
    world.store_config()
    sync(world, SECOND)
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    assert file_of(pointer.in_force, "shop") is None
    assert file_of(pointer.publications[1], "shop") is not None
