"""The changes between the published feed and a new one: changes.csv and its counts."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.columnar.arrays import Cents, RowIndex, RowMask, WholeNumbers
from relay_core.columnar.text import integers_of
from relay_core.columnar.threads import ordered_map
from relay_core.validation.comparison import Comparison, FeedFigures
from relay_core.validation.row_schemas import CENTS

CHANGES_COLUMNS = (
    "sku",
    "change",
    "vendor_id_before",
    "vendor_id_after",
    "quantity_before",
    "quantity_after",
    "price_before",
    "price_after",
)
_SLICE_ROWS = 1 << 16
_TEN_THOUSANDTHS = 10_000
# Sums of two numbers below this limit fit into 64 bits.
_SAFE_LIMIT = 2**62


class PriceMove(NamedTuple):
    """The move of one SKU's price from the published feed to the new one."""

    sku: str  # the SKU
    before: str  # the published price, with 2 decimal places
    after: str  # the new price, with 2 decimal places
    # The move as a share of the published price, with 4 decimal places, rounded half
    # up; negative for a fall
    share: str


class Changes(NamedTuple):
    """The changes between the published feed and a new one."""

    baseline_run_id: str  # the run that made the published feed
    # The number of SKUs by kind of change, under the names of run_summary.json
    counts: Mapping[str, int]
    # The SKUs that differ, in order, with the columns of changes.csv; cells are null
    # on the side that lacks the SKU
    rows: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as run_summary.json shows them."""
        return {"baseline_run_id": self.baseline_run_id, **self.counts}

    def csv_chunks(
        self,
        *,
        escape_formulas: bool = False,
    ) -> Iterator[bytes | memoryview]:
        """Yield changes.csv piece by piece.

        With ``escape_formulas``, no spreadsheet takes a SKU for a formula.
        """
        yield csv_text.header_line(CHANGES_COLUMNS)

        def lines_of(batch: pa.RecordBatch) -> memoryview:
            sku, *other_columns = batch.columns
            if escape_formulas:
                sku = csv_text.without_formulas(sku)
            cells = [column.cast(pa.string()) for column in other_columns]
            return csv_text.lines([csv_text.quoted(sku), *cells])

        yield from ordered_map(lines_of, self.rows.to_batches(_SLICE_ROWS))

    def greatest_moves(
        self,
        limit: int,
    ) -> tuple[list[PriceMove], list[PriceMove]]:
        """Return the greatest price rises and the greatest falls, ``limit`` of each.

        Moves are ordered by their share of the published price, then by SKU.
        """
        before, is_added = integers_of(self.rows["price_before"])
        after, is_removed = integers_of(self.rows["price_after"])
        in_both = ~(is_added | is_removed)
        rose = in_both & (after > before)
        fell = in_both & (after < before)
        rises = self._greatest(rose, before, after, limit)
        falls = self._greatest(fell, before, after, limit)
        return rises, falls

    def _greatest(
        self,
        moved: RowMask,
        before: Cents,
        after: Cents,
        limit: int,
    ) -> list[PriceMove]:
        """Return the greatest moves of the rows in ``moved``; prices are one a row."""
        rows = np.flatnonzero(moved)
        prices = before[rows]
        differences = after[rows] - prices
        signs = np.sign(differences)
        distances = abs(differences)
        largest_distance = int(distances.max(initial=0)) * _TEN_THOUSANDTHS
        largest_price = int(prices.max(initial=0))
        if 2 * max(largest_distance, largest_price) >= _SAFE_LIMIT:
            # Python's integers do not overflow.
            prices = prices.astype(np.object_)
            distances = distances.astype(np.object_)
        # Shares are whole ten-thousandths, rounded half up.
        doubled = 2 * _TEN_THOUSANDTHS * distances
        shares = (doubled + prices) // (2 * prices)
        order = np.argsort(-shares, kind="stable")[:limit]
        rows = rows[order]
        skus = self.rows["sku"].take(pa.array(rows))
        moves = zip(
            skus.to_pylist(),
            csv_text.cents_text(before[rows]).to_pylist(),
            csv_text.cents_text(after[rows]).to_pylist(),
            (signs * shares)[order],
            strict=True,
        )
        return [
            PriceMove(
                sku=sku,
                before=price_before,
                after=price_after,
                share=f"{Decimal(int(share)).scaleb(-4):f}",
            )
            for sku, price_before, price_after, share in moves
        ]


def compare(feeds: Comparison, baseline_run_id: str) -> Changes:
    """Return the changes of the second feed against the first, the published one.

    Rows that a feed keeps at a quantity of 0 count like all others.
    """
    published = feeds.before
    new = feeds.after
    is_added = feeds.rows_before < 0
    is_removed = feeds.rows_after < 0
    in_both = ~(is_added | is_removed)
    published_rows = feeds.rows_before[in_both]
    new_rows = feeds.rows_after[in_both]
    quantity_before = published.quantities[published_rows]
    quantity_after = new.quantities[new_rows]
    price_before = published.cents[published_rows]
    price_after = new.cents[new_rows]
    codes_in_new = _codes_in(new, published)
    vendor_before = codes_in_new[published.vendor_codes[published_rows]]
    vendor_after = new.vendor_codes[new_rows]
    vendor_differs = vendor_before != vendor_after
    differs = (
        vendor_differs
        | (quantity_before != quantity_after)
        | (price_before != price_after)
    )
    is_changed = np.zeros(len(in_both), np.bool_)
    is_changed[in_both] = differs
    groups = {
        "added": is_added,
        "removed": is_removed,
        "changed": is_changed,
        "unchanged": ~differs,
        "price_up": price_after > price_before,
        "price_down": price_after < price_before,
        "came_in_stock": (quantity_before == 0) & (quantity_after > 0),
        "went_out_of_stock": (quantity_before > 0) & (quantity_after == 0),
        "vendor_changed": vendor_differs,
    }
    counts = {}
    for name, group in groups.items():
        counts[name] = int(np.count_nonzero(group))
    kinds = np.select([is_added, is_removed], [0, 1], 2)
    changed_rows = np.flatnonzero(is_added | is_removed | is_changed)
    change = pa.DictionaryArray.from_arrays(
        pa.array(kinds[changed_rows].astype(np.int8)),
        ["added", "removed", "changed"],
    )
    table = _table(feeds, change, changed_rows)
    return Changes(baseline_run_id, counts, table)


def _codes_in(new: FeedFigures, published: FeedFigures) -> WholeNumbers:
    """Return the new feed's code of each vendor of the published one; -1 for none."""
    codes = pc.index_in(
        published.vendor_ids.dictionary,
        value_set=new.vendor_ids.dictionary,
    )
    return integers_of(codes.fill_null(-1))[0]


def _table(
    feeds: Comparison,
    change: pa.Array,
    changed_rows: RowIndex,
) -> pa.Table:
    """Return the columns of changes.csv, null on the side that lacks the SKU."""
    rows_before = feeds.rows_before[changed_rows]
    rows_after = feeds.rows_after[changed_rows]
    is_removed = rows_after < 0
    new_skus = feeds.after.skus.take(pa.array(rows_after, mask=is_removed))
    removed_skus = feeds.before.skus.take(
        pa.array(rows_before, mask=~is_removed),
    )
    columns = {
        "sku": pc.coalesce(new_skus, removed_skus),
        "change": change,
    }
    sides = (
        ("before", feeds.before, rows_before),
        ("after", feeds.after, rows_after),
    )
    for side, figures, rows in sides:
        present = pa.array(rows, mask=rows < 0)
        quantities = pa.array(figures.quantities)
        prices = pa.array(figures.cents).view(CENTS)
        columns[f"vendor_id_{side}"] = figures.vendor_ids.take(present)
        columns[f"quantity_{side}"] = quantities.take(present)
        columns[f"price_{side}"] = prices.take(present)
    return pa.table({name: columns[name] for name in CHANGES_COLUMNS})
