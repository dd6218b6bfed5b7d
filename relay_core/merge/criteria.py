"""What decides between the offers of one SKU: named criteria, the first of them first.

A criterion is a whole number an offer, the less the better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from relay_core.columnar.text import Bools, Ints, integers_of, one_chunk
from relay_core.config import PricingConfig, TenantConfig
from relay_core.config.models import BestOfferConfig
from relay_core.domain.cell_rules import MONEY_UNIT

VENDOR_RANK = "vendor_rank"
"""The column that says where an offer's vendor stands in the config."""
_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Criterion:
    """One rule of the competition; its numbers are made when it is come to."""

    name: str
    numbers: Callable[[pa.Table], Ints]


def criteria_of(config: TenantConfig) -> list[Criterion]:
    """Return all that decides, in order: no two offers are alike in all of it."""
    rules = _Rules(config.merge.best_offer, config.pricing)
    named: Mapping[str, Callable[[pa.Table], Ints]] = {
        "in_stock_desc": rules.out_of_stock,
        "lowest_landed_cost": rules.landed_cost,
        "vendor_priority": rules.vendor_rank,
        "shortest_lead_time": rules.lead_time,
        "most_recent": rules.age,
        "highest_quantity": rules.scarcity,
    }
    ids = [vendor.vendor_id for vendor in config.vendors]
    by_id = np.array([sorted(ids).index(vendor_id) for vendor_id in ids], np.int64)
    return [
        Criterion("has_price", rules.has_no_price),
        *(Criterion(name, named[name]) for name in config.merge.best_offer.sort_by),
        Criterion("vendor_id", lambda offers: by_id[rules.vendor_rank(offers)]),
        Criterion("row_order", lambda offers: np.arange(len(offers))),
    ]


@dataclass(frozen=True, slots=True)
class _Rules:
    best_offer: BestOfferConfig
    pricing: PricingConfig

    def has_no_price(self, offers: pa.Table) -> Ints:
        nothing = _column(offers, "cost")[1] & _column(offers, "price")[1]
        return np.asarray(nothing.astype(np.int64))

    def out_of_stock(self, offers: pa.Table) -> Ints:
        return np.asarray((_column(offers, "quantity_available")[0] == 0).astype(np.int64))

    def landed_cost(self, offers: pa.Table) -> Ints:
        cost, nulls = _column(offers, "cost")
        if self.best_offer.landed_cost.include_shipping_handling:
            cost = cost + int(self.pricing.shipping_handling_flat * MONEY_UNIT)
        return np.where(nulls, _LAST, cost)

    def vendor_rank(self, offers: pa.Table) -> Ints:
        return _column(offers, VENDOR_RANK)[0]

    def lead_time(self, offers: pa.Table) -> Ints:
        days, nulls = _column(offers, "lead_time_days")
        return np.where(nulls, self.best_offer.fallback_lead_time_days, days)

    def age(self, offers: pa.Table) -> Ints:
        return -_column(offers, "updated_at")[0]

    def scarcity(self, offers: pa.Table) -> Ints:
        return -_column(offers, "quantity_available")[0]


def _column(offers: pa.Table, name: str) -> tuple[Ints, Bools]:
    return integers_of(one_chunk(offers[name]))
