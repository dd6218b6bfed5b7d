"""The guards of a feed: the SKUs and prices that it may lose or change.

A feed is compared with the published one. Each guard is a share of the SKUs, or of a
vendor's rows. It trips if the share is greater than its limit, compared exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.csv_text import cents_text
from relay_core.columnar.text import flags_of
from relay_core.config import TenantConfig, VendorConfig
from relay_core.config.models import GuardsConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.records import GuardResult
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_core.validation.vendor_failures import (
    VendorState,
    is_absence,
    may_be_empty,
)

Examples: TypeAlias = tuple[Mapping[str, Any], ...]
MAX_EXAMPLES = 5
_HALF = Decimal("0.5")
_MIN_SIZE = 10  # a share of fewer SKUs or rows is not judged
_LARGEST_PRODUCT = 2**62


_OPTIONS = {
    "skus_removed": "max_skus_removed_pct",
    "out_of_stock": "max_out_of_stock_pct",
    "price_drop": "price_drop_pct",
    "price_rise": "price_rise_pct",
    "price_level": "price_level",
    "vendor_rows": "max_vendor_rows_lost_pct",
}
"""The option of each guard that turns it off if it is null, in the order of the results."""


def guards_set(guards: GuardsConfig) -> list[str]:
    """Return the names of the guards that judge runs, in the order of their results."""
    if guards.mode == "off":
        return []
    return [
        name
        for name, option in _OPTIONS.items()
        if getattr(guards, option) is not None
    ]


def vendor_rows_share(
    guards: GuardsConfig,
    vendor_id: str,
    before: int,
    now: int,
) -> GuardResult | None:
    """Return the guard's result for the valid rows that a vendor has lost.

    Return None if the guard is not set, or the vendor had too few rows.

    Args:
        guards: The tenant's guards.
        vendor_id: The vendor.
        before: The number of valid rows in the published run.
        now: The number of valid rows now.
    """
    limit = guards.max_vendor_rows_lost_pct
    if limit is None or before < _MIN_SIZE:
        return None
    lost_rows = max(before - now, 0)
    result = _result("vendor_rows", lost_rows, before, limit)
    return replace(result, vendor_id=vendor_id)


def judge_guards(
    guards: GuardsConfig,
    feeds: Comparison,
    *,
    exempt: Collection[str],
    vendor_rows: Collection[tuple[str, int, int]],
    left_out: Collection[str] = (),
) -> list[GuardResult]:
    """Return the results of the guards, in the order of the contract.

    SKUs that are only kept at 0 count on neither side.

    Args:
        guards: The tenant's guards.
        feeds: The published feed, and the feed that is compared with it.
        exempt: The vendors whose SKUs may be missing.
        vendor_rows: Each vendor, its valid rows before and its valid rows now, in the
            order of the config.
        left_out: The SKUs that the tenant leaves out; they may be missing.
    """
    results = list(_feed_guards(guards, _Offered.of(feeds, exempt, left_out)))
    for vendor_id, before, now in vendor_rows:
        result = vendor_rows_share(guards, vendor_id, before, now)
        if result is not None:
            results.append(result)
    return results


def _result(
    guard: str,
    count: int,
    of: int,
    limit: Decimal,
    min_count: int = 1,
    examples: Examples = (),
) -> GuardResult:
    """Compare a share with its limit; a count below ``min_count`` trips no guard."""
    is_beyond = count > Fraction(limit) * of
    return GuardResult(
        guard=guard,
        vendor_id=None,
        side=None,
        tripped=count >= min_count and is_beyond,
        limit=format(limit, "f"),
        count=count,
        of=of,
        examples=examples,
    )


class _Offered(NamedTuple):
    """The offers of two feeds, side by side."""

    before: FeedFigures  # the published feed
    after: FeedFigures  # the feed that is compared with it
    # The rows of the SKUs that both feeds offer: in the published feed, and in the
    # other.
    rows_before: arrays.RowIndex
    rows_after: arrays.RowIndex
    # The published rows of SKUs that are gone and count
    removed: arrays.RowIndex
    counted: int  # the number of published SKUs that count

    @classmethod
    def of(
        cls,
        feeds: Comparison,
        exempt: Collection[str],
        left_out: Collection[str],
    ) -> _Offered:
        before = feeds.before
        after = feeds.after
        was_offered = before.offered(feeds.rows_before)
        is_offered = after.offered(feeds.rows_after)
        counts = ~before.of_vendors(exempt)
        if left_out:
            left_out_skus = pa.array(left_out, before.skus.type)
            counts &= ~flags_of(pc.is_in(before.skus, left_out_skus))
        in_both = was_offered & is_offered
        removed = feeds.rows_before[was_offered & ~is_offered]
        return cls(
            before=before,
            after=after,
            rows_before=feeds.rows_before[in_both],
            rows_after=feeds.rows_after[in_both],
            removed=removed[counts[removed]],
            counted=int(np.count_nonzero(counts & ~before.kept)),
        )

    def computed_cents(self) -> arrays.Cents:
        """Return the computed price of each SKU that is quarantined.

        The price of all others is -1.
        """
        if self.after.suspect_cents is None:
            return np.full(len(self.rows_after), -1)
        return self.after.suspect_cents[self.rows_after]

    def examples(
        self,
        rows: arrays.RowIndex,
        before: arrays.WholeNumbers,
        after: arrays.WholeNumbers | None,
        write: Callable[[arrays.WholeNumbers], list[Any]],
    ) -> Examples:
        """Return examples of some rows of the published feed.

        Args:
            rows: The rows.
            before: The published number of each row.
            after: The other feed's number of each row; None if it has none.
            write: Writes numbers as the examples show them.
        """
        first_rows = pa.array(rows[:MAX_EXAMPLES])
        skus = self.before.skus.take(first_rows).to_pylist()
        numbers_before = write(before[:MAX_EXAMPLES])
        numbers_after = [None] * len(skus)
        if after is not None:
            numbers_after = write(after[:MAX_EXAMPLES])
        triples = zip(skus, numbers_before, numbers_after, strict=True)
        return tuple(
            {"sku": sku, "before": number_before, "after": number_after}
            for sku, number_before, number_after in triples
        )


def _feed_guards(
    guards: GuardsConfig,
    feeds: _Offered,
) -> Iterator[GuardResult]:
    """Yield the results of the guards of whole feeds."""
    if guards.max_skus_removed_pct is not None:
        yield _skus_removed(guards.max_skus_removed_pct, feeds)
    if guards.max_out_of_stock_pct is not None:
        yield from _out_of_stock(guards.max_out_of_stock_pct, feeds)
    yield from _price_guards(guards, feeds)


def _skus_removed(limit: Decimal, feeds: _Offered) -> GuardResult:
    removed = feeds.removed
    cents = feeds.before.cents[removed]
    examples = feeds.examples(removed, cents, None, _money)
    return _result(
        "skus_removed",
        len(removed),
        feeds.counted,
        limit,
        examples=examples,
    )


def _out_of_stock(limit: Decimal, feeds: _Offered) -> Iterator[GuardResult]:
    quantities_before = feeds.before.quantities[feeds.rows_before]
    quantities_after = feeds.after.quantities[feeds.rows_after]
    was_in_stock = quantities_before > 0
    size = int(was_in_stock.sum())
    if size < _MIN_SIZE:
        return
    is_gone = was_in_stock & (quantities_after == 0)
    examples = feeds.examples(
        feeds.rows_before[is_gone],
        quantities_before[is_gone],
        quantities_after[is_gone],
        np.ndarray.tolist,
    )
    count = int(is_gone.sum())
    yield _result("out_of_stock", count, size, limit, examples=examples)


def _price_guards(
    guards: GuardsConfig,
    feeds: _Offered,
) -> Iterator[GuardResult]:
    """Yield the results of the guards of the prices of SKUs that both feeds offer."""
    rows = feeds.rows_before
    before = feeds.before.cents[rows]
    after = feeds.after.cents[feeds.rows_after]
    min_count = guards.min_price_jumps

    def moved(
        guard: str,
        has_moved: arrays.RowMask,
        limit: Decimal,
        min_count: int,
    ) -> GuardResult:
        examples = feeds.examples(
            rows[has_moved],
            before[has_moved],
            after[has_moved],
            _money,
        )
        count = int(has_moved.sum())
        return _result(guard, count, len(rows), limit, min_count, examples)

    limit = guards.max_price_jumps_pct
    if guards.price_drop_pct is not None:
        has_dropped = falls_below(before, after, 1 - guards.price_drop_pct)
        yield moved("price_drop", has_dropped, limit, min_count)
    if guards.price_rise_pct is not None:
        factor = 1 / (1 + Fraction(guards.price_rise_pct))
        has_risen = falls_below(after, before, factor)
        yield moved("price_rise", has_risen, limit, min_count)
    if len(rows) < _MIN_SIZE:
        return
    if guards.price_level is not None:
        is_low = falls_below(before, after, guards.price_level.low)
        yield replace(moved("price_level", is_low, _HALF, 1), side="low")
        is_high = falls_below(
            after,
            before,
            1 / Fraction(guards.price_level.high),
        )
        yield replace(moved("price_level", is_high, _HALF, 1), side="high")
    if guards.quarantine is not None:
        yield _quarantined(guards.quarantine.max_pct, min_count, feeds)


def _quarantined(
    limit: Decimal,
    min_count: int,
    feeds: _Offered,
) -> GuardResult:
    """Return the guard's result for the quarantined SKUs.

    They keep their price, since the new one cannot be right.
    """
    cents = feeds.after.cents[feeds.rows_after]
    computed_cents = feeds.computed_cents()
    is_quarantined = computed_cents >= 0
    examples = feeds.examples(
        feeds.rows_before[is_quarantined],
        cents[is_quarantined],
        computed_cents[is_quarantined],
        _money,
    )
    count = int(is_quarantined.sum())
    return _result("quarantined", count, len(cents), limit, min_count, examples)


def falls_below(
    old: arrays.WholeNumbers,
    new: arrays.WholeNumbers,
    factor: Decimal | Fraction,
) -> arrays.RowMask:
    """Return the mask of new amounts below the old ones times a factor."""
    numerator, denominator = factor.as_integer_ratio()
    largest_old = int(old.max(initial=0)) * numerator
    largest_new = int(new.max(initial=0)) * denominator
    fits = max(largest_old, largest_new) < _LARGEST_PRODUCT
    kind: type = np.int64 if fits else np.object_
    limits: Any = old.astype(kind) * numerator
    amounts: Any = new.astype(kind) * denominator
    return np.asarray(amounts < limits, np.bool_)


def _money(cents: arrays.Cents) -> list[str]:
    texts: list[str] = cents_text(cents).to_pylist()
    return texts


def exempt(
    config: TenantConfig,
    vendors: Collection[VendorConfig],
    states: Mapping[str, VendorState],
) -> set[str]:
    """Return the vendors that are absent and may be: their SKUs may be gone."""
    exempt_vendors = set()
    for vendor in vendors:
        state = states[vendor.vendor_id]
        if state.failure is None or state.status is VendorStatus.LAST_GOOD:
            continue
        if is_absence(state.failure) and may_be_empty(config, vendor):
            exempt_vendors.add(vendor.vendor_id)
    return exempt_vendors
