"""Guesses of the end of records in a file, and of records that are not rows.

An amount such as `1,024.00` that is not quoted becomes two fields in a file that is
delimited by commas. `broken_amounts` tells its halves from fields of their own by the
other records, so that no amount loses digits on its way to a price.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text
from relay_core.columnar.arrays import RowMask
from relay_core.config import ParserConfig, TenantConfig, parser_changes
from relay_core.config.parser import MAX_SKIP_ROWS
from relay_core.domain.cell_rules import shorten
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import MONEY_COLUMNS
from relay_core.ingest.charset import decode_head
from relay_core.ingest.column_mapping import ColumnPlan, plan_columns
from relay_core.ingest.feed import MalformedRecords, TextBatch
from relay_core.onboarding import dry_run, sample_reader
from relay_core.onboarding.check_results import Reading
from relay_core.onboarding.doubts import is_totals
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.onboarding.header_rows import SYMBOL, unique_names

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
_HEAD = rf"^(?:.*\s)?[(-]?\s*(?:{SYMBOL})?\s*[0-9]{{1,3}}$"
_HEAD_WITH_SYMBOL = rf"^[(-]?\s*{SYMBOL}\s*[0-9]{{1,3}}$"
_TAIL = r"^[0-9]{3}(?:\.[0-9]+)?\s*\)?$"
_TAIL_WITH_ZERO = r"^0[0-9]{2}\.[0-9]+\s*\)?$"
_TAIL_WITH_DECIMALS = r"^[0-9]{3}\.[0-9]+\s*\)?$"
_DECIMALS = r"\.[0-9]+\s*\)?$"
_SPLIT_RECORD = (
    rf"(?:^|,)\s*[(-]?\s*(?:{SYMBOL})?\s*[0-9]{{1,3}}(?:,[0-9]{{3}})+"
    r"(?:\.[0-9]+)?\s*\)?\s*(?:,|$)"
)
_MAX_ROW_NUMBERS = 3
_MAX_OTHERS_SHARE = 0.1
"""A neighbor of prices is a field of its own if more of the other records fill it."""
_MIN_BROKEN_SHARE = 0.1
"""The share of the records from which broken amounts mean that a file is broken."""


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
        changed_parser = parser_changes.changed_parser(parser, changes)
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
        index: text.is_empty(column) for index, column in enumerate(columns)
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
            totals = [label for label in texts if is_totals(label)]
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
    content = decode_head(feed.data, parser.encoding, is_whole=feed.is_whole)
    mark = re.escape(parser.delimiter)
    enclosed = rf'(?:^|{mark})"[^"\r\n]*"(?:{mark}|$)'
    return re.search(enclosed, content, re.MULTILINE) is not None


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


# --- broken amounts -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BrokenAmounts:
    """The records of a file whose amounts are cut at a comma that is not quoted.

    Attributes:
        count: The number of these records.
        rows: The number of all records.
        row_numbers: The row numbers of the first of them.
        sample: The first of them as CSV.
        is_hidden: Whether some of them have the width of the header, so that a part of an
            amount would be read as the price.
    """

    count: int
    rows: int
    row_numbers: tuple[int, ...]
    sample: str
    is_hidden: bool

    @property
    def is_fatal(self) -> bool:
        """True if the file must not be read with any settings."""
        return self.is_hidden or self.count > _MIN_BROKEN_SHARE * self.rows

    def __str__(self) -> str:
        """Return the cause with its rows, and the next step."""
        row_numbers = ", ".join(map(str, self.row_numbers))
        more = ", ..." if self.count > len(self.row_numbers) else ""
        noun = "rows have" if self.count > 1 else "row has"
        return (
            f"{self.count:,} {noun} an amount with a comma that is not quoted, for "
            f"example {shorten(self.sample)} (row {row_numbers}{more}). The comma also "
            "delimits fields, so it splits these amounts. Ask the vendor to quote the "
            "amounts, or to use another delimiter, such as a semicolon."
        )


def broken_amounts(
    feed: FeedSample, parser: ParserConfig
) -> BrokenAmounts | None:
    """Return the amounts of a file that its delimiter cuts, or None without any."""
    if parser.format != "csv" or parser.delimiter != ",":
        return None
    parsed_feed, _ = sample_reader.open_sample(feed, parser)
    headers = [header.strip() for header in parsed_feed.headers or ()]
    positions = plan_columns(headers, parser).positions
    price_indexes = {
        positions[column] for column in ("cost", "price") if column in positions
    }
    rows = 0
    row_numbers: list[int] = []
    samples: list[str] = []
    counts = [0]
    hidden = _HiddenHalves(headers, price_indexes)
    for batch in parsed_feed.batches:
        rows += len(batch.row_numbers)
        if isinstance(batch, MalformedRecords):
            is_broken = _is_split_record(batch, len(headers))
            counts.append(int(is_broken.sum()))
            indexes = np.flatnonzero(is_broken)[:_MAX_ROW_NUMBERS]
            row_numbers.extend(batch.row_numbers[indexes].tolist())
            samples.extend(batch.raw.take(pa.array(indexes)).to_pylist())
        else:
            hidden.add(batch)
    hidden_rows = hidden.suspicious_rows()
    if hidden_rows:
        return BrokenAmounts(
            sum(counts) + len(hidden_rows),
            rows,
            tuple(hidden_rows[:_MAX_ROW_NUMBERS]),
            hidden.sample,
            is_hidden=True,
        )
    if not samples:
        return None
    return BrokenAmounts(
        sum(counts),
        rows,
        tuple(row_numbers[:_MAX_ROW_NUMBERS]),
        samples[0],
        is_hidden=False,
    )


def _is_split_record(records: MalformedRecords, width: int) -> RowMask:
    """Return a mask of the records with more fields than the header and a cut amount."""
    if records.widths is None:
        return np.zeros(len(records.row_numbers), np.bool_)
    has_split = text.flags_of(
        pc.match_substring_regex(records.raw, _SPLIT_RECORD)
    )
    is_wide: RowMask = np.asarray(records.widths) > width
    return has_split & is_wide


class _HiddenHalves:
    """Collects prices and the fields beside them, of records that fit the header."""

    def __init__(self, headers: Sequence[str], price_indexes: set[int]) -> None:
        self.sample = ""
        self._headers = headers
        self._pairs = [
            (index, index + 1)
            for index in range(len(headers) - 1)
            if not price_indexes.isdisjoint((index, index + 1))
        ]
        self._cells: dict[int, list[pa.StringArray]] = {}
        self._row_numbers: list[np.ndarray] = []

    def add(self, batch: TextBatch) -> None:
        """Add the cells of a batch."""
        if not self._pairs:
            return
        self._row_numbers.append(np.asarray(batch.row_numbers))
        for index in {index for pair in self._pairs for index in pair}:
            cells = text.trim(batch.columns[index])
            self._cells.setdefault(index, []).append(cells)

    def suspicious_rows(self) -> list[int]:
        """Return the row numbers of records whose price is half of an amount."""
        if not self._row_numbers:
            return []
        row_numbers = np.concatenate(self._row_numbers)
        for head_index, tail_index in self._pairs:
            heads = pa.concat_arrays(self._cells[head_index])
            tails = pa.concat_arrays(self._cells[tail_index])
            is_split = _matches(heads, _HEAD) & _matches(tails, _TAIL)
            if is_split.any() and self._are_halves(
                (head_index, heads), (tail_index, tails), is_split
            ):
                first = int(np.flatnonzero(is_split)[0])
                self.sample = f"{heads[first]},{tails[first]}"
                return [int(number) for number in row_numbers[is_split]]
        return []

    def _are_halves(
        self,
        head_column: tuple[int, pa.StringArray],
        tail_column: tuple[int, pa.StringArray],
        is_split: RowMask,
    ) -> bool:
        """Return True if two neighbors are the halves of amounts in some records."""
        left_index, heads = head_column
        right_index, tails = tail_column
        if not self._headers[left_index] or not self._headers[right_index]:
            return True
        if (_matches(tails, _TAIL_WITH_ZERO) & is_split).any():
            return True
        if (_matches(heads, _HEAD_WITH_SYMBOL) & is_split).any():
            return bool((_matches(tails, rf"^{SYMBOL}") & ~is_split).sum() == 0)
        is_whole = ~is_split & (~text.is_empty(heads) | ~text.is_empty(tails))
        count = int(is_whole.sum())
        if not count:
            return False
        for cells in (heads, tails):
            is_filled = ~text.is_empty(cells) & is_whole
            if is_filled.sum() <= _MAX_OTHERS_SHARE * count:
                return True
        # Amounts of the right column have decimals only where they are halves.
        has_tail = _matches(tails, _TAIL_WITH_DECIMALS)
        has_decimals = _matches(tails, _DECIMALS) & is_whole
        is_rare = has_decimals.sum() <= _MAX_OTHERS_SHARE * count
        return bool((has_tail & is_split).any() and is_rare)


def _matches(cells: pa.StringArray, pattern: str) -> RowMask:
    return text.flags_of(pc.match_substring_regex(cells, pattern))
