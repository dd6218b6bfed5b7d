"""The SKUs whose new price moved too far from the published one.

A new price is always compared with the published one, never with a price that was only
computed. Time confirms a new price, a person accepts it, or a new config explains it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.columnar.arrays import Cents, Microseconds, RowIndex, RowMask
from relay_core.config.models import QuarantineConfig
from relay_core.merge.best_offer import AT_LEAST_PRICE, Merge
from relay_core.merge.override_columns import OverrideColumns
from relay_core.normalize.row_reader import to_microseconds
from relay_core.publish.state import SUSPECT_SINCE, Baseline
from relay_core.validation.comparison import SUSPECT_PRICE, Comparison
from relay_core.validation.guards import falls_below
from relay_core.validation.row_schemas import CENTS

_HOUR_MICROSECONDS = 3_600_000_000
_NO_AMOUNT = -1


@dataclass(frozen=True, slots=True, eq=False)
class Suspects:
    """The SKUs whose price moved too far, in order."""

    options: QuarantineConfig
    now: int  # the time of the run's request, in microseconds since the epoch
    rows: RowIndex  # the SKUs' rows in the new feed
    stored: pa.Table  # the SKUs' rows of the published state, one a SKU
    offered: pa.Table  # the SKUs' rows as the run computed them, one a SKU

    @classmethod
    def of(
        cls,
        merge: Merge,
        options: QuarantineConfig,
        baseline: Baseline,
        joined: Comparison,
        offered: pa.Table,
        requested_at: datetime,
    ) -> "Suspects":
        """Return the SKUs whose price moved too far, unless an override explains it.

        ``joined`` compares ``baseline`` with ``offered``, the rows of the new feed.
        """
        in_both = (joined.rows_before >= 0) & (joined.rows_after >= 0)
        rows_before = joined.rows_before[in_both]
        rows_after = joined.rows_after[in_both]
        published = joined.before.cents[rows_before]
        computed = joined.after.cents[rows_after]
        is_suspect = moved_too_far(options, published, computed)
        rows_before = rows_before[is_suspect]
        rows_after = rows_after[is_suspect]
        suspect_offers = offered.take(pa.array(rows_after))
        is_explained = _explained(
            merge.overrides,
            suspect_offers,
            published[is_suspect],
            computed[is_suspect],
        )
        return cls(
            options,
            to_microseconds(requested_at),
            rows_after[~is_explained],
            baseline.rows(rows_before[~is_explained]),
            suspect_offers.filter(pa.array(~is_explained)),
        )

    @property
    def computed(self) -> Cents:
        """The prices that the run computed, one a SKU."""
        prices, _ = text.integers_of(self.offered["price"])
        return prices

    def unconfirmed(self, *, is_new_config: bool) -> "Suspects":
        """Return the suspects that neither time nor a new config confirms.

        A new config confirms a price if vendor, cost and minimum advertised price are
        as they were, so that only the config can have changed the price.
        """
        is_confirmed = np.zeros(len(self.rows), np.bool_)
        if is_new_config:
            is_confirmed = (
                text.flags_of(self.stored["cost"].is_valid())
                & self._is_same("cost")
                & self._is_same("vendor_id")
                & self._is_same("map_price", nulls_are_same=True)
            )
        if self.options.confirm_hours is not None:
            age = self.now - self.since()
            is_confirmed |= (
                age >= self.options.confirm_hours * _HOUR_MICROSECONDS
            )
        unconfirmed = pa.array(~is_confirmed)
        return replace(
            self,
            rows=self.rows[~is_confirmed],
            stored=self.stored.filter(unconfirmed),
            offered=self.offered.filter(unconfirmed),
        )

    def since(self) -> Microseconds:
        """Return the times from which the prices are suspect, one a SKU.

        A price that is close to the one that was suspect before is suspect since then;
        any other price is suspect from now on.
        """
        if not {SUSPECT_PRICE, SUSPECT_SINCE} <= {*self.stored.column_names}:
            return np.full(len(self.rows), self.now)
        suspect_prices = text.one_chunk(self.stored[SUSPECT_PRICE]).cast(CENTS)
        prices_before, is_new = text.integers_of(suspect_prices)
        since, _ = text.integers_of(self.stored[SUSPECT_SINCE])
        is_other = moved_too_far(self.options, prices_before, self.computed)
        return np.where(is_new | is_other, self.now, since)

    def _is_same(self, name: str, *, nulls_are_same: bool = False) -> RowMask:
        """Return the rows in which a column has its stored value."""
        offered = text.one_chunk(self.offered[name])
        if pa.types.is_dictionary(offered.type):
            offered = offered.dictionary_decode()
        stored = text.one_chunk(self.stored[name]).cast(offered.type)
        is_same = pc.fill_null(pc.equal(offered, stored), False)
        if nulls_are_same:
            both_null = pc.and_(offered.is_null(), stored.is_null())
            is_same = pc.or_(is_same, both_null)
        return text.flags_of(is_same)


def moved_too_far(options: QuarantineConfig, old: Cents, new: Cents) -> RowMask:
    """Return the new prices that are too far from the old ones, one flag a price."""
    is_beyond = np.zeros(len(old), np.bool_)
    if options.price_drop_pct is not None:
        is_beyond |= falls_below(old, new, 1 - options.price_drop_pct)
    if options.price_rise_pct is not None:
        # The factor 1 / (1 + rise) is a fraction, so that nothing is rounded.
        largest_rise = 1 + Fraction(options.price_rise_pct)
        is_beyond |= falls_below(new, old, 1 / largest_rise)
    return is_beyond


def _explained(
    overrides: OverrideColumns,
    suspects: pa.Table,
    published: Cents,
    computed: Cents,
) -> RowMask:
    """Return the suspects whose price an override sets, bounds or accepts."""
    is_explained = np.zeros(len(suspects), np.bool_)
    if not len(overrides.skus) or not len(suspects):
        return is_explained
    places = overrides.index_of(text.one_chunk(suspects["sku"]))
    has_own_price = overrides.price[places] > _NO_AMOUNT
    # A price between the published and the accepted one is accepted as well.
    accepted = overrides.accept_price[places]
    lowest = np.minimum(published, accepted)
    highest = np.maximum(published, accepted)
    is_accepted = (
        (accepted > _NO_AMOUNT) & (lowest <= computed) & (computed <= highest)
    )
    is_explained = has_own_price | is_accepted
    if AT_LEAST_PRICE in suspects.column_names:
        is_explained |= text.flags_of(suspects[AT_LEAST_PRICE])
    return is_explained
