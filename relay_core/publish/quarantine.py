"""SKUs whose new price cannot be right: the feed keeps the published one until it is confirmed.

The price that is compared with is the published one, never one that was only computed. Time
confirms a new price, a person accepts it, or a new config explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.columnar.sorted_file import sorted_file_chunks
from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import Bools, Ints, Rows, integers_of, one_chunk
from relay_core.config import Override, TenantConfig
from relay_core.config.models import QuarantineConfig
from relay_core.merge.best_offer import AT_LEAST_PRICE, Merge, best_of_groups, competing_offers
from relay_core.merge.deferred_columns import QUARANTINED_ROWS
from relay_core.merge.overrides import OverrideColumns
from relay_core.merge.result import MergedInventory
from relay_core.merge.vendor_offers import VENDOR_RANK
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import to_microseconds
from relay_core.publish.missing_skus import kept_rows, kept_schema, side_by_side
from relay_core.publish.state import SUSPECT_SINCE, Baseline
from relay_core.validation.comparison import SUSPECT_PRICE, Comparison
from relay_core.validation.contracts import CENTS, INSTANT
from relay_core.validation.frames import frame_of, table_of
from relay_core.validation.guards import falls_below

COLUMNS = (
    "sku",
    "action",
    "price_published",
    "price_computed",
    "vendor_id",
    "row_number",
    "suspect_since",
)
_SLICE = 1 << 17
_HOUR = 3_600_000_000
_NONE = -1


@dataclass(frozen=True, slots=True, eq=False)
class Quarantine:
    """The SKUs of a feed that keep their published price."""

    action: str  # ``keep`` or ``zero``
    skus: pa.StringArray  # which they are, in order
    published: Ints  # the cents that the feed has
    computed: Ints  # the cents that were computed
    vendor_ids: Sequence[str]  # whose offer that price is of
    row_numbers: Ints  # the record of it
    since: Ints  # since when the price is suspect, microseconds since the epoch
    rows: pa.Table  # their rows of the feed, with all columns

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.skus)

    def first(self, limit: int) -> list[dict[str, str]]:
        """Return the first by SKU, each as quarantine.csv has it."""
        texts = [cells.slice(0, limit).to_pylist() for cells in self._texts()]
        return [dict(zip(COLUMNS, row, strict=True)) for row in zip(*texts, strict=True)]

    def csv_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield quarantine.csv."""
        yield csv_text.header_line(COLUMNS)
        sku, *others = self._texts()
        yield csv_text.lines([csv_text.quoted(sku), *others])

    def work_file_chunks(self, config: TenantConfig) -> Iterator[memoryview]:
        """Yield the work file of the rows, by SKU, which explains them."""
        found = self.rows.append_column(SUSPECT_PRICE, pa.array(self.computed).view(CENTS))
        found = found.append_column(SUSPECT_SINCE, pa.array(self.since).view(INSTANT))
        return sorted_file_chunks(quarantined_schema(config), "sku", [found])

    def _texts(self) -> list[pa.StringArray]:
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
    own = [pa.field(SUSPECT_PRICE, CENTS), pa.field(SUSPECT_SINCE, INSTANT)]
    return pa.schema([*kept_schema(config), *own])


def with_quarantine(
    merged: MergedInventory,
    baseline: Baseline,
    joined: Comparison,
    vendors: Sequence[NormalizedVendor],
    overrides: Sequence[Override],
    *,
    requested_at: datetime,
    config_version: int | None,
) -> tuple[MergedInventory, Quarantine | None]:
    """Return a feed in which SKUs with a price that cannot be right keep the published one.

    Beside it are these SKUs; None where there is none. ``joined`` are both feeds. The time that
    confirms a price is counted up to ``requested_at``, aware.
    """
    options = merged.config.guards.quarantine
    if options is None or merged.feed is None or merged.deferred is None:
        return merged, None
    now = to_microseconds(requested_at)
    suspects = _suspects(merged, options, baseline, joined, overrides)
    is_new = config_version is not None and config_version != baseline.context.config_version
    suspects = suspects.judged(options, now, is_new_config=is_new)
    if not len(suspects.rows):
        return merged, None
    found = _quarantined(merged.config, suspects, vendors, overrides, now)
    feed = frame_of(_with_stored(table_of(merged.feed), suspects.rows, found))
    deferred = merged.deferred.with_rows(QUARANTINED_ROWS, found.rows)
    return replace(merged, feed=feed, deferred=deferred), found


