"""Offers of the same SKU to one priced winner each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar.sorting import common_ranges
from relay_core.columnar.text import flags_of, integers_of, one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.config import Override, TenantConfig
from relay_core.domain.codes import VendorStatus
from relay_core.domain.columns import CANONICAL_COLUMNS, extra_column
from relay_core.merge import pricing, vendor_offers
from relay_core.merge.competition import Competition, compete
from relay_core.merge.criteria import Criterion, criteria_of
from relay_core.merge.deferred_columns import (
    LOCATOR_TYPE,
    ROW_LOCATOR,
    DeferredColumns,
)
from relay_core.merge.override_columns import OVERRIDE_INDEX, OverrideColumns
from relay_core.merge.price_rules import RULE, PriceRules, rules_of
from relay_core.merge.row_counts import (
    FATES,
    RuleEffects,
    count_competing,
    effects_of_rules,
)
from relay_core.merge.vendor_offers import FED_QUANTITY, VENDOR_RANK
from relay_core.normalize.result import NormalizedVendor, OfferedSkus
from relay_core.normalize.typed_batch import null_cells
from relay_core.validation import row_schemas

RANGE_ROWS = 1 << 16  # the maximum number of rows that are merged at a time
_MANY_ROWS = 1 << 21
"""From this number of offers on, memory that the merge has left is released."""

AT_LEAST_PRICE = "at_least_price"
"""The column with the mask of prices that are an override's least price."""
_PRICED_BY = ("cost", "price", "map_price")

Look: TypeAlias = Callable[[NormalizedVendor, pa.Table, int], None]
"""A function that looks at the rows of a vendor, one range of SKUs after another.

It gets the vendor, rows with the columns that the merge reads, and the index of the
first one. It runs on several threads.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Winners:
    """The best offers, in the order of SKUs."""

    # The winners with a price, as rows of the feed: `FeedRow`, the columns that the
    # output asks for, and the row locator.
    priced: pa.Table
    # The winners without a price: ``sku``, and ``is_free`` if the price comes to 0.00.
    unpriced: pa.Table
    deferred: DeferredColumns  # the other columns of the winners with a price
    effects: RuleEffects  # the effects of the tenant's own rules
    # The outcome of each vendor's offers, by the names of `FATES`.
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unused: Sequence[str] = ()  # the SKUs that have an override and no offer


class _MergedRange(NamedTuple):
    """The winners of one range of SKUs."""

    priced: pa.Table  # the winners with a price, as rows of the feed
    unpriced: pa.Table  # the winners without a price
    effects: RuleEffects  # the effects of the tenant's own rules
    # A row for each of `FATES`, a column for each vendor
    counts: arrays.WholeNumbers
    # The mask of overrides that have an offer; the last cell is of no override.
    has_offer: arrays.RowMask


def columns_to_merge(config: TenantConfig) -> list[str]:
    """Return the columns of offers that are read before the state is written."""
    needed = {*_PRICED_BY, *_feed_columns(config)}
    if any(rule.when.brands for rule in config.pricing.rules):
        needed.add("brand")
    columns = row_columns(config)
    if config.guards.quarantine is not None:
        needed.add("row_number")
        columns.append("row_number")
    fields = row_schemas.offer_fields(columns)
    return [field.name for field in fields if field.name in needed]


def _feed_columns(config: TenantConfig) -> set[str]:
    """Return the columns of the feed that are read before the state is written."""
    needed = {*row_schemas.FEED_ROW_COLUMNS, *config.reads}
    if config.guards.quarantine is not None:
        needed.update(_PRICED_BY)
    return needed


def row_columns(config: TenantConfig) -> list[str]:
    """Return the names of a row's columns, the tenant's extra ones last."""
    return [*CANONICAL_COLUMNS, *map(extra_column, config.extra_columns)]


def merge_offers(
    config: TenantConfig,
    vendors: Sequence[NormalizedVendor],
    overrides: Sequence[Override] = (),
    look: Look | None = None,
) -> Winners:
    """Return the best offer of each SKU as a priced row of the feed.

    Args:
        config: The tenant's config.
        vendors: The vendors whose rows are used, in the order of the config.
        overrides: The overrides that the run uses.
        look: Looks at the rows.
    """
    merge = Merge.of(config, overrides)
    skus_by_vendor = [OfferedSkus(vendor.offers) for vendor in vendors]
    ranges = common_ranges(skus_by_vendor, RANGE_ROWS)
    merge_range = partial(_merge_range, merge, vendors, look)
    merged = list(ordered_map(merge_range, ranges))
    effects = RuleEffects()
    for part in merged:
        effects += part.effects
    if sum(len(vendor.offers) for vendor in vendors) > _MANY_ROWS:
        # The files of the feed are made of blocks of other sizes.
        pa.default_memory_pool().release_unused()
    priced = pa.concat_tables([part.priced for part in merged])
    unpriced = pa.concat_tables([part.unpriced for part in merged])
    deferred_names = [
        name for name in row_columns(config) if name not in priced.column_names
    ]
    vendor_of_rank = {
        config.vendor_index(vendor.vendor_id): vendor for vendor in vendors
    }
    return Winners(
        priced=priced,
        unpriced=unpriced,
        deferred=DeferredColumns.left_by(deferred_names, vendor_of_rank),
        effects=effects,
        counts=_counts_by_vendor(config, [part.counts for part in merged]),
        unused=_unused_skus(merge, [part.has_offer for part in merged]),
    )


def _counts_by_vendor(
    config: TenantConfig,
    counts_of_ranges: Sequence[arrays.WholeNumbers],
) -> dict[str, dict[str, int]]:
    """Return the outcome of each vendor's offers, by the names of `FATES`."""
    counts = np.sum(counts_of_ranges, axis=0)
    counts_by_vendor = {}
    for vendor, vendor_counts in zip(
        config.vendors,
        counts.T.tolist(),
        strict=True,
    ):
        counts_by_vendor[vendor.vendor_id] = dict(
            zip(FATES, vendor_counts, strict=True),
        )
    return counts_by_vendor


