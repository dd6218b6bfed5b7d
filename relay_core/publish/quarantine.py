"""SKUs whose new price cannot be right, which keep the published price until confirmed.

A new price is always compared with the published one, never with a price that was only
computed. Time confirms a new price, a person accepts it, or a new config explains it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.columnar.arrays import (
    Cents,
    Microseconds,
    RecordNumbers,
    RowIndex,
    RowMask,
)
from relay_core.columnar.sorted_file import sorted_file_chunks
from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import flags_of, integers_of, one_chunk
from relay_core.config import TenantConfig
from relay_core.config.models import QuarantineConfig
from relay_core.merge import best_offer
from relay_core.merge.override_columns import OverrideColumns
from relay_core.merge.vendor_offers import VENDOR_RANK
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import to_microseconds
from relay_core.publish.state import SUSPECT_SINCE, Baseline
from relay_core.publish.stored_rows import Quantities, kept_rows, kept_schema
from relay_core.validation.comparison import SUSPECT_PRICE, Comparison
from relay_core.validation.contracts import CENTS, INSTANT
from relay_core.validation.guards import falls_below

QUARANTINE_COLUMNS = (
    "sku",
    "action",
    "price_published",
    "price_computed",
    "vendor_id",
    "row_number",
    "suspect_since",
)
_HOUR_MICROSECONDS = 3_600_000_000
_NO_AMOUNT = -1
_NO_VENDOR = -1


@dataclass(frozen=True, slots=True, eq=False)
class Quarantine:
    """The SKUs of a feed that keep their published price; arrays have one value a SKU."""

    action: str  # ``keep`` or ``zero``
    skus: pa.StringArray  # the SKUs, in order
    published: Cents  # the price in the feed
    computed: Cents  # the price that the run computed
    vendor_ids: Sequence[str]  # the vendor whose offer has the computed price
    row_numbers: RecordNumbers  # the record of that offer
    since: Microseconds  # the time from which the computed price is suspect
    rows: pa.Table  # the SKUs' rows of the feed, with all columns

    def __len__(self) -> int:
        """Return the number of SKUs."""
        return len(self.skus)

    def first(self, limit: int) -> list[dict[str, str]]:
        """Return the first SKUs, each as its row of quarantine.csv."""
        columns = [texts.slice(0, limit).to_pylist() for texts in self._texts()]
        return [
            dict(zip(QUARANTINE_COLUMNS, row, strict=True))
            for row in zip(*columns, strict=True)
        ]

    def csv_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield quarantine.csv piece by piece."""
        yield csv_text.header_line(QUARANTINE_COLUMNS)
        skus, *other_columns = self._texts()
        yield csv_text.lines([csv_text.quoted(skus), *other_columns])

    def work_file_chunks(self, config: TenantConfig) -> Iterator[memoryview]:
        """Yield the work file that explanations read: the rows, sorted by SKU."""
        prices = pa.array(self.computed).view(CENTS)
        instants = pa.array(self.since).view(INSTANT)
        rows = self.rows.append_column(SUSPECT_PRICE, prices)
        rows = rows.append_column(SUSPECT_SINCE, instants)
        return sorted_file_chunks(quarantined_schema(config), "sku", [rows])

    def _texts(self) -> list[pa.StringArray]:
        """Return the columns of quarantine.csv before quoting."""
        return [
            self.skus,
            pa.repeat(pa.scalar(self.action), len(self)),
            csv_text.cents_text(self.published),
            csv_text.cents_text(self.computed),
            pa.array(self.vendor_ids, pa.string()),
            csv_text.whole_text(self.row_numbers),
            csv_text.instant_text(self.since),
        ]


def quarantined_schema(config: TenantConfig) -> pa.Schema:
    """Return the columns of a quarantined row in its work file."""
    return pa.schema(
        [
            *kept_schema(config),
            pa.field(SUSPECT_PRICE, CENTS),
            pa.field(SUSPECT_SINCE, INSTANT),
        ]
    )


