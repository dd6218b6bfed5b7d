"""Text columns of one feed to typed columns with a fault code a cell.

Works on one batch at a time. Which rows are refused is the schema's verdict (``validation``);
the faults here say why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.columns import (
    Bools,
    Ints,
    Typed,
    fault_code,
    fill,
    is_empty,
    may_be_blank,
    read_money,
    read_plain_first,
    read_whole,
    trim,
    word_index,
)
from relay_core.columnar.digits import read_short_money, read_short_wholes
from relay_core.columnar.growable import GrowingArray
from relay_core.columnar.timestamps import read_instants
from relay_core.config import ParserConfig
from relay_core.domain import cell_rules as cells
from relay_core.domain.models import (
    CANONICAL_COLUMNS,
    CONDITIONS,
    MONEY_COLUMNS,
    WHOLE_COLUMNS,
    RowFault,
)
from relay_core.ingest.csv_reader import TextBatch
from relay_core.ingest.sku_map import SkuMap

JUDGED_COLUMNS = tuple(
    column
    for column in CANONICAL_COLUMNS
    if column not in ("vendor_sku", "vendor_id", "brand", "title")
)
"""The canonical columns that a rule can refuse, in canonical order."""

NumberRule = Callable[[str, ParserConfig], int]
"""A scalar rule of ``cells`` for one column of numbers."""

_NUMBERS = (*WHOLE_COLUMNS, *MONEY_COLUMNS)
_TEXTS = ("sku", "vendor_sku", "condition", "brand", "title")


@dataclass(frozen=True, slots=True)
class RowReader:
    """How one vendor's cells are read: where each column is, and every option of its parser."""

    positions: Mapping[str, int]
    parser: ParserConfig
    zone: ZoneInfo
    requested_at: int
    sku_map: SkuMap | None

    def read(self, batch: TextBatch) -> TypedBatch:
        """Read one batch; records whose fields are all blank are left out."""
        batch = _without_blank_records(batch, self.positions)
        texts = {column: self._text(batch, column) for column in _TEXTS if self.has(column)}
        if self.sku_map is not None:
            texts |= self._mapped(self.sku_map, texts, len(batch.row_numbers))
        faults = {"sku": _missing(texts["sku"], RowFault.MISSING_SKU)}
        if self.has("condition"):
            texts["condition"], faults["condition"] = _read_conditions(texts["condition"])
        numbers = {column: self._numbers(batch, column) for column in _NUMBERS if self.has(column)}
        quantity = numbers["quantity_available"]
        quantity.faults[quantity.nulls] = fault_code(RowFault.MISSING_QUANTITY)
        numbers["updated_at"] = self._instants(batch)
        faults |= {column: typed.faults for column, typed in numbers.items()}
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
        text = trim(batch.columns[self.positions[column]])
        if self.parser.null_values:
            text = fill(text, word_index(text, self.parser.null_values) >= 0, "")
        return fill(text, is_empty(text), default) if default else text

    def _numbers(self, batch: TextBatch, column: str) -> Typed:
        if not self._is_plain(column):
            return self._read_in_full(column, self._text(batch, column))
        short = read_short_money if column in MONEY_COLUMNS else read_short_wholes
        raw = batch.columns[self.positions[column]]
        return read_plain_first(raw, short, lambda rest: self._read_in_full(column, trim(rest)))

    def _is_plain(self, column: str) -> bool:
        """Return whether no option of the parser changes what digits in a cell mean."""
        parser = self.parser
        special = parser.null_values or parser.currency_symbols or parser.thousands_separator
        words = parser.quantity_words if column == "quantity_available" else ()
        plain = parser.decimal_separator == "." and not special and not words
        return plain and column not in parser.defaults

    def _read_in_full(self, column: str, text: pa.StringArray) -> Typed:
        if column == "quantity_available":
            return self._quantities(text)
        if column == "lead_time_days":
            return self._wholes(text, cells.read_lead_time)
        return read_money(text, self.parser, partial(_scalar, cells.read_money, self.parser))

    def _mapped(
        self, sku_map: SkuMap, texts: Mapping[str, pa.StringArray], size: int
    ) -> Mapping[str, pa.StringArray]:
        sku, vendor_sku = texts["sku"], texts.get("vendor_sku", empty_texts(size))
        canonical, mapped = sku_map.apply(sku)
        own = mapped & is_empty(vendor_sku)
        if own.any():
            vendor_sku = pc.if_else(pa.array(own), sku, vendor_sku)
        return {"sku": canonical, "vendor_sku": vendor_sku}

    def _quantities(self, text: pa.StringArray) -> Typed:
        words = list(self.parser.quantity_words)
        if words:
            found = word_index(text, words)
            amounts = pa.array([str(self.parser.quantity_words[word]) for word in words])
            replaced = amounts.take(pa.array(np.maximum(found, 0)))
            text = pc.if_else(pa.array(found >= 0), replaced, text)
        return self._wholes(text, cells.read_quantity)

    def _wholes(self, text: pa.StringArray, rule: NumberRule) -> Typed:
        return read_whole(text, self.parser, partial(_scalar, rule, self.parser))

    def _instants(self, batch: TextBatch) -> Typed:
        def scalar(cell: str) -> int:
            return cells.read_timestamp(cell, self.parser, self.zone)

        typed = read_instants(self._text(batch, "updated_at"), self.zone, scalar)
        typed.values[typed.nulls] = self.requested_at
        typed.nulls[:] = False
        return typed


