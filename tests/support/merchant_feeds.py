"""Projects with a `MerchantFeedComponent`: its files, its runs, and what these leave."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing.utils import component_defs

from relay_dagster import MerchantFeedComponent
from support.builders import config_document, feed, vendor_document

LOADS_YAML = [
    pytest.mark.filterwarnings("ignore:.parse_obj_as. is deprecated"),
    pytest.mark.filterwarnings("ignore:.*is currently in (beta|preview)"),
]
"""The marks of tests in which Dagster loads a `defs.yaml`, and warns of its own code."""
CLOCK = ("stage_times", "duration_seconds", "completed_at", "generated_at")
"""The fields of run_summary.json and input_manifest.json that tell the time of a step."""


def rows(count: int, cost: str = "10.00", first: int = 0) -> bytes:
    """Return a vendor's file of so many SKUs."""
    return feed(*(f"S{first + n:03},5,{cost}" for n in range(count)))


def config_of(*vendor_ids: str, **changes: Any) -> dict[str, Any]:
    """Return a config whose vendors have local files."""
    vendors = [
        vendor_document(vendor_id, inbound={"type": "local"})
        for vendor_id in vendor_ids or ("acme",)
    ]
    return config_document(*vendors, tenant_id="shop", **changes)


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder, by path, without the clock of a run."""
    return {
        path.relative_to(folder).as_posix(): without_clock(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def without_clock(path: Path) -> bytes:
    """Return the bytes of a file; of a summary or manifest without the time of the step."""
    if path.name not in ("run_summary.json", "input_manifest.json"):
        return path.read_bytes()
    document = json.loads(path.read_bytes())
    return json.dumps(
        {key: value for key, value in document.items() if key not in CLOCK},
    ).encode()


class Project:
    """A Dagster project with one component, in a folder of its own."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.folder = folder
        self.instance = instance
        self.out = folder / "out"

    def write(self, name: str, content: bytes) -> str:
        """Write a file, and return its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return str(path)

    def assets(self, **attributes: Any) -> list[dg.AssetsDefinition]:
        """Return the assets of the component."""
        defaults = {
            "config": config_of(),
            "inputs": {"acme": str(self.folder / "acme.csv")},
            "folder": str(self.out),
            "key_prefix": "shop",
        }
        component = MerchantFeedComponent(**{**defaults, **attributes})
        definitions = component_defs(component=component)
        return list(definitions.assets or ())

    def run(
        self,
        *,
        others: Sequence[dg.AssetsDefinition] = (),
        only: Iterable[str] = (),
        release: str | None = None,
        tenant: str | None = None,
        **attributes: Any,
    ) -> dg.ExecuteInProcessResult:
        """Materialize the assets, or only some of them, and return the result."""
        run_config: Mapping[str, Any] | None = None
        if release is not None:
            config = {"config": {"release": release}}
            run_config = {"ops": {"shop__feed": config}}
        selected = [dg.AssetKey(["shop", name]) for name in only]
        return dg.materialize(
            [*self.assets(**attributes), *others],
            instance=self.instance,
            selection=selected or None,
            run_config=run_config,
            partition_key=tenant,
            raise_on_error=False,
        )

    def started_at(self, result: dg.ExecuteInProcessResult) -> datetime:
        """Return the time at which a run started."""
        record = self.instance.get_run_record_by_id(result.run_id)
        assert record is not None
        assert record.start_time is not None
        return datetime.fromtimestamp(record.start_time, UTC)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file in the folder of the feed."""
        return (self.out / name).read_bytes()

    def summary(self) -> dict[str, Any]:
        """Return the summary of the last run."""
        summary: dict[str, Any] = json.loads(
            self.read("reports/run_summary.json"),
        )
        return summary


def checks_of(
    result: dg.ExecuteInProcessResult,
    asset: str = "candidate",
) -> dict[str, bool]:
    """Return whether each check of an asset passed, by name."""
    return {
        check.check_name: check.passed
        for check in result.get_asset_check_evaluations()
        if check.asset_key.path[-1] == asset
    }


def made(result: dg.ExecuteInProcessResult) -> list[str]:
    """Return the last parts of the keys of the assets that a run materialized, in order."""
    events = result.get_asset_materialization_events()
    return [event.asset_key.path[-1] for event in events if event.asset_key]


def metadata_of(
    result: dg.ExecuteInProcessResult,
    asset: str,
) -> Mapping[str, Any]:
    """Return the metadata of an asset's materialization."""
    (metadata,) = [
        event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.materialization.asset_key.path[-1] == asset
    ]
    return {name: value.value for name, value in metadata.items()}


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """Return the message of the step that failed."""
    (failed, *_) = [
        event for event in result.all_events if event.is_step_failure
    ]
    error = failed.step_failure_data.error
    assert error is not None
    return str(error.message)
