"""The steps in order: one way through them for the local runner, the assets and the benchmarks.

`judge_inputs` (``validation/trouble.py``) → `normalize_vendors` → `judge_normalized` →
`merge_vendors`; `RunStages` (``stages.py``) takes a run through them and says what each leaves.
Every vendor is normalized before a run is judged, so that one pass finds all that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import pyarrow as pa

from relay_core.columnar.json_lines import joined_entries
from relay_core.config import TenantConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import FailureCode, Stage, WarningCode
from relay_core.domain.columns import FEED_COLUMNS
from relay_core.domain.limits import DEFAULT_LIMITS, Limits, ReportRoom
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.merge.best_offer import columns_to_merge, merge_offers
from relay_core.merge.result import (
    MergedInventory,
    count_codes,
    rules_broken_by,
    unpriced_warnings,
)
from relay_core.normalize.remedy import NO_LAST_GOOD, Remedy
from relay_core.normalize.result import NormalizedVendor, no_offers
from relay_core.normalize.vendor import ReadRows, SortedVendor, sorted_rows
from relay_core.normalize.vendor_feed import VendorFeed, read_feed
from relay_core.normalize.work_file import work_file_chunks
from relay_core.onboarding.patches import with_patches
from relay_core.validation.contracts import OFFER_SCHEMA
from relay_core.validation.error_policy import judge_policy, own_share_faults
from relay_core.validation.trouble import may_be_empty

_MOST_BESIDE = 64 << 20
"""A feed of more bytes is not read before the vendor before it is done, and memory that reading has
left is given back: two such vendors would be most of what a run holds."""


def columns_to_read(*, hands_over: bool) -> Collection[str]:
    """Return the columns of offers that are read: those of a state, and of a work file all."""
    return OFFER_SCHEMA.names if hands_over else FEED_COLUMNS


def normalize_vendors(
    config: TenantConfig,
    feeds: Iterable[VendorFeed],
    *,
    requested_at: datetime,
    write: Callable[[NormalizedVendor], None],
    hand_over: Callable[[str, Iterator[bytes | memoryview]], None] | None = None,
    columns: Collection[str] | None = None,
    settle: Callable[[SortedVendor], SortedVendor] | None = None,
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
        columns: those of offers that are put in order; by default those that are merged.
        settle: says what is used of a vendor that was read; by default what was read.
        limits: of feeds and reports.

    Raises:
        ContractBrokenError: a step hands on other columns or types than the next one takes (an
            engine defect).
    """
    in_order = columns_to_merge(config) if columns is None else columns
    read_columns = {*columns_to_read(hands_over=hand_over is not None), *in_order}
    if settle is None:
        settle = Remedy(config, requested_at, {}, NO_LAST_GOOD, None, read_columns, limits).settle
    room = ReportRoom(limits.report_entries, limits.report_bytes)

    def finish(read: ReadRows | NormalizedVendor, *, large: bool) -> NormalizedVendor:
        if large:
            pa.default_memory_pool().release_unused()
        ordered = sorted_rows(read, room)
        ordered.vendor = with_patches(config, ordered.vendor)
        ordered = settle(ordered)
        write(ordered.vendor)
        if hand_over is None and not ordered.vendor.is_used:
            return ordered.vendor
        vendor = ordered.with_offers(in_order)
        if hand_over is not None:
            hand_over(vendor.vendor_id, work_file_chunks(ordered, vendor))
        return vendor if vendor.is_used else replace(vendor, offers=no_offers(), rest=None)

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
    used = [vendor for vendor in normalized if vendor.is_used]
    kept = [*warnings, *(entry for vendor in normalized for entry in vendor.warnings)]
    faults = _without_rows(config, parsed, used) or _judge_rows(config, parsed, used, kept)
    if faults:
        return MergedInventory(
            config,
            run_faults.failure_of(faults, Stage.MERGE_PRICE),
            tuple(faults),
            tuple(kept),
            dict(count_codes(kept)),
        )
    winners = merge_offers(config, used)
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
        rest=winners.rest,
        effects=winners.effects,
        broken_rules=rules_broken_by(winners.priced),
    )


def _without_rows(
    config: TenantConfig, parsed: Sequence[NormalizedVendor], used: Sequence[NormalizedVendor]
) -> list[ReportEntry]:
    """Return the faults that feeds without a row make."""
    empty = [vendor.vendor_id for vendor in parsed if not vendor.total_rows]
    fatal = [vendor for vendor in empty if not may_be_empty(config, config.vendor(vendor))]
    if not fatal and len(empty) == len(used):
        return [run_faults.no_rows(None)]
    return list(map(run_faults.no_rows, fatal))


def _judge_rows(
    config: TenantConfig,
    parsed: Sequence[NormalizedVendor],
    used: Sequence[NormalizedVendor],
    warnings: list[ReportEntry],
) -> list[ReportEntry]:
    """Hold the rows against the thresholds; a run within them gets its warning added."""
    invalid, total = ([getattr(v, name) for v in parsed] for name in ("invalid_rows", "total_rows"))
    vendors = [config.vendor(vendor.vendor_id) for vendor in parsed]
    faults = own_share_faults(vendors, invalid, total)
    verdict = judge_policy(config.error_policy, invalid, total)
    if verdict.message:
        faults.append(ReportEntry(str(FailureCode.VALIDATION_ERRORS), verdict.message))
    if faults:
        return faults
    if any(invalid):
        warnings.append(run_faults.tolerated_rows(sum(invalid), sum(total)))
    if any(vendor.valid_rows for vendor in used):
        return []
    return [run_faults.no_valid_rows(sum(vendor.total_rows for vendor in used))]
