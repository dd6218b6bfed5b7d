"""The guards of a feed: what it may lose or change against the published one.

Each guard is a share: so many of the SKUs, or of a vendor's rows, are affected. It trips where the
share is greater than its limit, compared exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import cents_text
from relay_core.columnar.text import Bools, Ints, Rows, flags_of
from relay_core.config.models import GuardsConfig
from relay_core.domain.records import GuardResult
from relay_core.validation.comparison import Comparison, FeedFigures

Examples: TypeAlias = tuple[Mapping[str, Any], ...]
MAX_EXAMPLES = 5
_HALF = Decimal("0.5")
_MIN_SIZE = 10  # shares of fewer SKUs, or rows, say nothing
_ROOM = 2**62


def vendor_rows_share(
    guards: GuardsConfig, vendor_id: str, before: int, now: int
) -> GuardResult | None:
    """Return the verdict on how many valid rows a vendor has lost; None where none is given."""
    limit = guards.max_vendor_rows_lost_pct
    if limit is None or before < _MIN_SIZE:
        return None
    judged = _judged("vendor_rows", max(before - now, 0), before, limit)
    return replace(judged, vendor_id=vendor_id)


def judge_guards(
    guards: GuardsConfig,
    found: Comparison,
    *,
    exempt: Collection[str],
    vendor_rows: Collection[tuple[str, int, int]],
    left_out: Collection[str] = (),
) -> list[GuardResult]:
    """Hold a feed against the published one, which is the first of both.

    SKUs that are only kept at 0 are in neither. Those of exempt vendors, and those that the tenant
    wants left out, may be missing. Of vendors there are the valid rows before and now, in the order
    of the config. The results are of all guards that have enough to judge, in the order of the
    contract.
    """
    return [
        *_feed_guards(guards, _Offered.of(found, exempt, left_out)),
        *(
            lost
            for rows in vendor_rows
            if (lost := vendor_rows_share(guards, *rows)) is not None
        ),
    ]


def _judged(
    guard: str,
    count: int,
    of: int,
    limit: Decimal,
    min_count: int = 1,
    examples: Examples = (),
) -> GuardResult:
    """Hold a share against its limit; fewer than ``min_count`` trip no guard."""
    tripped = count >= min_count and count > Fraction(limit) * of
    return GuardResult(
        guard, None, None, tripped, format(limit, "f"), count, of, examples
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Offered:
    """The offers of two feeds, side by side."""

    before: FeedFigures  # the published feed
    after: FeedFigures  # the candidate
    in_both: tuple[Rows, Rows]  # the rows of each of SKUs that both offer
    removed: Rows  # the rows of the published feed whose SKU is gone and counts
    counted: int  # how many of its SKUs count

    @classmethod
    def of(
        cls, found: Comparison, exempt: Collection[str], left_out: Collection[str]
    ) -> _Offered:
        was, now = found.rows_before, found.rows_after
        offered, still = found.before.offered(was), found.after.offered(now)
        counts = ~found.before.of_vendors(exempt)
        if left_out:
            skus = found.before.skus
            counts &= ~flags_of(pc.is_in(skus, pa.array(left_out, skus.type)))
        gone = was[offered & ~still]
        return cls(
            found.before,
            found.after,
            (was[offered & still], now[offered & still]),
            gone[counts[gone]],
            int(np.count_nonzero(counts & ~found.before.kept)),
        )

    def examples(
        self,
        rows: Rows,
        before: Ints,
        after: Ints | None,
        write: Callable[[Ints], list[Any]],
    ) -> Examples:
        """Return the first of some rows of the published feed, with what each was and is."""
        names = self.before.skus.take(pa.array(rows[:MAX_EXAMPLES])).to_pylist()
        now = [None] * len(names) if after is None else write(after[:MAX_EXAMPLES])
        triples = zip(names, write(before[:MAX_EXAMPLES]), now, strict=True)
        return tuple(
            {"sku": sku, "before": was, "after": is_now} for sku, was, is_now in triples
        )


def _feed_guards(guards: GuardsConfig, found: _Offered) -> Iterator[GuardResult]:
    rows, others = found.in_both
    before, after = prices = found.before.cents[rows], found.after.cents[others]
    few = guards.min_price_jumps

    def moved(
        guard: str,
        which: Bools,
        limit: Decimal,
        min_count: int,
        sides: tuple[Ints, Ints] = prices,
    ) -> GuardResult:
        was, now = (cents[which] for cents in sides)
        examples = found.examples(rows[which], was, now, _money)
        return _judged(
            guard, int(which.sum()), len(rows), limit, min_count, examples=examples
        )

    if guards.max_skus_removed_pct is not None:
        gone, of = found.removed, found.counted
        examples = found.examples(gone, found.before.cents[gone], None, _money)
        limit = guards.max_skus_removed_pct
        yield _judged("skus_removed", len(gone), of, limit, examples=examples)
    if guards.max_out_of_stock_pct is not None:
        had, has = found.before.quantities[rows], found.after.quantities[others]
        empty, of = (had > 0) & (has == 0), int((had > 0).sum())
        if of >= _MIN_SIZE:
            examples = found.examples(
                rows[empty], had[empty], has[empty], np.ndarray.tolist
            )
            limit = guards.max_out_of_stock_pct
            yield _judged(
                "out_of_stock", int(empty.sum()), of, limit, examples=examples
            )
    limit = guards.max_price_jumps_pct
    if guards.price_drop_pct is not None:
        dropped = falls_below(before, after, 1 - guards.price_drop_pct)
        yield moved("price_drop", dropped, limit, few)
    if guards.price_rise_pct is not None:
        rose = falls_below(after, before, 1 / (1 + Fraction(guards.price_rise_pct)))
        yield moved("price_rise", rose, limit, few)
    if guards.price_level is not None and len(rows) >= _MIN_SIZE:
        low, high = guards.price_level.low, Fraction(guards.price_level.high)
        for side, beyond in (
            ("low", (before, after, low)),
            ("high", (after, before, 1 / high)),
        ):
            yield replace(
                moved("price_level", falls_below(*beyond), _HALF, 1), side=side
            )
    if guards.quarantine is not None and len(rows) >= _MIN_SIZE:
        # How many of the SKUs in both keep their price, as the new one cannot be right.
        suspect = found.after.suspect_cents
        computed = np.full(len(rows), -1) if suspect is None else suspect[others]
        yield moved(
            "quarantined",
            computed >= 0,
            guards.quarantine.max_pct,
            few,
            (after, computed),
        )


def falls_below(old: Ints, new: Ints, factor: Decimal | Fraction) -> Bools:
    """Return which amounts are below the exact product of the others and a factor."""
    numerator, denominator = factor.as_integer_ratio()
    largest = max(
        int(old.max(initial=0)) * numerator, int(new.max(initial=0)) * denominator
    )
    kind: type = np.int64 if largest < _ROOM else np.object_
    products: Any = old.astype(kind) * numerator
    return np.asarray(new.astype(kind) * denominator < products, np.bool_)


def _money(cents: Ints) -> list[str]:
    texts: list[str] = cents_text(cents).to_pylist()
    return texts
