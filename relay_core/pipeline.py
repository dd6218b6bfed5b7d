"""The steps in order: one way through them for the local runner, the assets and the benchmarks.

`judge_inputs` → `normalize_vendors` → `judge_normalized` → `merge_vendors`; `RunStages` takes a run
through them and says what each stage leaves. Every vendor is normalized before a run is judged, so
that one pass finds all that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import pyarrow as pa

from relay_core.columnar.json_lines import joined_entries
from relay_core.config import TenantConfig, VendorConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import FailureCode, Stage, WarningCode
from relay_core.domain.errors import ContractBrokenError
from relay_core.domain.limits import DEFAULT_LIMITS, Limits, ReportRoom
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.merge.best_offer import columns_to_merge, merge_offers
from relay_core.merge.result import (
    MergedInventory,
    count_codes,
    rules_broken_by,
    unpriced_warnings,
)
from relay_core.normalize.inputs import FoundInputs, judge_inputs, may_be_empty
from relay_core.normalize.result import NormalizedVendor, no_offers
from relay_core.normalize.vendor import ReadRows, sorted_rows
from relay_core.normalize.vendor_feed import VendorFeed, read_feed
from relay_core.normalize.work_file import WORK_FILE, work_file_chunks
from relay_core.publish.feed_csv import feed_chunks
from relay_core.publish.findings import RunFindings
from relay_core.publish.keys import ArtifactKeys
from relay_core.publish.reports import invalid_rows_chunks
from relay_core.validation.contracts import OFFER_SCHEMA
from relay_core.validation.error_policy import judge_policy

_MOST_BESIDE = 64 << 20
"""A feed of more bytes is not read before the vendor before it is done, and memory that reading has
left is given back: two such vendors would be most of what a run holds."""
_MANY_ROWS = 1 << 22
"""Lines of a vendor with more rows are written before anything else is made of them."""
_MOST_ROWS_BEGUN = 1 << 20
"""So many rows' files may be under way; what they are made of is held until they are written."""


