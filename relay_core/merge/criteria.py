"""The criteria that decide between the offers of one SKU, each with its name, in their order.

A criterion is a whole number an offer, the less the better. The first ones say which offers do not
compete at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, flags_of, integers_of, one_chunk
from relay_core.config import TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.merge.pricing import has_amount
from relay_core.merge.vendor_offers import VENDOR_RANK, own_shipping

LEFT_OUT = "left_out"
"""The column that says whether an offer is left out: with its vendor, or by a price rule."""
OVERRIDDEN = "override"
"""The column that says whether another vendor's offer was asked for in an offer's place."""
DUPLICATE = "duplicate_skus"
"""The column that says whether another row of its vendor stands for an offer's SKU."""
TIE_BREAKERS = ("vendor_id", "row_order")
"""The criteria that leave no two offers alike."""
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Criterion:
    """One rule of the competition; its numbers are made when it is come to."""

    name: str  # what it is called where an offer has lost on it
    numbers: Callable[[pa.Table], Ints]  # the offers' numbers
    excludes: bool = False  # whether an offer with another number than 0 does not compete


def criteria_of(config: TenantConfig) -> list[Criterion]:
    """Return all that decides, in order: no two offers are alike in all of it."""
    fallback = config.merge.best_offer.fallback_lead_time_days

    def lead_time(offers: pa.Table) -> Ints:
        days, nulls = _column(offers, "lead_time_days")
        return np.where(nulls, fallback, days)

    named: Mapping[str, Callable[[pa.Table], Ints]] = {
        "in_stock_desc": lambda offers: _flags(_column(offers, "quantity_available")[0] == 0),
        "lowest_landed_cost": partial(_landed_cost, config),
        "vendor_priority": _vendor_rank,
        "shortest_lead_time": lead_time,
        "most_recent": lambda offers: -_column(offers, "updated_at")[0],
        "highest_quantity": lambda offers: -_column(offers, "quantity_available")[0],
    }
    ids = [vendor.vendor_id for vendor in config.vendors]
    by_vendor, by_row = TIE_BREAKERS
    by_id = np.array([sorted(ids).index(vendor_id) for vendor_id in ids], np.int64)
    return [
        *(
            Criterion(name, partial(_marked, name), excludes=True)
            for name in (OVERRIDDEN, LEFT_OUT, DUPLICATE)
        ),
        Criterion("has_price", lambda offers: _flags(~has_amount(offers, config.pricing))),
        *(Criterion(name, named[name]) for name in config.merge.best_offer.sort_by),
        Criterion(by_vendor, lambda offers: by_id[_vendor_rank(offers)]),
        Criterion(by_row, lambda offers: np.arange(len(offers))),
    ]


def landed_costs(config: TenantConfig, offers: pa.Table) -> pa.Array:
    """Return what offers are compared by as their cost, in ten-thousandths; null without a cost."""
    costs = _landed_cost(config, offers)
    return pa.array(costs, mask=costs == _LAST)


def _landed_cost(config: TenantConfig, offers: pa.Table) -> Ints:
    cost, nulls = _column(offers, "cost")
    if config.merge.best_offer.landed_cost.include_shipping_handling:
        own = own_shipping(config, offers)
        flat = int(config.pricing.shipping_handling_flat * MONEY_UNIT)
        cost = cost + (flat if own is None else own)
    return np.where(nulls, _LAST, cost)


def _vendor_rank(offers: pa.Table) -> Ints:
    return _column(offers, VENDOR_RANK)[0]


def _marked(column: str, offers: pa.Table) -> Ints:
    return _flags(flags_of(one_chunk(offers[column])))


def _flags(which: Bools) -> Ints:
    return np.asarray(which.astype(np.int64))


def _column(offers: pa.Table, name: str) -> tuple[Ints, Bools]:
    return integers_of(one_chunk(offers[name]))
