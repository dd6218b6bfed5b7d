"""A vendor's steps from valid rows to offers: duplicates, then stock."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.text import (
    flags_of,
    integers_of,
    one_chunk,
    with_cells,
)
from relay_core.config import StockConfig, TenantConfig, VendorConfig
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_UNIT

VENDOR_RANK = "vendor_rank"
"""The column with the index of an offer's vendor among those of the config."""
FED_QUANTITY = "fed_quantity"
"""The column with an offer's quantity before the tenant's stock rules."""
_QUANTITY = "quantity_available"


def joins_duplicates(vendor: VendorConfig) -> bool:
    """Return whether a vendor's rows with the same SKU make one offer."""
    return vendor.duplicate_skus in ("first", "last", "sum")


def without_duplicates(
    vendor: VendorConfig,
    rows: pa.Table,
) -> tuple[pa.Table, arrays.RowMask]:
    """Return the rows that make offers, and the mask of the rows that make none.

    Args:
        vendor: The vendor.
        rows: The vendor's valid rows, in the order of SKUs.
    """
    set_aside = np.zeros(len(rows), np.bool_)
    if len(rows) < 2 or not joins_duplicates(vendor):
        return rows, set_aside
    skus = one_chunk(rows["sku"])
    is_equal = pc.equal(skus[1:], skus[:-1])
    same_as_previous = flags_of(is_equal)
    if not same_as_previous.any():
        return rows, set_aside
    if vendor.duplicate_skus == "last":
        set_aside[:-1] = same_as_previous
    else:
        set_aside[1:] = same_as_previous
    if vendor.duplicate_skus == "sum":
        starts = np.flatnonzero(~set_aside)

        def sum_of_sku(quantities: arrays.WholeNumbers) -> arrays.WholeNumbers:
            sums = np.add.reduceat(quantities, starts)
            sizes = np.diff(starts, append=len(quantities))
            return np.repeat(np.minimum(sums, LARGEST_WHOLE), sizes)

        rows = with_quantities(rows, sum_of_sku)
    return rows.filter(pa.array(~set_aside)), set_aside


def offers_of(
    config: TenantConfig,
    vendor_id: str,
    rows: pa.Table,
    *,
    is_last_good: bool = False,
) -> pa.Table:
    """Return the offers that a vendor's rows make, before the stock rules.

    Args:
        config: The tenant's config.
        vendor_id: The vendor.
        rows: The vendor's rows; none is a duplicate of another.
        is_last_good: Whether the rows are those of a last good feed, of whose
            quantities the vendor offers a part.
    """
    if is_last_good:
        quantity_pct = config.vendor(vendor_id).last_good.quantity_pct

        def offered_part(
            quantities: arrays.WholeNumbers,
        ) -> arrays.WholeNumbers:
            return quantities * quantity_pct // 100

        rows = with_quantities(rows, offered_part)
    rank = pa.scalar(config.vendor_index(vendor_id), pa.int16())
    ranks = pa.repeat(rank, len(rows))
    return rows.append_column(VENDOR_RANK, ranks)


def in_stock(stock: StockConfig, offers: pa.Table) -> pa.Table:
    """Return offers with the part of their quantities that the stock rules offer on."""
    if stock == StockConfig():
        return offers

    def offered_on(quantities: arrays.WholeNumbers) -> arrays.WholeNumbers:
        available = np.maximum(quantities - stock.hold_back, 0)
        offered = available * stock.pct // 100
        offered = np.where(offered < stock.zero_below, 0, offered)
        if stock.cap is not None:
            offered = np.minimum(offered, stock.cap)
        return offered

    return with_quantities(offers, offered_on)


def own_shipping(
    config: TenantConfig,
    offers: pa.Table,
) -> arrays.TenThousandths | None:
    """Return the flat shipping amount of each offer's vendor, in ten-thousandths.

    Return None if no vendor has an amount of its own.
    """
    if all(vendor.shipping_handling_flat is None for vendor in config.vendors):
        return None
    amounts = [
        int(config.shipping_of(vendor) * MONEY_UNIT)
        for vendor in config.vendors
    ]
    ranks, _ = integers_of(offers[VENDOR_RANK])
    return np.array(amounts, np.int64)[ranks]


def units(offers: pa.Table, column: str = _QUANTITY) -> int:
    """Return the sum of the quantities of all offers."""
    total = pc.sum(offers[column]).as_py()
    return int(total or 0)


def with_quantities(
    offers: pa.Table,
    change: Callable[[arrays.WholeNumbers], arrays.WholeNumbers],
) -> pa.Table:
    """Return offers with other quantities; ``change`` maps one number an offer."""
    quantities, _ = integers_of(offers[_QUANTITY])
    changed = change(quantities.astype(np.int64))
    cells = pa.array(changed.astype(np.int32))
    return with_cells(offers, _QUANTITY, cells)
