"""Two feeds in the order of SKUs, joined a range of SKUs at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from relay_core.columnar import arrays
from relay_core.columnar.sorting import common_ranges, order_by_text
from relay_core.columnar.text import flags_of, integers_of, one_chunk
from relay_core.columnar.threads import ordered_map

FIGURES = ("sku", "vendor_id", "quantity_available", "price")
KEPT = "kept_at_0"
SUSPECT_PRICE = "suspect_price"
_RANGE_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class FeedFigures:
    """The figures of a feed, one a SKU, in the order of SKUs."""

    skus: pa.StringArray  # the SKUs, each once
    vendor_ids: pa.DictionaryArray  # the vendors whose offers the rows are
    quantities: arrays.WholeNumbers  # the quantities
    cents: arrays.Cents  # the prices
    # The mask of SKUs that nobody offers, kept at a quantity of 0
    kept: arrays.RowMask
    # The computed prices of quarantined SKUs; -1 for all others.
    suspect_cents: arrays.Cents | None = None

    @classmethod
    def of(cls, feed: pa.Table) -> "FeedFigures":
        """Return the figures of a feed (``FeedRow``).

        Without the column ``kept_at_0`` all SKUs are offered.
        """
        skus = one_chunk(feed["sku"])
        quantities, _ = integers_of(feed["quantity_available"])
        cents, _ = integers_of(feed["price"])
        is_kept = np.zeros(len(skus), np.bool_)
        if KEPT in feed.column_names:
            is_kept = flags_of(feed[KEPT])
        suspect_cents = None
        if SUSPECT_PRICE in feed.column_names:
            computed_cents, nulls = integers_of(feed[SUSPECT_PRICE])
            suspect_cents = np.where(nulls, -1, computed_cents)
        vendor_ids = one_chunk(feed["vendor_id"])
        return cls(skus, vendor_ids, quantities, cents, is_kept, suspect_cents)

    @property
    def offers(self) -> int:
        """The number of SKUs that are offered."""
        return len(self.kept) - int(np.count_nonzero(self.kept))

    @property
    def vendor_codes(self) -> arrays.WholeNumbers:
        """The index of each SKU's vendor in the dictionary, one a SKU."""
        return np.asarray(self.vendor_ids.indices.to_numpy(), np.int64)

    def offered(self, rows: arrays.RowIndex) -> arrays.RowMask:
        """Return the mask of the given rows that are offered; -1 means "no row"."""
        is_offered = np.append(~self.kept, False)
        return is_offered[rows]

    def of_vendors(self, vendor_ids: Collection[str]) -> arrays.RowMask:
        """Return the mask of the SKUs that some vendors give."""
        all_vendor_ids = self.vendor_ids.dictionary.to_pylist()
        is_given = [vendor_id in vendor_ids for vendor_id in all_vendor_ids]
        return np.array(is_given, np.bool_)[self.vendor_codes]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All SKUs of two feeds, in the order of SKUs."""

    before: FeedFigures  # the one feed
    after: FeedFigures  # the other feed
    # Each SKU's row in the one feed; -1 if it has none
    rows_before: arrays.RowIndex
    # Each SKU's row in the other feed; -1 if it has none
    rows_after: arrays.RowIndex

    @classmethod
    def of(cls, before: FeedFigures, after: FeedFigures) -> "Comparison":
        """Join two feeds."""
        sides = [before.skus, after.skus]
        if before.skus.type != after.skus.type:
            # One side has more text than short offsets can reach.
            sides = [skus.cast(pa.large_string()) for skus in sides]
        ranges = common_ranges(sides, _RANGE_ROWS)
        joined = ordered_map(partial(_joined, sides), ranges)
        parts_before, parts_after = zip(*joined, strict=True)
        return cls(
            before,
            after,
            rows_before=np.concatenate(parts_before),
            rows_after=np.concatenate(parts_after),
        )

    def with_after(
        self,
        feed: pa.Table,
        added: arrays.RowMask | None = None,
    ) -> "Comparison":
        """Return the comparison with another version of the other feed.

        Args:
            feed: The other feed.
            added: The mask of the comparison's SKUs that are new in the other feed.
        """
        rows = self.rows_after
        if added is not None:
            is_in_feed = (rows >= 0) | added
            rows = np.where(is_in_feed, np.cumsum(is_in_feed) - 1, -1)
        return replace(self, after=FeedFigures.of(feed), rows_after=rows)


def _joined(
    sides: Sequence[pa.StringArray],
    ranges: Sequence[slice],
) -> tuple[arrays.RowIndex, arrays.RowIndex]:
    """Return the rows of each SKU of a range on both sides; -1 for no row."""
    parts = [
        skus.slice(part.start, part.stop - part.start)
        for skus, part in zip(sides, ranges, strict=True)
    ]
    size_before = len(parts[0])
    rows, starts = order_by_text(one_chunk(pa.chunked_array(parts)))
    # A SKU occurs at most once on a side, and equal ones are in the order of the sides.
    first_rows = rows[starts]
    ends = np.append(starts[1:], len(rows))
    last_rows = rows[ends - 1]
    start_before, start_after = (part.start for part in ranges)
    is_before = first_rows < size_before
    is_after = last_rows >= size_before
    rows_before = np.where(is_before, first_rows + start_before, -1)
    rows_after = np.where(is_after, last_rows - size_before + start_after, -1)
    return rows_before, rows_after