# --- suspects -----------------------------------------------------------------------------


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
        merge: best_offer.Merge,
        options: QuarantineConfig,
        baseline: Baseline,
        joined: Comparison,
        offered: pa.Table,
        requested_at: datetime,
    ) -> "Suspects":
        """Return the SKUs whose price moved too far without an override that explains it.

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
        prices, _ = integers_of(self.offered["price"])
        return prices

    def unconfirmed(self, *, is_new_config: bool) -> "Suspects":
        """Return the suspects that neither time nor a new config confirms.

        A new config confirms a price if vendor, cost and minimum advertised price are
        as they were, so that only the config can have changed the price.
        """
        is_confirmed = np.zeros(len(self.rows), np.bool_)
        if is_new_config:
            is_confirmed = (
                flags_of(self.stored["cost"].is_valid())
                & self._is_same("cost")
                & self._is_same("vendor_id")
                & self._is_same("map_price", nulls_are_same=True)
            )
        if self.options.confirm_hours is not None:
            age = self.now - self.since()
            is_confirmed |= age >= self.options.confirm_hours * _HOUR_MICROSECONDS
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
        suspect_prices = one_chunk(self.stored[SUSPECT_PRICE]).cast(CENTS)
        prices_before, is_new = integers_of(suspect_prices)
        since, _ = integers_of(self.stored[SUSPECT_SINCE])
        is_other = moved_too_far(self.options, prices_before, self.computed)
        return np.where(is_new | is_other, self.now, since)

    def _is_same(self, name: str, *, nulls_are_same: bool = False) -> RowMask:
        """Return the rows in which a column has its stored value."""
        offered = one_chunk(self.offered[name])
        if pa.types.is_dictionary(offered.type):
            offered = offered.dictionary_decode()
        stored = one_chunk(self.stored[name]).cast(offered.type)
        is_same = pc.fill_null(pc.equal(offered, stored), False)
        if nulls_are_same:
            both_null = pc.and_(offered.is_null(), stored.is_null())
            is_same = pc.or_(is_same, both_null)
        return flags_of(is_same)


def moved_too_far(options: QuarantineConfig, old: Cents, new: Cents) -> RowMask:
    """Return the new prices that are further from the old ones than the options allow."""
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
    places = overrides.index_of(one_chunk(suspects["sku"]))
    has_own_price = overrides.price[places] > _NO_AMOUNT
    # A price between the published and the accepted one is accepted as well.
    accepted = overrides.accept_price[places]
    lowest = np.minimum(published, accepted)
    highest = np.maximum(published, accepted)
    is_accepted = (accepted > _NO_AMOUNT) & (lowest <= computed) & (computed <= highest)
    is_explained = has_own_price | is_accepted
    if best_offer.AT_LEAST_PRICE in suspects.column_names:
        is_explained |= flags_of(suspects[best_offer.AT_LEAST_PRICE])
    return is_explained


# --- the quarantine -----------------------------------------------------------------------


def quarantine_of(
    merge: best_offer.Merge,
    suspects: Suspects,
    vendors: Sequence[NormalizedVendor],
) -> Quarantine:
    """Return the quarantine of some suspects, whose offers are among those of ``vendors``."""
    skus = one_chunk(suspects.offered["sku"])
    vendor_ids = [vendor.vendor_id for vendor in merge.config.vendors]
    offers = best_offer.competing_offers(merge, vendors, skus)
    winners = _best_offers(merge, offers)
    row_numbers, _ = integers_of(winners["row_number"])
    quantities = np.zeros(len(skus), np.int32)
    if suspects.options.action == "keep":
        quantities = _offered_quantities(merge, suspects, offers, vendor_ids)
    rows = kept_rows(merge.config, suspects.stored, quantities)
    published, _ = integers_of(rows["price"])
    return Quarantine(
        action=suspects.options.action,
        skus=skus,
        published=published,
        computed=suspects.computed,
        vendor_ids=[vendor_ids[rank] for rank in winners[VENDOR_RANK].to_pylist()],
        row_numbers=row_numbers,
        since=suspects.since(),
        rows=rows,
    )


def _best_offers(merge: best_offer.Merge, offers: pa.Table) -> pa.Table:
    """Return the best of the competing offers, one a SKU, in order."""
    criteria = [criterion for criterion in merge.criteria if not criterion.excludes]
    order = order_by_text(one_chunk(offers["sku"]))
    best = best_offer.best_of_groups(order, offers, criteria)
    return offers.take(pa.array(best))


def _offered_quantities(
    merge: best_offer.Merge,
    suspects: Suspects,
    offers: pa.Table,
    vendor_ids: Sequence[str],
) -> Quantities:
    """Return the quantity that the published vendor offers now, one a SKU; 0 for none."""
    skus = one_chunk(suspects.offered["sku"])
    quantities = np.zeros(len(skus), np.int32)
    published_ranks = pc.index_in(
        one_chunk(suspects.stored["vendor_id"]),
        value_set=pa.array(vendor_ids),
    )
    published_ranks = published_ranks.fill_null(_NO_VENDOR).to_numpy()
    sku_indices = pc.index_in(one_chunk(offers["sku"]), value_set=skus).to_numpy()
    offer_ranks, _ = integers_of(offers[VENDOR_RANK])
    is_published_vendor = offer_ranks == published_ranks[sku_indices]
    vendor_offers = offers.filter(pa.array(is_published_vendor))
    if len(vendor_offers):
        best = _best_offers(merge, vendor_offers)
        best_skus = one_chunk(best["sku"])
        best_indices = pc.index_in(best_skus, value_set=skus).to_numpy()
        quantities[best_indices] = integers_of(best["quantity_available"])[0]
    return quantities
