"""Vendors to the merged inventory: a checked feed, or a failure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import flags_of
from relay_core.columnar.threads import ordered_map
from relay_core.config import Override, TenantConfig
from relay_core.domain import run_faults
from relay_core.domain.codes import (
    FailureCode,
    Stage,
    VendorStatus,
    WarningCode,
)
from relay_core.domain.limits import DEFAULT_LIMITS, Limits
from relay_core.domain.records import Doubt, ReportEntry, RunFailure
from relay_core.merge.best_offer import Look, Winners, merge_offers
from relay_core.merge.deferred_columns import DeferredColumns
from relay_core.merge.row_counts import RuleEffects
from relay_core.normalize.result import NormalizedCatalog, NormalizedVendor
from relay_core.validation import error_policy, row_checks
from relay_core.validation.comparison import KEPT
from relay_core.validation.row_checks import VALIDATED_ROWS
from relay_core.validation.row_schemas import FEED_ROW_COLUMNS, BrokenRule
from relay_core.validation.vendor_failures import may_be_empty

_NO_AMOUNT = (
    "has no offer with a cost or a price, so it is left out of the feed. "
    "Ask the vendor for its cost."
)
_FREE = (
    "has a price of 0.00, so it is left out of the feed. Set pricing.min_price."
)


@dataclass(frozen=True, slots=True, eq=False)
class MergedInventory:
    """The outcome of merging: a feed, or the failure in its place."""

    config: TenantConfig
    failure: RunFailure | None = None  # the reason that there is no feed
    faults: tuple[ReportEntry, ...] = ()  # the run's own faults
    # The warnings of all steps; of those about SKUs only as many as a report keeps.
    warnings: Sequence[ReportEntry] = ()
    unpriced_skus: int = 0  # the number of SKUs without a price
    # The SKUs without a price, in the column ``sku``; None if no offers were merged
    unpriced: pa.Table | None = None
    # The products that no competing offer has; None if the run does not tell them
    uncovered: pa.Table | None = None
    # The feed's rows by SKU: `FeedRow`, and the columns that the output asks for.
    feed: pa.Table | None = None
    # The other canonical columns of the feed.
    deferred: DeferredColumns | None = None
    # The rows of the feed that nobody offers, kept at a quantity of 0, with all
    # columns.
    kept: pa.Table | None = None
    # The effects of the tenant's own rules.
    effects: RuleEffects = field(default_factory=RuleEffects)
    # The outcome of each vendor's offers; None if no offers were merged.
    counts: Mapping[str, Mapping[str, int]] | None = None
    # The rules of the contract that the feed's rows break; none, unless the engine is
    # defective.
    broken_rules: tuple[BrokenRule, ...] = ()
    # The SKUs that have an override and no offer
    unused_overrides: Sequence[str] = ()
    doubts: Sequence[Doubt] = ()  # the doubts about the rows and margins

    @property
    def record_count(self) -> int:
        """The number of rows of the merged feed; 0 if there is none."""
        return 0 if self.feed is None or self.failure else len(self.feed)

    def competing_skus(self) -> Iterator[pa.StringArray]:
        """Yield the SKUs that have a competing offer, some at a time."""
        for rows in (self.feed, self.unpriced):
            if rows is not None:
                yield from rows["sku"].chunks

    def with_warnings(self, *entries: ReportEntry) -> "MergedInventory":
        """Return the same with more warnings."""
        return replace(self, warnings=[*self.warnings, *entries])

    def titles(self, skus: Collection[str]) -> dict[str, str]:
        """Return the titles of some SKUs of the feed, of those that have one."""
        if self.feed is None or self.deferred is None or not skus:
            return {}
        feed_skus = self.feed["sku"]
        requested = pa.array(sorted(skus), feed_skus.type)
        rows = self.feed.filter(pc.is_in(feed_skus, requested))
        has_titles = "title" in rows.column_names
        columns = rows if has_titles else self.deferred.of(rows)
        titles = columns["title"].to_pylist()
        pairs = zip(rows["sku"].to_pylist(), titles, strict=True)
        return {sku: title for sku, title in pairs if title}

    def skus_won(self) -> dict[str, int]:
        """Return the number of each vendor's offers in the feed."""
        vendor_ids = [vendor.vendor_id for vendor in self.config.vendors]
        if self.feed is None:
            return dict.fromkeys(vendor_ids, 0)
        counts = np.zeros(len(vendor_ids), np.int64)
        for rows in self.feed.to_batches():
            ranks = rows["vendor_id"].indices.to_numpy()
            if self.kept is not None:
                ranks = ranks[~flags_of(rows[KEPT])]
            counts_of_rows = np.bincount(ranks, minlength=len(vendor_ids))
            counts += counts_of_rows[: len(vendor_ids)]
        return dict(zip(vendor_ids, counts.tolist(), strict=True))


