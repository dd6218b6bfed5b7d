"""Rows of the published feed that a feed keeps: missing SKUs at 0, and prices in quarantine.

A SKU that nobody offers any more stays for some days at a quantity of 0. A SKU whose new price
cannot be right keeps the published one until it is confirmed: the price that is compared with is
the published one, never one that was only computed. Time confirms a new price, a person accepts it,
or a new config explains it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import csv_text
from relay_core.columnar.sorted_file import sorted_file_chunks
from relay_core.columnar.sorting import order_by_text
from relay_core.columnar.text import Bools, Ints, Rows, flags_of, integers_of, one_chunk
from relay_core.columnar.threads import ordered_map
from relay_core.config import Override, TenantConfig
from relay_core.config.models import QuarantineConfig
from relay_core.domain.codes import WarningCode
from relay_core.domain.columns import source_column
from relay_core.domain.run_faults import fault_of
from relay_core.merge import best_offer
from relay_core.merge.best_offer import KEPT_ROWS, QUARANTINED_ROWS, ROW_LOCATOR
from relay_core.merge.result import MergedInventory
from relay_core.merge.vendor_offers import VENDOR_RANK
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import to_microseconds
from relay_core.publish.state import OFFERED_AT, SUSPECT_SINCE, Baseline
from relay_core.validation.comparison import KEPT, SUSPECT_PRICE, Comparison
from relay_core.validation.contracts import (
    CENTS,
    INSTANT,
    frame_of,
    offer_fields,
    table_of,
)
from relay_core.validation.guards import falls_below

COLUMNS = (
    *("sku", "action", "price_published", "price_computed"),
    *("vendor_id", "row_number", "suspect_since"),
)
Quantities = npt.NDArray[np.int32]
_SLICE = 1 << 17
_HOUR = 3_600_000_000
_NONE = -1


def kept_schema(config: TenantConfig) -> pa.Schema:
    """Return the columns of a row that is kept, as a tenant's feed has it."""
    known = {
        field.name: field for field in offer_fields(best_offer.row_columns(config))
    }
    known |= {
        "vendor_id": pa.field("vendor_id", pa.string()),
        "price": pa.field("price", CENTS),
    }
    return pa.schema([known[name] for name in best_offer.row_columns(config)])


@dataclass(slots=True)
class KeptRows:
    """A feed and the published one, and what the feed keeps of that."""

    merged: MergedInventory
    baseline: Baseline
    joined: Comparison  # both feeds; joined anew with each change
    requested_at: datetime  # aware; days and hours are counted up to it
    overrides: Sequence[Override]

    def missing_skus(self) -> None:
        """Keep the SKUs that the feed lacks, each for some days, but for those left out."""
        merged, output = self.merged, self.merged.config.output
        if (
            output.missing_skus != "zero"
            or merged.feed is None
            or merged.deferred is None
        ):
            return
        lacks = self.joined.rows_after < 0
        rows = self.baseline.rows(self.joined.rows_before[lacks])
        since = self.requested_at - timedelta(days=output.missing_sku_days)
        recent = pc.greater(rows[OFFERED_AT], pa.scalar(since, rows[OFFERED_AT].type))
        left_out = pa.array(
            [one.sku for one in self.overrides if one.leave_out], pa.string()
        )
        if len(left_out):
            recent = pc.and_not(
                recent, pc.is_in(rows["sku"], left_out.cast(rows["sku"].type))
            )
        rows = rows.filter(recent)
        if not len(rows):
            return
        is_kept = np.zeros(len(lacks), np.bool_)
        is_kept[lacks] = flags_of(recent)
        kept = _kept_rows(merged.config, rows, np.zeros(len(rows), np.int32))
        offered, added = _side_by_side(table_of(merged.feed), kept)
        now = pa.repeat(pa.scalar(self.requested_at, INSTANT), len(offered))
        offered = offered.append_column(OFFERED_AT, now)
        added = added.append_column(OFFERED_AT, one_chunk(rows[OFFERED_AT]))
        flags = is_kept[is_kept | ~lacks]
        order = np.where(flags, len(offered) + np.cumsum(flags), np.cumsum(~flags)) - 1
        feed = frame_of(
            _in_turn(offered, added, order).append_column(KEPT, pa.array(flags))
        )
        days = output.missing_sku_days
        entry = fault_of(WarningCode.MISSING_SKUS_ZEROED, skus=len(kept), days=days)
        deferred = merged.deferred.with_rows(KEPT_ROWS, kept)
        merged = merged.with_warnings(entry)
        self.merged = replace(merged, feed=feed, deferred=deferred, kept=kept)
        self.joined = self.joined.with_after(feed, is_kept)

    def quarantine(
        self, vendors: Sequence[NormalizedVendor], config_version: int | None
    ) -> "Quarantine | None":
        """Keep the published price of SKUs whose new one cannot be right; return them, if any."""
        merged, options = self.merged, self.merged.config.guards.quarantine
        if options is None or merged.feed is None or merged.deferred is None:
            return None
        offered = table_of(merged.feed)
        merge = best_offer.Merge.of(merged.config, self.overrides)
        suspects = self._suspects(merge, options, offered)
        known = self.baseline.context.config_version
        suspects = suspects.judged(is_new_config=config_version not in (None, known))
        if not len(suspects.rows):
            return None
        found = _quarantined(merge, suspects, vendors)
        # The stored rows stand in place of some, and say since when these are suspect.
        offered, stored = _side_by_side(offered, found.rows)
        order = np.arange(len(offered))
        order[suspects.rows] = len(offered) + np.arange(len(stored))
        rows = _in_turn(offered, stored, order)
        for name, kind, numbers in (
            (SUSPECT_PRICE, CENTS, found.computed),
            (SUSPECT_SINCE, INSTANT, found.since),
        ):
            values, none = np.zeros(len(order), np.int64), np.ones(len(order), np.bool_)
            values[suspects.rows], none[suspects.rows] = numbers, False
            rows = rows.append_column(name, pa.array(values, mask=none).view(kind))
        feed = frame_of(rows)
        deferred = merged.deferred.with_rows(QUARANTINED_ROWS, found.rows)
        self.merged = replace(merged, feed=feed, deferred=deferred)
        self.joined = self.joined.with_after(feed)
        return found

    def _suspects(
        self, merge: best_offer.Merge, options: QuarantineConfig, offered: pa.Table
    ) -> "_Suspects":
        """Return the SKUs that no override explains, either."""
        said = merge.overrides
        joined, now = self.joined, to_microseconds(self.requested_at)
        in_both = (joined.rows_before >= 0) & (joined.rows_after >= 0)
        was, rows = joined.rows_before[in_both], joined.rows_after[in_both]
        old, new = joined.before.cents[was], joined.after.cents[rows]
        beyond = np.flatnonzero(is_beyond(options, old, new))
        was, rows, old, new = (each[beyond] for each in (was, rows, old, new))
        if len(said.skus) and len(rows):
            places = said.places(one_chunk(offered["sku"]).take(pa.array(rows)))
            accepted = said.accept_price[places]
            low, high = np.minimum(old, accepted), np.maximum(old, accepted)
            explained = (accepted > _NONE) & (low <= new) & (new <= high)
            explained |= said.price[places] > _NONE
            if best_offer.AT_LEAST_PRICE in offered.column_names:
                flags = one_chunk(offered[best_offer.AT_LEAST_PRICE]).take(
                    pa.array(rows)
                )
                explained |= flags.to_numpy(zero_copy_only=False)
            was, rows = was[~explained], rows[~explained]
        return _Suspects(
            options, now, rows, self.baseline.rows(was), offered.take(pa.array(rows))
        )


