"""Our engine as Dagster's run process runs it: the same way, with each vendor's work file beside.

The stores are a folder instead of S3, so what is measured is the engine and its hand-over.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.rules import REQUESTED_AT

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from relay_core.columnar.threads import tune_process
from relay_core.config import TenantConfig, load_config, parse_document
from relay_core.domain.codes import RunStatus
from relay_core.domain.records import RunContext
from relay_core.library.sinks import FolderSink
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import (
    config_snapshot_json,
    errors_json,
    run_summary_json,
)
from relay_core.run_stages import RunStages, RunValues
from relay_core.validation.vendor_failures import InputVerdict

_KEYS = ArtifactKeys("", "")


def run(folder: Path, out: Path) -> None:
    """Run the tenant of this folder, with all that a run in Dagster writes.

    Raises:
        RuntimeError: the run failed.
    """
    tune_process()
    config = load_config(
        parse_document((folder / "config.json").read_bytes(), format="json")
    )
    requested_at = datetime.fromisoformat(REQUESTED_AT)
    ctx = RunContext("bench", config.tenant_id, requested_at)
    with FolderSink(out) as sink:
        stages = RunStages(
            config, config.vendors, requested_at, _KEYS, sink, hands_over=True
        )
        inputs = InputVerdict()
        normalized = stages.normalize(inputs, _feeds(config, folder))
        merged = stages.merge(normalized)
        if merged.failure is not None:
            raise RuntimeError(merged.failure.error_message)
        compared = stages.compare(merged, normalized)
        stages.write_feed(compared)
        values = RunValues(inputs, normalized.without_offers(), compared)
        findings = stages.findings(values)
        snapshot = config_snapshot_json(ctx, config.to_document())
        sink.write(_KEYS.config_snapshot, [snapshot])
        sink.write(_KEYS.errors, [errors_json(ctx, findings) or b""])
        summary = run_summary_json(
            ctx,
            findings,
            status=RunStatus.SUCCEEDED,
            stage_times={},
            duration_seconds=0.0,
            completed_at=datetime.now(UTC),
        )
        sink.write(_KEYS.run_summary, [summary])
        sink.wait()


def _feeds(config: TenantConfig, folder: Path) -> Iterator[VendorFeed]:
    for vendor in config.vendors:
        with (folder / f"{vendor.vendor_id}.csv").open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        own_map = folder / f"{vendor.vendor_id}.map.csv"
        sku_map = own_map.read_bytes() if own_map.exists() else None
        yield VendorFeed.of_one(
            vendor, memoryview(data), f"{vendor.vendor_id}.csv", sku_map
        )
