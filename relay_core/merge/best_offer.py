"""Offers of the same SKU to one priced winner each.

A criterion is a whole number an offer, the less the better; the first ones say which offers do not
compete at all. Criteria are held against each other group by group, without packing them together,
so that no range is too wide. Columns that neither the merge nor the output reads stay where they
were read until the state of the feed is written (late materialization): a row locator of each offer
leads back to them, so that no text is copied but those of winners.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.sorting import TextOrder, common_ranges, order_by_text
from relay_core.columnar.text import (
    Bools,
    Ints,
    Rows,
    flags_of,
    integers_of,
    one_chunk,
    take_short,
)
from relay_core.columnar.threads import ordered_map
from relay_core.config import Override, TenantConfig
from relay_core.domain.cell_rules import MONEY_UNIT
from relay_core.domain.codes import VendorStatus
from relay_core.domain.columns import CANONICAL_COLUMNS, extra_column
from relay_core.merge.pricing import (
    OVERRIDE_MIN_PRICE,
    OVERRIDE_PRICE,
    RULE,
    PriceInputs,
    PriceRules,
    has_amount,
    price_winners,
    rules_of,
    whole_cents,
)
from relay_core.merge.vendor_offers import (
    FATES,
    FED_QUANTITY,
    VENDOR_RANK,
    RuleEffects,
    effects_of_rules,
    in_stock,
    of_competing,
    offers_of,
    own_shipping,
    units,
    with_quantities,
    without_duplicates,
)
from relay_core.normalize.result import NormalizedVendor
from relay_core.validation.comparison import KEPT, SUSPECT_PRICE
from relay_core.validation.contracts import (
    CENTS,
    OUTPUT_COLUMNS,
    frame_of,
    offer_fields,
    table_of,
)

RANGE_ROWS = 1 << 17  # how many rows are merged at a time, at the most

ROW_LOCATOR = "origin"
"""The column with an offer's row number among its vendor's rows, or among the kept rows."""
KEPT_ROWS = np.iinfo(np.int16).max
"""The rank of rows that are no vendor's offers: it follows those of all vendors."""
QUARANTINED_ROWS = KEPT_ROWS - 1
"""The rank of rows that keep what is published; it follows those of all vendors, too."""

_Cells: TypeAlias = "pa.Array | pa.ChunkedArray"
_Source: TypeAlias = Callable[[pa.Field, Rows], _Cells]

AT_LEAST_PRICE = "at_least_price"
"""The column that says whether a price, before its ending, is the least that an override allows."""
LEFT_OUT = "left_out"
"""The column that says whether an offer is left out: with its vendor, or by a price rule."""
OVERRIDDEN = "override"
"""The column that says whether another vendor's offer was asked for in an offer's place."""
DUPLICATE = "duplicate_skus"
"""The column that says whether another row of its vendor stands for an offer's SKU."""
TIE_BREAKERS = ("vendor_id", "row_order")  # the criteria that leave no two offers alike
_LAST = np.iinfo(np.int64).max
_PLACE = "override_place"
_NONE = -1
_CENT = MONEY_UNIT // 100
_PRICED_BY = ("cost", "price", "map_price")


