"""Text columns of one feed to typed columns with a fault code a cell.

Works on one batch at a time. Which rows are rejected is the contract's verdict (``validation``);
the faults here say why.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.numbers import ColumnValues, Faults, fault_code
from relay_core.columnar.text import (
    Bools,
    Ints,
    change_rows,
    empty_texts,
    fill,
    is_empty,
    possibly_blank_rows,
    trim,
    with_nulls,
    without_nulls,
    word_index,
    zero_bytes,
)
from relay_core.columnar.timestamps import read_timestamps
from relay_core.config import ParserConfig
from relay_core.domain import columns as canonical
from relay_core.ingest.column_mapping import ColumnPlan
from relay_core.ingest.feed import MalformedRecords, TextBatch
from relay_core.ingest.sku_map import SkuMap
from relay_core.normalize.number_columns import HeaderCells, NumberColumn, made_of
from relay_core.validation.contracts import OFFER_SCHEMA

_TEXTS = canonical.names_of(canonical.Kind.TEXT, canonical.Kind.CONDITION)
_REQUIRED_NUMBERS = [
    n for n in canonical.NUMBER_COLUMNS if n in canonical.REQUIRED_COLUMNS
]
Records = TypeVar("Records", TextBatch, MalformedRecords)


@dataclass(frozen=True, slots=True)
class RowReader:
    """The reader of one vendor's cells, made of its columns' places and its parser's options.

    ``rate`` is that of the vendor's currency, where it is not the tenant's.
    """

    plan: ColumnPlan
    parser: ParserConfig
    zone: ZoneInfo
    requested_at: int
    sku_map: SkuMap | None
    rate: Fraction | None = None

    def read(self, batch: TextBatch) -> "TypedBatch":
        """Read one batch; records whose fields are all blank, or that are skipped, are left out."""
        batch = _without_blank_records(batch, self.plan.positions)
        batch, skipped = self.without_skipped(batch)
        places: dict[str, Ints] = {}
        texts = {
            column: self._text(batch, column, places)
            for column in _TEXTS
            if self.has(column)
        }
        for name in filter(self.has, self.parser.extra_columns):
            texts[canonical.extra_column(name)] = self._text(batch, name, {})
        if self.sku_map is not None:
            sku = texts["sku"]
            vendor_sku = texts.get("vendor_sku", empty_texts(len(batch.row_numbers)))
            texts["sku"], is_mapped = self.sku_map.apply(sku)
            own = is_mapped & is_empty(vendor_sku)
            texts["vendor_sku"] = (
                pc.if_else(pa.array(own), sku, vendor_sku) if own.any() else vendor_sku
            )
        missing = fault_code(canonical.BY_NAME["sku"].rejections.null)
        faults = {"sku": np.where(is_empty(texts["sku"]), missing, np.uint8(0))}
        if self.has("condition"):
            read = _read_conditions(texts["condition"])
            if "condition" in self.parser.invalid_as_null:
                read = fill(read[0], read[1] != 0, ""), np.zeros_like(read[1])
            texts["condition"], faults["condition"] = read
        numbers = {
            column: self._numbers(batch, column, places)
            for column in canonical.NUMBER_COLUMNS
            if self.has(column)
        }
        for column in _REQUIRED_NUMBERS:
            missing = fault_code(canonical.BY_NAME[column].rejections.null)
            numbers[column].faults[numbers[column].nulls] = missing
        numbers["updated_at"] = self._timestamps(batch, places)
        faults |= {column: read.faults for column, read in numbers.items()}
        return TypedBatch(batch, texts, numbers, faults, places, skipped)

    def has(self, column: str) -> bool:
        """Return whether the feed or a default gives a column; else all its cells are null."""
        return column in self.plan.positions or column in self.parser.defaults

    def without_skipped(self, batch: Records) -> tuple[Records, int]:
        """Return the records that are rows, and how many are not; those of no width all are."""
        rules = self.parser.skip_rows
        if not rules or (isinstance(batch, MalformedRecords) and batch.widths is None):
            return batch, 0
        columns = batch.columns if isinstance(batch, TextBatch) else batch.cells
        skipped = np.zeros(len(batch.row_numbers), np.bool_)
        for rule, place in zip(rules, self.plan.skips, strict=True):
            if place is None:
                continue  # the feed has no such header
            if place >= len(columns):
                skipped |= rule.texts == "empty"
                continue
            text = trim(without_nulls(columns[place]))
            found = (
                is_empty(text)
                if rule.texts == "empty"
                else word_index(text, rule.texts) >= 0
            )
            skipped |= found
        count = int(skipped.sum())
        return (batch.where(~skipped) if count else batch), count

    def _parts(self, batch: TextBatch, column: str) -> list[HeaderCells]:
        """Return the cells under the headers of a column; none where the feed does not give it."""
        if column not in self.plan.positions:
            return []
        source = self.parser.column_map.get(column, column)
        if isinstance(source, str):
            return [self._part(batch, column, self.plan.positions[column])]
        places, factor = self.plan.parts[column], getattr(source, "factor", None)
        headers = (
            source.headers if factor not in source.headers else source.headers[:-1]
        )
        parts = [self._part(batch, column, places[header]) for header in headers]
        if len(headers) < len(source.headers):
            place = places[source.headers[-1]]
            parts.append(HeaderCells(trim(batch.columns[place]), place))
        return parts

    def _part(self, batch: TextBatch, column: str, place: int) -> HeaderCells:
        """Return a column of the feed trimmed, with the nulls of a canonical one empty."""
        text, numbers = batch.columns[place], batch.number_cells.get(place)
        mark = self.parser.decimal_separator
        if numbers is not None and column in canonical.NUMBER_COLUMNS and mark != ".":
            # Number cells get the vendor's decimal separator.
            rows = np.flatnonzero(numbers)
            text = change_rows(
                text, rows, lambda some: pc.replace_substring(some, ".", mark)
            )
        text = trim(text)
        if words := self.parser.null_words(column):
            text = fill(text, word_index(text, words) >= 0, "")
        return HeaderCells(text, place, numbers)

    def _text(
        self, batch: TextBatch, column: str, places: dict[str, Ints]
    ) -> pa.StringArray:
        """Return a column trimmed, nulls empty, defaults filled in; ``places`` gets its cells'."""
        default = self.parser.defaults.get(column, "")
        parts = self._parts(batch, column)
        if not parts:
            size = len(batch.row_numbers)
            return pa.repeat(default, size) if default else empty_texts(size)
        made = made_of(self.parser.column_map.get(column, column), parts)
        if isinstance(made.places, np.ndarray):
            places[column] = made.places
        return fill(made.text, is_empty(made.text), default) if default else made.text

    def _numbers(
        self, batch: TextBatch, column: str, places: dict[str, Ints]
    ) -> ColumnValues:
        known, source = (
            canonical.BY_NAME[column],
            self.parser.column_map.get(column, column),
        )
        reader = NumberColumn(known, self.parser, source, self.rate)
        if reader.is_plain and column in self.plan.positions:
            # Only those of them that need it are trimmed.
            return reader.read_texts(
                HeaderCells(batch.columns[self.plan.positions[column]], 0)
            )
        read, at = reader.read(self._parts(batch, column), len(batch.row_numbers))
        if isinstance(at, np.ndarray):
            places[column] = at
        return read

    def _timestamps(self, batch: TextBatch, places: dict[str, Ints]) -> ColumnValues:
        rejections = canonical.BY_NAME["updated_at"].rejections
        text = self._text(batch, "updated_at", places)
        read = read_timestamps(text, self.parser, self.zone, rejections)
        if "updated_at" in self.parser.invalid_as_null:
            read.nulls[read.faults != 0] = True
            read.faults[:] = 0
        read.values[read.nulls] = self.requested_at
        read.nulls[:] = False
        return read


