"""The Definitions load in a clean environment and hold what people and other programs rely on."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from relay_dagster.orchestration import checks
from relay_dagster.orchestration.build import build_defs
from relay_dagster.settings import CatalogSettings

ROOT = Path(__file__).resolve().parents[2]
ASSETS = ("fetched_inventory", "normalized_inventory", "merged_inventory")
PUBLISHED = "published_feed"


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    return build_defs()


def test_the_assets_follow_each_other_in_one_group(
    defs: dg.Definitions,
) -> None:
    graph = defs.resolve_asset_graph()
    parents = {
        key.to_user_string(): {
            parent.to_user_string() for parent in graph.get(key).parent_keys
        }
        for key in graph.get_all_asset_keys()
    }
    assert parents == {
        "fetched_inventory": set(),
        "normalized_inventory": {"fetched_inventory"},
        "merged_inventory": {"normalized_inventory"},
        PUBLISHED: {"merged_inventory"},
    }
    names = (*ASSETS, PUBLISHED)
    assert {graph.get(dg.AssetKey(name)).group_name for name in names} == {
        "inventory"
    }


def test_every_asset_has_tags_and_none_has_an_owner_by_default(
    defs: dg.Definitions,
) -> None:
    graph = defs.resolve_asset_graph()
    assets = [graph.get(dg.AssetKey(name)) for name in (*ASSETS, PUBLISHED)]
    for asset in assets:
        assert (
            asset.tags.items()
            >= {"domain": "inventory", "tier": "core"}.items()
        )
    assert [asset.owners for asset in assets] == [[]] * 4


def test_the_catalog_shows_the_owners_and_the_source_that_are_set() -> None:
    catalog = CatalogSettings.from_env(
        {
            "RELAY_ASSET_OWNERS": "team:operations, ada@example.com",
            "RELAY_SOURCE_URL": "https://github.com/acme/relay/",
            "RELAY_SOURCE_COMMIT": "0123abc",
        }
    )
    graph = build_defs(catalog=catalog).resolve_asset_graph()
    for name in ASSETS:
        asset = graph.get(dg.AssetKey(name))
        assert asset.owners == ["team:operations", "ada@example.com"]
        references = asset.metadata["dagster/code_references"].code_references
        start = "https://github.com/acme/relay/tree/0123abc/relay_dagster/"
        assert [
            reference.url.startswith(start) for reference in references
        ] == [True]


def test_a_commit_without_an_address_links_to_nothing() -> None:
    catalog = CatalogSettings.from_env({"RELAY_SOURCE_COMMIT": "0123abc"})
    graph = build_defs(catalog=catalog).resolve_asset_graph()
    asset = graph.get(dg.AssetKey("merged_inventory"))
    assert "dagster/code_references" not in asset.metadata


def test_no_run_makes_the_published_feed(defs: dg.Definitions) -> None:
    graph = defs.resolve_asset_graph()
    assert not graph.get(dg.AssetKey(PUBLISHED)).is_executable
    job = defs.resolve_job_def("inventory_sync")
    assert set(job.graph.node_dict) == set(ASSETS)


@pytest.mark.parametrize("name", [*ASSETS, PUBLISHED])
def test_every_asset_is_partitioned_by_tenant(
    defs: dg.Definitions, name: str
) -> None:
    partitions = (
        defs.resolve_asset_graph().get(dg.AssetKey(name)).partitions_def
    )
    assert isinstance(partitions, dg.DynamicPartitionsDefinition)
    assert partitions.name == "tenants"


def test_the_checks_are_known_on_their_assets(defs: dg.Definitions) -> None:
    checks = {
        (key.asset_key.to_user_string(), key.name)
        for key in defs.resolve_asset_graph().asset_check_keys
    }
    assert checks == {
        ("normalized_inventory", "canonical_schema_holds"),
        ("normalized_inventory", "invalid_rows_within_max"),
        ("normalized_inventory", "invalid_pct_within_max"),
        ("merged_inventory", "merged_schema_holds"),
        ("merged_inventory", "one_row_per_sku"),
        ("merged_inventory", "feed_within_guards"),
        (PUBLISHED, "feed_is_fresh"),
    }


def test_checks_are_partitioned_and_block_nothing() -> None:
    specs = (
        *checks.NORMALIZED_CHECKS,
        *checks.MERGED_CHECKS,
        checks.FRESH_CHECK,
    )
    assert all(
        spec.partitions_def is not None and not spec.blocking for spec in specs
    )


def test_the_job_runs_its_steps_in_one_process(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def("inventory_sync")
    assert job.executor_def is dg.in_process_executor
    assert {
        key.to_user_string() for key in job.asset_layer.executable_asset_keys
    } == set(ASSETS)


def test_definitions_are_fresh_each_time(defs: dg.Definitions) -> None:
    assert build_defs() is not defs


@pytest.fixture(scope="module")
def bare_environment(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """Return an environment that names nothing of the program's own."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
    }


def test_the_workspace_file_names_a_module_that_loads_with_no_variable_set(
    bare_environment: dict[str, str],
) -> None:
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())[
        "load_from"
    ]
    program = f"import {location['python_module']['module_name']} as m; print(m.defs.jobs[0].name)"
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=bare_environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == "inventory_sync"


def loaded(environment: dict[str, str], before: str, shown: str) -> list[str]:
    """Load the definitions in a process of their own; return what it prints then."""
    program = f"import gc, sys\n{before}\nimport relay_dagster.definitions\nprint({shown})"
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.split()


def test_loading_the_definitions_leaves_the_heavy_aws_library_alone(
    bare_environment: dict[str, str],
) -> None:
    assert loaded(bare_environment, "", "'dagster_aws' in sys.modules") == [
        "False"
    ]


def test_the_garbage_collector_passes_over_what_was_loaded(
    bare_environment: dict[str, str],
) -> None:
    expressions = "gc.get_freeze_count() > 100_000, gc.isenabled()"
    assert loaded(bare_environment, "", expressions) == ["True", "True"]


def test_a_garbage_collector_that_was_off_stays_off(
    bare_environment: dict[str, str],
) -> None:
    assert loaded(bare_environment, "gc.disable()", "gc.isenabled()") == [
        "False"
    ]


@pytest.mark.parametrize(
    ("variable", "limit"), [("3", 3), (None, 2)], ids=["set", "default"]
)
def test_the_instance_file_is_one_that_dagster_takes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    limit: int,
) -> None:
    monkeypatch.delenv("WORKER_MAX_CONCURRENCY", raising=False)
    if variable is not None:
        monkeypatch.setenv("WORKER_MAX_CONCURRENCY", variable)
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        queue = instance.run_coordinator.get_run_queue_config()
        assert queue.max_concurrent_runs == limit
        assert [
            tag_concurrency_limit["limit"]
            for tag_concurrency_limit in queue.tag_concurrency_limits
        ] == [1]
        assert not instance.telemetry_enabled
        assert not instance.run_retries_enabled
        assert instance.run_monitoring_enabled