@dataclass(frozen=True, slots=True)
class DeferredColumns:
    """Gathers cells of winners, a few rows of the feed at a time; holds no other columns."""

    fields: Sequence[pa.Field]
    sources: Mapping[int, _Source]  # of the rows of each rank, in order of ranks

    @classmethod
    def left_by(
        cls, names: Sequence[str], vendors: Mapping[int, NormalizedVendor]
    ) -> DeferredColumns:
        """Return those columns of vendors' offers; the vendors in order of ranks."""
        sources = {
            rank: partial(_cells, table_of(vendor.offers[list(names)]))
            if vendor.deferred is None
            else vendor.deferred.cells
            for rank, vendor in vendors.items()
        }
        return cls(list(offer_fields(names)), sources)

    def with_rows(self, rank: int, rows: pa.Table) -> DeferredColumns:
        """Return the same with other rows of the feed, which are read nowhere else."""
        sources: dict[int, _Source] = {**self.sources, rank: partial(_cells, rows)}
        return replace(self, sources=dict(sorted(sources.items())))

    def of(self, feed: pa.Table) -> dict[str, _Cells]:
        """Return the cells of rows of the feed: of offers, and of those that are kept."""
        ranks = one_chunk(feed["vendor_id"]).indices.to_numpy()
        if KEPT in feed.column_names:
            ranks = np.where(flags_of(feed[KEPT]), KEPT_ROWS, ranks)
        if SUSPECT_PRICE in feed.column_names:
            ranks = np.where(
                flags_of(feed[SUSPECT_PRICE].is_valid()), QUARANTINED_ROWS, ranks
            )
        origins = one_chunk(feed[ROW_LOCATOR]).to_numpy()
        order = np.argsort(ranks, kind="stable")
        bounds = [*np.searchsorted(ranks[order], list(self.sources)), len(order)]
        rows = [origins[order[start:stop]] for start, stop in pairwise(bounds)]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        given = list(zip(self.sources.values(), rows, strict=True))
        return {
            field.name: _taken([cells(field, of) for cells, of in given], places)
            for field in self.fields
        }


def _cells(table: pa.Table, field: pa.Field, rows: Rows) -> _Cells:
    return table[field.name].take(pa.array(rows))


def _taken(parts: Sequence[_Cells], rows: Rows) -> _Cells:
    chunks = (
        part.chunks if isinstance(part, pa.ChunkedArray) else [part] for part in parts
    )
    cells = one_chunk(pa.chunked_array([chunk for each in chunks for chunk in each]))
    is_text = pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)
    return take_short(cells, rows) if is_text else cells.take(pa.array(rows))


@dataclass(frozen=True, slots=True, eq=False)
class Winners:
    """The best offers, in the order of SKUs."""

    # Those with a price, as rows of the feed (``FeedRow``, what the output asks for, and where each
    # was read)
    priced: pd.DataFrame
    unpriced: (
        pd.DataFrame
    )  # those without: ``sku``, and ``is_free`` where the price comes to 0.00
    deferred: DeferredColumns  # the other columns of those with a price
    effects: RuleEffects  # what the tenant's own rules did
    # Of each vendor what became of its offers, by the names of `RowCounts`
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unused: Sequence[str] = ()  # the SKUs that have an override, and no offer


def columns_to_merge(config: TenantConfig) -> list[str]:
    """Return the columns of offers that the merge, the price, the contract or the output reads."""
    wanted = {*_PRICED_BY, *OUTPUT_COLUMNS, *config.output.reads}
    if any(rule.when.brands for rule in config.pricing.rules):
        wanted.add("brand")
    columns = list(row_columns(config))
    if config.guards.quarantine is not None:
        wanted.add("row_number")
        columns.append("row_number")
    return [field.name for field in offer_fields(columns) if field.name in wanted]


def row_columns(config: TenantConfig) -> list[str]:
    """Return the names of a row's columns: the canonical ones, then the tenant's extra ones."""
    return [*CANONICAL_COLUMNS, *map(extra_column, config.extra_columns)]


