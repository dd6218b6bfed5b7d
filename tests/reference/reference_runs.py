"""Run the real engine over bytes in memory, and say what came out in the yardstick's words."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reference_engine import Outcome
from reference_rows import Entry
from relay_core.config import TenantConfig, VendorConfig, load_config
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.merge.result import merge_vendors, rules_broken_by
from relay_core.normalize.result import Normalized, NormalizedVendor
from relay_core.normalize.vendor_feed import VendorFeed
from relay_core.normalize.work_file import read_work_file
from relay_core.publish.feed import feed_chunks
from relay_core.publish.reports import invalid_rows_chunks
from relay_core.validation.vendor_failures import (
    InputVerdict,
    VendorInput,
    judge_inputs,
)
from support.builders import REQUESTED_AT
from support.normalizing import (
    Written,
    entries_of,
    normalize_vendors,
    offers_of,
    whole,
)


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

    def normalized_rows(
        self, vendor_id: str = "vendor_1"
    ) -> list[dict[str, str]]:
        """The rows of one vendor's normalized.csv."""
        return rows(self.outcome.normalized[vendor_id])


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def run_document(
    document: Mapping[str, Any],
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes] | None = None,
    requested_at: datetime = REQUESTED_AT,
    limits: Limits = DEFAULT_LIMITS,
) -> EngineRun:
    return run_engine(
        load_config(document), feeds, sku_maps or {}, requested_at, limits
    )


def run_engine(
    config: TenantConfig,
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes],
    requested_at: datetime,
    limits: Limits = DEFAULT_LIMITS,
) -> EngineRun:
    """Take a run through all its steps; rows go from step to step as work files."""
    present = [v for v in config.vendors if feeds.get(v.vendor_id) is not None]
    verdict = judge_inputs(
        config,
        config.vendors,
        {v.vendor_id: input_of(v, feeds, sku_maps) for v in present},
        requested_at=requested_at,
        locations={
            v.vendor_id: f"feeds of {v.vendor_id}/" for v in config.vendors
        },
        limits=limits,
        last_good=None,
    )
    run = EngineRun(
        Outcome(),
        verdict.failure,
        tuple(verdict.faults),
        tuple(verdict.warnings),
    )
    if verdict.failure is None:
        written = Written()
        in_memory = normalize_vendors(
            config,
            [feed_of(vendor_id, feeds, sku_maps) for vendor_id in present],
            requested_at=requested_at,
            sink=written,
            hands_over=True,
            limits=limits,
        )
        run.normalized = [
            through_work_file(vendor, written) for vendor in in_memory
        ]
        run.outcome.normalized = written.csv
        tell_normalized(run)
        tell_merged(config, run, verdict.warnings)
    tell_failure(run)
    return run


def input_of(
    vendor: VendorConfig,
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes],
) -> VendorInput:
    """Return the sizes of what a vendor has uploaded."""
    vendor_id = vendor.vendor_id
    map_size = len(sku_maps[vendor_id]) if vendor_id in sku_maps else None
    return VendorInput.of_one(
        len(feeds[vendor_id] or b""), sku_map_size=map_size
    )


def feed_of(
    vendor: VendorConfig,
    feeds: Mapping[str, bytes | None],
    sku_maps: Mapping[str, bytes],
) -> VendorFeed:
    name = vendor.vendor_id
    sku_map = None if vendor.sku_map is None else sku_maps[name]
    return VendorFeed.of_one(vendor, feeds[name] or b"", f"{name}.csv", sku_map)


def through_work_file(
    vendor: NormalizedVendor, written: Written
) -> NormalizedVendor:
    data = written.work_files.get(vendor.vendor_id)
    if data is None:
        assert vendor.valid_rows == 0
        return vendor
    again = read_work_file(data)
    assert offers_of(again).equals(offers_of(vendor))
    assert again.rejected_rows.equals(vendor.rejected_rows)
    return again


def tell_normalized(run: EngineRun) -> None:
    outcome = run.outcome
    for vendor in run.normalized:
        run.warnings += tuple(vendor.warnings)
        outcome.entries.extend(entry_of(entry) for entry in entries_of(vendor))
        outcome.valid_rows[vendor.vendor_id] = vendor.valid_rows
        outcome.total_rows += vendor.total_rows
        if vendor.fault is not None:
            run.faults += (vendor.fault,)
            outcome.fault_codes[vendor.vendor_id] = vendor.fault.error_code
    outcome.invalid_rows = whole(invalid_rows_chunks(run.normalized))
    if not any(vendor.invalid_rows for vendor in run.normalized):
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


def tell_merged(
    config: TenantConfig, run: EngineRun, warnings: tuple[ReportEntry, ...]
) -> None:
    run.failure = Normalized.of(InputVerdict(), run.normalized).failure
    if run.failure is not None:
        return
    merged = merge_vendors(config, run.normalized, warnings=warnings)
    run.failure = merged.failure
    run.faults = merged.faults
    run.warnings = merged.warnings
    run.outcome.warnings = dict(
        Counter(entry.error_code for entry in merged.warnings)
    )
    if merged.failure is None:
        assert merged.feed is not None
        assert rules_broken_by(merged.feed) == ()
        run.outcome.merged = whole(feed_chunks(merged))
        run.outcome.record_count = merged.record_count


def tell_failure(run: EngineRun) -> None:
    outcome = run.outcome
    if run.failure is not None:
        outcome.failure = run.failure.error_code
        outcome.stage = str(run.failure.stage)
    if not outcome.warnings:
        for entry in run.warnings:
            count = outcome.warnings.get(entry.error_code, 0)
            outcome.warnings[entry.error_code] = count + 1
