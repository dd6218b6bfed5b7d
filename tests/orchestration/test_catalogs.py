"""Runs with a catalog: pinned with the vendors' files, read before them, told in the reports."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from relay_core.domain.codes import RunStatus, Stage
from support.builders import RUN_ID, feed, vendor_document
from support.run_world import TENANT, World, failure_of

pytestmark = pytest.mark.platform(backoff_base_seconds=0)

LATER = "8f14e45f-ceea-4e7a-9b1c-0c7b1a2d3e4f"
PRODUCTS = b"sku,brand,title,ean,part\nS1,Bosch,Drill,4006381333931,\nS2,,,,\n"
ROWS = feed(
    "a,5,10.00,4006381333931",
    "y,1,4.00,",
    header="sku,quantity_available,cost,ean",
)


def store_config(
    world: World, *vendors: dict[str, Any], **catalog: Any
) -> None:
    world.store_config(
        *(vendors or (vendor_document("vendor_1"),)),
        extra_columns=["ean", "part"],
        gtin_column="ean",
        mpn_column="part",
        catalog={
            "inbound": {
                "type": "s3",
                "s3_prefix": f"tenants/{TENANT}/inbound/catalog/",
            },
            "parser": {"format": "csv"},
            **catalog,
        },
    )


def merge_again(world: World) -> dg.ExecuteInProcessResult:
    """Return the result of a run that merges the rows of the last run that has some."""
    world.request(LATER)
    world.dispatch(run_id=LATER)
    return world.execute(run_id=LATER, assets=["merged_inventory"])


def test_a_run_matches_and_leaves_the_catalogs_files(world: World) -> None:
    store_config(world, unmatched="leave_out")
    world.upload("catalog", PRODUCTS, "products.csv")
    world.upload("vendor_1", ROWS)
    assert world.run().success
    assert world.artifact("merged_inventory") == (
        b"sku,vendor_id,quantity_available,price\nS1,vendor_1,5,10.00\n"
    )
    assert world.names() >= {"catalog", "unmatched", "uncovered"}
    assert "inbound_catalog" not in world.names()
    record = world.record()
    assert dict(record.artifacts) == world.platform.objects.artifacts(
        RUN_ID, TENANT
    )
    assert record.artifacts["catalog"].endswith("/inbound/catalog/products.csv")
    manifest = world.report("input_manifest")
    assert [*manifest][-2:] == ["vendors", "catalog"]
    assert [*manifest["vendors"]] == ["vendor_1"]
    entry = manifest["catalog"]
    assert [*entry] == [*manifest["vendors"]["vendor_1"]]
    assert (entry["status"], entry["selection"]) == ("found", "latest")
    assert entry["s3_key"] == f"tenants/{TENANT}/inbound/catalog/products.csv"
    assert world.report("run_summary")["catalog"] == {
        "rows": 2,
        "matched_by": {
            "vendor_1": {"sku_map": 0, "gtin": 1, "mpn": 0, "sku": 0}
        },
        "unmatched": 1,
        "ambiguous": 0,
        "uncovered": 1,
    }
    assert [*world.report("run_summary")][-2:] == ["quarantined", "catalog"]


def test_a_run_without_a_catalogs_file_fails_and_is_the_tenants(
    world: World,
) -> None:
    store_config(world)
    world.upload("vendor_1", ROWS)
    assert failure_of(world.run()).startswith("missing_catalog: ")
    record = world.record()
    assert record.status is RunStatus.FAILED
    assert record.failed_stage is Stage.FETCH_INPUTS
    assert record.failure_class == "tenant_config"
    assert world.report("input_manifest")["catalog"]["status"] == "missing"


def test_a_stale_catalog_fails_the_run_and_is_the_tenants(world: World) -> None:
    store_config(world, max_feed_age_hours=1)
    world.upload("catalog", b"sku\nS1,\xff\n")
    world.upload("vendor_1", ROWS)
    assert failure_of(world.run()).startswith("DECODE_ERROR: ")
    assert world.record().failure_class == "tenant_config"
    assert world.report("input_manifest")["catalog"]["trouble"][
        "error_code"
    ] == ("DECODE_ERROR")


def test_a_run_of_some_vendors_has_the_catalog_and_no_uncovered_products(
    world: World,
) -> None:
    store_config(
        world, vendor_document("vendor_1"), vendor_document("vendor_2")
    )
    world.upload("catalog", PRODUCTS)
    world.upload("vendor_1", ROWS)
    assert world.run(vendors=["vendor_1"]).success
    assert "catalog" in world.names()
    assert "uncovered" not in world.names()
    assert world.report("run_summary")["catalog"]["uncovered"] is None


def test_later_assets_take_over_what_was_matched(world: World) -> None:
    store_config(world, unmatched="leave_out")
    world.upload("catalog", PRODUCTS)
    world.upload("vendor_1", ROWS)
    assert world.run().success
    first = world.artifact("unmatched"), world.artifact("uncovered")
    assert merge_again(world).success
    assert world.artifact("uncovered", LATER) == first[1]
    assert (
        world.report("run_summary", LATER)["catalog"]
        == (world.report("run_summary")["catalog"])
    )


def test_later_assets_use_no_rows_of_a_run_before_the_catalog(
    world: World,
) -> None:
    columns = {"extra_columns": ["ean", "part"], "gtin_column": "ean"}
    world.store_config(vendor_document("vendor_1"), **columns)
    world.upload("vendor_1", ROWS)
    assert world.run().success
    store_config(world, unmatched="leave_out")
    world.upload("catalog", PRODUCTS)
    message = (
        "missing catalog: the earlier run whose rows are used again had no catalog. Start "
        "a run of all assets, or remove catalog from the config."
    )
    assert failure_of(merge_again(world)) == f"missing_catalog: {message}"
    record = world.record(LATER)
    assert (record.status, record.failed_stage) == (
        RunStatus.FAILED,
        Stage.FETCH_INPUTS,
    )
    assert record.failure_class == "tenant_config"
    (entry,) = world.report("errors", LATER)["entries"]
    assert (entry["vendor_id"], entry["error_message"]) == ("catalog", message)


def test_later_assets_use_no_rows_that_an_unreadable_catalog_has_not_matched(
    world: World,
) -> None:
    store_config(world, unmatched="leave_out")
    world.upload("catalog", b"sku\nS1,\xff\n")
    world.upload("vendor_1", ROWS)
    failure = failure_of(world.run())
    assert failure.startswith("DECODE_ERROR: ")
    assert failure_of(merge_again(world)) == failure
    assert world.record(LATER).failure_class == "tenant_config"