def merge_offers(
    config: TenantConfig,
    vendors: Sequence[NormalizedVendor],
    overrides: Sequence[Override] = (),
) -> Winners:
    """Return the best offer of each SKU as a row of the feed, priced, a range of SKUs at a time."""
    merge = Merge.of(config, overrides)
    of_vendors = [_offers_of_vendor(merge, vendor) for vendor in vendors]
    tables, vendor_effects = zip(*of_vendors, strict=True)
    overridden = merge.overrides.skus
    ranges = common_ranges([one_chunk(table["sku"]) for table in tables], RANGE_ROWS)

    def merge_range(
        rows: Sequence[slice],
    ) -> tuple[pa.Table, pa.Table, RuleEffects, Ints, Bools]:
        parts = [
            t.slice(r.start, r.stop - r.start)
            for t, r in zip(tables, rows, strict=True)
        ]
        offers, ruled_out = merge.ruled(pa.concat_tables(parts).combine_chunks())
        left_out = ruled_out | merge.overrides.outplaced(offers, config, ruled_out)
        competing = offers.filter(pa.array(~left_out)) if left_out.any() else offers
        priced, unpriced, competed = merge.feed_rows(competing)
        ranks = integers_of(offers[VENDOR_RANK])[0]
        not_competing = np.bincount(ranks[left_out], minlength=len(config.vendors))
        counts = np.vstack([not_competing, competed])
        has_offer = np.zeros(
            len(overridden) + 1, np.bool_
        )  # each override; last, whether none
        if len(overridden):
            has_offer[integers_of(offers[_PLACE])[0]] = True
        if RULE not in priced.column_names:
            return priced, unpriced, RuleEffects(), counts, has_offer
        effects = effects_of_rules("priced", rules_of(priced))
        effects += effects_of_rules("left_out", rules_of(offers)[ruled_out])
        return priced.drop_columns([RULE]), unpriced, effects, counts, has_offer

    merged = list(ordered_map(merge_range, ranges))
    priced_parts, unpriced_parts, range_effects, counts, have_offers = zip(
        *merged, strict=True
    )
    priced, unpriced = map(pa.concat_tables, (priced_parts, unpriced_parts))
    names = [name for name in row_columns(config) if name not in priced.column_names]
    rank = {vendor.vendor_id: place for place, vendor in enumerate(config.vendors)}
    deferred = DeferredColumns.left_by(
        names, {rank[each.vendor_id]: each for each in vendors}
    )
    effects = sum((*range_effects, *vendor_effects), RuleEffects())
    of_ranks = (
        dict(zip(FATES, each, strict=True))
        for each in np.sum(counts, axis=0).T.tolist()
    )
    fates = dict(zip(rank, of_ranks, strict=True))
    has_offer = np.logical_or.reduce(have_offers)[:-1]
    unused = overridden.filter(pa.array(~has_offer)).to_pylist()
    return Winners(
        frame_of(priced), frame_of(unpriced), deferred, effects, fates, unused
    )


def competing_offers(
    merge: Merge, vendors: Sequence[NormalizedVendor], skus: pa.StringArray
) -> pa.Table:
    """Return the offers of some SKUs that compete, by vendor, with as much as is offered on."""
    parts = []
    for vendor in vendors:
        of_vendor = table_of(vendor.offers[["sku"]])["sku"]
        rows = np.flatnonzero(flags_of(pc.is_in(of_vendor, skus.cast(of_vendor.type))))
        parts.append(_offers_of_vendor(merge, vendor, rows)[0])
    offers, left_out = merge.ruled(pa.concat_tables(parts).combine_chunks())
    left_out |= merge.overrides.outplaced(offers, merge.config, left_out)
    return offers.filter(pa.array(~left_out))


def _offers_of_vendor(
    merge: Merge, vendor: NormalizedVendor, only: Rows | None = None
) -> tuple[pa.Table, RuleEffects]:
    """Return the offers that a vendor's rows make, or some of them, and its own rules' effects."""
    given = table_of(vendor.offers[columns_to_merge(merge.config)])
    origins = np.arange(len(given)) if vendor.deferred is None else vendor.deferred.rows
    given = given.append_column(ROW_LOCATOR, pa.array(origins))
    given = given if only is None else given.take(pa.array(only)).combine_chunks()
    rows, set_aside = without_duplicates(merge.config.vendor(vendor.vendor_id), given)
    is_last_good = vendor.status is VendorStatus.LAST_GOOD
    offers = merge.offers_of(vendor.vendor_id, rows, is_last_good=is_last_good)
    held_back = units(offers, FED_QUANTITY) - units(offers)
    counts = {"set_aside": int(set_aside.sum()), "held_back": held_back}
    effects = RuleEffects(
        {(name, vendor.vendor_id): count for name, count in counts.items()}
    )
    return offers.drop_columns([FED_QUANTITY]), effects


