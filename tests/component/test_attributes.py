"""The attributes of the component in ``defs.yaml``, and what is said about errors in them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.testing.utils import (
    DefsFolderSandbox,
    create_defs_folder_sandbox,
)

from support.builders import feed
from support.merchant_feeds import LOADS_YAML, config_of

pytestmark = LOADS_YAML

CONFIG = """
tenant_id: shop
timezone: UTC
default_currency: USD
vendors:
  - vendor_id: acme
    inbound: {type: local}
    parser: {format: csv}
pricing: {base_margin_pct: 0.20, min_price: 0.01, shipping_handling_flat: 0}
merge: {strategy: best_offer}
output: {columns: [sku, quantity_available, price]}
"""
DEFS = """
type: relay_dagster.MerchantFeedComponent
attributes:
  config: tenant.yaml
  inputs:
    acme: acme.csv
  folder: out
"""


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox(project_name="attributes") as sandbox:
        yield sandbox


def definitions(
    sandbox: DefsFolderSandbox,
    defs: str = DEFS,
    config: str = CONFIG,
) -> dg.Definitions:
    """Return the definitions of a project with this component."""
    folder = sandbox.defs_folder_path / "shop"
    folder.mkdir(exist_ok=True)
    (folder / "tenant.yaml").write_text(config)
    (folder / "defs.yaml").write_text(textwrap.dedent(defs).lstrip())
    (folder / "acme.csv").write_bytes(feed("A,1,2.50"))
    with sandbox.build_all_defs() as built:
        return built


def error_of(sandbox: DefsFolderSandbox, **files: Any) -> str:
    """Return what is said about a component with errors."""
    with pytest.raises(Exception, match="Error while") as caught:
        definitions(sandbox, **files)
    folder = f"{sandbox.defs_folder_path}/shop/"
    return str(caught.value.__cause__).replace(folder, "")


def test_paths_are_relative_to_the_folder_of_the_definitions(
    sandbox: DefsFolderSandbox,
) -> None:
    defs = definitions(sandbox)
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize(
            list(defs.assets or ()),
            instance=instance,
        ).success
    out = sandbox.defs_folder_path / "shop/out/outputs/merged_inventory.csv"
    assert out.read_bytes() == b"sku,quantity_available,price\nA,1,3.00\n"


def test_all_assets_have_the_prefix_group_owners_tags_and_automation(
    sandbox: DefsFolderSandbox,
) -> None:
    defs = definitions(
        sandbox,
        DEFS
        + """\
  key_prefix: [shops, north]
  group_name: feeds
  owners: [team:catalog]
  tags: {tier: 1}
  automation: "{{ dg.AutomationCondition.eager() }}"
