"""Guesses of the end of records in a file, and of records that are not rows."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from relay_core.columnar.arrays import RowMask
from relay_core.columnar.text import is_empty
from relay_core.config import ParserConfig, TenantConfig
from relay_core.config.parser import MAX_SKIP_ROWS
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import MONEY_COLUMNS
from relay_core.ingest.charset import decode_head
from relay_core.ingest.column_mapping import ColumnPlan, plan_columns
from relay_core.ingest.feed import MalformedRecords
from relay_core.onboarding import dry_run, sample_reader
from relay_core.onboarding.check_results import Reading
from relay_core.onboarding.doubts import is_totals
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.header_rows import unique_names

_RECORD_ENDS: tuple[dict[str, Any], ...] = (
    {"blank_extra_fields": "drop"},
    {"quoting": False},
    {"quoting": False, "blank_extra_fields": "drop"},
)
_MIN_FITTING_SHARE = 0.5
"""With fewer records of the header's width, the header has other fields."""
_TELLING_COLUMNS = ("cost", "price", "quantity_available", "title", "sku")
"""The columns whose empty cells identify records that are not rows, the clearest first."""
_MIN_FIELDS_PER_CELL = 3
"""A record with at most one filled cell in this many fields is hardly a product."""


def guess_record_ends(
    feed: FeedSample,
    parser: ParserConfig,
    config: TenantConfig,
) -> Mapping[str, Any]:
    """Return the CSV options to change so that more records have the header's width.

    Quotes become ordinary characters only if no cell is enclosed in them, because then
    they cannot hide rows.
    """
    if parser.format != "csv":
        return {}
    has_quotes = b'"' in feed.data and parser.quoting
    best_fit = _fit(dry_run.read_sample(feed, parser, config))
    best_changes: dict[str, Any] = {}
    share_of_width, _ = best_fit
    if share_of_width >= 1 and not has_quotes:
        return best_changes
    for changes in _RECORD_ENDS:
        if "quoting" in changes and not has_quotes:
            continue
        changed_parser = dry_run.changed_parser(parser, changes)
        if changed_parser is None:
            continue
        reading = dry_run.read_sample(feed, changed_parser, config)
        fit = _fit(reading)
        if fit <= best_fit:
            continue
        if not changed_parser.quoting and _has_quoted_cells(feed, parser):
            continue
        best_fit = fit
        best_changes = changes
    share_of_width, rows = best_fit
    if rows and share_of_width < _MIN_FITTING_SHARE:
        return _without_last_fields(feed, parser) or best_changes
    return best_changes


def _without_last_fields(
    feed: FeedSample, parser: ParserConfig
) -> dict[str, Any]:
    """Return the options that read records without the last fields of the header.

    They are empty if most records are not of one width below that of the header.
    """
    if parser.columns is not None:
        return {}
    parsed_feed, _ = sample_reader.open_sample(feed, parser)
    headers = parsed_feed.headers or ()
    widths: Counter[int] = Counter()
    for batch in parsed_feed.batches:
        if isinstance(batch, MalformedRecords) and batch.widths is not None:
            widths.update(batch.widths.tolist())
        else:
            widths[len(headers)] += len(batch.row_numbers)
    width, count = max(widths.items(), key=itemgetter(1), default=(0, 0))
    is_common = count > _MIN_FITTING_SHARE * widths.total()
    if not 1 < width < len(headers) or not is_common:
        return {}
    return {
        "columns": unique_names(headers)[:width],
        "skip_lines": sample_reader.rows_start(feed, parser) - 1,
        "blank_extra_fields": "drop",
    }