@dataclass(frozen=True, slots=True)
class Merge:
    """The steps, in order, from a vendor's rows without duplicates to rows of the feed."""

    config: TenantConfig
    criteria: Sequence[Criterion]  # decide between offers, and say which do not compete
    rules: PriceRules  # the tenant's price rules
    overrides: OverrideColumns  # its last word on single SKUs

    @classmethod
    def of(cls, config: TenantConfig, overrides: Sequence[Override] = ()) -> Merge:
        """Return the merge of a tenant, with what it says of single SKUs."""
        columns = OverrideColumns.of(config, overrides)
        return cls(config, criteria_of(config), PriceRules.of(config), columns)

    def offers_of(
        self, vendor_id: str, rows: pa.Table, *, is_last_good: bool = False
    ) -> pa.Table:
        """Return the offers that a vendor's rows make: the last good feed's part, then stock."""
        offers = offers_of(self.config, vendor_id, rows, is_last_good=is_last_good)
        fed = offers.append_column(FED_QUANTITY, offers["quantity_available"])
        return in_stock(self.config.vendor(vendor_id).stock or self.config.stock, fed)

    def ruled(self, offers: pa.Table) -> tuple[pa.Table, Bools]:
        """Return offers with their rules and overrides, and which of them these leave out."""
        ruled = self.rules.applied(offers)
        return self.overrides.applied(ruled, self.rules.leaves_out(ruled))

    def feed_rows(self, competing: pa.Table) -> tuple[pa.Table, pa.Table, Ints]:
        """Return the feed's rows of some SKUs' offers, and the SKUs that come to no price.

        Last is what became of the offers, as `of_competing` counts.
        """
        pricing = self.config.pricing
        deciding = [each for each in self.criteria if not each.excludes]
        order = order_by_text(one_chunk(competing["sku"]))
        rows = best_of_groups(order, competing, deciding)
        shipping = own_shipping(self.config, competing)
        inputs = PriceInputs.of(competing, rows, pricing, shipping)
        cents, has_price = price_winners(inputs, pricing)
        priced = competing.take(pa.array(rows[has_price]))
        if inputs.least is not None and self.config.guards.quarantine is not None:
            is_least = whole_cents(inputs, pricing)[0] * 100 == inputs.least
            priced = priced.append_column(AT_LEAST_PRICE, pa.array(is_least[has_price]))
        unpriced = {
            "sku": competing["sku"].take(pa.array(rows[~has_price])),
            "is_free": pa.array(inputs.has_amount[~has_price]),
        }
        competed = of_competing(
            competing, order, rows, has_price, len(self.config.vendors)
        )
        ids = pa.array([vendor.vendor_id for vendor in self.config.vendors])
        lead_time = priced["lead_time_days"]
        fallback = self.config.merge.best_offer.fallback_lead_time_days
        columns = dict(zip(priced.column_names, priced.columns, strict=True)) | {
            "vendor_id": pa.DictionaryArray.from_arrays(
                one_chunk(priced[VENDOR_RANK]), ids
            ),
            "price": pa.array(cents[has_price]).view(CENTS),
            "lead_time_days": pc.fill_null(
                lead_time, pa.scalar(fallback, lead_time.type)
            ),
        }
        names = (*row_columns(self.config), ROW_LOCATOR, RULE, AT_LEAST_PRICE)
        feed = pa.table({name: columns[name] for name in names if name in columns})
        return feed, pa.table(unpriced), competed


def best_of_groups(
    order: TextOrder, offers: pa.Table, criteria: Sequence[Criterion]
) -> Rows:
    """Return the best row of each group of offers, in the order of groups."""
    rows, starts = order
    winners = rows[starts]
    sizes = np.diff(starts, append=len(rows))
    contested = np.flatnonzero(sizes > 1)
    rows = rows[np.repeat(sizes > 1, sizes)]
    sizes = sizes[contested]
    for criterion in criteria:
        if not len(contested):
            break
        values, begins = criterion.numbers(offers)[rows], np.cumsum(sizes) - sizes
        best = values == np.repeat(np.minimum.reduceat(values, begins), sizes)
        rows, sizes = rows[best], np.add.reduceat(best, begins, dtype=np.int64)
        winners[contested] = rows[np.cumsum(sizes) - sizes]
        rows = rows[np.repeat(sizes > 1, sizes)]
        contested, sizes = contested[sizes > 1], sizes[sizes > 1]
    return np.asarray(winners)


