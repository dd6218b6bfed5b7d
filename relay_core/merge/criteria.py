"""The criteria that decide between the offers of one SKU, each with its name, in their order.

A criterion is a whole number an offer, the less the better. The first ones say which offers do not
compete at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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
    rules = _Rules(config)
    named: Mapping[str, Callable[[pa.Table], Ints]] = {
        "in_stock_desc": rules.out_of_stock,
        "lowest_landed_cost": rules.landed_cost,
        "vendor_priority": rules.vendor_rank,
        "shortest_lead_time": rules.lead_time,
        "most_recent": rules.age,
        "highest_quantity": rules.scarcity,
    }
    ids = [vendor.vendor_id for vendor in config.vendors]
    by_vendor, by_row = TIE_BREAKERS
    by_id = np.array([sorted(ids).index(vendor_id) for vendor_id in ids], np.int64)
    return [
        Criterion(OVERRIDDEN, _flags(OVERRIDDEN), excludes=True),
        Criterion(LEFT_OUT, _flags(LEFT_OUT), excludes=True),
        Criterion(DUPLICATE, _flags(DUPLICATE), excludes=True),
        Criterion("has_price", rules.has_no_price),
        *(Criterion(name, named[name]) for name in config.merge.best_offer.sort_by),
        Criterion(by_vendor, lambda offers: by_id[rules.vendor_rank(offers)]),
        Criterion(by_row, lambda offers: np.arange(len(offers))),
    ]


def landed_costs(config: TenantConfig, offers: pa.Table) -> pa.Array:
    """Return what offers are compared by as their cost, in ten-thousandths; null without a cost."""
    costs = _Rules(config).landed_cost(offers)
    return pa.array(costs, mask=costs == _LAST)


@dataclass(frozen=True, slots=True)
class _Rules:
    config: TenantConfig

    def has_no_price(self, offers: pa.Table) -> Ints:
        return np.asarray((~has_amount(offers, self.config.pricing)).astype(np.int64))

    def out_of_stock(self, offers: pa.Table) -> Ints:
        return np.asarray((_column(offers, "quantity_available")[0] == 0).astype(np.int64))

    def landed_cost(self, offers: pa.Table) -> Ints:
        cost, nulls = _column(offers, "cost")
        if self.config.merge.best_offer.landed_cost.include_shipping_handling:
            own = own_shipping(self.config, offers)
            flat = int(self.config.pricing.shipping_handling_flat * MONEY_UNIT)
            cost = cost + (flat if own is None else own)
        return np.where(nulls, _LAST, cost)

    def vendor_rank(self, offers: pa.Table) -> Ints:
        return _column(offers, VENDOR_RANK)[0]

    def lead_time(self, offers: pa.Table) -> Ints:
        days, nulls = _column(offers, "lead_time_days")
        return np.where(nulls, self.config.merge.best_offer.fallback_lead_time_days, days)

    def age(self, offers: pa.Table) -> Ints:
        return -_column(offers, "updated_at")[0]

    def scarcity(self, offers: pa.Table) -> Ints:
        return -_column(offers, "quantity_available")[0]


def _flags(name: str) -> Callable[[pa.Table], Ints]:
    return lambda offers: np.asarray(flags_of(one_chunk(offers[name])).astype(np.int64))


def _column(offers: pa.Table, name: str) -> tuple[Ints, Bools]:
    return integers_of(one_chunk(offers[name]))
