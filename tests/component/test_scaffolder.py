"""The scaffolder: ``defs.yaml`` and a config from sample files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object
from dagster.components.core.package_entry import get_package_objects_in_module
from dagster.components.testing.utils import (
    DefsFolderSandbox,
    create_defs_folder_sandbox,
)

import relay_dagster
from support.builders import feed
from support.merchant_feeds import LOADS_YAML

pytestmark = LOADS_YAML

TYPE = "relay_dagster.MerchantFeedComponent"


@pytest.fixture
def sandbox() -> Iterator[DefsFolderSandbox]:
    with create_defs_folder_sandbox(project_name="scaffolded") as sandbox:
        yield sandbox


def scaffold(sandbox: DefsFolderSandbox, *files: Path) -> Path:
    """Scaffold the component for files, and return its folder."""
    folder = sandbox.defs_folder_path / "shop"
    params = json.dumps({"file": [str(file) for file in files]})
    scaffold_object(folder, TYPE, params, "yaml", sandbox.project_root)
    return folder


def test_dg_finds_the_component_in_the_package() -> None:
    names = [name for name, _ in get_package_objects_in_module(relay_dagster)]
    assert names == ["MerchantFeedComponent"]


def test_what_is_written_for_files_loads_and_runs(
    sandbox: DefsFolderSandbox,
    tmp_path: Path,
) -> None:
    inside = sandbox.project_root / "samples/acme.csv"
    inside.parent.mkdir()
    inside.write_bytes(b"SKU;Bestand;EK\nA1;5;2,50\nA2;0;3,00\n")
    outside = tmp_path / "globex.csv"
    outside.write_bytes(feed("A1,1,2.40"))
    folder = scaffold(sandbox, inside, outside)
    defs = yaml.safe_load((folder / "defs.yaml").read_text())
    assert defs["type"] == TYPE
    attributes = defs["attributes"]
    # A file of the project is named by its place in it.
    resolved = (folder / attributes["inputs"]["acme"]).resolve()
    assert resolved == inside.resolve()
    assert attributes["inputs"]["globex"] == str(outside.resolve())
    with (
        sandbox.build_all_defs() as built,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        assets = list(built.assets or ())
        assert dg.materialize(assets, instance=instance).success
    out = sandbox.project_root / "feeds/shop/outputs/merged_inventory.csv"
    assert out.read_text().splitlines()[1].startswith("A1,1,2.88,globex,")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param([], "Name a sample file of each vendor", id="no file"),
        pytest.param(["nowhere.csv"], "No such file or directory", id="lost"),
    ],
)
def test_without_a_file_nothing_is_written(
    sandbox: DefsFolderSandbox,
    tmp_path: Path,
    names: list[str],
    said: str,
) -> None:
    with pytest.raises(SystemExit, match=said):
        scaffold(sandbox, *(tmp_path / name for name in names))
    assert not (sandbox.defs_folder_path / "shop").exists()


def test_the_component_is_not_written_as_python(
    sandbox: DefsFolderSandbox,
) -> None:
    folder = sandbox.defs_folder_path / "shop"
    with pytest.raises(SystemExit, match="Use --format yaml"):
        scaffold_object(folder, TYPE, None, "python", sandbox.project_root)
