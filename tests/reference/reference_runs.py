"""Run the real engine over bytes in memory, and say what came out in the yardstick's words."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from builders import REQUESTED_AT
from reference_engine import Outcome
from reference_rows import Entry
from relay_core.config import TenantConfig, load_config
from relay_core.domain.models import ReportEntry, RunFailure
from relay_core.pipeline import (
    NormalizedVendor,
    judge_inputs,
    judge_normalized,
    merge_vendors,
    normalize_vendor,
)
from relay_core.publish.reports import invalid_rows_chunks


@dataclass
class EngineRun:
    """What the engine said, and what of it the yardstick says too."""

    outcome: Outcome
    failure: RunFailure | None = None
    faults: tuple[ReportEntry, ...] = ()
    warnings: tuple[ReportEntry, ...] = ()
    normalized: list[NormalizedVendor] = field(default_factory=list)

    @property
    def merged(self) -> list[dict[str, str]]:
        """The rows of the merged feed."""
        return rows(self.outcome.merged or b"")

    def normalized_rows(self, vendor_id: str = "vendor_1") -> list[dict[str, str]]:
        """The rows of one vendor's normalized.csv."""
        return rows(self.outcome.normalized[vendor_id])


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def run_document(
    document: Mapping[str, Any],
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes] | None = None,
    requested_at: datetime = REQUESTED_AT,
) -> EngineRun:
    return run_engine(load_config(document), feeds, sku_maps or {}, requested_at)


def run_engine(
    config: TenantConfig,
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes],
    requested_at: datetime,
) -> EngineRun:
    """Take a run through all its steps; rows go from step to step as work files."""
    present = [v for v in config.vendors if feeds.get(v.vendor_id) is not None]
    absent = [v for v in config.vendors if feeds.get(v.vendor_id) is None]
    mapless = [v for v in present if v.sku_map is not None and v.vendor_id not in sku_maps]
    verdict = judge_inputs(
        config,
        config.vendors,
        missing=[v.vendor_id for v in absent],
        locations={v.vendor_id: f"feeds of {v.vendor_id}/" for v in config.vendors},
        missing_maps={v.vendor_id: f"map of {v.vendor_id}" for v in mapless},
    )
    run = EngineRun(Outcome(), verdict.failure, tuple(verdict.faults), tuple(verdict.warnings))
    if verdict.failure is None:
        for one in present:
            normalized = normalize_vendor(
                config,
                one,
                feeds[one.vendor_id],
                file_name=f"{one.vendor_id}.csv",
                requested_at=requested_at,
                sku_map=None if one.sku_map is None else sku_maps[one.vendor_id],
            )
            run.normalized.append(through_work_files(normalized))
        tell_normalized(run)
        tell_merged(config, run, verdict.warnings)
    tell_failure(run)
    return run


def through_work_files(normalized: NormalizedVendor) -> NormalizedVendor:
    files = {name: b"".join(map(bytes, part)) for name, part in normalized.work_files().items()}
    again = NormalizedVendor.from_work_files(files)
    assert whole(again.csv_chunks()) == whole(normalized.csv_chunks())
    return again


def whole(chunks: Any) -> bytes:
    return b"".join(map(bytes, chunks))


def tell_normalized(run: EngineRun) -> None:
    outcome = run.outcome
    for one in run.normalized:
        run.warnings += tuple(one.warnings)
        outcome.entries.extend(entry_of(entry) for entry in one.entries)
        outcome.valid_rows[one.vendor_id] = one.valid_rows
        outcome.total_rows += one.total_rows
        if one.outcome == "parsed":
            outcome.normalized[one.vendor_id] = whole(one.csv_chunks())
        if one.fault is not None:
            run.faults += (one.fault,)
            outcome.fault_codes[one.vendor_id] = one.fault.error_code
    outcome.invalid_rows = whole(invalid_rows_chunks(run.normalized))
    if not any(one.invalid_rows for one in run.normalized):
        outcome.invalid_rows = b""


def entry_of(entry: ReportEntry) -> Entry:
    data = entry.row_data
    return Entry(
        entry.error_code,
        entry.vendor_id or "",
        entry.row_number or 0,
        entry.column,
        entry.value,
        dict(data) if isinstance(data, Mapping) else list(data or []),
    )


def tell_merged(config: TenantConfig, run: EngineRun, warnings: tuple[ReportEntry, ...]) -> None:
    run.failure = judge_normalized(run.normalized)
    if run.failure is not None:
        return
    merged = merge_vendors(config, run.normalized, warnings=warnings)
    run.failure, run.faults, run.warnings = merged.failure, merged.faults, merged.warnings
    run.outcome.warnings = dict(merged.warning_counts)
    if merged.failure is None:
        assert merged.broken_rules() == []
        run.outcome.merged = whole(merged.csv_chunks())
        run.outcome.record_count = merged.record_count


def tell_failure(run: EngineRun) -> None:
    outcome = run.outcome
    if run.failure is not None:
        outcome.failure, outcome.stage = run.failure.error_code, str(run.failure.stage)
    if not outcome.warnings:
        for entry in run.warnings:
            count = outcome.warnings.get(entry.error_code, 0)
            outcome.warnings[entry.error_code] = count + 1
