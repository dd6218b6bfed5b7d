"""A vendor's steps from valid rows to offers, with what is in stock, and where each row went."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.sorting import TextOrder
from relay_core.columnar.text import Bools, Ints, Rows, flags_of, integers_of, one_chunk
from relay_core.config import StockConfig, TenantConfig, VendorConfig
from relay_core.domain.cell_rules import LARGEST_WHOLE, MONEY_UNIT
from relay_core.domain.errors import ContractBrokenError

VENDOR_RANK = (
    "vendor_rank"  # the column that says where an offer's vendor stands in the config
)
FED_QUANTITY = "fed_quantity"  # the column that says how many an offer has before stock
_QUANTITY = "quantity_available"
FATES = ("left_out", "same_sku", "outbid", "unpriced", "won")
"""The fields of `RowCounts` that offers end in; `of_competing` counts all but the first."""


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
        rows = with_quantities(
            rows, lambda quantities: quantities * quantity_pct // 100
        )
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


@dataclass(frozen=True, slots=True)
class RowCounts:
    """One vendor's rows by what became of them; from ``duplicates`` on null in a failed run."""

    read: int  # its records that are not blank: the sum of all others
    skipped: int  # those that `parser.skip_rows` names
    refused: int  # those that are rejected
    duplicates: int | None = (
        None  # those in whose place another row of the vendor stands
    )
    left_out: int | None = (
        None  # those that a rule, an override or the vendor's failure leaves out
    )
    same_sku: int | None = (
        None  # those that compete beside a better row of the same vendor and SKU
    )
    outbid: int | None = None  # the vendor's best rows of SKUs that another vendor wins
    unpriced: int | None = None  # the best rows of SKUs that come to no price
    won: int | None = None  # the rows that are in the feed

    def __post_init__(self) -> None:
        """Hold the sum against the rows that were read; `ContractBrokenError` where they differ."""
        if self.won is not None:
            counts = self.as_dict()
            read = counts.pop("read")
            if sum(count or 0 for count in counts.values()) != read:
                raise ContractBrokenError(f"the rows of a vendor do not add up: {self}")

    def as_dict(self) -> dict[str, int | None]:
        """Return the counts as they stand in ``run_summary.json``."""
        return asdict(self)


def of_competing(
    offers: pa.Table, order: TextOrder, winners: Rows, has_price: Bools, vendors: int
) -> Ints:
    """Return by vendor the offers that are ``same_sku``, ``outbid``, ``unpriced`` and ``won``.

    The offers are those that compete, of each SKU in the order of vendors.
    """
    ranks = integers_of(offers[VENDOR_RANK])[0]
    by_sku = ranks[order.rows]
    is_first = np.ones(len(by_sku), np.bool_)
    np.not_equal(by_sku[1:], by_sku[:-1], out=is_first[1:])
    is_first[order.starts] = True  # of its vendor and SKU
    count = partial(np.bincount, minlength=vendors)
    own = count(by_sku[is_first])
    won, unpriced = (count(ranks[winners[rows]]) for rows in (has_price, ~has_price))
    return np.stack([count(ranks) - own, own - won - unpriced, unpriced, won])


RuleEffects: TypeAlias = Counter[tuple[str, int | str]]
"""What the tenant's own rules did: by an effect, and whose it is, how often.

A price rule has ``priced`` SKUs of the feed and ``left_out`` offers, by its index. Of a vendor, by
its id, rows are ``set_aside`` in place of which another one stands for their SKU, and units of its
offers are ``held_back``, which are not offered on.
"""


def effects_of_rules(effect: str, rules: Ints) -> RuleEffects:
    """Count the SKUs or offers of each price rule; -1 is none."""
    counts = np.bincount(rules[rules >= 0])
    return Counter(
        {(effect, rule): count for rule, count in enumerate(counts.tolist())}
    )
