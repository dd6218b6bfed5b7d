"""The merged feed: winners with their prices, its CSV, and the SKUs that have no price."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from relay_core.columnar.columns import Bools, Ints
from relay_core.columnar.csv_text import (
    cents_text,
    half_up_cents,
    header_line,
    instant_text,
    lines,
    quoted,
    whole_text,
)
from relay_core.columnar.json_lines import (
    ReportEntries,
    as_json,
    joined_parts,
    json_texts,
    python_texts,
)
from relay_core.columnar.sorting import common_ranges
from relay_core.columnar.threads import ordered_map
from relay_core.config import TenantConfig
from relay_core.domain.models import ReportEntry, RunFailure, WarningCode
from relay_core.merge.best_offer import one_chunk, pick_winners, values_and_nulls
from relay_core.merge.pricing import PriceInputs, price_winners
from relay_core.normalize.normalized_csv import SLICE
from relay_core.normalize.rejects import MAX_ENTRIES
from relay_core.normalize.result import NormalizedVendor
from relay_core.normalize.row_reader import OFFER_SCHEMA
from relay_core.validation.gate import GATE_ROWS, BrokenRule, broken_rules
from relay_core.validation.schemas import MERGED_SCHEMA

RANGE_ROWS = 1 << 17
"""How many rows are merged at a time, at the most."""

_UNPRICED = (
    " has no offer with a cost or a price that comes to more than 0.00, so it is left out of the "
    "feed; ask a vendor for its cost, or set pricing.min_price"
)


@dataclass(frozen=True, slots=True)
class MergedInventory:
    """The outcome of merging: a feed, or the failure that stands in its place.

    ``winners`` are the priced winners in the order of SKUs, as offers with ``vendor_rank`` and
    ``price_cents``. ``warning_counts`` counts every warning; ``warnings`` is cut at 10,000
    entries of SKUs.
    """

    config: TenantConfig
    failure: RunFailure | None = None
    faults: tuple[ReportEntry, ...] = ()
    warnings: Sequence[ReportEntry] = ()
    warning_counts: dict[str, int] = field(default_factory=dict)
    unpriced_skus: int = 0
    winners: pa.Table | None = None

    @property
    def record_count(self) -> int:
        """How many rows the merged feed has; 0 where there is none."""
        return 0 if self.winners is None or self.failure else self.winners.num_rows

    def csv_chunks(self) -> Iterator[bytes | memoryview]:
        """Yield merged_inventory.csv piece by piece."""
        yield header_line(self.config.output.columns)
        if self.winners is not None:
            batches = self.winners.to_batches(max_chunksize=SLICE)
            yield from ordered_map(self._lines, batches)

    def preview(self, rows: int = 10) -> list[dict[str, str]]:
        """Return the first rows of the feed as they are written."""
        if self.winners is None:
            return []
        head = self.winners.slice(0, rows).combine_chunks().to_batches()
        text = "".join(str(self._lines(batch), "utf-8") for batch in head)
        columns = self.config.output.columns
        records = csv.reader(io.StringIO(text, newline=""))
        return [dict(zip(columns, record, strict=True)) for record in records]

    def broken_rules(self) -> list[BrokenRule]:
        """Return what the merged schema finds wrong with the feed; nothing, unless a rule broke."""
        if self.winners is None:
            return []
        starts = range(0, max(1, len(self.winners)), GATE_ROWS)
        slices = (self.winners.slice(start, GATE_ROWS) for start in starts)
        found = ordered_map(lambda winners: _broken_rules(winners, self.config), slices)
        rules: dict[tuple[str, str], list[int]] = {}
        for start, broken in zip(starts, found, strict=True):
            for rule in broken:
                labels = rules.setdefault((rule.column, rule.rule), [])
                labels.extend(start + row for row in rule.rows)
        return [BrokenRule(column, rule, labels) for (column, rule), labels in rules.items()]

    def _lines(self, batch: pa.RecordBatch) -> memoryview:
        written = [_written(column, batch, self.config) for column in self.config.output.columns]
        return lines(written)


@dataclass(frozen=True, slots=True)
class Winners:
    """The best offers, in the order of SKUs: those with a price, and the SKUs that have none."""

    priced: pa.Table
    unpriced: pa.ChunkedArray


def merge_offers(config: TenantConfig, vendors: Sequence[NormalizedVendor]) -> Winners:
    """Return the best offer of each SKU, with ``vendor_rank`` and ``price_cents``.

    The vendors' offers, each sorted by SKU, are merged a range of SKUs at a time, so that no more
    than a range is copied at once.
    """
    rank = {vendor.vendor_id: place for place, vendor in enumerate(config.vendors)}
    ordered = sorted(vendors, key=lambda vendor: vendor.vendor_id)
    needed = columns_to_merge(config)
    tables = [vendor.offers.select(needed) for vendor in ordered]
    ranks = [rank[vendor.vendor_id] for vendor in ordered]
    ranges = common_ranges([one_chunk(table["sku"]) for table in tables], RANGE_ROWS)

    def merge_range(rows: Sequence[slice]) -> Winners:
        parts = [
            table.slice(part.start, part.stop - part.start).append_column(
                "vendor_rank", pa.array(np.full(part.stop - part.start, place, np.int64))
            )
            for table, place, part in zip(tables, ranks, rows, strict=True)
        ]
        return _merge_range(config, pa.concat_tables(parts).combine_chunks())

    merged = list(ordered_map(merge_range, ranges))
    return Winners(
        pa.concat_tables([winners.priced for winners in merged]),
        pa.chunked_array([c for one in merged for c in one.unpriced.chunks], pa.string()),
    )


def _merge_range(config: TenantConfig, offers: pa.Table) -> Winners:
    rows = pick_winners(offers, config.merge.best_offer)

    def amounts(column: str) -> tuple[Ints, Bools]:
        values, nulls = _numbers(offers, column)
        return values.take(rows), nulls.take(rows)

    inputs = PriceInputs(*amounts("cost"), *amounts("price"), *amounts("map_price"))
    cents, has_price = price_winners(inputs, config.pricing)
    kept = {*MERGED_SCHEMA.columns, *config.output.columns, "vendor_rank"} - {"price"}
    columns = offers.select([name for name in offers.column_names if name in kept])
    priced = columns.take(pa.array(rows[has_price]))
    return Winners(
        priced.append_column("price_cents", pa.array(cents[has_price])),
        offers["sku"].take(pa.array(rows[~has_price])),
    )


def columns_to_merge(config: TenantConfig) -> list[str]:
    """Return the columns of offers that the merge, the price, the schema or the output reads."""
    always = {"sku", "cost", "price", "map_price", *MERGED_SCHEMA.columns}
    return [name for name in OFFER_SCHEMA.names if name in always | {*config.output.columns}]


def unpriced_warnings(winners: Winners) -> tuple[ReportEntries, int]:
    """Return a warning for each SKU without a price, at most 10,000, and how many there are."""
    skus = one_chunk(winners.unpriced.slice(0, MAX_ENTRIES)).cast(pa.large_string())
    code, about = as_json(str(WarningCode.UNPRICED_SKU)), json_texts(skus)
    message = json_texts(joined_parts("SKU ", python_texts(skus), _UNPRICED))
    begin = f'{{"error_code": {code}, "error_message": '
    lines = joined_parts(begin, message, ', "sku": ', about, "}")
    return ReportEntries(lines), len(winners.unpriced)


def count_codes(warnings: Sequence[ReportEntry]) -> Counter[str]:
    """Count entries by code."""
    return Counter(entry.error_code for entry in warnings)


def _broken_rules(winners: pa.Table, config: TenantConfig) -> list[BrokenRule]:
    lead, nulls = _numbers(winners, "lead_time_days")
    days = np.where(nulls, config.merge.best_offer.fallback_lead_time_days, lead)
    frame = pa.table(
        {
            "sku": winners["sku"],
            "quantity_available": winners["quantity_available"],
            "lead_time_days": pa.array(days),
            "price": winners["price_cents"],
            "condition": winners["condition"],
            "updated_at": winners["updated_at"],
        }
    )
    return broken_rules(MERGED_SCHEMA, frame.to_pandas(types_mapper=pd.ArrowDtype))


def _written(column: str, batch: pa.RecordBatch, config: TenantConfig) -> pa.StringArray:
    if column == "vendor_id":
        ids = pa.array([vendor.vendor_id for vendor in config.vendors])
        return ids.take(batch["vendor_rank"])
    if column in ("sku", "vendor_sku", "condition", "brand", "title"):
        return quoted(batch[column])
    if column == "price":
        return cents_text(values_and_nulls(batch["price_cents"])[0])
    values, nulls = values_and_nulls(batch[column])
    if column == "updated_at":
        return instant_text(values)
    if column == "quantity_available":
        return whole_text(values)
    if column == "lead_time_days":
        return whole_text(np.where(nulls, config.merge.best_offer.fallback_lead_time_days, values))
    return cents_text(half_up_cents(values), nulls)


def _numbers(table: pa.Table, column: str) -> tuple[Ints, Bools]:
    return values_and_nulls(one_chunk(table[column]))
