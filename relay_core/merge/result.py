"""Vendors to the merged inventory: the feed's rows, held against their contract, or a failure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pyarrow as pa

from relay_core.columnar.threads import ordered_map
from relay_core.config import Override, TenantConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import FailureCode, Stage, VendorStatus, WarningCode
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.records import ReportEntry, RunFailure
from relay_core.merge.best_offer import DeferredColumns, Winners, merge_offers
from relay_core.merge.vendor_offers import RuleEffects
from relay_core.normalize.result import NormalizedVendor
from relay_core.validation.comparison import KEPT
from relay_core.validation.contracts import (
    MERGED_SCHEMA,
    OUTPUT_COLUMNS,
    VALIDATED_ROWS,
    BrokenRule,
    broken_rules,
    table_of,
)
from relay_core.validation.vendor_failures import (
    judge_policy,
    may_be_empty,
    own_share_faults,
)

_NO_AMOUNT = (
    "has no offer with a cost or a price, so it is left out of the feed; "
    "ask a vendor for its cost"
)
_FREE = "has a price that comes to 0.00, so it is left out of the feed; set pricing.min_price"


@dataclass(frozen=True, slots=True, eq=False)
class MergedInventory:
    """The outcome of merging: a feed, or the failure that stands in its place."""

    config: TenantConfig
    failure: RunFailure | None = None  # why there is no feed
    faults: tuple[ReportEntry, ...] = ()  # the run's own faults
    warnings: Sequence[
        ReportEntry
    ] = ()  # those of all steps; of SKUs as many as a report keeps
    unpriced_skus: int = 0  # how many SKUs have no price
    feed: pd.DataFrame | None = (
        None  # its rows by SKU (``FeedRow``, what the output asks for)
    )
    deferred: DeferredColumns | None = None  # the other canonical columns of the feed
    kept: pa.Table | None = (
        None  # its rows that nobody offers, kept at 0, with all columns
    )
    effects: RuleEffects = field(
        default_factory=RuleEffects
    )  # what the tenant's own rules did
    # Of each vendor what became of its offers; None where none were merged
    counts: Mapping[str, Mapping[str, int]] | None = None
    # What the contract finds wrong with its rows, once all are there; nothing, unless the engine is
    broken_rules: tuple[BrokenRule, ...] = ()
    unused_overrides: Sequence[str] = ()  # the SKUs that have an override, and no offer

    @property
    def record_count(self) -> int:
        """How many rows the merged feed has; 0 where there is none."""
        return 0 if self.feed is None or self.failure else len(self.feed)

    def with_warnings(self, *entries: ReportEntry) -> "MergedInventory":
        """Return the same with more warnings."""
        return replace(self, warnings=[*self.warnings, *entries])

    def titles(self, skus: Collection[str]) -> dict[str, str]:
        """Return the titles of some SKUs of the feed, of those that have one."""
        if self.feed is None or self.deferred is None or not skus:
            return {}
        found = table_of(self.feed[self.feed["sku"].isin(skus)])
        rows = found if "title" in found.column_names else self.deferred.of(found)
        titles = rows["title"]
        pairs = zip(found["sku"].to_pylist(), titles.to_pylist(), strict=True)
        return {sku: title for sku, title in pairs if title}

    def skus_won(self) -> dict[str, int]:
        """Return how many offers of each vendor are in the feed, in the order of the config."""
        won: Mapping[Any, int] = {}
        if self.feed is not None:
            vendor_ids = self.feed["vendor_id"]
            offered = vendor_ids if self.kept is None else vendor_ids[~self.feed[KEPT]]
            won = offered.value_counts().to_dict()
        return {
            each.vendor_id: int(won.get(each.vendor_id, 0))
            for each in self.config.vendors
        }


def merge_vendors(
    config: TenantConfig,
    normalized: Sequence[NormalizedVendor],
    warnings: Sequence[ReportEntry] = (),
    limits: Limits = DEFAULT_LIMITS,
    overrides: Sequence[Override] = (),
) -> "MergedInventory":
    """Judge the rows, pick each SKU's best offer and price it.

    Judged in this order: no rows, the error policy's thresholds, no valid row, nothing to publish.
    The vendors are those that have a feed, none of them failed, in the order of the config.
    """
    parsed = [vendor for vendor in normalized if vendor.status is VendorStatus.FOUND]
    used = [vendor for vendor in normalized if vendor.status.is_used]
    kept = [*warnings, *(entry for vendor in normalized for entry in vendor.warnings)]
    faults = _judge_rows(config, parsed, used, kept)
    if faults:
        failure = run_faults.failure_of(faults, Stage.MERGE_PRICE)
        return MergedInventory(config, failure, tuple(faults), tuple(kept))
    winners = merge_offers(config, used, overrides)
    count = len(winners.unpriced)
    free = int(winners.unpriced["is_free"].sum())
    nothing = [] if len(winners.priced) else [run_faults.nothing_priced(count, free)]
    return MergedInventory(
        config=config,
        failure=run_faults.failure_of(nothing, Stage.MERGE_PRICE),
        faults=tuple(nothing),
        warnings=[*kept, *unpriced_warnings(winners, limits.report_entries)],
        unpriced_skus=count,
        feed=winners.priced,
        deferred=winners.deferred,
        effects=winners.effects,
        counts=winners.counts,
        unused_overrides=winners.unused,
    )


def _judge_rows(
    config: TenantConfig,
    parsed: Sequence[NormalizedVendor],
    used: Sequence[NormalizedVendor],
    warnings: list[ReportEntry],
) -> list[ReportEntry]:
    """Return faults of feeds without a row, or of rows over the thresholds; under them warn."""
    empty = [vendor.vendor_id for vendor in parsed if not vendor.total_rows]
    fatal = [
        vendor for vendor in empty if not may_be_empty(config, config.vendor(vendor))
    ]
    if fatal:
        return list(map(run_faults.no_rows, fatal))
    if len(empty) == len(used):
        return [run_faults.no_rows(None)]
    invalid, total = (
        [getattr(v, name) for v in parsed] for name in ("invalid_rows", "total_rows")
    )
    vendors = [config.vendor(vendor.vendor_id) for vendor in parsed]
    faults = own_share_faults(vendors, invalid, total)
    verdict = judge_policy(config.error_policy, invalid, total)
    if verdict.message:
        faults.append(ReportEntry(str(FailureCode.VALIDATION_ERRORS), verdict.message))
    if faults:
        return faults
    if any(invalid):
        code = WarningCode.INVALID_ROWS_WITHIN_THRESHOLD
        warnings.append(
            run_faults.fault_of(code, invalid=sum(invalid), total=sum(total))
        )
    if any(vendor.valid_rows for vendor in used):
        return []
    return [run_faults.no_valid_rows(sum(vendor.total_rows for vendor in used))]


def rules_broken_by(feed: pd.DataFrame) -> tuple[BrokenRule, ...]:
    """Hold a feed against the merged contract."""
    rows = feed[list(OUTPUT_COLUMNS)]
    # Each part begins with the last row of the one before: in order, equal SKUs are neighbours.
    starts = range(0, max(1, len(rows)), VALIDATED_ROWS)
    parts = (
        rows.iloc[max(0, at - 1) : at + VALIDATED_ROWS].reset_index(drop=True)
        for at in starts
    )
    found = ordered_map(lambda part: broken_rules(MERGED_SCHEMA, part), parts)
    labels: dict[tuple[str, str], list[int]] = {}
    for at, rules in zip(starts, found, strict=True):
        for each in rules:
            known = labels.setdefault((each.column, each.rule), [])
            known += (max(0, at - 1) + row for row in each.rows)
    return tuple(BrokenRule(*of, rows) for of, rows in labels.items())


def unpriced_warnings(winners: Winners, limit: int) -> list[ReportEntry]:
    """Return a warning for each SKU without a price, at most so many."""
    head = winners.unpriced.head(limit)
    code = str(WarningCode.UNPRICED_SKU)
    return [
        ReportEntry(code, f"SKU {sku!r} {_FREE if is_free else _NO_AMOUNT}", sku=sku)
        for sku, is_free in zip(head["sku"], head["is_free"], strict=True)
    ]