@dataclass(frozen=True, slots=True)
class TypedBatch:
    """A batch after reading: its raw text, typed columns and one fault code a judged cell.

    A column that neither the feed nor a default gives is in none of the mappings. ``places`` says
    where a fault's cell stands, of columns of several headers; ``skipped`` how many records of the
    feed's are no rows.
    """

    raw: TextBatch
    texts: Mapping[str, pa.StringArray]
    numbers: Mapping[str, ColumnValues]
    faults: Mapping[str, Faults]
    places: Mapping[str, Ints] = field(default_factory=dict)
    skipped: int = 0

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.raw.row_numbers)

    def integers(self) -> Mapping[str, tuple[Ints, Bools]]:
        """Return each column of numbers, of row numbers too: its values, and which are null."""
        columns = {
            name: (read.values, read.nulls) for name, read in self.numbers.items()
        }
        return columns | {
            "row_number": (self.raw.row_numbers, np.zeros(self.size, np.bool_))
        }

    def rows(self, columns: Collection[str]) -> pa.RecordBatch:
        """Return some columns of ``OFFER_SCHEMA`` of every row, faulty ones too."""
        fields = [field for field in OFFER_SCHEMA if field.name in columns]
        integers, columns = self.integers(), []
        for name, kind in ((each.name, each.type) for each in fields):
            if name in self.texts:
                columns.append(with_nulls(self.texts[name]))
            elif name in integers:
                columns.append(typed(kind, *integers[name]))
            else:
                columns.append(no_values(kind, self.size))
        return pa.record_batch(columns, schema=pa.schema(fields))


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


def _read_conditions(text: pa.StringArray) -> tuple[pa.StringArray, Faults]:
    found = word_index(text, canonical.CONDITIONS, str.lower)
    lowered = pa.array(canonical.CONDITIONS).take(pa.array(np.maximum(found, 0)))
    wrong = (found < 0) & ~is_empty(text)
    fault = fault_code(canonical.BY_NAME["condition"].rejections.unreadable)
    faults = np.where(wrong, fault, np.uint8(0))
    return pc.if_else(pa.array(found >= 0), lowered, text), faults


def _without_blank_records(batch: TextBatch, positions: Mapping[str, int]) -> TextBatch:
    if not batch.columns:
        return batch.where(np.zeros(len(batch.row_numbers), np.bool_))
    first = batch.columns[next(iter(positions.values()), 0)]
    maybe = possibly_blank_rows(first)
    for column in batch.columns:
        if not len(maybe):
            return batch
        maybe = maybe[is_empty(trim(column.take(pa.array(maybe))))]
    keep = np.ones(len(batch.row_numbers), np.bool_)
    keep[maybe] = False
    return batch.where(keep)