def guess_skip_rows(
    feed: FeedSample, parser: ParserConfig
) -> list[dict[str, Any]]:
    """Return the `skip_rows` entries that skip headings, images, footers and totals.

    A record without a quantity and without an amount is not a product. An empty cell
    under a header identifies these records if no other record has an empty cell there.
    Totals are identified by their words, in records without an SKU.
    """
    headers, columns = sample_reader.record_columns(feed, parser)
    names = [header.strip() for header in headers[: len(columns)]]
    plan = plan_columns(headers, parser)
    empty_cells = {
        index: is_empty(column) for index, column in enumerate(columns)
    }
    is_no_product = _no_products(plan, empty_cells)
    header_indexes = _unique_headers(plan, names)

    rules: list[dict[str, Any]] = []
    telling_indexes = [
        index
        for index in header_indexes
        if names[index] and not (empty_cells[index] & ~is_no_product).any()
    ]
    # If no record is a product, the guess of what a product is must be wrong.
    to_skip = is_no_product & ~np.all(is_no_product)
    while to_skip.any() and telling_indexes:
        skip_counts = [
            int((empty_cells[i] & to_skip).sum()) for i in telling_indexes
        ]
        best_count = max(skip_counts)
        if not best_count:
            break
        best_index = telling_indexes[skip_counts.index(best_count)]
        rules.append({"column": names[best_index], "is": "empty"})
        to_skip = to_skip & ~empty_cells[best_index]

    sku_index = plan.positions.get("sku", -1)
    if sku_index in empty_cells:
        has_no_sku = pa.array(empty_cells[sku_index] & ~is_no_product)
        for index in header_indexes:
            texts = dict.fromkeys(columns[index].filter(has_no_sku).to_pylist())
            totals = [text for text in texts if is_totals(text)]
            if names[index] and totals:
                rules.append({"column": names[index], "is": totals})
    return rules[: MAX_SKIP_ROWS - len(parser.skip_rows)]


def _fit(reading: Reading) -> tuple[float, int]:
    """Return the share of records with the header's width, and the number of records."""
    if not reading.rows:
        return 0.0, 0
    wrong_records = sum(
        cells.count
        for cells in reading.rejected_cells
        if cells.error_code == RowFault.COLUMN_COUNT
    )
    return 1 - wrong_records / reading.rows, reading.rows


def _has_quoted_cells(feed: FeedSample, parser: ParserConfig) -> bool:
    """Return whether quotes enclose any header or cell of a feed."""
    text = decode_head(feed.data, parser.encoding, is_whole=feed.is_whole)
    mark = re.escape(parser.delimiter)
    enclosed = rf'(?:^|{mark})"[^"\r\n]*"(?:{mark}|$)'
    return re.search(enclosed, text, re.MULTILINE) is not None


def _unique_headers(plan: ColumnPlan, names: Sequence[str]) -> list[int]:
    """Return the indexes of the headers that occur once, the most telling first."""
    counts = Counter(names)
    telling_indexes = [
        plan.positions[column]
        for column in _TELLING_COLUMNS
        if plan.positions.get(column, len(names)) < len(names)
    ]
    indexes = dict.fromkeys((*telling_indexes, *range(len(names))))
    return [index for index in indexes if counts[names[index]] == 1]


def _no_products(
    plan: ColumnPlan, empty_cells: Mapping[int, RowMask]
) -> RowMask:
    """Return a mask, one a record: true for records that are not products.

    They have neither a quantity nor an amount. If the file does not have both columns,
    they have few other cells either.
    """
    if not empty_cells:
        return np.zeros(0, np.bool_)
    filled = np.stack(
        [~is_empty_cell for is_empty_cell in empty_cells.values()]
    )
    quantity_indexes = _header_indexes(plan, ["quantity_available"])
    amount_indexes = _header_indexes(plan, MONEY_COLUMNS)
    number_columns = [
        empty_cells[index]
        for index in (*quantity_indexes, *amount_indexes)
        if index in empty_cells
    ]
    if not number_columns:
        return np.zeros(filled.shape[1], np.bool_)
    has_no_number: RowMask = np.logical_and.reduce(number_columns)
    if quantity_indexes and amount_indexes:
        return has_no_number
    filled_fields = filled.sum(axis=0)
    has_few_cells: RowMask = filled_fields * _MIN_FIELDS_PER_CELL <= len(filled)
    return has_no_number & has_few_cells


def _header_indexes(plan: ColumnPlan, columns: Sequence[str]) -> list[int]:
    """Return the indexes of all headers that some columns are read from."""
    indexes = [
        plan.positions[name] for name in columns if name in plan.positions
    ]
    for name in columns:
        indexes.extend(plan.parts.get(name, {}).values())
    return indexes
