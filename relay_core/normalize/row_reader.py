"""Text columns of one feed to typed columns with a fault code a cell.

Works on one batch at a time. Which rows are refused is the contract's verdict (``validation``);
the faults here say why.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.column_values import ColumnValues, Faults, fault_code
from relay_core.columnar.numbers import read_amounts, read_wholes
from relay_core.columnar.text import (
    Bools,
    Ints,
    change_rows,
    empty_texts,
    fill,
    is_empty,
    may_be_blank,
    trim,
    with_nulls,
    word_index,
    zero_bytes,
)
from relay_core.columnar.timestamps import TimestampOptions, read_timestamps
from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import read_timestamp
from relay_core.domain.columns import (
    BY_NAME,
    CONDITIONS,
    NUMBER_COLUMNS,
    CanonicalColumn,
    Kind,
    RejectionCodes,
    extra_column,
    names_of,
)
from relay_core.ingest.feed import TextBatch
from relay_core.ingest.sku_map import SkuMap
from relay_core.validation.contracts import OFFER_SCHEMA

_TEXTS = names_of(Kind.TEXT, Kind.CONDITION)
_REQUIRED_NUMBERS = tuple(name for name in NUMBER_COLUMNS if BY_NAME[name].required)
_NO_CODES = RejectionCodes()


@dataclass(frozen=True, slots=True)
class RowReader:
    """The reader of one vendor's cells, made of its columns' places and its parser's options.

    ``rate`` is one of the vendor's currency in the tenant's, where they differ.
    """

    positions: Mapping[str, int]
    parser: ParserConfig
    zone: ZoneInfo
    requested_at: int
    sku_map: SkuMap | None
    rate: Fraction | None = None

    def read(self, batch: TextBatch) -> TypedBatch:
        """Read one batch; records whose fields are all blank are left out."""
        batch = _without_blank_records(batch, self.positions)
        texts = {column: self._text(batch, column) for column in _TEXTS if self.has(column)}
        for name in filter(self.has, self.parser.extra_columns):
            texts[extra_column(name)] = self._text(batch, name)
        if self.sku_map is not None:
            sku = texts["sku"]
            vendor_sku = texts.get("vendor_sku", empty_texts(len(batch.row_numbers)))
            texts["sku"], is_mapped = self.sku_map.apply(sku)
            own = is_mapped & is_empty(vendor_sku)
            texts["vendor_sku"] = (
                pc.if_else(pa.array(own), sku, vendor_sku) if own.any() else vendor_sku
            )
        faults = {"sku": _null_faults(is_empty(texts["sku"]), BY_NAME["sku"])}
        if self.has("condition"):
            texts["condition"], faults["condition"] = _read_conditions(texts["condition"])
        numbers = {
            column: self._numbers(batch, column) for column in NUMBER_COLUMNS if self.has(column)
        }
        for column in _REQUIRED_NUMBERS:
            missing = numbers[column].nulls
            numbers[column].faults[missing] = _null_faults(missing, BY_NAME[column])[missing]
        numbers["updated_at"] = self._timestamps(batch)
        faults |= {column: read.faults for column, read in numbers.items()}
        return TypedBatch(batch, texts, numbers, faults)

    def has(self, column: str) -> bool:
        """Return whether the feed or a default gives a column; else all its cells are null."""
        return column in self.positions or column in self.parser.defaults

    def _text(self, batch: TextBatch, column: str) -> pa.StringArray:
        """Return a column trimmed, with nulls as the empty text and defaults filled in."""
        default = self.parser.defaults.get(column, "")
        if column not in self.positions:
            size = len(batch.row_numbers)
            return pa.repeat(default, size) if default else empty_texts(size)
        text = trim(self._with_own_point(batch, column))
        if self.parser.null_values:
            text = fill(text, word_index(text, self.parser.null_values) >= 0, "")
        return fill(text, is_empty(text), default) if default else text

    def _with_own_point(self, batch: TextBatch, column: str) -> pa.StringArray:
        """Return a column as it stands, its number cells with the vendor's decimal separator."""
        place, mark = self.positions[column], self.parser.decimal_separator
        numbers = batch.number_cells.get(place)
        if numbers is None or column not in NUMBER_COLUMNS or mark == ".":
            return batch.columns[place]
        rows = np.flatnonzero(numbers)
        return change_rows(
            batch.columns[place], rows, lambda text: pc.replace_substring(text, ".", mark)
        )

    def _numbers(self, batch: TextBatch, column: str) -> ColumnValues:
        known = BY_NAME[column]
        is_plain, rejections = self._is_plain(known), known.rejections or _NO_CODES
        # Of plain numbers, only those that need it are trimmed.
        raw = batch.columns[self.positions[column]] if is_plain else None
        text = self._text(batch, column) if raw is None else raw
        if known.kind is Kind.MONEY:
            return read_amounts(text, self.parser, rejections, self.rate)
        return read_wholes(self._without_words(text, known), self.parser, rejections)

    def _is_plain(self, column: CanonicalColumn) -> bool:
        """Return whether no option of the parser changes what digits in a cell mean."""
        parser = self.parser
        special = parser.null_values or parser.currency_symbols or parser.thousands_separator
        words = column.takes_words and parser.quantity_words
        given = column.name in self.positions and column.name not in parser.defaults
        return parser.decimal_separator == "." and given and not special and not words

    def _without_words(self, text: pa.StringArray, column: CanonicalColumn) -> pa.StringArray:
        """Return the cells with the vendor's words for quantities as digits."""
        words = list(self.parser.quantity_words) if column.takes_words else []
        if not words:
            return text
        found = word_index(text, words)
        amounts = pa.array([str(self.parser.quantity_words[word]) for word in words])
        replaced = amounts.take(pa.array(np.maximum(found, 0)))
        return pc.if_else(pa.array(found >= 0), replaced, text)

    def _timestamps(self, batch: TextBatch) -> ColumnValues:
        parser, zone = self.parser, self.zone
        options = TimestampOptions(
            zone, parser.timestamp_formats, lambda cell: read_timestamp(cell, parser, zone)
        )
        text, rejections = self._text(batch, "updated_at"), BY_NAME["updated_at"].rejections
        read = read_timestamps(text, options, rejections or _NO_CODES)
        read.values[read.nulls] = self.requested_at
        read.nulls[:] = False
        return read


