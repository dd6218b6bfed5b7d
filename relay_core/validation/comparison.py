"""Two feeds in the order of SKUs, joined a range of SKUs at a time, once for all who compare."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from relay_core.columnar.sorting import common_ranges, order_by_text
from relay_core.columnar.text import Bools, Ints, Rows, flags_of, integers_of, one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.validation.contracts import table_of

FIGURES = ("sku", "vendor_id", "quantity_available", "price")
KEPT = "kept_at_0"
SUSPECT_PRICE = "suspect_price"
_RANGE_ROWS = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class FeedFigures:
    """The figures of a feed's SKUs, in their order: vendor, quantity and price in cents."""

    skus: pa.StringArray  # the SKUs, each once
    vendor_ids: pa.DictionaryArray  # whose offer each is
    quantities: Ints  # how many there are
    cents: Ints  # the price
    kept: Bools  # which are not offered, only kept at 0
    suspect_cents: Ints | None = (
        None  # what quarantined ones would cost; -1 for all others
    )

    @classmethod
    def of(cls, feed: pd.DataFrame) -> "FeedFigures":
        """Return the figures of a feed (``FeedRow``); without ``kept_at_0`` all is offered."""
        names = (*FIGURES, *(name for name in (KEPT, SUSPECT_PRICE) if name in feed))
        table, suspect = table_of(feed[[*names]]), None
        skus, vendor_ids, *numbers = (one_chunk(table[name]) for name in FIGURES)
        quantities, cents = (integers_of(cells)[0] for cells in numbers)
        flags = (
            flags_of(table[KEPT]) if KEPT in names else np.zeros(len(skus), np.bool_)
        )
        if SUSPECT_PRICE in names:
            suspect, none = integers_of(table[SUSPECT_PRICE])
            suspect = np.where(none, -1, suspect)
        return cls(skus, vendor_ids, quantities, cents, flags, suspect)

    @property
    def offers(self) -> int:
        """How many SKUs are offered."""
        return len(self.kept) - int(np.count_nonzero(self.kept))

    @property
    def vendor_codes(self) -> Rows:
        """The index of each SKU's vendor in the dictionary."""
        return np.asarray(self.vendor_ids.indices.to_numpy(), np.int64)

    def offered(self, rows: Rows) -> Bools:
        """Return which of some rows are offered; no row (-1) is not."""
        return np.asarray(~np.append(self.kept, True)[rows])

    def of_vendors(self, vendor_ids: Collection[str]) -> Bools:
        """Return which SKUs these vendors give."""
        known = [name in vendor_ids for name in self.vendor_ids.dictionary.to_pylist()]
        return np.asarray(np.array(known, np.bool_)[self.vendor_codes])


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Every SKU of two feeds, in their order."""

    before: FeedFigures  # the one feed
    after: FeedFigures  # the other
    rows_before: Rows  # each SKU's row in the one, -1 where it has none
    rows_after: Rows  # the same in the other

    @classmethod
    def of(cls, before: FeedFigures, after: FeedFigures) -> "Comparison":
        """Join two feeds."""
        sides = [before.skus, after.skus]
        if (
            len({text.type for text in sides}) > 1
        ):  # one holds more than short offsets reach
            sides = [text.cast(pa.large_string()) for text in sides]
        joined = ordered_map(
            lambda rows: _joined(sides, rows), common_ranges(sides, _RANGE_ROWS)
        )
        rows = (np.concatenate(parts) for parts in zip(*joined, strict=True))
        return cls(before, after, *rows)

    def with_after(
        self, feed: pd.DataFrame, added: Bools | None = None
    ) -> "Comparison":
        """Return the comparison with a feed of the other's SKUs, and of those ``added``."""
        rows = self.rows_after
        if added is not None:
            found = (rows >= 0) | added
            rows = np.where(found, np.cumsum(found) - 1, -1)
        return replace(self, after=FeedFigures.of(feed), rows_after=rows)


def _joined(
    sides: Sequence[pa.StringArray], ranges: Sequence[slice]
) -> tuple[Rows, Rows]:
    """Return the rows of each SKU of a range on both sides."""
    parts = [
        text.slice(r.start, r.stop - r.start)
        for text, r in zip(sides, ranges, strict=True)
    ]
    size = len(parts[0])
    rows, starts = order_by_text(one_chunk(pa.chunked_array(parts)))
    # Each SKU stands at most once on a side, and equal ones are in the order of the sides.
    first, last = rows[starts], rows[np.append(starts[1:], len(rows)) - 1]
    low, high = (r.start for r in ranges)
    return np.where(first < size, first + low, -1), np.where(
        last < size, -1, last - size + high
    )
