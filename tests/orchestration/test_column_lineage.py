"""The way of columns from vendors' headers to the feed, as the config says it."""

from __future__ import annotations

import dagster as dg

from relay_core.config import TenantConfig
from relay_dagster.orchestration.column_lineage import (
    LINEAGE,
    Source,
    column_lineage,
    lineage_of,
)
from support.builders import feed, tenant_config, vendor_document
from support.run_world import World


def source_of(name: str, header: str) -> Source:
    return dg.AssetKey(["shop", *name.split("/")]), header


def headers_by_column(
    config: TenantConfig, headers: dict[str, list[str]] | None = None
) -> dict[str, list[str]]:
    return {
        column: [
            f"{'/'.join(key.path[1:])}: {header}" for key, header in sources
        ]
        for column, sources in lineage_of(config, source_of, headers).items()
    }


def two_vendors(*columns: object, enforce: bool = True) -> TenantConfig:
    mapped = vendor_document(
        "a",
        parser={
            "column_map": {
                "sku": "Art.",
                "cost": "EK",
                "quantity_available": {"sum": ["East", "West"]},
            }
        },
    )
    return tenant_config(
        mapped,
        vendor_document("b"),
        output={"columns": list(columns)},
        pricing={
            "base_margin_pct": 0.2,
            "min_price": 0,
            "shipping_handling_flat": 0,
            "map_policy": {"enforce": enforce},
        },
    )


def test_each_column_has_the_headers_of_all_vendors() -> None:
    config = two_vendors("sku", {"column": "quantity_available", "as": "qty"})
    assert headers_by_column(config) == {
        "sku": ["a: Art.", "b: sku"],
        "qty": ["a: East", "a: West", "b: quantity_available"],
    }


def test_a_price_is_made_of_costs_own_prices_and_an_enforced_minimum() -> None:
    headers = {"a": ["Art.", "EK", "map_price"], "b": ["sku", "cost", "price"]}
    enforced = headers_by_column(two_vendors("price"), headers)
    assert enforced == {
        "price": ["a: EK", "b: cost", "b: price", "a: map_price"]
    }
    free = headers_by_column(two_vendors("price", enforce=False), headers)
    assert free == {"price": ["a: EK", "b: cost", "b: price"]}


def test_columns_that_no_file_gives_have_no_headers() -> None:
    config = two_vendors("vendor_id", "currency", {"constant": "x", "as": "c"})
    assert headers_by_column(config) == {
        "vendor_id": [],
        "currency": [],
        "c": [],
    }


def test_a_derived_column_has_the_headers_of_its_source() -> None:
    config = two_vendors("availability")
    headers = {"a": [" East ", "Art."], "b": []}
    assert headers_by_column(config, headers) == {"availability": ["a: East"]}


def test_parts_and_the_catalog_give_only_their_columns() -> None:
    stock = {
        "part_id": "stock",
        "inbound": {"type": "local"},
        "parser": {"format": "csv"},
        "gives": ["quantity_available"],
    }
    catalog = {
        "inbound": {"type": "local"},
        "parser": {"format": "csv", "column_map": {"title": "Name"}},
        "gives": ["title"],
    }
    config = tenant_config(
        vendor_document("a", parts=[stock]),
        catalog=catalog,
        output={"columns": ["sku", "quantity_available", "title", "brand"]},
    )
    assert headers_by_column(config) == {
        "sku": ["a: sku", "catalog: sku"],
        "quantity_available": ["a/stock: quantity_available"],
        "title": ["a: title", "catalog: Name"],
        "brand": ["a: brand"],
    }


def test_dagster_gets_a_dependency_for_each_header() -> None:
    sources = lineage_of(two_vendors("sku"), source_of)
    lineage = column_lineage(sources)[LINEAGE]
    assert isinstance(lineage, dg.TableColumnLineage)
    deps = lineage.deps_by_column["sku"]
    assert [(dep.asset_key.path, dep.column_name) for dep in deps] == [
        (["shop", "a"], "Art."),
        (["shop", "b"], "sku"),
    ]


def test_a_run_in_the_service_leaves_the_lineage_of_its_feed(
    world: World,
) -> None:
    world.store_config()
    world.upload("vendor_1", feed("A,5,10.00"))
    result = world.run("1c1f9a52-7f0c-4f3e-9b4c-2a4f6b8d0e11")
    (event,) = result.asset_materializations_for_node("merged_inventory")
    lineage = event.metadata[LINEAGE].value
    (dep, *_) = lineage.deps_by_column["sku"]
    assert dep.asset_key.path == ["fetched_inventory"]
    assert dep.column_name == "vendor_1: sku"
