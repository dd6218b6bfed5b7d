"""Offers of the same SKU to one winner each, by named sort rules.

A criterion is a whole number an offer, the less the better. Criteria are held against each other
group by group, without packing them together, so that no range is too wide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from relay_core.columnar.columns import Bools, Ints
from relay_core.columnar.sorting import Rows, order_by_text
from relay_core.config import BestOfferConfig

_LAST = np.iinfo(np.int64).max


def values_and_nulls(column: pa.Array) -> tuple[Ints, Bools]:
    """Return a whole-number column as numpy values (0 where null) and its null mask."""
    nulls = np.asarray(column.is_null().to_numpy(zero_copy_only=False), np.bool_)
    filled = column.fill_null(0) if column.null_count else column
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.int64), nulls


def pick_winners(offers: pa.Table, best_offer: BestOfferConfig) -> Rows:
    """Return the winning row of each SKU, in the order of SKUs.

    Args:
        offers: ``OFFER_SCHEMA`` columns in single chunks, the vendors' rows one vendor after
            another in ascending ``vendor_id``, each vendor's in row order within a SKU; and
            ``vendor_rank``, each row's place of its vendor in the config.
        best_offer: the sort rules; offers that tie on all of them keep the order given.
    """
    order, starts = order_by_text(one_chunk(offers["sku"]))
    criteria = [_has_no_price(offers, best_offer)]
    criteria += [_CRITERIA[rule](offers, best_offer) for rule in best_offer.sort_by]
    return best_of_groups(order, starts, criteria)


def best_of_groups(order: Rows, starts: Rows, criteria: Sequence[Ints]) -> Rows:
    """Return the best row of each group; ``order[starts[g]:starts[g + 1]]`` are the rows of g."""
    winners = order[starts]
    sizes = np.diff(starts, append=len(order))
    contested = np.flatnonzero(sizes > 1)
    rows = order[np.repeat(sizes > 1, sizes)]
    sizes = sizes[contested]
    for criterion in criteria:
        if not len(contested):
            break
        values, begins = criterion[rows], np.cumsum(sizes) - sizes
        best = values == np.repeat(np.minimum.reduceat(values, begins), sizes)
        rows, sizes = rows[best], np.add.reduceat(best, begins, dtype=np.int64)
        winners[contested] = rows[np.cumsum(sizes) - sizes]
        rows = rows[np.repeat(sizes > 1, sizes)]
        contested, sizes = contested[sizes > 1], sizes[sizes > 1]
    return np.asarray(winners)


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, without a copy where it is one."""
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _column(offers: pa.Table, name: str) -> tuple[Ints, Bools]:
    return values_and_nulls(one_chunk(offers[name]))


def _has_no_price(offers: pa.Table, _: BestOfferConfig) -> Ints:
    nothing = _column(offers, "cost")[1] & _column(offers, "price")[1]
    return np.asarray(nothing.astype(np.int64))


def _out_of_stock(offers: pa.Table, _: BestOfferConfig) -> Ints:
    return np.asarray((_column(offers, "quantity_available")[0] == 0).astype(np.int64))


def _landed_cost(offers: pa.Table, _: BestOfferConfig) -> Ints:
    # shipping is the same for every offer: with it or without, the order is that of cost
    cost, nulls = _column(offers, "cost")
    return np.where(nulls, _LAST, cost)


def _vendor_rank(offers: pa.Table, _: BestOfferConfig) -> Ints:
    return _column(offers, "vendor_rank")[0]


def _lead_time(offers: pa.Table, best_offer: BestOfferConfig) -> Ints:
    days, nulls = _column(offers, "lead_time_days")
    return np.where(nulls, best_offer.fallback_lead_time_days, days)


def _age(offers: pa.Table, _: BestOfferConfig) -> Ints:
    return -_column(offers, "updated_at")[0]


def _scarcity(offers: pa.Table, _: BestOfferConfig) -> Ints:
    return -_column(offers, "quantity_available")[0]


_Criterion = Callable[[pa.Table, BestOfferConfig], npt.NDArray[Any]]
_CRITERIA: Mapping[str, _Criterion] = {
    "in_stock_desc": _out_of_stock,
    "lowest_landed_cost": _landed_cost,
    "vendor_priority": _vendor_rank,
    "shortest_lead_time": _lead_time,
    "most_recent": _age,
    "highest_quantity": _scarcity,
}