def _kept_rows(
    config: TenantConfig, rows: pa.Table, quantities: Quantities
) -> pa.Table:
    """Return rows of a state as a tenant's feed has them; a column that it lacks is null."""
    place = rows.schema.get_field_index("quantity_available")
    rows = rows.set_column(place, rows.schema.field(place), pa.array(quantities))
    nothing = pa.nulls(len(rows), pa.string())
    of_state = {name: source_column(name) for name in rows.column_names}
    given = dict(zip(of_state.values(), rows.columns, strict=True))
    schema = kept_schema(config)
    columns = [given.get(name, nothing) for name in schema.names]
    return pa.table(columns, names=schema.names).cast(schema).combine_chunks()


def kept_chunks(config: TenantConfig, kept: pa.Table) -> Iterator[memoryview]:
    """Yield the work file of the rows that are kept, by SKU."""
    return sorted_file_chunks(kept_schema(config), "sku", [kept])


def _side_by_side(offered: pa.Table, kept: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return a feed, and rows of a state as rows of it: both with the same list of vendors.

    Those of the config come first, then those that it has no more. A column that a state lacks is
    null.
    """
    known = one_chunk(offered["vendor_id"]).dictionary.to_pylist()
    gone = sorted({*kept["vendor_id"].to_pylist()} - {*known})
    vendor_ids = pa.array([*known, *gone], pa.string())
    ranks = pc.index_in(one_chunk(kept["vendor_id"]), value_set=vendor_ids).cast(
        pa.int16()
    )
    own = dict(zip(kept.column_names, kept.columns, strict=True)) | {
        "vendor_id": pa.DictionaryArray.from_arrays(ranks, vendor_ids),
        ROW_LOCATOR: pa.array(np.arange(len(kept))),
    }
    place = offered.schema.get_field_index("vendor_id")
    of_offered = one_chunk(offered["vendor_id"]).indices
    cells = pa.DictionaryArray.from_arrays(of_offered, vendor_ids)
    offered = offered.set_column(place, "vendor_id", cells)
    nothing = (
        (field.name, pa.nulls(len(kept), field.type)) for field in offered.schema
    )
    return offered, pa.table({name: own.get(name, none) for name, none in nothing})


def _in_turn(offered: pa.Table, kept: pa.Table, order: Rows) -> pa.Table:
    """Return rows of both by their places, those of the kept ones behind the offered ones'.

    Places ascend in each. Some rows are taken at a time, so that few are held twice.
    """
    size = len(offered)

    def rows_from(start: int) -> pa.Table:
        some = order[start : start + _SLICE]
        is_kept = some >= size
        if not is_kept.any():
            return offered.slice(some[0], len(some))
        first, low = some[is_kept][0], some.min(initial=size, where=~is_kept)
        high = some.max(initial=low - 1, where=~is_kept) + 1
        parts = [
            offered.slice(low, high - low),
            kept.slice(first - size, is_kept.sum()),
        ]
        places = np.where(is_kept, some - first + len(parts[0]), some - low)
        return pa.concat_tables(parts).combine_chunks().take(pa.array(places))

    return pa.concat_tables(ordered_map(rows_from, range(0, len(order), _SLICE)))


# --- quarantine ---------------------------------------------------------------------------------


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
        return [
            dict(zip(COLUMNS, row, strict=True)) for row in zip(*texts, strict=True)
        ]

    def csv_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield quarantine.csv."""
        yield csv_text.header_line(COLUMNS)
        sku, *others = self._texts()
        yield csv_text.lines([csv_text.quoted(sku), *others])

    def work_file_chunks(self, config: TenantConfig) -> Iterator[memoryview]:
        """Yield the work file of the rows, by SKU, which explains them."""
        found = self.rows.append_column(
            SUSPECT_PRICE, pa.array(self.computed).view(CENTS)
        )
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


@dataclass(frozen=True, slots=True, eq=False)
class _Suspects:
    """SKUs whose price has moved too far."""

    options: QuarantineConfig
    now: int  # up to when hours are counted, microseconds since the epoch
    rows: Rows  # their rows of the feed
    stored: pa.Table  # their rows of the published state
    offered: pa.Table  # their rows as they were computed

    @property
    def cents(self) -> Ints:
        """The prices that were computed."""
        return integers_of(self.offered["price"])[0]

    def judged(self, *, is_new_config: bool) -> "_Suspects":
        """Return those that neither the time nor a new config explains."""
        confirmed = np.zeros(len(self.rows), np.bool_)
        if is_new_config:
            confirmed |= self._is_same("vendor_id") & self._is_same("cost")
            has_cost = (
                one_chunk(self.stored["cost"]).is_valid().to_numpy(zero_copy_only=False)
            )
            confirmed &= has_cost & self._is_same("map_price", null_too=True)
        if self.options.confirm_hours is not None:
            confirmed |= self.now - self.since() >= self.options.confirm_hours * _HOUR
        left = pa.array(~confirmed)
        tables = {
            "stored": self.stored.filter(left),
            "offered": self.offered.filter(left),
        }
        return replace(self, rows=self.rows[~confirmed], **tables)

    def since(self) -> Ints:
        """Return since when each price is suspect: now, or when one like it was first seen."""
        if not {SUSPECT_PRICE, SUSPECT_SINCE} <= {*self.stored.column_names}:
            return np.full(len(self.rows), self.now)
        price = one_chunk(self.stored[SUSPECT_PRICE]).cast(CENTS)
        (seen, none), (since, _) = (
            integers_of(cells)
            for cells in (price, one_chunk(self.stored[SUSPECT_SINCE]))
        )
        beyond = is_beyond(self.options, seen, self.cents)
        return np.where(none | beyond, self.now, since)

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


def _quarantined(
    merge: best_offer.Merge, suspects: _Suspects, vendors: Sequence[NormalizedVendor]
) -> Quarantine:
    skus = one_chunk(suspects.offered["sku"])
    offers = best_offer.competing_offers(merge, vendors, skus)
    deciding = [each for each in merge.criteria if not each.excludes]
    best = best_offer.best_of_groups(
        order_by_text(one_chunk(offers["sku"])), offers, deciding
    )
    winners = offers.take(pa.array(best))
    quantities = np.zeros(len(skus), np.int32)
    ids = [vendor.vendor_id for vendor in merge.config.vendors]
    if suspects.options.action == "keep":
        stored_by = pc.index_in(
            one_chunk(suspects.stored["vendor_id"]), value_set=pa.array(ids)
        )
        rank = stored_by.fill_null(_NONE).to_numpy(zero_copy_only=False)
        place = pc.index_in(one_chunk(offers["sku"]), value_set=skus).to_numpy()
        own = offers.filter(
            pa.array(integers_of(offers[VENDOR_RANK])[0] == rank[place])
        )
        if len(own):
            first = best_offer.best_of_groups(
                order_by_text(one_chunk(own["sku"])), own, deciding
            )
            chosen = own.take(pa.array(first))
            where = pc.index_in(one_chunk(chosen["sku"]), value_set=skus).to_numpy()
            quantities[where] = integers_of(chosen["quantity_available"])[0]
    rows = _kept_rows(merge.config, suspects.stored, quantities)
    return Quarantine(
        suspects.options.action,
        skus,
        integers_of(rows["price"])[0],
        suspects.cents,
        [ids[rank] for rank in winners[VENDOR_RANK].to_pylist()],
        integers_of(winners["row_number"])[0],
        suspects.since(),
        rows,
    )