def _unused_skus(
    merge: Merge,
    masks_of_ranges: Sequence[arrays.RowMask],
) -> list[str]:
    """Return the SKUs that have an override and no offer in any range."""
    has_offer = np.logical_or.reduce(masks_of_ranges)[:-1]
    unused: list[str] = merge.overrides.skus.filter(
        pa.array(~has_offer),
    ).to_pylist()
    return unused


def competing_offers(
    merge: Merge,
    vendors: Sequence[NormalizedVendor],
    skus: pa.StringArray,
) -> pa.Table:
    """Return the competing offers of some SKUs, by vendor, with stock applied."""
    parts = []
    fields = list(row_schemas.offer_fields(merge.columns))
    for vendor in vendors:
        vendor_skus = vendor.offers.table(["sku"])["sku"]
        is_requested = pc.is_in(vendor_skus, skus.cast(vendor_skus.type))
        rows = np.flatnonzero(flags_of(is_requested))
        cells = vendor.offers.cells(fields, rows)
        table = pa.table(cells, schema=pa.schema(fields)).combine_chunks()
        offers, _ = _offers_of_rows(merge, vendor, table, rows)
        parts.append(offers)
    all_offers = pa.concat_tables(parts).combine_chunks()
    offers, left_out = merge.ruled(all_offers)
    left_out |= merge.overrides.outplaced(offers, merge.config, left_out)
    return offers.filter(pa.array(~left_out))