# --- criteria ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Criterion:
    """One rule of the competition; its numbers are made when it is come to."""

    name: str  # what it is called where an offer has lost on it
    numbers: Callable[
        [pa.Table], Ints | Bools
    ]  # the offers' numbers; False is 0, True is 1
    excludes: bool = (
        False  # whether an offer with another number than 0 does not compete
    )


def criteria_of(config: TenantConfig) -> list[Criterion]:
    """Return all that decides, in order: no two offers are alike in all of it."""
    fallback = config.merge.best_offer.fallback_lead_time_days

    def lead_time(offers: pa.Table) -> Ints:
        days, nulls = integers_of(offers["lead_time_days"])
        return np.where(nulls, fallback, days)

    def marked(column: str, offers: pa.Table) -> Bools:
        return flags_of(offers[column])

    named: Mapping[str, Callable[[pa.Table], Ints | Bools]] = {
        "in_stock_desc": lambda offers: (
            integers_of(offers["quantity_available"])[0] == 0
        ),
        "lowest_landed_cost": partial(_landed_cost, config),
        "vendor_priority": _vendor_rank,
        "shortest_lead_time": lead_time,
        "most_recent": lambda offers: -integers_of(offers["updated_at"])[0],
        "highest_quantity": lambda offers: (
            -integers_of(offers["quantity_available"])[0]
        ),
    }
    ids = [vendor.vendor_id for vendor in config.vendors]
    by_vendor, by_row = TIE_BREAKERS
    by_id = np.array([sorted(ids).index(vendor_id) for vendor_id in ids], np.int64)
    return [
        *(
            Criterion(name, partial(marked, name), excludes=True)
            for name in (OVERRIDDEN, LEFT_OUT, DUPLICATE)
        ),
        Criterion("has_price", lambda offers: ~has_amount(offers, config.pricing)),
        *(Criterion(name, named[name]) for name in config.merge.best_offer.sort_by),
        Criterion(by_vendor, lambda offers: by_id[_vendor_rank(offers)]),
        Criterion(by_row, lambda offers: np.arange(len(offers))),
    ]


def landed_costs(config: TenantConfig, offers: pa.Table) -> pa.Array:
    """Return what offers are compared by as their cost, in ten-thousandths; null without a cost."""
    costs = _landed_cost(config, offers)
    return pa.array(costs, mask=costs == _LAST)


def _landed_cost(config: TenantConfig, offers: pa.Table) -> Ints:
    cost, nulls = integers_of(offers["cost"])
    if config.merge.best_offer.landed_cost.include_shipping_handling:
        own = own_shipping(config, offers)
        flat = int(config.pricing.shipping_handling_flat * MONEY_UNIT)
        cost = cost + (flat if own is None else own)
    return np.where(nulls, _LAST, cost)


def _vendor_rank(offers: pa.Table) -> Ints:
    return integers_of(offers[VENDOR_RANK])[0]


# --- overrides of single SKUs, as columns ------------------------------------------------------


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
            given = (getattr(one, name) for one in overrides)
            return np.array(
                [*(_NONE if n is None else int(n * unit) for n in given), _NONE]
            )

        return cls(
            pa.array([one.sku for one in overrides], pa.string()),
            np.array([*(one.leave_out for one in overrides), False]),
            numbers("price", MONEY_UNIT),
            numbers("min_price", MONEY_UNIT),
            numbers("max_quantity"),
            np.array(
                [*(rank.get(str(one.vendor_id), _NONE) for one in overrides), _NONE]
            ),
            numbers("accept_price", MONEY_UNIT // _CENT),
        )

    def places(self, skus: pa.StringArray | pa.LargeStringArray) -> Rows:
        """Return the place of each SKU's override; that of none is the last."""
        found = pc.index_in(skus, value_set=self.skus.cast(skus.type))
        return np.asarray(
            found.fill_null(len(self.skus)).to_numpy(zero_copy_only=False), np.int64
        )

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
        for name, amounts in (
            (OVERRIDE_PRICE, self.price),
            (OVERRIDE_MIN_PRICE, self.min_price),
        ):
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
        found[places[own & (wanted == ranks) & has_amount(offers, config.pricing)]] = (
            True
        )
        return np.asarray(own & found[places] & (wanted != ranks))
