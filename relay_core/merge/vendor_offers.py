"""A vendor's own steps from valid rows to offers: one a SKU, or all, with what is in stock."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import Bools, Ints, flags_of, integers_of, one_chunk
from relay_core.config import StockConfig, TenantConfig, VendorConfig
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_UNIT

VENDOR_RANK = "vendor_rank"  # the column that says where an offer's vendor stands in the config
FED_QUANTITY = "fed_quantity"  # the column that says how many an offer has before stock
_QUANTITY = "quantity_available"


def joins_duplicates(vendor: VendorConfig) -> bool:
    """Return whether a vendor's rows with the same SKU make one offer."""
    return vendor.duplicate_skus in ("first", "last", "sum")


def without_duplicates(vendor: VendorConfig, rows: pa.Table) -> tuple[pa.Table, Bools]:
    """Return the rows that make offers, and which make none; valid ones, in the order of SKUs."""
    set_aside = np.zeros(len(rows), np.bool_)
    if len(rows) < 2 or not joins_duplicates(vendor):
        return rows, set_aside
    skus = one_chunk(rows["sku"])
    same = flags_of(pc.equal(skus[1:], skus[:-1]))
    if not same.any():
        return rows, set_aside
    if vendor.duplicate_skus == "last":
        set_aside[:-1] = same
    else:
        set_aside[1:] = same
    if vendor.duplicate_skus == "sum":
        starts = np.flatnonzero(~set_aside)
        rows = with_quantities(
            rows,
            lambda each: np.repeat(
                np.minimum(np.add.reduceat(each, starts), LARGEST_WHOLE),
                np.diff(starts, append=len(each)),
            ),
        )
    return rows.filter(pa.array(~set_aside)), set_aside


def offers_of(
    config: TenantConfig, vendor_id: str, rows: pa.Table, *, is_last_good: bool = False
) -> pa.Table:
    """Return the offers that a vendor's rows without duplicates make, before stock."""
    if is_last_good:
        quantity_pct = config.vendor(vendor_id).last_good.quantity_pct
        rows = with_quantities(rows, lambda quantities: quantities * quantity_pct // 100)
    rank = pa.scalar(config.place_of(vendor_id), pa.int16())
    return rows.append_column(VENDOR_RANK, pa.repeat(rank, len(rows)))


def in_stock(stock: StockConfig, offers: pa.Table) -> pa.Table:
    """Return offers with as much of their quantities as is offered on."""
    if stock == StockConfig():
        return offers

    def offered_on(quantities: Ints) -> Ints:
        left = np.maximum(quantities - stock.hold_back, 0) * stock.pct // 100
        left = np.where(left < stock.zero_below, 0, left)
        return left if stock.cap is None else np.minimum(left, stock.cap)

    return with_quantities(offers, offered_on)


def own_shipping(config: TenantConfig, offers: pa.Table) -> Ints | None:
    """Return the flat amount of each offer's vendor in ten-thousandths; None: none has its own."""
    if all(vendor.shipping_handling_flat is None for vendor in config.vendors):
        return None
    flat = [int(config.shipping_of(vendor) * MONEY_UNIT) for vendor in config.vendors]
    return np.array(flat, np.int64)[integers_of(offers[VENDOR_RANK])[0]]


def units(offers: pa.Table, column: str = _QUANTITY) -> int:
    """Return how many there are of all offers together."""
    return int(pc.sum(offers[column]).as_py() or 0)


def with_quantities(offers: pa.Table, change: Callable[[Ints], Ints]) -> pa.Table:
    """Return offers with other quantities."""
    place = offers.schema.get_field_index(_QUANTITY)
    quantities = integers_of(offers[_QUANTITY])[0]
    changed = pa.array(change(quantities.astype(np.int64)).astype(np.int32))
    return offers.set_column(place, offers.field(place), changed)