""",
    )
    specs = {
        spec.key.to_user_string(): spec
        for spec in defs.resolve_all_asset_specs()
    }
    assert set(specs) == {
        "shops/north/acme",
        "shops/north/candidate",
        "shops/north/feed",
    }
    for spec in specs.values():
        assert spec.group_name == "feeds"
        assert list(spec.owners) == ["team:catalog"]
        assert spec.tags["tier"] == "1"
        assert spec.automation_condition is not None


def test_lineage_goes_from_the_inputs_by_the_vendors_to_the_feed(
    sandbox: DefsFolderSandbox,
) -> None:
    defs = definitions(
        sandbox,
        DEFS.replace("acme.csv", "{asset: raw/acme}"),
    )
    upstream = dg.AssetSpec(["raw", "acme"])
    defs = dg.Definitions.merge(defs, dg.Definitions(assets=[upstream]))
    parents = {
        spec.key.to_user_string(): [
            dep.asset_key.to_user_string() for dep in spec.deps
        ]
        for spec in defs.resolve_all_asset_specs()
    }
    assert parents["acme"] == ["raw/acme"]
    assert parents["candidate"] == ["acme"]
    assert parents["feed"] == ["candidate"]


def test_an_error_of_a_config_in_defs_yaml_is_told_with_its_line_and_path(
    sandbox: DefsFolderSandbox,
) -> None:
    config = config_of()
    config["vendors"][0]["parser"]["delimiter"] = ";;"
    config["timezone"] = "Nowhere"
    document = {"config": config, "folder": "out"}
    defs = yaml.safe_dump(
        {
            "type": "relay_dagster.MerchantFeedComponent",
            "attributes": document,
        },
        sort_keys=False,
    )
    lines = error_of(sandbox, defs=defs).splitlines()
    for path, line in (
        ("timezone: ", defs.splitlines().index("    timezone: Nowhere")),
        (
            "vendors.0.parser.delimiter: ",
            defs.splitlines().index("        delimiter: ;;"),
        ),
    ):
        place = f"defs.yaml:{line + 1}: attributes.config.{path}"
        assert [text for text in lines if text.startswith(place)]


def test_an_error_of_a_config_file_is_told_with_the_file_and_the_path_in_it(
    sandbox: DefsFolderSandbox,
) -> None:
    error = error_of(sandbox, config=CONFIG.replace("csv", "cvs"))
    assert error.startswith(
        "defs.yaml:3: attributes.config: tenant.yaml: vendors.0.parser.format: ",
    )


INPUTS = "inputs:\n    acme: acme.csv"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(
            "tenant.yaml",
            "nowhere.yaml",
            "defs.yaml:3: attributes.config: nowhere.yaml: No such file or directory. Name the "
            "file of the config",
            id="no config file",
        ),
        pytest.param(
            "acme: acme.csv",
            "acmee: acme.csv",
            "defs.yaml:5: attributes.inputs.acmee: the config of shop has no input acmee. Its "
            "inputs are acme.",
            id="input of no vendor",
        ),
        pytest.param(
            "acme.csv",
            "s3://raw/acme",
            "attributes.inputs.acme: s3://raw/acme must end with a slash.",
            id="prefix without a slash",
        ),
        pytest.param(
            "folder: out",
            "folder: out\n  partitions: {tenants: [north, south]}",
            "attributes.folder: the tenants would write to one folder. Add {tenant}",
            id="one folder for all tenants",
        ),
        pytest.param(
            "folder: out",
            "folder: out/{tenant}\n  partitions: {tenants: [north, south]}",
            "attributes.config: the tenants would have one config. Add {tenant}",
            id="one config for all tenants",
        ),
        pytest.param(
            "folder: out",
            "folder: out/{tenant}\n  partitions: {tenants: [../north]}",
            "attributes.partitions.tenants.0: '../north' is not a tenant.",
            id="tenant that is no name",
        ),
        pytest.param(
            "folder: out",
            "folder: out/{tenant}\n  partitions: {tenants: []}",
            "attributes.partitions.tenants: name at least one tenant.",
            id="no tenant",
        ),
        pytest.param(
            INPUTS,
            "inputs:\n    acme: {asset: 'raw/{tenant}'}",
            "attributes.inputs.acme.asset: the key of an asset cannot have {tenant}.",
            id="tenant in the key of an asset",
        ),
        pytest.param(
            INPUTS,
            "inputs:\n    acme: {assets: raw/acme}",
            "acme.AssetInput.assets at defs.yaml:",
            id="option that is not there",
        ),
        pytest.param(
            "folder: out",
            "colour: red",
            "attributes.folder",
            id="no folder",
        ),
    ],
)
def test_an_error_of_an_attribute_is_told_with_its_path(
    sandbox: DefsFolderSandbox,
    old: str,
    new: str,
    said: str,
) -> None:
    assert said in error_of(sandbox, defs=DEFS.replace(old, new))


def test_a_vendor_cannot_have_the_name_of_another_asset(
    sandbox: DefsFolderSandbox,
) -> None:
    error = error_of(
        sandbox,
        defs=DEFS.replace("acme: acme.csv", "feed: acme.csv"),
        config=CONFIG.replace("vendor_id: acme", "vendor_id: feed"),
    )
    assert "feed is the name of another asset of the component" in error


def test_amounts_in_quotation_marks_stay_as_they_are_written(
    sandbox: DefsFolderSandbox,
) -> None:
    config = config_of(pricing={"base_margin_pct": "0.20"})
    attributes = {
        "config": config,
        "inputs": {"acme": "acme.csv"},
        "folder": "out",
    }
    component = {
        "type": "relay_dagster.MerchantFeedComponent",
        "attributes": attributes,
    }
    defs = definitions(sandbox, yaml.safe_dump(component))
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(list(defs.assets or ()), instance=instance)
    out = Path(sandbox.defs_folder_path, "shop/out/reports")
    snapshot = (out / "config_snapshot.json").read_text()
    assert '"base_margin_pct": "0.20"' in snapshot
