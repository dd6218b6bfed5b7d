"""Our engine as the assets run it: every vendor goes through its work files between two steps.

The stores are a folder instead of S3, so what is measured is the engine and its hand-over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.feeds import REQUESTED_AT
from relay_core.config import TenantConfig, VendorConfig, load_config, parse_document
from relay_core.domain.models import RunContext
from relay_core.merge.result import MergedInventory
from relay_core.normalize.result import WORK_FILE, NormalizedVendor
from relay_core.pipeline import merge_vendors, normalize_vendor
from relay_core.publish.reports import (
    ArtifactKeys,
    config_snapshot_json,
    errors_json,
    invalid_rows_chunks,
    run_summary_json,
)

_WORK_FILES = (WORK_FILE,)
_KEYS = ArtifactKeys("", "")


def run(folder: Path, out: Path) -> None:
    """Run the tenant of this folder in two steps, with files between them."""
    config = load_config(parse_document((folder / "config.json").read_bytes(), format="json"))
    context = RunContext("bench", config.tenant_id, datetime.fromisoformat(REQUESTED_AT))
    for vendor in config.vendors:
        _normalize(config, vendor, folder, out)
    _merge(context, config, out)


def _normalize(config: TenantConfig, vendor: VendorConfig, folder: Path, out: Path) -> None:
    sku_map = folder / f"{vendor.vendor_id}.map.csv"
    normalized = normalize_vendor(
        config,
        vendor,
        (folder / f"{vendor.vendor_id}.csv").read_bytes(),
        file_name=f"{vendor.vendor_id}.csv",
        requested_at=datetime.fromisoformat(REQUESTED_AT),
        sku_map=sku_map.read_bytes() if sku_map.exists() else None,
    )
    for name, chunks in normalized.work_files().items():
        _write(out / _KEYS.work(vendor.vendor_id, name), chunks)
    _write(out / _KEYS.normalized(vendor.vendor_id), normalized.csv_chunks())


def _merge(context: RunContext, config: TenantConfig, out: Path) -> None:
    normalized = [_read_back(vendor.vendor_id, out) for vendor in config.vendors]
    merged = merge_vendors(config, normalized)
    if merged.failure is not None:
        raise RuntimeError(merged.failure.error_message)
    _write(out / _KEYS.merged_inventory, merged.csv_chunks())
    _write(out / _KEYS.config_snapshot, [config_snapshot_json(context, config.to_document())])
    _write(out / _KEYS.invalid_rows, invalid_rows_chunks(normalized))
    errors = errors_json(
        context,
        None,
        warnings=merged.warnings,
        warning_counts=merged.warning_counts,
        normalized=normalized,
    )
    _write(out / _KEYS.errors, [errors or b""])
    _write(out / _KEYS.run_summary, [_summary(context, merged, normalized)])


def _read_back(vendor_id: str, out: Path) -> NormalizedVendor:
    names = {name: out / _KEYS.work(vendor_id, name) for name in _WORK_FILES}
    return NormalizedVendor.from_work_files(
        {name: path.read_bytes() for name, path in names.items()}
    )


def _summary(
    context: RunContext, merged: MergedInventory, normalized: Sequence[NormalizedVendor]
) -> bytes:
    return run_summary_json(
        context,
        status="SUCCEEDED",
        error_code=None,
        vendors=[vendor.vendor_id for vendor in normalized],
        vendor_count=len(normalized),
        normalized=normalized,
        record_count=merged.record_count,
        unpriced_skus=merged.unpriced_skus,
        warning_counts=merged.warning_counts,
        stage_times={},
        duration_seconds=0.0,
        completed_at=datetime.now(UTC),
    )


def _write(path: Path, chunks: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.writelines(chunks)