def _offers_of_rows(
    merge: Merge,
    vendor: NormalizedVendor,
    table: pa.Table,
    rows: arrays.RowIndex,
) -> tuple[pa.Table, RuleEffects]:
    """Return the offers that some rows of a vendor make, and their effects.

    Args:
        merge: The merge.
        vendor: The vendor.
        table: The rows, with all rows of their SKUs.
        rows: Their indices among the vendor's rows.
    """
    locators = pa.array(rows.astype(LOCATOR_TYPE))
    distinct_rows, set_aside = vendor_offers.without_duplicates(
        merge.config.vendor(vendor.vendor_id),
        table.append_column(ROW_LOCATOR, locators),
    )
    is_last_good = vendor.status is VendorStatus.LAST_GOOD
    offers = merge.offers_of(
        vendor.vendor_id,
        distinct_rows,
        is_last_good=is_last_good,
    )
    fed_units = vendor_offers.units(offers, FED_QUANTITY)
    effects = RuleEffects(
        {
            ("set_aside", vendor.vendor_id): int(set_aside.sum()),
            ("held_back", vendor.vendor_id): fed_units
            - vendor_offers.units(offers),
        },
    )
    return offers.drop_columns([FED_QUANTITY]), effects


def _merge_range(
    merge: Merge,
    vendors: Sequence[NormalizedVendor],
    look: Look | None,
    rows_by_vendor: Sequence[slice],
) -> _MergedRange:
    """Return the winners of one range of SKUs, whose rows of each vendor are given."""
    parts = []
    effects = RuleEffects()
    for vendor, rows in zip(vendors, rows_by_vendor, strict=True):
        table = vendor.offers.table(merge.columns, rows)
        if look is not None:
            look(vendor, table, rows.start)
        offers, vendor_effects = _offers_of_rows(
            merge,
            vendor,
            table,
            np.arange(rows.start, rows.stop),
        )
        parts.append(offers)
        effects += vendor_effects
    all_offers = pa.concat_tables(parts).combine_chunks()
    offers, ruled_out = merge.ruled(all_offers)
    outplaced = merge.overrides.outplaced(offers, merge.config, ruled_out)
    left_out = ruled_out | outplaced
    competing = offers
    if left_out.any():
        competing = offers.filter(pa.array(~left_out))
    priced, unpriced, competing_counts = merge.feed_rows(competing)
    ranks = integers_of(offers[VENDOR_RANK])[0]
    vendor_count = len(merge.config.vendors)
    left_out_counts = np.bincount(ranks[left_out], minlength=vendor_count)
    counts = np.vstack([left_out_counts, competing_counts])
    override_count = len(merge.overrides.skus)
    has_offer = np.zeros(override_count + 1, np.bool_)
    if override_count:
        has_offer[integers_of(offers[OVERRIDE_INDEX])[0]] = True
    if RULE in priced.column_names:
        effects += effects_of_rules("priced", rules_of(priced))
        effects += effects_of_rules("left_out", rules_of(offers)[ruled_out])
        priced = priced.drop_columns([RULE])
    return _MergedRange(priced, unpriced, effects, counts, has_offer)