@dataclass(frozen=True, slots=True, eq=False)
class _Suspects:
    """SKUs whose price has moved too far."""

    rows: Rows  # their rows of the feed
    stored: pa.Table  # their rows of the published state
    offered: pa.Table  # their rows as they were computed

    @property
    def cents(self) -> Ints:
        """The prices that were computed."""
        return integers_of(one_chunk(self.offered["price"]))[0]

    def judged(self, options: QuarantineConfig, now: int, *, is_new_config: bool) -> _Suspects:
        """Return those that neither the time nor a new config explains."""
        confirmed = np.zeros(len(self.rows), np.bool_)
        if is_new_config:
            confirmed |= self._is_same("vendor_id") & self._is_same("cost")
            has_cost = one_chunk(self.stored["cost"]).is_valid().to_numpy(zero_copy_only=False)
            confirmed &= has_cost & self._is_same("map_price", null_too=True)
        if options.confirm_hours is not None:
            waited = now - self.since(options, now)
            confirmed |= waited >= options.confirm_hours * _HOUR
        left = pa.array(~confirmed)
        return _Suspects(self.rows[~confirmed], self.stored.filter(left), self.offered.filter(left))

    def since(self, options: QuarantineConfig, now: int) -> Ints:
        """Return since when each price is suspect: now, or when one like it was first seen."""
        if not {SUSPECT_PRICE, SUSPECT_SINCE} <= {*self.stored.column_names}:
            return np.full(len(self.rows), now)
        price = one_chunk(self.stored[SUSPECT_PRICE]).cast(CENTS)
        (seen, none), (since, _) = (
            integers_of(cells) for cells in (price, one_chunk(self.stored[SUSPECT_SINCE]))
        )
        return np.where(none | is_beyond(options, seen, self.cents), now, since)

    def _is_same(self, name: str, *, null_too: bool = False) -> Bools:
        """Return where a column is what it was; a null is, if it may be, what a null was."""
        now, was = one_chunk(self.offered[name]), one_chunk(self.stored[name])
        if pa.types.is_dictionary(now.type):
            now = now.dictionary_decode()
        same = pc.fill_null(pc.equal(now, was.cast(now.type)), False)
        if null_too:
            same = pc.or_(same, pc.and_(now.is_null(), was.is_null()))
        return np.asarray(same.to_numpy(zero_copy_only=False), np.bool_)


def is_beyond(options: QuarantineConfig, old: Ints, new: Ints) -> Bools:
    """Return which prices have moved further from the others than is believed."""
    beyond = np.zeros(len(old), np.bool_)
    if options.price_drop_pct is not None:
        beyond |= falls_below(old, new, 1 - options.price_drop_pct)
    if options.price_rise_pct is not None:
        beyond |= falls_below(new, old, 1 / (1 + Fraction(options.price_rise_pct)))
    return beyond


