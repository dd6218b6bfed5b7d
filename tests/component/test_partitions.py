"""A component of several tenants: one partition each, with its own config, inputs, and folder."""

import json
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from relay_dagster.component.attributes import AssetInput, TenantPartitions
from support.merchant_feeds import (
    Project,
    checks_of,
    config_of,
    made,
    metadata_of,
    rows,
)

TENANTS = TenantPartitions(tenants=["north", "south"])


@pytest.fixture
def attributes(project: Project) -> dict[str, Any]:
    """The attributes of a component of two tenants, of which one has a vendor more."""
    for tenant, vendors in (("north", ["acme"]), ("south", ["acme", "globex"])):
        config = config_of(*vendors)
        config["tenant_id"] = tenant
        project.write(f"{tenant}/tenant.json", json.dumps(config).encode())
        for vendor in vendors:
            project.write(f"{tenant}/{vendor}.csv", rows(20))
    return {
        "config": str(project.folder / "{tenant}/tenant.json"),
        "inputs": {"acme": str(project.folder / "{tenant}/acme.csv")},
        "folder": str(project.out / "{tenant}"),
        "partitions": TENANTS,
    }


def test_a_partition_is_one_tenants_run(
    project: Project,
    attributes: dict[str, Any],
) -> None:
    north = project.run(tenant="north", **attributes)
    assert north.success
    assert made(north) == ["acme", "candidate", "feed"]
    assert checks_of(north, "globex") == {"rows_are_valid": True}
    summary = json.loads(project.read("north/reports/run_summary.json"))
    assert summary["tenant_id"] == "north"
    assert not (project.out / "south").exists()


def test_a_hold_of_one_tenant_is_released_in_its_partition(
    project: Project,
    attributes: dict[str, Any],
) -> None:
    assert project.run(tenant="north", **attributes).success
    project.write("north/acme.csv", rows(3))
    held = project.run(tenant="north", **attributes)
    assert not held.success
    sha256 = metadata_of(held, "candidate")["sha256"]
    released = project.run(
        tenant="north",
        only=["feed"],
        release=sha256,
        **attributes,
    )
    assert released.success
    feed = project.read("north/outputs/merged_inventory.csv")
    assert feed.count(b"\n") == 4


def test_an_asset_with_the_same_partitions_gives_each_tenant_its_own(
    project: Project,
) -> None:
    partitions = dg.StaticPartitionsDefinition(TENANTS.tenants)

    @dg.asset(key=["raw", "acme"], partitions_def=partitions)
    def raw_acme(context: dg.AssetExecutionContext) -> pd.DataFrame:
        columns = {"sku": [context.partition_key], "cost": [1.5]}
        return pd.DataFrame({**columns, "quantity_available": [3]})

    config = config_of()
    config["tenant_id"] = "{tenant}"
    for tenant in TENANTS.tenants:
        result = project.run(
            others=[raw_acme],
            tenant=tenant,
            config=config,
            inputs={"acme": AssetInput(asset="raw/acme")},
            folder=str(project.out / "{tenant}"),
            partitions=TENANTS,
        )
        assert result.success
        feed = project.read(f"{tenant}/outputs/merged_inventory.csv")
        assert feed.splitlines()[1].startswith(tenant.encode())