@dataclass(frozen=True, slots=True)
class Merge:
    """The steps, in order, from a vendor's distinct rows to rows of the feed."""

    config: TenantConfig
    columns: Sequence[str]  # the columns of offers that it reads
    criteria: Sequence[Criterion]  # the criteria that decide between offers
    rules: PriceRules  # the tenant's price rules
    overrides: OverrideColumns  # the tenant's overrides of single SKUs

    @classmethod
    def of(
        cls,
        config: TenantConfig,
        overrides: Sequence[Override] = (),
    ) -> Merge:
        """Return the merge of a tenant, with the overrides that a run uses."""
        return cls(
            config=config,
            columns=columns_to_merge(config),
            criteria=criteria_of(config),
            rules=PriceRules.of(config),
            overrides=OverrideColumns.of(config, overrides),
        )

    def offers_of(
        self,
        vendor_id: str,
        rows: pa.Table,
        *,
        is_last_good: bool = False,
    ) -> pa.Table:
        """Return the offers that a vendor's rows make, with the stock rules applied.

        The column `FED_QUANTITY` has the quantities before the stock rules.
        """
        offers = vendor_offers.offers_of(
            self.config,
            vendor_id,
            rows,
            is_last_good=is_last_good,
        )
        offers = offers.append_column(
            FED_QUANTITY,
            offers["quantity_available"],
        )
        stock = self.config.vendor(vendor_id).stock or self.config.stock
        return vendor_offers.in_stock(stock, offers)

    def ruled(self, offers: pa.Table) -> tuple[pa.Table, arrays.RowMask]:
        """Return offers with rules and overrides, and the mask of those left out."""
        ruled = self.rules.applied(offers)
        return self.overrides.applied(ruled, self.rules.leaves_out(ruled))

    def competition(self, competing: pa.Table) -> Competition:
        """Return the outcome of the competition of some competing offers."""
        deciding = [
            criterion for criterion in self.criteria if not criterion.excludes
        ]
        return compete(competing, deciding, len(self.config.vendors))

    def feed_rows(
        self,
        competing: pa.Table,
    ) -> tuple[pa.Table, pa.Table, arrays.WholeNumbers]:
        """Return the winners of the competing offers of some SKUs.

        Returns:
            The rows of the feed, by SKU; the SKUs that get no price, with ``is_free``
            if the price comes to 0.00; and the outcome of the offers, as
            `count_competing` counts it.
        """
        options = self.config.pricing
        competition = self.competition(competing)
        amounts = competing.select(
            [name for name in competing.column_names if name in pricing.READ],
        )
        winners = amounts.take(pa.array(competition.winners))
        shipping = vendor_offers.own_shipping(self.config, winners)
        inputs = pricing.PriceInputs.of(winners, options, shipping)
        cents, has_price = pricing.price_winners(inputs, options)
        priced_rows = competition.winners[has_price]
        priced = competing.take(pa.array(priced_rows))
        is_judged = self.config.guards.quarantine is not None
        if is_judged and inputs.override_min_price is not None:
            whole_cents, _ = pricing.whole_cents(inputs, options)
            is_least = whole_cents * 100 == inputs.override_min_price
            is_least_price = pa.array(is_least[has_price])
            priced = priced.append_column(AT_LEAST_PRICE, is_least_price)
        unpriced_rows = competition.winners[~has_price]
        unpriced = {
            "sku": competing["sku"].take(pa.array(unpriced_rows)),
            "is_free": pa.array(inputs.has_amount[~has_price]),
        }
        counts = count_competing(
            integers_of(competing[VENDOR_RANK])[0],
            competition.sku_counts,
            integers_of(winners[VENDOR_RANK])[0],
            has_price,
        )
        feed = self._as_feed(priced, cents[has_price])
        return feed, pa.table(unpriced), counts

    def _as_feed(self, priced: pa.Table, cents: arrays.Cents) -> pa.Table:
        """Return winners as rows of the feed, with their prices in cents."""
        vendor_ids = [vendor.vendor_id for vendor in self.config.vendors]
        ranks = one_chunk(priced[VENDOR_RANK])
        lead_times = priced["lead_time_days"]
        fallback = self.config.merge.best_offer.fallback_lead_time_days
        made_columns = {
            "vendor_id": pa.DictionaryArray.from_arrays(
                ranks,
                pa.array(vendor_ids),
            ),
            "price": pa.array(cents).view(row_schemas.CENTS),
            "lead_time_days": pc.fill_null(
                lead_times,
                pa.scalar(fallback, lead_times.type),
            ),
        }
        needed = _feed_columns(self.config)
        columns = {}
        for name in row_columns(self.config):
            if name in made_columns:
                columns[name] = made_columns[name]
            elif name in needed:
                columns[name] = _shared_if_null(priced[name])
        for name in (ROW_LOCATOR, RULE, AT_LEAST_PRICE):
            if name in priced.column_names:
                columns[name] = priced[name]
        return pa.table(columns)


def _shared_if_null(cells: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Return cells; if all of them are null, as a column that takes no memory."""
    if cells.null_count == len(cells):
        return null_cells(cells.type, len(cells))
    return cells
