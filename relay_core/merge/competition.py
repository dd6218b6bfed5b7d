"""The competition of offers: the best offer of each SKU.

Criteria are compared one after another, without packing them together, so that no range
of numbers is too wide.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from relay_core.columnar import arrays
from relay_core.columnar.sorting import TextOrder, order_by_text
from relay_core.columnar.text import integers_of, offsets_and_bytes, one_chunk
from relay_core.kernel import compiled
from relay_core.merge.criteria import Criterion
from relay_core.merge.vendor_offers import VENDOR_RANK


class Competition(NamedTuple):
    """The outcome of the competition of some offers."""

    # The row of each SKU's best offer, in order of SKU.
    winners: arrays.RowIndex
    # The number of distinct SKUs that each vendor of the config offers
    sku_counts: arrays.WholeNumbers


def compete(
    offers: pa.Table,
    criteria: Sequence[Criterion],
    vendor_count: int,
) -> Competition:
    """Return the outcome of the competition of some offers.

    Args:
        offers: The offers, in order of vendors, and by SKU in each of these.
        criteria: The criteria, the first one first.
        vendor_count: The number of vendors of the config.
    """
    skus = one_chunk(offers["sku"])
    ranks = integers_of(offers[VENDOR_RANK])[0]
    if compiled.is_used() and len(skus):
        vendor_starts = np.searchsorted(ranks, np.arange(vendor_count + 1))
        return _compete(skus, vendor_starts, criteria, offers)
    order = order_by_text(skus)
    winners = best_of_groups(order, offers, criteria)
    ranks_by_sku = ranks[order.rows]
    is_first = np.ones(len(ranks_by_sku), np.bool_)  # of its vendor and SKU
    np.not_equal(ranks_by_sku[1:], ranks_by_sku[:-1], out=is_first[1:])
    is_first[order.starts] = True
    sku_counts = np.bincount(ranks_by_sku[is_first], minlength=vendor_count)
    return Competition(winners, sku_counts)


def _compete(
    skus: pa.StringArray | pa.LargeStringArray,
    vendor_starts: arrays.RowIndex,
    criteria: Sequence[Criterion],
    offers: pa.Table,
) -> Competition:
    """Return the same as `compete`, by the kernel."""
    numbers = []
    for criterion in criteria:
        values = criterion.numbers(offers)
        numbers.append(np.ascontiguousarray(values, np.int64))
    bounds, data = offsets_and_bytes(skus)
    winners = np.empty(len(skus), np.int64)
    sku_counts = np.zeros(len(vendor_starts) - 1, np.int64)
    count = compiled.scan.best_rows(
        bounds,
        data,
        vendor_starts,
        numbers,
        winners,
        sku_counts,
    )
    return Competition(winners[:count], sku_counts)


def best_of_groups(
    order: TextOrder,
    offers: pa.Table,
    criteria: Sequence[Criterion],
) -> arrays.RowIndex:
    """Return the best row of each group of offers, in the order of groups."""
    rows, starts = order
    winners = rows[starts]
    sizes = np.diff(starts, append=len(rows))
    contested = np.flatnonzero(sizes > 1)
    rows = rows[np.repeat(sizes > 1, sizes)]
    sizes = sizes[contested]
    for criterion in criteria:
        if not len(contested):
            break
        numbers = criterion.numbers(offers)[rows]
        starts = np.cumsum(sizes) - sizes
        lowest = np.repeat(np.minimum.reduceat(numbers, starts), sizes)
        is_best = numbers == lowest
        rows = rows[is_best]
        sizes = np.add.reduceat(is_best, starts, dtype=np.int64)
        winners[contested] = rows[np.cumsum(sizes) - sizes]
        rows = rows[np.repeat(sizes > 1, sizes)]
        contested = contested[sizes > 1]
        sizes = sizes[sizes > 1]
    return np.asarray(winners)