@dataclass(frozen=True, slots=True)
class TypedBatch:
    """A batch after reading: its raw text, typed columns and one fault code a judged cell.

    A column that neither the feed nor a default gives is in none of the mappings.
    """

    raw: TextBatch
    texts: Mapping[str, pa.StringArray]
    numbers: Mapping[str, ColumnValues]
    faults: Mapping[str, Faults]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.raw.row_numbers)

    def suspect(self) -> Bools:
        """Return which rows have a fault in any cell."""
        faulty = np.zeros(self.size, np.bool_)
        for codes in self.faults.values():
            faulty |= codes != 0
        return faulty

    def integers(self) -> Mapping[str, tuple[Ints, Bools]]:
        """Return each column of numbers, of row numbers too: its values, and which are null."""
        columns = {name: (read.values, read.nulls) for name, read in self.numbers.items()}
        return columns | {"row_number": (self.raw.row_numbers, np.zeros(self.size, np.bool_))}

    def rows(self, columns: Collection[str]) -> pa.RecordBatch:
        """Return some columns of ``OFFER_SCHEMA`` of every row, faulty ones too."""
        fields = [field for field in OFFER_SCHEMA if field.name in columns]
        return pa.record_batch(list(map(self._array, fields)), schema=pa.schema(fields))

    def _array(self, field: pa.Field) -> pa.Array:
        if field.name in self.texts:
            return with_nulls(self.texts[field.name])
        integers = self.integers().get(field.name)
        return (
            no_values(field.type, self.size) if integers is None else typed(field.type, *integers)
        )


def typed(kind: pa.DataType, values: Ints, nulls: Bools) -> pa.Array:
    """Return whole numbers as a column of the type that they stand for."""
    if kind == pa.int32():
        return pa.array(values.astype(np.int32), mask=nulls if nulls.any() else None)
    return pa.array(values, mask=nulls if nulls.any() else None).view(kind)


def no_values(kind: pa.DataType, size: int) -> pa.Array:
    """Return so many nulls; they take no memory of their own."""
    zeros = zero_bytes(8 * size + 8)
    buffers = [zeros, zeros, zeros] if kind == pa.string() else [zeros, zeros]
    return pa.Array.from_buffers(kind, size, buffers)


def to_microseconds(moment: datetime) -> int:
    """Return an aware moment as microseconds since the epoch, exactly."""
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _null_faults(nulls: Bools, column: CanonicalColumn) -> Faults:
    fault = column.rejections.null if column.rejections is not None else None
    return np.where(nulls, fault_code(fault), np.uint8(0))


def _read_conditions(text: pa.StringArray) -> tuple[pa.StringArray, Faults]:
    found = word_index(text, CONDITIONS, str.lower)
    lowered = pa.array(CONDITIONS).take(pa.array(np.maximum(found, 0)))
    wrong = (found < 0) & ~is_empty(text)
    rejections = BY_NAME["condition"].rejections or _NO_CODES
    faults = np.where(wrong, fault_code(rejections.unreadable), np.uint8(0))
    return pc.if_else(pa.array(found >= 0), lowered, text), faults


def _without_blank_records(batch: TextBatch, positions: Mapping[str, int]) -> TextBatch:
    if not batch.columns:
        return batch.where(np.zeros(len(batch.row_numbers), np.bool_))
    first = batch.columns[next(iter(positions.values()), 0)]
    maybe = may_be_blank(first)
    for column in batch.columns:
        if not len(maybe):
            return batch
        maybe = maybe[is_empty(trim(column.take(pa.array(maybe))))]
    keep = np.ones(len(batch.row_numbers), np.bool_)
    keep[maybe] = False
    return batch.where(keep)
