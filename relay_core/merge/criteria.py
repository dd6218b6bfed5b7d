"""The criteria that decide between the offers of a SKU, in order.

A criterion gives each offer a whole number; the lower number wins. The first criteria
say which offers do not compete at all.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar import arrays
from relay_core.columnar.text import flags_of, integers_of
from relay_core.config import TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.merge.pricing import has_amount
from relay_core.merge.vendor_offers import VENDOR_RANK, own_shipping

LEFT_OUT = "left_out"
"""The column with the mask of offers that a rule or a failure leaves out."""
OVERRIDDEN = "override"
"""The column with the mask of offers that give way to a requested vendor."""
DUPLICATE = "duplicate_skus"
"""The column with the mask of offers that another row of their vendor replaces."""
TIE_BREAKERS = ("vendor_id", "row_order")
"""The criteria that leave no two offers alike."""
_WITHOUT_COST = np.iinfo(np.int64).max

_Numbers: TypeAlias = Callable[[pa.Table], arrays.WholeNumbers | arrays.RowMask]


class Criterion(NamedTuple):
    """One rule of the competition; its numbers are computed when they are needed."""

    name: str  # the name that an offer shows if it has lost on this criterion
    numbers: _Numbers  # returns one number an offer; False is 0, True is 1
    # Whether offers with a number other than 0 do not compete.
    excludes: bool = False


def criteria_of(config: TenantConfig) -> list[Criterion]:
    """Return the criteria of a tenant in order.

    No two offers are alike in all of them.
    """
    sort_rules = _sort_rules(config)
    by_vendor, by_row = TIE_BREAKERS
    return [
        Criterion(OVERRIDDEN, partial(_flags, OVERRIDDEN), excludes=True),
        Criterion(LEFT_OUT, partial(_flags, LEFT_OUT), excludes=True),
        Criterion(DUPLICATE, partial(_flags, DUPLICATE), excludes=True),
        Criterion("has_price", partial(_has_no_amount, config)),
        *(
            Criterion(name, sort_rules[name])
            for name in config.merge.best_offer.sort_by
        ),
        Criterion(by_vendor, _order_of_vendor_ids(config)),
        Criterion(by_row, _row_order),
    ]


def landed_costs(config: TenantConfig, offers: pa.Table) -> pa.Array:
    """Return the costs that offers are compared by, in ten-thousandths.

    The cost of an offer without one is null.
    """
    costs = _landed_cost(config, offers)
    return pa.array(costs, mask=costs == _WITHOUT_COST)


def _sort_rules(config: TenantConfig) -> Mapping[str, _Numbers]:
    """Return the numbers of each rule that a config can sort by."""
    return {
        "in_stock_desc": _is_out_of_stock,
        "lowest_landed_cost": partial(_landed_cost, config),
        "vendor_priority": _vendor_rank,
        "shortest_lead_time": partial(_lead_time, config),
        "most_recent": partial(_descending, "updated_at"),
        "highest_quantity": partial(_descending, "quantity_available"),
    }


def _flags(column: str, offers: pa.Table) -> arrays.RowMask:
    return flags_of(offers[column])


def _has_no_amount(config: TenantConfig, offers: pa.Table) -> arrays.RowMask:
    return ~has_amount(offers, config.pricing)


def _is_out_of_stock(offers: pa.Table) -> arrays.RowMask:
    quantities, _ = integers_of(offers["quantity_available"])
    is_empty: arrays.RowMask = quantities == 0
    return is_empty


def _landed_cost(
    config: TenantConfig,
    offers: pa.Table,
) -> arrays.TenThousandths:
    costs, nulls = integers_of(offers["cost"])
    if config.merge.best_offer.landed_cost.include_shipping_handling:
        shipping = own_shipping(config, offers)
        if shipping is None:
            costs = costs + int(
                config.pricing.shipping_handling_flat * MONEY_UNIT,
            )
        else:
            costs = costs + shipping
    return np.where(nulls, _WITHOUT_COST, costs)


def _vendor_rank(offers: pa.Table) -> arrays.WholeNumbers:
    return integers_of(offers[VENDOR_RANK])[0]


def _lead_time(config: TenantConfig, offers: pa.Table) -> arrays.WholeNumbers:
    days, nulls = integers_of(offers["lead_time_days"])
    return np.where(
        nulls,
        config.merge.best_offer.fallback_lead_time_days,
        days,
    )


def _descending(column: str, offers: pa.Table) -> arrays.WholeNumbers:
    return -integers_of(offers[column])[0]


def _order_of_vendor_ids(config: TenantConfig) -> _Numbers:
    """Return the numbers of vendors in the order of their ids."""
    vendor_ids = [vendor.vendor_id for vendor in config.vendors]
    sorted_ids = sorted(vendor_ids)
    order = [sorted_ids.index(vendor_id) for vendor_id in vendor_ids]
    order_of_rank = np.array(order, np.int64)

    def order_of_id(offers: pa.Table) -> arrays.WholeNumbers:
        return order_of_rank[_vendor_rank(offers)]

    return order_of_id


def _row_order(offers: pa.Table) -> arrays.WholeNumbers:
    return np.arange(len(offers))