def _suspects(
    merged: MergedInventory,
    options: QuarantineConfig,
    baseline: Baseline,
    joined: Comparison,
    overrides: Sequence[Override],
) -> _Suspects:
    """Return the SKUs that no override explains, either."""
    if merged.feed is None:
        raise ValueError("a run without a feed has no suspects")
    offered = table_of(merged.feed)
    in_both = (joined.rows_before >= 0) & (joined.rows_after >= 0)
    was, rows = joined.rows_before[in_both], joined.rows_after[in_both]
    old, new = joined.before.cents[was], joined.after.cents[rows]
    beyond = np.flatnonzero(is_beyond(options, old, new))
    was, rows, old, new = (each[beyond] for each in (was, rows, old, new))
    if overrides and len(rows):
        said = OverrideColumns.of(merged.config, overrides)
        places = said.places(one_chunk(offered["sku"]).take(pa.array(rows)))
        accepted = said.accept_price[places]
        low, high = np.minimum(old, accepted), np.maximum(old, accepted)
        explained = (accepted > _NONE) & (low <= new) & (new <= high)
        explained |= said.price[places] > _NONE
        if AT_LEAST_PRICE in offered.column_names:
            flags = one_chunk(offered[AT_LEAST_PRICE]).take(pa.array(rows))
            explained |= flags.to_numpy(zero_copy_only=False)
        was, rows = was[~explained], rows[~explained]
    return _Suspects(rows, baseline.rows(was), offered.take(pa.array(rows)))


def _quarantined(
    config: TenantConfig,
    suspects: _Suspects,
    vendors: Sequence[NormalizedVendor],
    overrides: Sequence[Override],
    now: int,
) -> Quarantine:
    options = config.guards.quarantine or QuarantineConfig()
    skus = one_chunk(suspects.offered["sku"])
    merge = Merge.of(config, overrides)
    offers = competing_offers(merge, vendors, skus)
    deciding = [each for each in merge.criteria if not each.excludes]
    best = best_of_groups(order_by_text(one_chunk(offers["sku"])), offers, deciding)
    winners = offers.take(pa.array(best))
    quantities = np.zeros(len(skus), np.int32)
    ids = [vendor.vendor_id for vendor in config.vendors]
    if options.action == "keep":
        stored_by = pc.index_in(one_chunk(suspects.stored["vendor_id"]), value_set=pa.array(ids))
        rank = stored_by.fill_null(_NONE).to_numpy(zero_copy_only=False)
        place = pc.index_in(one_chunk(offers["sku"]), value_set=skus).to_numpy()
        own = offers.filter(pa.array(integers_of(one_chunk(offers[VENDOR_RANK]))[0] == rank[place]))
        if len(own):
            first = best_of_groups(order_by_text(one_chunk(own["sku"])), own, deciding)
            chosen = own.take(pa.array(first))
            where = pc.index_in(one_chunk(chosen["sku"]), value_set=skus).to_numpy()
            quantities[where] = integers_of(one_chunk(chosen["quantity_available"]))[0]
    at = suspects.stored.schema.get_field_index("quantity_available")
    stored = suspects.stored.set_column(at, suspects.stored.field(at), pa.array(quantities))
    rows = kept_rows(config, stored)
    return Quarantine(
        options.action,
        skus,
        integers_of(one_chunk(rows["price"]))[0],
        suspects.cents,
        [ids[rank] for rank in winners[VENDOR_RANK].to_pylist()],
        integers_of(one_chunk(winners["row_number"]))[0],
        suspects.since(options, now),
        rows,
    )


def _with_stored(offered: pa.Table, rows: Rows, found: Quarantine) -> pa.Table:
    """Return the feed with the stored rows in place of some, and since when these are suspect."""
    offered, stored = side_by_side(offered, found.rows)

    def rows_from(start: int) -> pa.Table:
        part = offered.slice(start, _SLICE)
        first, last = np.searchsorted(rows, [start, start + len(part)])
        if first == last:
            return part
        order = np.arange(len(part))
        order[rows[first:last] - start] = len(part) + np.arange(last - first)
        both = pa.concat_tables([part, stored.slice(first, last - first)])
        return both.combine_chunks().take(pa.array(order))

    joined = pa.concat_tables(map(rows_from, range(0, len(offered), _SLICE)))
    for name, kind, numbers in (
        (SUSPECT_PRICE, CENTS, found.computed),
        (SUSPECT_SINCE, INSTANT, found.since),
    ):
        values, none = np.zeros(len(joined), np.int64), np.ones(len(joined), np.bool_)
        values[rows], none[rows] = numbers, False
        joined = joined.append_column(name, pa.array(values, mask=none).view(kind))
    return joined