def merge_vendors(
    config: TenantConfig,
    normalized: Sequence[NormalizedVendor],
    warnings: Sequence[ReportEntry] = (),
    limits: Limits = DEFAULT_LIMITS,
    overrides: Sequence[Override] = (),
    catalog: NormalizedCatalog | None = None,
    look: Look | None = None,
) -> MergedInventory:
    """Judge the rows, then pick each SKU's best offer and price it.

    The first of these reasons fails the run: no rows, too many rejected rows, no valid
    row, no price.

    Args:
        config: The tenant's config.
        normalized: The vendors that have a feed, none of them failed, in the order of
            the config.
        warnings: The warnings of the steps before.
        limits: The limits of reports.
        overrides: The overrides that the run uses.
        catalog: The catalog, if the run has one.
        look: Looks at the rows that are merged.
    """
    parsed = [
        vendor for vendor in normalized if vendor.status is VendorStatus.FOUND
    ]
    used = [vendor for vendor in normalized if vendor.status.is_used]
    all_warnings = list(warnings)
    for vendor in normalized:
        all_warnings += vendor.warnings
    faults, warnings_of_rows = _judge_rows(config, parsed, used)
    if catalog is not None and not faults:
        faults += catalog.fault_of_rows
    all_warnings += warnings_of_rows
    if faults:
        failure = run_faults.failure_of(faults, Stage.MERGE_PRICE)
        return MergedInventory(
            config,
            failure,
            tuple(faults),
            tuple(all_warnings),
        )
    winners = merge_offers(config, used, overrides, look)
    all_warnings += unpriced_warnings(winners, limits.report_entries)
    unmatched_count = sum(vendor.taken_out for vendor in used)
    return _inventory_of(config, winners, all_warnings, unmatched_count)


def _inventory_of(
    config: TenantConfig,
    winners: Winners,
    warnings: Sequence[ReportEntry],
    unmatched_count: int,
) -> MergedInventory:
    """Return the inventory of the best offers; a failure if none of them has a price."""
    unpriced_count = len(winners.unpriced)
    faults: list[ReportEntry] = []
    if not len(winners.priced):
        free_count = int(pc.sum(winners.unpriced["is_free"]).as_py() or 0)
        fault = run_faults.nothing_priced(
            unpriced_count, free_count, unmatched_count
        )
        faults.append(fault)
    return MergedInventory(
        config=config,
        failure=run_faults.failure_of(faults, Stage.MERGE_PRICE),
        faults=tuple(faults),
        warnings=warnings,
        unpriced_skus=unpriced_count,
        unpriced=winners.unpriced.select(["sku"]),
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
) -> tuple[list[ReportEntry], list[ReportEntry]]:
    """Return the faults of the vendors' rows, and the warnings about rejected rows."""
    faults = _faults_of_rows(config, parsed, used)
    if faults:
        return faults, []
    if not any(vendor.valid_rows for vendor in used):
        total_rows = sum(vendor.total_rows for vendor in used)
        faults.append(run_faults.no_valid_rows(total_rows))
    return faults, _warnings_of_rows(parsed)


def _faults_of_rows(
    config: TenantConfig,
    parsed: Sequence[NormalizedVendor],
    used: Sequence[NormalizedVendor],
) -> list[ReportEntry]:
    """Return the faults of feeds without a row, or of too many rejected rows."""
    empty = [vendor for vendor in parsed if not vendor.total_rows]
    fatal = [
        vendor.trouble or run_faults.no_rows(vendor.vendor_id)
        for vendor in empty
        if not may_be_empty(config, config.vendor(vendor.vendor_id))
    ]
    if fatal:
        return fatal
    if not config.vendors:
        return [run_faults.no_vendors()]
    if len(empty) == len(used):
        return [run_faults.no_rows(None)]
    invalid_rows = [vendor.invalid_rows for vendor in parsed]
    total_rows = [vendor.total_rows for vendor in parsed]
    vendors = [config.vendor(vendor.vendor_id) for vendor in parsed]
    faults = error_policy.own_share_faults(vendors, invalid_rows, total_rows)
    policy = error_policy.judge_policy(
        config.error_policy,
        invalid_rows,
        total_rows,
    )
    if policy.message:
        code = str(FailureCode.VALIDATION_ERRORS)
        faults.append(ReportEntry(code, policy.message))
    return faults


def _warnings_of_rows(parsed: Sequence[NormalizedVendor]) -> list[ReportEntry]:
    """Return the warning about rejected rows that the error policy allows, if any."""
    invalid_rows = sum(vendor.invalid_rows for vendor in parsed)
    if not invalid_rows:
        return []
    code = WarningCode.INVALID_ROWS_WITHIN_THRESHOLD
    total_rows = sum(vendor.total_rows for vendor in parsed)
    return [run_faults.fault_of(code, invalid=invalid_rows, total=total_rows)]


def rules_broken_by(feed: pa.Table) -> tuple[BrokenRule, ...]:
    """Return the rules of the merged contract that a feed's rows break."""
    rows = feed.select(FEED_ROW_COLUMNS)
    starts = range(0, max(1, len(rows)), VALIDATED_ROWS)

    def first_row(start: int) -> int:
        """Return the first row of a part: equal SKUs of two parts are neighbors."""
        return max(0, start - 1)

    def broken_by_part(start: int) -> list[BrokenRule]:
        stop = start + VALIDATED_ROWS
        part = rows.slice(first_row(start), stop - first_row(start))
        return row_checks.broken_rules(part)

    rows_by_rule: dict[tuple[str, str], list[int]] = {}
    for start, broken in zip(
        starts,
        ordered_map(broken_by_part, starts),
        strict=True,
    ):
        for rule in broken:
            broken_rows = rows_by_rule.setdefault((rule.column, rule.rule), [])
            broken_rows += [first_row(start) + row for row in rule.rows]
    return tuple(
        BrokenRule(column, rule, broken_rows)
        for (column, rule), broken_rows in rows_by_rule.items()
    )


def unpriced_warnings(winners: Winners, limit: int) -> list[ReportEntry]:
    """Return a warning for each SKU without a price, at most ``limit``."""
    unpriced = winners.unpriced.slice(0, limit).to_pydict()
    code = str(WarningCode.UNPRICED_SKU)
    warnings = []
    for sku, is_free in zip(unpriced["sku"], unpriced["is_free"], strict=True):
        reason = _FREE if is_free else _NO_AMOUNT
        warnings.append(ReportEntry(code, f"SKU {sku!r} {reason}", sku=sku))
    return warnings