def normalize_vendors(
    config: TenantConfig,
    feeds: Iterable[VendorFeed],
    *,
    requested_at: datetime,
    write: Callable[[NormalizedVendor], None],
    hand_over: Callable[[str, Iterator[bytes | memoryview]], None] | None = None,
    columns: Collection[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> list[NormalizedVendor]:
    """Read the feeds in turn; each vendor is sorted, judged and written beside the next's reading.

    All vendors together have as many entries of refused rows as a report keeps.

    Args:
        config: the tenant's config.
        feeds: the inputs, in the order of the config; the next is asked for when it is to be read.
        requested_at: aware; stands in for a null ``updated_at``.
        write: is given each vendor once, in order, on another thread, before its offers are made;
            only it can have ``csv_chunks`` of the vendor. While it waits until they are written,
            less memory is held.
        hand_over: is given each vendor's id and work file, which holds all columns of its offers,
            after that.
        columns: the columns of offers that are kept; by default those that are enough to merge.
        limits: of feeds and reports.

    Raises:
        ContractBrokenError: a step hands on other columns or types than the next one takes (an
            engine defect).
    """
    kept = columns_to_merge(config) if columns is None else columns
    read_columns = kept if hand_over is None else OFFER_SCHEMA.names
    room = ReportRoom(limits.report_entries, limits.report_bytes)

    def finish(read: ReadRows | NormalizedVendor, *, large: bool) -> NormalizedVendor:
        if isinstance(read, NormalizedVendor):
            write(read)
            return read
        if large:
            pa.default_memory_pool().release_unused()
        ordered = sorted_rows(read, room)
        if not ordered.vendor.total_rows and may_be_empty(config, config.vendor(read.vendor_id)):
            emptiness = run_faults.empty_feed(read.vendor_id)
            ordered.vendor = replace(ordered.vendor, warnings=(*ordered.vendor.warnings, emptiness))
        write(ordered.vendor)
        vendor = ordered.with_offers(kept)
        if hand_over is not None:
            hand_over(vendor.vendor_id, work_file_chunks(ordered, vendor))
        return vendor

    finished: list[Future[NormalizedVendor]] = []
    with ThreadPoolExecutor(1) as behind:
        for feed in feeds:
            large = len(feed.data) > _MOST_BESIDE
            if large and finished:
                finished[-1].result()
                pa.default_memory_pool().release_unused()
            read = read_feed(config, feed, requested_at, read_columns, limits)
            if finished:
                finished[-1].result()  # no more than two vendors' rows are held at once
            finished.append(behind.submit(finish, read, large=large))
            del read
    return [vendor.result() for vendor in finished]


def judge_normalized(normalized: Iterable[NormalizedVendor]) -> RunFailure | None:
    """Return the failure of a run of which a feed cannot be used: the first vendor's code."""
    faults = [vendor.fault for vendor in normalized if vendor.fault is not None]
    return run_faults.failure_of(faults, Stage.NORMALIZE)


def merge_vendors(
    config: TenantConfig,
    normalized: Sequence[NormalizedVendor],
    *,
    warnings: Sequence[ReportEntry] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> MergedInventory:
    """Judge the rows, pick each SKU's best offer and price it.

    Judged in this order: no rows, the error policy's thresholds, no valid row, nothing to publish.

    Args:
        config: the tenant's config.
        normalized: the vendors that have a feed, none of them failed, in the order of the config.
        warnings: those of the earlier steps.
        limits: of reports.
    """
    parsed = [vendor for vendor in normalized if vendor.outcome == "parsed"]
    kept = [*warnings, *(entry for vendor in normalized for entry in vendor.warnings)]
    faults = _without_rows(config, parsed) or _judge_rows(config, parsed, kept)
    if faults:
        return MergedInventory(
            config,
            run_faults.failure_of(faults, Stage.MERGE_PRICE),
            tuple(faults),
            tuple(kept),
            dict(count_codes(kept)),
        )
    winners = merge_offers(config, parsed)
    unpriced = unpriced_warnings(winners, limits.report_entries)
    counts = count_codes(kept)
    count = len(winners.unpriced)
    if count:
        counts[str(WarningCode.UNPRICED_SKU)] = count
    nothing = [] if len(winners.priced) else [run_faults.nothing_priced(count, winners.free)]
    return MergedInventory(
        config=config,
        failure=run_faults.failure_of(nothing, Stage.MERGE_PRICE),
        faults=tuple(nothing),
        warnings=joined_entries([kept, unpriced]),
        warning_counts=dict(counts),
        unpriced_skus=count,
        feed=winners.priced,
        broken_rules=rules_broken_by(winners.priced),
    )


def _without_rows(config: TenantConfig, parsed: Sequence[NormalizedVendor]) -> list[ReportEntry]:
    """Return the faults that feeds without a row make."""
    empty = [vendor.vendor_id for vendor in parsed if not vendor.total_rows]
    fatal = [vendor for vendor in empty if not may_be_empty(config, config.vendor(vendor))]
    if not fatal and len(empty) == len(parsed):
        return [run_faults.no_rows(None)]
    return list(map(run_faults.no_rows, fatal))


def _judge_rows(
    config: TenantConfig, parsed: Sequence[NormalizedVendor], warnings: list[ReportEntry]
) -> list[ReportEntry]:
    """Hold the rows against the error policy; a run within it gets its warning added."""
    invalid = sum(vendor.invalid_rows for vendor in parsed)
    total = sum(vendor.total_rows for vendor in parsed)
    verdict = judge_policy(
        config.error_policy,
        [vendor.invalid_rows for vendor in parsed],
        [vendor.total_rows for vendor in parsed],
    )
    if verdict.message:
        return [ReportEntry(str(FailureCode.VALIDATION_ERRORS), verdict.message)]
    if invalid:
        warnings.append(run_faults.tolerated_rows(invalid, total))
    return [run_faults.no_valid_rows(total)] if invalid == total else []


class Sink(Protocol):
    """Where a run's files go: a folder, a bucket."""

    def write(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Begin to write a file."""

    def wait(self) -> None:
        """Return when all is written that was begun."""


@dataclass(slots=True)
class RunStages:
    """One run from its inputs to its feed, and the files that each stage leaves.

    After each stage ``findings.failure`` says whether the run ends there.

    Attributes:
        config: the tenant's config.
        vendors: the vendors of the run, in the order of the config.
        requested_at: aware; stands in for a null ``updated_at``.
        keys: where its files lie.
        sink: where they go.
        findings: what it has found out.
        hands_over: whether another process may take the vendors over from their work files.
        limits: of feeds and reports.
    """

    config: TenantConfig
    vendors: Sequence[VendorConfig]
    requested_at: datetime
    keys: ArtifactKeys
    sink: Sink
    findings: RunFindings
    hands_over: bool = False
    limits: Limits = DEFAULT_LIMITS
    _rows_begun: int = 0

    def judge_inputs(self, inputs: FoundInputs) -> None:
        """Judge which vendors have a feed and a map, as `judge_inputs` does."""
        verdict = judge_inputs(self.config, self.vendors, inputs, self.limits)
        self.findings.warnings, self.findings.faults = verdict.warnings, verdict.faults
        self.findings.failure = verdict.failure

    def normalize(self, feeds: Iterable[VendorFeed]) -> list[NormalizedVendor]:
        """Read every feed and write what it came to, whatever is wrong with another."""
        normalized = normalize_vendors(
            self.config,
            feeds,
            requested_at=self.requested_at,
            write=self._write_lines,
            hand_over=self._write_work_file if self.hands_over else None,
            limits=self.limits,
        )
        self._write_invalid_rows(normalized)
        self.findings.take_normalized(normalized, judge_normalized(normalized))
        return normalized

    def take_over(self, normalized: Sequence[NormalizedVendor]) -> None:
        """Go on with vendors that another process has normalized."""
        self._write_invalid_rows(normalized)
        self.findings.take_normalized(normalized, judge_normalized(normalized))

    def merge(self) -> MergedInventory:
        """Merge and price the vendors; their offers are let go."""
        findings = self.findings
        merged = merge_vendors(
            self.config, findings.normalized, warnings=findings.warnings, limits=self.limits
        )
        findings.take_merged(merged)
        findings.normalized = [replace(each, offers=no_offers()) for each in findings.normalized]
        return merged

    def write_feed(self, merged: MergedInventory) -> None:
        """Write the merged feed.

        Raises:
            ContractBrokenError: it breaks its own contract (an engine defect).
        """
        if merged.broken_rules:
            raise ContractBrokenError(f"the feed breaks its contract: {merged.broken_rules[:3]}")
        self.sink.write(self.keys.merged_inventory, feed_chunks(merged))

    def _write_lines(self, vendor: NormalizedVendor) -> None:
        if vendor.outcome == "parsed":
            self._rows_begun += vendor.total_rows
            if self._rows_begun > _MOST_ROWS_BEGUN:
                self.sink.wait()
                self._rows_begun = vendor.total_rows
            self.sink.write(self.keys.normalized(vendor.vendor_id), vendor.csv_chunks())
            if vendor.total_rows > _MANY_ROWS:
                self.sink.wait()

    def _write_work_file(self, vendor_id: str, chunks: Iterator[bytes | memoryview]) -> None:
        self.sink.write(self.keys.work(vendor_id, WORK_FILE), chunks)

    def _write_invalid_rows(self, normalized: Sequence[NormalizedVendor]) -> None:
        if any(vendor.invalid_rows for vendor in normalized):
            chunks = invalid_rows_chunks(normalized)
            self.sink.write(self.keys.invalid_rows, chunks)
