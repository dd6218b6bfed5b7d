"""A run's overrides of single SKUs, as columns, and their effect on offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.text import (
    integers_of,
    one_chunk,
    values_of,
)
from relay_core.config import Override, TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.merge.pricing import (
    OVERRIDE_MIN_PRICE,
    OVERRIDE_PRICE,
    has_amount,
)
from relay_core.merge.vendor_offers import VENDOR_RANK, with_quantities

OVERRIDE_INDEX = "override_place"
"""The column with the index of an offer's override; the last one is of no override."""
_UNSET = -1
_CENT = MONEY_UNIT // 100


@dataclass(frozen=True, slots=True, eq=False)
class OverrideColumns:
    """A run's overrides, one cell an override and a last one for no override.

    Numbers are -1 if an override does not set them.
    """

    skus: pa.StringArray  # the SKUs of the overrides, without a last cell
    leave_out: arrays.RowMask  # the mask of overrides that leave all offers out
    price: arrays.TenThousandths  # the price, in ten-thousandths
    min_price: arrays.TenThousandths  # the least price, in ten-thousandths
    max_quantity: arrays.WholeNumbers  # the greatest quantity of each offer
    # The rank of the only vendor whose offers compete
    vendor: arrays.WholeNumbers
    # The price that is accepted though it has moved far, in cents
    accept_price: arrays.Cents

    @classmethod
    def of(
        cls,
        config: TenantConfig,
        overrides: Sequence[Override],
    ) -> OverrideColumns:
        """Return overrides as columns.

        A vendor that the config no longer has is unset.
        """
        rank_of_vendor = {
            vendor.vendor_id: rank for rank, vendor in enumerate(config.vendors)
        }
        ranks = [
            rank_of_vendor.get(str(override.vendor_id), _UNSET)
            for override in overrides
        ]

        def numbers(name: str, unit: int = 1) -> arrays.WholeNumbers:
            cells = []
            for override in overrides:
                value = getattr(override, name)
                cells.append(_UNSET if value is None else int(value * unit))
            return np.array([*cells, _UNSET])

        skus = [override.sku for override in overrides]
        leave_out = [override.leave_out for override in overrides]
        return cls(
            skus=pa.array(skus, pa.string()),
            leave_out=np.array([*leave_out, False]),
            price=numbers("price", MONEY_UNIT),
            min_price=numbers("min_price", MONEY_UNIT),
            max_quantity=numbers("max_quantity"),
            vendor=np.array([*ranks, _UNSET]),
            accept_price=numbers("accept_price", MONEY_UNIT // _CENT),
        )

    def index_of(
        self,
        skus: pa.StringArray | pa.LargeStringArray,
    ) -> arrays.RowIndex:
        """Return the index of each SKU's override, one a SKU.

        A SKU without an override gets the last index.
        """
        own_skus = self.skus.cast(skus.type)
        index = pc.index_in(skus, value_set=own_skus)
        filled = index.fill_null(len(own_skus))
        return np.asarray(values_of(filled), np.int64)

    def applied(
        self,
        offers: pa.Table,
        left_out: arrays.RowMask,
    ) -> tuple[pa.Table, arrays.RowMask]:
        """Return offers with the amounts and quantities of their overrides.

        Args:
            offers: The offers.
            left_out: The mask of offers that are left out already.

        Returns:
            The offers and the mask of offers that are left out.
        """
        if not len(self.skus):
            return offers, left_out
        index = self.index_of(one_chunk(offers["sku"]))
        offers = offers.append_column(OVERRIDE_INDEX, pa.array(index))
        limits = self.max_quantity[index]
        has_limit = limits >= 0
        if has_limit.any():

            def limited(quantities: arrays.WholeNumbers) -> arrays.WholeNumbers:
                return np.where(
                    has_limit,
                    np.minimum(quantities, limits),
                    quantities,
                )

            offers = with_quantities(offers, limited)
        prices = pa.array(self.price[index])
        offers = offers.append_column(OVERRIDE_PRICE, prices)
        min_prices = pa.array(self.min_price[index])
        offers = offers.append_column(OVERRIDE_MIN_PRICE, min_prices)
        return offers, left_out | self.leave_out[index]

    def outplaced(
        self,
        offers: pa.Table,
        config: TenantConfig,
        left_out: arrays.RowMask,
    ) -> arrays.RowMask:
        """Return the mask of offers that give way to a requested vendor's offer.

        A vendor counts as requested only if it has an offer that can get a price.

        Args:
            offers: The offers, with their overrides applied.
            config: The tenant's config.
            left_out: The mask of offers that are left out anyway; they are never set.
        """
        if not (self.vendor >= 0).any():
            return np.zeros(len(offers), np.bool_)
        index, _ = integers_of(offers[OVERRIDE_INDEX])
        ranks, _ = integers_of(offers[VENDOR_RANK])
        requested_ranks = self.vendor[index]
        is_of_requested = requested_ranks == ranks
        is_subject = (requested_ranks >= 0) & ~left_out
        is_available = is_subject & is_of_requested
        is_available &= has_amount(offers, config.pricing)
        has_available = np.zeros(len(self.vendor), np.bool_)
        has_available[index[is_available]] = True
        outplaced: arrays.RowMask = (
            is_subject & has_available[index] & ~is_of_requested
        )
        return outplaced
