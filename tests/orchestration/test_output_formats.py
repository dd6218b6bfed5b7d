"""Feeds of every format on their way: artifact, published copy, link, rollback, withdrawal."""

from __future__ import annotations

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.execution.published_copies import unpublish
from relay_dagster.feeds.pointer import Publication
from relay_dagster.runs.model import RunRecord
from support.builders import feed
from support.run_world import TENANT, World

FIRST, SECOND, THIRD = (
    f"{n}c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11" for n in "123"
)
WHOLE = [f"S{number:02},5,10.00" for number in range(20)]
CONTENT_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}


def sync(world: World, run_id: str, format: str, *rows: str) -> RunRecord:
    """Store a config with a format, upload a feed and run."""
    world.store_config(output={"format": format, "columns": ["sku", "price"]})
    world.upload("vendor_1", feed(*(rows or WHOLE)), name=f"{run_id[0]}.csv")
    world.run(run_id)
    return world.record(run_id)


def in_force(world: World) -> Publication:
    pointer = world.platform.runs.feed(TENANT)
    assert pointer is not None
    return pointer.in_force


def published(world: World) -> set[str]:
    objects = world.platform.objects.list_objects(f"published/{TENANT}/")
    return {item.key.removeprefix(f"published/{TENANT}/") for item in objects}


@pytest.mark.parametrize("format", CONTENT_TYPES)
def test_a_feed_has_its_format_in_its_keys_and_its_content_type(
    world: World, format: str
) -> None:
    record = sync(world, FIRST, format)
    key = f"{record.keys.prefix}outputs/merged_inventory.{format}"
    assert (record.status, record.artifacts["merged_inventory"]) == (
        RunStatus.SUCCEEDED,
        key,
    )
    assert (
        in_force(world).key
        == record.feed_key
        == f"published/{TENANT}/{FIRST}.{format}"
    )
    for object_key in (key, in_force(world).key):
        bucket = world.platform.objects.bucket
        stored = world.platform.clients.s3.get_object(
            Bucket=bucket, Key=object_key
        )
        assert stored["ContentType"] == CONTENT_TYPES[format]
        assert stored["Body"].read() == world.artifact(
            "merged_inventory", FIRST
        )


def test_a_tenant_may_change_its_format_and_go_back_to_a_feed_of_the_one_before(
    world: World,
) -> None:
    sync(world, FIRST, "csv")
    second = sync(world, SECOND, "parquet")
    assert second.baseline_run_id == FIRST
    assert (second.changes or {})["unchanged"] == 20
    assert in_force(world).key == f"published/{TENANT}/{SECOND}.parquet"
    world.platform.ledger.feeds.roll_back(TENANT, FIRST)
    assert in_force(world).key == f"published/{TENANT}/{FIRST}.csv"
    assert published(world) == {
        *(f"{FIRST}.csv", f"{FIRST}.state.parquet"),
        *(f"{SECOND}.parquet", f"{SECOND}.state.parquet"),
    }


def test_a_held_feed_of_another_format_is_kept_beside_and_goes_where_it_is_given_up(
    world: World,
) -> None:
    sync(world, FIRST, "csv")
    held = sync(world, SECOND, "tsv", *WHOLE[:2])
    assert held.status is RunStatus.HELD
    assert {f"{SECOND}.tsv", f"{SECOND}.state.parquet"} <= published(world)
    unpublish(world.platform.objects, held)
    assert published(world) == {f"{FIRST}.csv", f"{FIRST}.state.parquet"}


def test_the_preview_in_dagster_has_the_tenant_s_headers(world: World) -> None:
    columns = ["sku", {"column": "price", "as": "Net"}, "availability"]
    world.store_config(output={"format": "parquet", "columns": columns})
    world.upload("vendor_1", feed(*WHOLE))
    (materialization,) = world.run(FIRST).asset_materializations_for_node(
        "merged_inventory"
    )
    first = materialization.metadata["preview"].records[0].data  # type: ignore[union-attr]
    assert first == {"sku": "S00", "Net": "10.00", "availability": "in_stock"}


def test_the_preview_has_escaped_headers_as_the_feed_has(world: World) -> None:
    columns = ["sku", {"column": "price", "as": "=Net"}]
    world.store_config(output={"escape_formulas": True, "columns": columns})
    world.upload("vendor_1", feed(*WHOLE))
    (materialization,) = world.run(FIRST).asset_materializations_for_node(
        "merged_inventory"
    )
    first = materialization.metadata["preview"].records[0].data  # type: ignore[union-attr]
    assert first == {"sku": "S00", "'=Net": "10.00"}
