"""Counts of a merge: where every row that was read went, and what the tenant's rules did."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from relay_core.columnar.sorting import TextOrder
from relay_core.columnar.text import Bools, Ints, Rows, integers_of
from relay_core.domain.errors import ContractBrokenError
from relay_core.merge.vendor_offers import VENDOR_RANK

_FATES = ("left_out", "same_sku", "outbid", "unpriced", "won")


@dataclass(frozen=True, slots=True)
class RowCounts:
    """One vendor's rows by what became of them; from ``duplicates`` on null in a failed run."""

    read: int  # its records that are not blank: the sum of all others
    skipped: int  # those that `parser.skip_rows` names
    refused: int  # those that are rejected
    duplicates: int | None = None  # those in whose place another row of the vendor stands
    left_out: int | None = None  # those that a rule, an override or the vendor's failure leaves out
    same_sku: int | None = None  # those that compete beside a better row of the same vendor and SKU
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


def offers_by_vendor(counts: Ints, vendor_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return counts of offers by vendor, in the order of ranks, and by the names of `RowCounts`.

    They have a column a vendor's rank; the first row is of those that are left out, the others are
    as `of_competing` gives them.
    """
    named = (dict(zip(_FATES, each, strict=True)) for each in counts.T.tolist())
    return dict(zip(vendor_ids, named, strict=True))


def count_by_vendor(offers: pa.Table, vendors: int, which: Bools) -> Ints:
    """Return how many of some offers each vendor has."""
    if not which.any():
        return np.zeros(vendors, np.int64)
    return np.bincount(integers_of(offers[VENDOR_RANK])[0][which], minlength=vendors)


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
    return Counter({(effect, rule): count for rule, count in enumerate(counts.tolist())})
