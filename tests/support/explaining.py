"""What a whole run leaves, in memory, and what is told of its SKUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay_core.columnar.sorted_file import ByteRange
from relay_core.config import Override, TenantConfig
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.explaining.explanation import explain_sku
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import (
    config_snapshot_json,
    input_manifest_json,
    manifest_entry,
)
from relay_core.publish.state import Baseline
from relay_core.run_stages import LastGoodFeeds, RunStages
from relay_core.validation.vendor_failures import VendorInput
from support.builders import REQUESTED_AT, RUN_ID, run_context
from support.memory_sink import MemorySink


@dataclass
class RunInMemory(MemorySink):
    """The files of a run; the engine's ``Sink``, and its ``RunFiles``.

    Attributes:
        keys: where they lie.
        parts_read: how many bytes were read, key by key, one number a part.
    """

    keys: ArtifactKeys = field(default_factory=lambda: ArtifactKeys("", ""))
    parts_read: dict[str, list[int]] = field(default_factory=dict)
    findings: RunFindings = field(default_factory=RunFindings)

    @property
    def sizes(self) -> Mapping[str, int]:
        return {key: len(data) for key, data in self.files.items()}

    def read(self, parts: Sequence[tuple[str, ByteRange]]) -> list[bytes]:
        for key, part in parts:
            self.parts_read.setdefault(key, []).append(part.stop - part.start)
        return [self.files[key][part.start : part.stop] for key, part in parts]

    def explain(self, sku: str) -> dict[str, Any]:
        """Return what is told of a SKU."""
        return explain_sku(self, self.keys, RUN_ID, sku)


def run_in_memory(
    config: TenantConfig,
    feeds: Mapping[str, bytes],
    *,
    keys: ArtifactKeys | None = None,
    sku_maps: Mapping[str, bytes] | None = None,
    last_good: LastGoodFeeds | None = None,
    baseline: Baseline | None = None,
    overrides: Sequence[Override] = (),
    requested_at: datetime = REQUESTED_AT,
    config_version: int | None = None,
) -> RunInMemory:
    """Take a run through its stages; a vendor without a feed has no upload."""
    run = RunInMemory(keys=keys or ArtifactKeys("", ""))
    maps = sku_maps or {}
    stages = RunStages(
        config,
        config.vendors,
        requested_at,
        run.keys,
        run,
        hands_over=True,
        last_good=last_good,
        baseline=baseline,
        overrides=overrides,
        config_version=config_version,
    )
    values = stages.go_through(
        {name: _input_of(data, maps.get(name)) for name, data in feeds.items()},
        lambda inputs: (
            VendorFeed.of_one(
                config.vendor(name), feeds[name], f"{name}.csv", maps.get(name)
            )
            for name in inputs.to_read()
        ),
    )
    run.findings = stages.findings(values)
    if values.merged is not None:
        assert values.compared is not None
        assert values.normalized is not None
        ctx = run_context(
            requested_at=requested_at, config_version=config_version
        )
        stages.write_state(
            run.keys.state, values.compared, values.normalized, ctx
        )
    _write_first_files(run, config)
    return run


def _input_of(data: bytes, sku_map: bytes | None) -> VendorInput:
    map_size = None if sku_map is None else len(sku_map)
    return VendorInput.of_one(len(data), sku_map_size=map_size)


def _write_first_files(run: RunInMemory, config: TenantConfig) -> None:
    """Write the files that a run writes before its steps."""
    ctx = run_context()
    entries = {
        name: manifest_entry({"status": str(state.status)}, state)
        for name, state in run.findings.states.items()
    }
    run.write(
        run.keys.config_snapshot,
        [config_snapshot_json(ctx, config.to_document())],
    )
    run.write(
        run.keys.input_manifest,
        [input_manifest_json(ctx, entries, "2026-03-01T12:00:00Z")],
    )
