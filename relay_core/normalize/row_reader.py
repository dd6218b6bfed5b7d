"""Text columns of one feed to typed columns with a fault code a cell.

This works on one batch at a time. The contract decides which rows are rejected
(``validation``); the fault codes say why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from functools import partial
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.columnar.gtins import read_gtins
from relay_core.columnar.numbers import ColumnValues, fault_code
from relay_core.columnar.timestamps import read_timestamps
from relay_core.config import ParserConfig
from relay_core.config.parser import SkipRule
from relay_core.domain import columns as canonical
from relay_core.ingest.column_mapping import ColumnPlan
from relay_core.ingest.feed import MalformedRecords, TextBatch
from relay_core.ingest.sku_map import SkuMap
from relay_core.normalize.header_cells import HeaderCells, made_of
from relay_core.normalize.number_columns import NumberColumn
from relay_core.normalize.typed_batch import TypedBatch
from relay_core.products.matcher import ProductMatcher

_TEXTS = canonical.names_of(canonical.Kind.TEXT, canonical.Kind.CONDITION)
_REQUIRED_NUMBERS = [
    name
    for name in canonical.NUMBER_COLUMNS
    if name in canonical.REQUIRED_COLUMNS
]
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
Records = TypeVar("Records", TextBatch, MalformedRecords)


@dataclass(frozen=True, slots=True)
class RowReader:
    """The reader of one vendor's cells."""

    plan: ColumnPlan  # the headers that each column is read from
    parser: ParserConfig  # the vendor's options
    zone: ZoneInfo  # the zone of instants without one
    requested_at: int  # the instant instead of a null one, in microseconds
    sku_map: SkuMap | None  # the vendor's SKU map, if it has one
    # The rate of the vendor's currency; None if the currency is the tenant's.
    rate: Fraction | None = None
    # Finds the products of rows, by the SKU map too; None without a catalog.
    matcher: ProductMatcher | None = None

    def read(self, batch: TextBatch) -> TypedBatch:
        """Read one batch, without records that are blank or skipped."""
        batch = _without_blank_records(batch, self.plan.positions)
        batch, skipped = self.without_skipped(batch)
        batch, deleted_skus = self.without_deleted(batch)
        source_columns: dict[str, arrays.WholeNumbers] = {}
        text_columns = self._texts(batch, source_columns)
        missing_sku = fault_code(canonical.BY_NAME["sku"].rejections.null)
        faults: dict[str, arrays.FaultCodes] = {}
        no_fault: arrays.FaultCodes | np.uint8 = np.uint8(0)
        if self.parser.has_gtin_skus:
            skus, no_fault = self._gtins(batch, "sku", source_columns)
            text_columns["sku"] = skus
        is_without_sku = texts.is_empty(text_columns["sku"])
        faults["sku"] = np.where(is_without_sku, missing_sku, no_fault)
        if self.has("condition"):
            conditions, condition_faults = self._conditions(
                text_columns["condition"],
            )
            text_columns["condition"] = conditions
            faults["condition"] = condition_faults
        gtin_column = self.parser.gtin_column
        if gtin_column is not None and self.has(gtin_column):
            gtins, gtin_faults = self._gtins(batch, gtin_column, source_columns)
            text_columns[canonical.extra_column(gtin_column)] = gtins
            faults[gtin_column] = gtin_faults
        matched = None
        if self.matcher is not None:
            matched = self.matcher.match(text_columns)
            text_columns |= matched.columns
        numbers = self._all_numbers(batch, source_columns)
        for column, values in numbers.items():
            faults[column] = values.faults
        return TypedBatch(
            raw=batch,
            texts=text_columns,
            numbers=numbers,
            faults=faults,
            source_columns=source_columns,
            skipped=skipped + len(deleted_skus),
            deleted_skus=deleted_skus,
            matched=matched,
        )

    def has(self, column: str) -> bool:
        """Return whether the feed or a default gives a column.

        The cells of any other column are null.
        """
        return column in self.plan.positions or column in self.parser.defaults

    def without_skipped(self, batch: Records) -> tuple[Records, int]:
        """Return the records that ``skip_rows`` leaves, and the number that it skips.

        Lines that are no records at all are never skipped.
        """
        rules = self.parser.skip_rows
        if not rules or _are_no_records(batch):
            return batch, 0
        is_skipped = np.zeros(len(batch.row_numbers), np.bool_)
        for rule, position in zip(rules, self.plan.skips, strict=True):
            if position is not None:  # the feed has the header
                is_skipped |= _matches(rule, batch, position)
        count = int(is_skipped.sum())
        if not count:
            return batch, 0
        return batch.where(~is_skipped), count

    def without_deleted(
        self,
        batch: Records,
    ) -> tuple[Records, pa.StringArray]:
        """Return the records that delete no rows, and the SKUs of those that do.

        A SKU is empty if the record has none.
        """
        rule = self.parser.deleted
        position = self.plan.deleted
        if rule is None or position is None or _are_no_records(batch):
            return batch, texts.empty_texts(0)
        is_deleted = _matches(rule, batch, position)
        if not is_deleted.any():
            return batch, texts.empty_texts(0)
        deleted = batch.where(is_deleted)
        if isinstance(deleted, MalformedRecords):
            size = len(deleted.row_numbers)
            columns = [texts.without_nulls(cells) for cells in deleted.cells]
            width = 1 + max(self.plan.positions.values(), default=0)
            columns += [texts.empty_texts(size)] * (width - len(columns))
            as_rows = TextBatch(columns, deleted.row_numbers)
        else:
            as_rows = deleted
        if self.parser.has_gtin_skus:
            skus, _ = self._gtins(as_rows, "sku", {})
        else:
            skus = self._text(as_rows, "sku", {})
        return batch.where(~is_deleted), skus

    def _texts(
        self,
        batch: TextBatch,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> dict[str, pa.StringArray]:
        """Return the columns of texts, with SKUs mapped; fills ``source_columns``."""
        columns = {
            column: self._text(batch, column, source_columns)
            for column in _TEXTS
            if self.has(column)
        }
        for name in self.parser.extra_columns:
            if self.has(name) and name != self.parser.gtin_column:
                column = canonical.extra_column(name)
                columns[column] = self._text(batch, name, {})
        if self.sku_map is not None:
            columns |= mapped_skus(self.sku_map, columns)
        return columns

    def _parts(self, batch: TextBatch, column: str) -> list[HeaderCells]:
        """Return the cells of each header of a column.

        Return none if the feed does not give the column.
        """
        if column not in self.plan.positions:
            return []
        source = self.parser.column_map.get(column, column)
        if isinstance(source, str):
            return [self._part(batch, column, self.plan.positions[column])]
        positions = self.plan.parts[column]
        factor = getattr(source, "factor", None)
        has_factor = factor in source.headers
        headers = source.headers[:-1] if has_factor else source.headers
        parts = [
            self._part(batch, column, positions[header]) for header in headers
        ]
        if has_factor:
            position = positions[source.headers[-1]]
            cells = texts.trim(batch.columns[position])
            parts.append(HeaderCells(cells, position))
        return parts

    def _part(
        self,
        batch: TextBatch,
        column: str,
        position: int,
    ) -> HeaderCells:
        """Return the trimmed cells of one of the feed's columns, empty if null."""
        text = batch.columns[position]
        numbers = batch.number_cells.get(position)
        separator = self.parser.decimal_separator
        is_number_column = column in canonical.NUMBER_COLUMNS
        if numbers is not None and is_number_column and separator != ".":
            # Cells that the file stores as numbers get the vendor's decimal separator.
            separated = partial(
                pc.replace_substring,
                pattern=".",
                replacement=separator,
            )
            text = texts.change_rows(text, np.flatnonzero(numbers), separated)
        text = texts.trim(text)
        null_words = self.parser.null_words(column)
        if null_words:
            is_null = texts.word_index(text, null_words) >= 0
            text = texts.fill(text, is_null, "")
        return HeaderCells(text, position, numbers)

    def _text(
        self,
        batch: TextBatch,
        column: str,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> pa.StringArray:
        """Return a column trimmed, empty if null, with its default filled in.

        Fills ``source_columns`` for a column of several headers.
        """
        return self._cells(batch, column, source_columns).text

    def _cells(
        self,
        batch: TextBatch,
        column: str,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> HeaderCells:
        """Return a column of texts as `_text` does, with the cells that are numbers."""
        default = self.parser.defaults.get(column, "")
        parts = self._parts(batch, column)
        if not parts:
            size = len(batch.row_numbers)
            text = texts.empty_texts(size)
            if default:
                text = pa.repeat(default, size)
            return HeaderCells(text, 0)
        source = self.parser.column_map.get(column, column)
        cells = made_of(source, parts)
        if isinstance(cells.source_columns, np.ndarray):
            source_columns[column] = cells.source_columns
        if not default:
            return cells
        text = texts.fill(cells.text, texts.is_empty(cells.text), default)
        return replace(cells, text=text)

    def _all_numbers(
        self,
        batch: TextBatch,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> dict[str, ColumnValues]:
        """Return the columns of numbers and instants, with their faults."""
        numbers = {
            column: self._numbers(batch, column, source_columns)
            for column in canonical.NUMBER_COLUMNS
            if self.has(column)
        }
        for column in _REQUIRED_NUMBERS:
            values = numbers[column]
            missing = fault_code(canonical.BY_NAME[column].rejections.null)
            values.faults[values.nulls] = missing
        numbers["updated_at"] = self._timestamps(batch, source_columns)
        return numbers

    def _numbers(
        self,
        batch: TextBatch,
        column: str,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> ColumnValues:
        """Return a column of numbers; fills ``source_columns`` as `_text` does."""
        source = self.parser.column_map.get(column, column)
        reader = NumberColumn(
            canonical.BY_NAME[column],
            self.parser,
            source,
            self.rate,
        )
        position = self.plan.positions.get(column)
        if reader.is_plain and position is not None:
            # The reader trims only the cells that need it.
            return reader.read_texts(HeaderCells(batch.columns[position], 0))
        parts = self._parts(batch, column)
        values, columns = reader.read(parts, len(batch.row_numbers))
        if isinstance(columns, np.ndarray):
            source_columns[column] = columns
        return values

    def _timestamps(
        self,
        batch: TextBatch,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> ColumnValues:
        """Return the instants of rows, in microseconds; none of them is null."""
        rejections = canonical.BY_NAME["updated_at"].rejections
        text = self._text(batch, "updated_at", source_columns)
        instants = read_timestamps(text, self.parser, self.zone, rejections)
        if "updated_at" in self.parser.invalid_as_null:
            instants.nulls[instants.faults != 0] = True
            instants.faults[:] = 0
        instants.values[instants.nulls] = self.requested_at
        instants.nulls[:] = False
        return instants

    def _gtins(
        self,
        batch: TextBatch,
        column: str,
        source_columns: dict[str, arrays.WholeNumbers],
    ) -> tuple[pa.StringArray, arrays.FaultCodes]:
        """Return GTINs as they are written, and the faults of other cells.

        Fills ``source_columns`` as `_text` does.
        """
        cells = self._cells(batch, column, source_columns)
        gtins = read_gtins(cells.text, cells.numbers)
        if column in self.parser.invalid_as_null:
            no_faults = np.zeros(len(cells.text), np.uint8)
            return texts.fill(gtins.text, gtins.is_invalid, ""), no_faults
        fault = fault_code(canonical.GTIN_REJECTIONS.unreadable)
        faults = np.where(gtins.is_invalid, fault, np.uint8(0))
        return gtins.text, faults

    def _conditions(
        self,
        text: pa.StringArray,
    ) -> tuple[pa.StringArray, arrays.FaultCodes]:
        """Return conditions in small letters, and the faults of other words."""
        word_index = texts.word_index(text, canonical.CONDITIONS, str.lower)
        is_condition = word_index >= 0
        words = pa.array(canonical.CONDITIONS)
        lowered = words.take(pa.array(np.maximum(word_index, 0)))
        conditions = pc.if_else(pa.array(is_condition), lowered, text)
        is_invalid: arrays.RowMask = ~is_condition & ~texts.is_empty(text)
        if "condition" in self.parser.invalid_as_null:
            no_faults = np.zeros(len(text), np.uint8)
            return texts.fill(conditions, is_invalid, ""), no_faults
        fault = fault_code(canonical.BY_NAME["condition"].rejections.unreadable)
        return conditions, np.where(is_invalid, fault, np.uint8(0))


def _columns_of(batch: Records) -> Sequence[pa.StringArray]:
    return batch.columns if isinstance(batch, TextBatch) else batch.cells


def _are_no_records(batch: Records) -> bool:
    """Return whether a batch has lines that are no records at all."""
    return isinstance(batch, MalformedRecords) and batch.widths is None


def _matches(rule: SkipRule, batch: Records, position: int) -> arrays.RowMask:
    """Return the mask of the records whose cell a rule names.

    A field that a record lacks is empty.
    """
    columns = _columns_of(batch)
    if position >= len(columns):
        is_empty = rule.texts == "empty"
        return np.full(len(batch.row_numbers), is_empty, np.bool_)
    text = texts.trim(texts.without_nulls(columns[position]))
    if rule.texts == "empty":
        return texts.is_empty(text)
    is_word: arrays.RowMask = texts.word_index(text, rule.texts) >= 0
    return is_word


def mapped_skus(
    sku_map: SkuMap,
    columns: Mapping[str, pa.StringArray],
) -> dict[str, pa.StringArray]:
    """Return the columns of SKUs after the SKU map; empty if null.

    Args:
        sku_map: The SKU map.
        columns: The columns of texts before it, ``sku`` among them.
    """
    sku = columns["sku"]
    mapped_sku, is_mapped = sku_map.apply(sku)
    vendor_sku = columns.get("vendor_sku")
    if vendor_sku is None:
        vendor_sku = texts.empty_texts(len(sku))
    is_taken = is_mapped & texts.is_empty(vendor_sku)
    if is_taken.any():
        vendor_sku = pc.if_else(pa.array(is_taken), sku, vendor_sku)
    return {"sku": mapped_sku, "vendor_sku": vendor_sku}


def to_microseconds(moment: datetime) -> int:
    """Return an aware moment as microseconds since the epoch, exactly."""
    since_epoch = moment - _EPOCH
    seconds = since_epoch.days * 86_400 + since_epoch.seconds
    return seconds * 1_000_000 + since_epoch.microseconds


def _without_blank_records(
    batch: TextBatch,
    positions: Mapping[str, int],
) -> TextBatch:
    """Return the records that have a field that is not blank."""
    if not batch.columns:
        return batch.where(np.zeros(len(batch.row_numbers), np.bool_))
    first_column = batch.columns[next(iter(positions.values()), 0)]
    candidates = texts.possibly_blank_rows(first_column)
    for column in batch.columns:
        if not len(candidates):
            return batch
        cells = texts.trim(column.take(pa.array(candidates)))
        candidates = candidates[texts.is_empty(cells)]
    is_kept = np.ones(len(batch.row_numbers), np.bool_)
    is_kept[candidates] = False
    return batch.where(is_kept)