@dataclass(frozen=True, slots=True)
class TypedBatch:
    """A batch after reading: its raw text, typed columns and one fault code a judged cell.

    A column that neither the feed nor a default gives is in none of the mappings.
    """

    raw: TextBatch
    texts: Mapping[str, pa.StringArray]
    numbers: Mapping[str, Typed]
    faults: Mapping[str, np.ndarray]

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.raw.row_numbers)

    def faulty(self) -> Bools:
        """Return which rows have a fault in any cell."""
        faulty = np.zeros(self.size, np.bool_)
        for codes in self.faults.values():
            faulty |= codes != 0
        return faulty

    def whole_numbers(self) -> Mapping[str, tuple[Ints, Bools]]:
        """Return each column of numbers, of row numbers too: its values, and which are null."""
        columns = {name: (typed.values, typed.nulls) for name, typed in self.numbers.items()}
        return columns | {"row_number": (self.raw.row_numbers, np.zeros(self.size, np.bool_))}

    def typed(self, columns: Collection[str]) -> pa.RecordBatch:
        """Return some columns of ``OFFER_SCHEMA`` of every row, faulty ones too."""
        fields = [field for field in OFFER_SCHEMA if field.name in columns]
        return pa.record_batch(list(map(self._array, fields)), schema=pa.schema(fields))

    def _array(self, field: pa.Field) -> pa.Array:
        if field.name == "row_number":
            return pa.array(self.raw.row_numbers)
        if field.name in self.texts:
            return self.texts[field.name]
        if field.name in self.numbers:
            typed = self.numbers[field.name]
            return pa.array(typed.values, mask=typed.nulls if typed.nulls.any() else None)
        return empty_texts(self.size) if field.type == pa.string() else no_numbers(self.size)


def empty_texts(size: int) -> pa.StringArray:
    """Return so many empty texts; they take no memory."""
    zeros = _zeros(size.bit_length())
    return pa.Array.from_buffers(pa.string(), size, [None, zeros, zeros])


def no_numbers(size: int) -> pa.Array:
    """Return so many nulls; they take no memory."""
    zeros = _zeros(size.bit_length())
    return pa.Array.from_buffers(pa.int64(), size, [zeros, zeros])


@lru_cache(maxsize=2)
def _zeros(bits: int) -> pa.Buffer:
    zeros = GrowingArray(np.int64)
    zeros.skip(1 << bits)
    return pa.py_buffer(zeros.array())


OFFER_SCHEMA = pa.schema(
    [
        *((column, pa.string()) for column in _TEXTS),
        *((column, pa.int64()) for column in (*_NUMBERS, "updated_at")),
        ("row_number", pa.int64()),
    ]
)
"""One valid row of a feed: texts (empty is null), whole numbers (money in ten-thousandths,
``updated_at`` in microseconds since the epoch, UTC) and the record's number."""


def to_microseconds(moment: datetime) -> int:
    """Return an aware moment as microseconds since the epoch, exactly."""
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _scalar(rule: NumberRule, parser: ParserConfig, cell: str) -> int:
    return rule(cell, parser)


def _missing(text: pa.StringArray, fault: RowFault) -> np.ndarray:
    return np.where(is_empty(text), fault_code(fault), np.uint8(0)).astype(np.uint8)


def _read_conditions(text: pa.StringArray) -> tuple[pa.StringArray, np.ndarray]:
    found = word_index(text, CONDITIONS, str.lower)
    lowered = pa.array(CONDITIONS).take(pa.array(np.maximum(found, 0)))
    wrong = (found < 0) & ~is_empty(text)
    faults = np.where(wrong, fault_code(RowFault.INVALID_CONDITION), np.uint8(0))
    return pc.if_else(pa.array(found >= 0), lowered, text), faults.astype(np.uint8)


def _without_blank_records(batch: TextBatch, positions: Mapping[str, int]) -> TextBatch:
    first = batch.columns[next(iter(positions.values()), 0)]
    maybe = may_be_blank(first)
    for column in batch.columns:
        if not len(maybe):
            return batch
        maybe = maybe[is_empty(trim(column.take(pa.array(maybe))))]
    keep = np.ones(len(batch.row_numbers), np.bool_)
    keep[maybe] = False
    mask = pa.array(keep)
    return TextBatch([column.filter(mask) for column in batch.columns], batch.row_numbers[keep])
