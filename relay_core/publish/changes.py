"""The changes of a feed against the published one: changes.csv, and its counts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.csv_text import cents_text, header_line, lines, quoted
from relay_core.columnar.text import Bools, Ints, Rows, integers_of
from relay_core.columnar.threads import ordered_map
from relay_core.validation.comparison import Comparison
from relay_core.validation.contracts import CENTS

COLUMNS = (
    *("sku", "change", "vendor_id_before", "vendor_id_after"),
    *("quantity_before", "quantity_after", "price_before", "price_after"),
)
_SLICE = 1 << 16
_PARTS = 10_000
_ROOM = 2**62


@dataclass(frozen=True, slots=True)
class PriceMove:
    """The move of a SKU's price."""

    sku: str  # the SKU
    before: str  # its price in the published feed, with 2 places
    after: str  # its price now
    share: str  # how far, as a share of the price before: 4 places, half up, a fall with a minus


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """The changes of a feed against the published one."""

    baseline_run_id: str  # the run whose feed that is
    counts: Mapping[
        str, int
    ]  # of SKUs that were ``added``, and so on, as the summary has them
    # The SKUs that differ, in order: the columns of changes.csv, typed, null on the side where a
    # SKU is absent
    rows: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers as run_summary.json has them."""
        return {"baseline_run_id": self.baseline_run_id, **self.counts}

    def csv_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield changes.csv piece by piece."""
        yield header_line(COLUMNS)

        def lines_of(batch: pa.RecordBatch) -> memoryview:
            sku, *others = batch.columns
            return lines([quoted(sku), *(cells.cast(pa.string()) for cells in others)])

        yield from ordered_map(lines_of, self.rows.to_batches(_SLICE))

    def greatest_moves(self, limit: int) -> tuple[list[PriceMove], list[PriceMove]]:
        """Return the greatest rises and falls, each at most ``limit``, by share, then by SKU."""
        (before, is_new), (after, is_gone) = (
            integers_of(self.rows[name]) for name in ("price_before", "price_after")
        )
        in_both = ~(is_new | is_gone)
        rises, falls = (
            self._greatest(in_both & moved, before, after, limit)
            for moved in (after > before, after < before)
        )
        return rises, falls

    def _greatest(
        self, moved: Bools, before: Ints, after: Ints, limit: int
    ) -> list[PriceMove]:
        rows = np.flatnonzero(moved)
        was, far = before[rows], after[rows] - before[rows]
        sign = np.sign(far)
        # By how many ten-thousandths of themselves prices have moved, half up.
        largest = 2 * max(
            int(abs(far).max(initial=0)) * _PARTS, int(was.max(initial=0))
        )
        if largest >= _ROOM:
            was, far = was.astype(np.object_), far.astype(np.object_)
        shares = sign * ((2 * _PARTS * abs(far) + was) // (2 * was))
        first = np.argsort(-abs(shares), kind="stable")[:limit]
        rows, texts = (
            rows[first],
            (f"{Decimal(int(n)).scaleb(-4):f}" for n in shares[first]),
        )
        prices = (cents_text(cents[rows]).to_pylist() for cents in (before, after))
        skus = self.rows["sku"].take(pa.array(rows)).to_pylist()
        return list(map(PriceMove, skus, *prices, texts))


def compare(found: Comparison, baseline_run_id: str) -> Changes:
    """Return the changes of a feed against the first, the published one; rows at 0 count."""
    before, after, was, now = (
        found.before,
        found.after,
        found.rows_before,
        found.rows_after,
    )
    added, removed = was < 0, now < 0
    in_both = ~(added | removed)
    own, others = was[in_both], now[in_both]
    had, has = before.quantities[own], after.quantities[others]
    old, new = before.cents[own], after.cents[others]
    names = after.vendor_ids.dictionary.to_pylist()
    known = before.vendor_ids.dictionary.to_pylist()
    same = np.array([names.index(name) if name in names else -1 for name in known])
    other_vendor = same[before.vendor_codes[own]] != after.vendor_codes[others]
    differs = other_vendor | (had != has) | (old != new)
    changed = np.zeros(len(was), np.bool_)
    changed[in_both] = differs
    groups = {
        "added": added,
        "removed": removed,
        "changed": changed,
        "unchanged": ~differs,
        "price_up": new > old,
        "price_down": new < old,
        "came_in_stock": (had == 0) & (has > 0),
        "went_out_of_stock": (had > 0) & (has == 0),
        "vendor_changed": other_vendor,
    }
    counts = {name: int(np.count_nonzero(each)) for name, each in groups.items()}
    rows = np.flatnonzero(added | removed | changed)
    kinds = pa.array(np.select([added[rows], removed[rows]], [0, 1], 2).astype(np.int8))
    change = pa.DictionaryArray.from_arrays(kinds, list(groups)[:3])
    return Changes(baseline_run_id, counts, _rows(found, change, was[rows], now[rows]))


def _rows(found: Comparison, change: pa.Array, was: Rows, now: Rows) -> pa.Table:
    """Return the columns of changes.csv, null on the side where a SKU is absent."""
    now_there = found.after.skus.take(pa.array(now, mask=now < 0))
    gone = found.before.skus.take(pa.array(was, mask=now >= 0))
    columns = {"sku": pc.coalesce(now_there, gone), "change": change}
    for side, figures, rows in (
        ("before", found.before, was),
        ("after", found.after, now),
    ):
        there = pa.array(rows, mask=rows < 0)
        columns[f"vendor_id_{side}"] = figures.vendor_ids.take(there)
        columns[f"quantity_{side}"] = pa.array(figures.quantities).take(there)
        columns[f"price_{side}"] = pa.array(figures.cents).view(CENTS).take(there)
    return pa.table({name: columns[name] for name in COLUMNS})
