"""A Dagster project of its own, made as ``create-dagster project`` makes one.

It has two assets that read CSV files, and a component that is scaffolded from sample files.
Dagster runs as people start it, and nobody writes a line of Python for the component.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.builders import feed

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PYPROJECT = """
[project]
name = "stores"
version = "0.1.0"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "stores"
registry_modules = ["stores.components.*"]
"""
DEFINITIONS = """
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""
RAW = """
import dagster as dg
import pandas as pd


@dg.asset(key_prefix="raw")
def acme() -> pd.DataFrame:
    return pd.read_csv("samples/acme.csv", dtype=str)


@dg.asset(key_prefix="raw")
def globex() -> bytes:
    with open("samples/globex.csv", "rb") as file:
        return file.read()
"""
LOCATIONS = """
query Locations {
  workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } }
}
"""
LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
STATUS = """
query Status($runId: ID!) {
  runOrError(runId: $runId) {
    ... on Run {
      status
      assetMaterializations { assetKey { path } metadataEntries {
        label ... on TextMetadataEntry { text } } }
      assetCheckEvaluations: eventConnection { events { ... on AssetCheckEvaluationEvent {
        evaluation { checkName success assetKey { path } } } } }
    }
  }
}
"""
MADE = ["acme", "globex", "initech", "candidate", "feed"]


def skus(count: int) -> bytes:
    return feed(*(f"{n:05},5,10.00" for n in range(count)))


class Stores:
    """The project, and the Dagster that runs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "src/stores"
        self.home = folder / "home"
        self.port = 0
        self.location = ""

    def write(self, name: str, content: str | bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)

    def environment(self) -> dict[str, str]:
        paths = [self.folder / "src", ROOT]
        return {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "VIRTUAL_ENV": str(BIN.parent),
            "DAGSTER_HOME": str(self.home),
            "HOME": str(self.home),
            "COLUMNS": "200",
        }

    def dg(self, *arguments: str) -> str:
        """Run a command of dg, and return what it prints."""
        process = subprocess.run(
            [str(BIN / "dg"), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment(),
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def ask(self, query: str, **variables: Any) -> Mapping[str, Any]:
        """Ask Dagster's API."""
        response = httpx.post(
            f"http://127.0.0.1:{self.port}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        )
        answer: Mapping[str, Any] = response.json()
        assert "data" in answer, answer
        assert not answer.get("errors"), answer
        data: Mapping[str, Any] = answer["data"]
        return data

    def launch(
        self,
        *keys: str,
        run_config: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        """Materialize assets, and return the run when it has ended."""
        params = {
            "selector": {
                "repositoryLocationName": self.location,
                "repositoryName": "__repository__",
                "jobName": "__ASSET_JOB",
                "assetSelection": [{"path": key.split("/")} for key in keys],
            },
            "runConfigData": run_config or {},
            "mode": "default",
        }
        started = self.ask(LAUNCH, params=params)["launchPipelineExecution"]
        assert started["__typename"] == "LaunchRunSuccess", started
        run_id = started["run"]["runId"]
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            run: Mapping[str, Any] = self.ask(STATUS, runId=run_id)[
                "runOrError"
            ]
            if run["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
                return run
            time.sleep(0.5)
        raise AssertionError(f"run {run_id} has not ended")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """The project, scaffolded and served by ``dg dev``."""
    stores = Stores(tmp_path_factory.mktemp("stores"))
    stores.write("pyproject.toml", PYPROJECT)
    stores.write("src/stores/__init__.py", "")
    stores.write("src/stores/components/__init__.py", "")
    stores.write("src/stores/defs/__init__.py", "")
    stores.write("src/stores/definitions.py", DEFINITIONS)
    stores.write("src/stores/defs/raw.py", RAW)
    stores.write(
        "home/dagster.yaml",
        "telemetry: {enabled: false}\nnux: {enabled: false}\n",
    )
    for name in ("acme", "globex", "initech"):
        stores.write(f"samples/{name}.csv", skus(20))
    files = (
        f"--file=samples/{name}.csv" for name in ("acme", "globex", "initech")
    )
    stores.dg(
        *("scaffold", "defs", "relay_dagster.MerchantFeedComponent", "shop"),
        *files,
    )
    defs = stores.package / "defs/shop/defs.yaml"
    document = yaml.safe_load(defs.read_text())
    inputs = document["attributes"]["inputs"]
    inputs["acme"] = {"asset": "raw/acme"}
    inputs["globex"] = {"asset": "raw/globex"}
    defs.write_text(yaml.safe_dump(document))
    stores.port = free_port()
    log = stores.folder / "dagster.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                *(str(BIN / "dg"), "dev", "--host", "127.0.0.1"),
                *("--port", str(stores.port)),
            ],
            cwd=stores.folder,
            env=stores.environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_served(stores, process, log)
        yield stores
    finally:
        process.terminate()
        process.wait(60)


def wait_until_served(
    stores: Stores,
    process: subprocess.Popen[bytes],
    log: Path,
) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            entries = stores.ask(LOCATIONS)["workspaceOrError"][
                "locationEntries"
            ]
        except httpx.TransportError:
            entries = []
        if entries and entries[0]["loadStatus"] == "LOADED":
            stores.location = entries[0]["name"]
            return
        time.sleep(0.5)
    raise AssertionError(log.read_text())


def test_dg_lists_the_component_and_finds_no_error_in_what_it_scaffolded(
    stores: Stores,
) -> None:
    assert "relay_dagster.MerchantFeedComponent" in stores.dg(
        "list",
        "components",
        "--json",
    )
    assert "validated successfully" in stores.dg("check", "yaml")
    stores.dg("check", "defs")


def test_a_project_publishes_holds_and_releases_a_feed(stores: Stores) -> None:
    shop = [f"shop/{name}" for name in MADE]
    first = stores.launch("raw/acme", "raw/globex", *shop)
    assert first["status"] == "SUCCESS"
    assert made_by(first) == MADE
    folder = stores.folder / "feeds/shop"
    published = (folder / "outputs/merged_inventory.csv").read_bytes()
    assert published.count(b"\n") == 21

    for name in ("acme", "globex", "initech"):
        stores.write(f"samples/{name}.csv", skus(5))
    held = stores.launch("raw/acme", "raw/globex", *shop)
    assert held["status"] == "FAILURE"
    assert made_by(held) == MADE[:-1]
    failed = [
        event["evaluation"]["checkName"]
        for event in held["assetCheckEvaluations"]["events"]
        if "evaluation" in event and not event["evaluation"]["success"]
    ]
    assert failed == ["guard_skus_removed", "guard_vendor_rows"]
    assert (folder / "outputs/merged_inventory.csv").read_bytes() == published

    (candidate,) = [
        event
        for event in held["assetMaterializations"]
        if event["assetKey"]["path"] == ["shop", "candidate"]
    ]
    texts = {
        entry["label"]: entry.get("text")
        for entry in candidate["metadataEntries"]
    }
    config = {"ops": {"shop__feed": {"config": {"release": texts["sha256"]}}}}
    released = stores.launch("shop/feed", run_config=config)
    assert released["status"] == "SUCCESS"
    assert made_by(released) == ["feed"]
    feed_now = (folder / "outputs/merged_inventory.csv").read_bytes()
    assert feed_now.count(b"\n") == 6


def made_by(run: Mapping[str, Any]) -> list[str]:
    """Return the component's assets that a run materialized, in order."""
    paths = [
        event["assetKey"]["path"] for event in run["assetMaterializations"]
    ]
    return [name for prefix, name in paths if prefix == "shop"]
