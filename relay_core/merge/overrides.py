"""Overrides as columns: what the merge, the price and the quarantine ask of each SKU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import Bools, Ints, Rows, integers_of, one_chunk
from relay_core.config import Override, TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.merge.pricing import OVERRIDE_MIN_PRICE, OVERRIDE_PRICE, has_amount
from relay_core.merge.vendor_offers import VENDOR_RANK, with_quantities

_PLACE = "override_place"
_NONE = -1
_CENT = MONEY_UNIT // 100


@dataclass(frozen=True, slots=True, eq=False)
class OverrideColumns:
    """A run's overrides, one a place and, last, none; -1 where one does not say it."""

    skus: pa.StringArray  # whose they are
    leave_out: Bools  # which leave all offers out
    price: Ints  # in ten-thousandths
    min_price: Ints  # the same
    max_quantity: Ints  # the most of each offer
    vendor: Ints  # the rank of the vendor whose offers alone compete
    accept_price: Ints  # in cents

    @classmethod
    def of(cls, config: TenantConfig, overrides: Sequence[Override]) -> OverrideColumns:
        """Return the columns of overrides; a vendor that the config has no more is none."""
        rank = {vendor.vendor_id: place for place, vendor in enumerate(config.vendors)}

        def numbers(name: str, unit: int = 1) -> Ints:
            said = (getattr(one, name) for one in overrides)
            return np.array([*(_NONE if n is None else int(n * unit) for n in said), _NONE])

        return cls(
            pa.array([one.sku for one in overrides], pa.string()),
            np.array([*(one.leave_out for one in overrides), False]),
            numbers("price", MONEY_UNIT),
            numbers("min_price", MONEY_UNIT),
            numbers("max_quantity"),
            np.array([*(rank.get(str(one.vendor_id), _NONE) for one in overrides), _NONE]),
            numbers("accept_price", MONEY_UNIT // _CENT),
        )

    def places(self, skus: pa.StringArray | pa.LargeStringArray) -> Rows:
        """Return the place of each SKU's override; that of none is the last."""
        found = pc.index_in(skus, value_set=self.skus.cast(skus.type))
        return np.asarray(found.fill_null(len(self.skus)).to_numpy(zero_copy_only=False), np.int64)

    def applied(self, offers: pa.Table, left_out: Bools) -> tuple[pa.Table, Bools]:
        """Return offers with their overrides' amounts and quantities, and which are left out."""
        if not len(self.skus):
            return offers, left_out
        places = self.places(one_chunk(offers["sku"]))
        offers = offers.append_column(_PLACE, pa.array(places))
        most = self.max_quantity[places]
        if (most >= 0).any():
            offers = with_quantities(
                offers, lambda each: np.where(most >= 0, np.minimum(each, most), each)
            )
        for name, amounts in ((OVERRIDE_PRICE, self.price), (OVERRIDE_MIN_PRICE, self.min_price)):
            offers = offers.append_column(name, pa.array(amounts[places]))
        return offers, left_out | self.leave_out[places]

    def outplaced(self, offers: pa.Table, config: TenantConfig, out: Bools) -> Bools:
        """Return which offers, not out anyway, do not compete: another vendor's was asked for."""
        if not len(self.skus) or not (self.vendor >= 0).any():
            return np.zeros(len(offers), np.bool_)
        places = integers_of(offers[_PLACE])[0]
        wanted, ranks = self.vendor[places], integers_of(offers[VENDOR_RANK])[0]
        own = (wanted >= 0) & ~out
        found = np.zeros(len(self.vendor), np.bool_)
        found[places[own & (wanted == ranks) & has_amount(offers, config.pricing)]] = True
        return np.asarray(own & found[places] & (wanted != ranks))

    def offered(self, offers: pa.Table) -> Bools:
        """Return of which overrides, and last of whether of none, some `applied` offers are."""
        found = np.zeros(len(self.skus) + 1, np.bool_)
        if len(self.skus):
            found[integers_of(offers[_PLACE])[0]] = True
        return found

    def unused(self, offered: Bools) -> list[str]:
        """Return the SKUs of the overrides of which there is no offer."""
        return list(self.skus.filter(pa.array(~offered[:-1])).to_pylist())
