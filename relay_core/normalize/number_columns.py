"""Columns that are made of cells: of several headers, of changed cells, of numbers.

Cells are trimmed, null ones empty. Numbers are read; then come options' nulls, sums, factors,
rates and defaults.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.columnar.csv_text import join_fields
from relay_core.columnar.number_notation import without_quantity_symbols
from relay_core.columnar.numbers import (
    REJECTED_VALUE,
    ColumnValues,
    Scale,
    fault_code,
    read_amounts,
    read_wholes,
)
from relay_core.config import ParserConfig
from relay_core.config.parser import Changed, First, Join, MappedSource, Sum
from relay_core.domain.cell_rules import LARGEST_FACTOR, LARGEST_WHOLE
from relay_core.domain.columns import CanonicalColumn, Kind

_FACTOR = "^[0-9]{1,7}$"
_ZERO = r"^[+-]?[0.]*(?:[eE].*)?$"
_MAX_TIMES = 1 << 62


@dataclass(frozen=True, slots=True)
class HeaderCells:
    """The cells under a header, or what is made of those under several."""

    text: pa.StringArray  # trimmed; empty where null
    places: texts.Ints | int  # which column of the feed each stands in
    numbers: texts.Bools | None = (
        None  # which the file holds as numbers; None where it holds none
    )


def _joined(form: Join, parts: Sequence[HeaderCells]) -> HeaderCells:
    between: list[pa.StringArray | str] = []
    for part in parts:
        between += [form.separator, part.text] if between else [part.text]
    text = join_fields(between, "")
    null = np.logical_or.reduce([texts.is_empty(part.text) for part in parts])
    return HeaderCells(texts.fill(text, null, ""), parts[0].places)


def _first(parts: Sequence[HeaderCells]) -> HeaderCells:
    text, places = parts[0].text, np.full(len(parts[0].text), parts[0].places)
    numbers = (
        np.zeros(len(text), np.bool_) if parts[0].numbers is None else parts[0].numbers
    )
    for part in parts[1:]:
        take = texts.is_empty(text) & ~texts.is_empty(part.text)
        if take.any():
            text = pc.if_else(pa.array(take), part.text, text)
            places[take] = part.places
            numbers = np.where(
                take, False if part.numbers is None else part.numbers, numbers
            )
    return HeaderCells(text, places, numbers)


def _changed(form: Changed, parts: Sequence[HeaderCells]) -> HeaderCells:
    text, numbers = parts[0].text, parts[0].numbers
    if form.strip_prefix:
        cut = texts.flags_of(pc.starts_with(text, form.strip_prefix))
        text = _cut(text, cut, len(form.strip_prefix), None)
    if form.strip_suffix:
        cut = texts.flags_of(pc.ends_with(text, form.strip_suffix))
        text = _cut(text, cut, 0, -len(form.strip_suffix))
    if form.values:
        found = texts.word_index(text, form.values)
        new = pa.array([*form.values.values()], text.type)
        replaced = (found >= 0) & ~texts.is_empty(text)
        text = pc.if_else(
            pa.array(replaced), new.take(pa.array(np.maximum(found, 0))), text
        )
        numbers = None if numbers is None else numbers & ~replaced
    return HeaderCells(text, parts[0].places, numbers)


def _cut(
    text: pa.StringArray, where: texts.Bools, start: int, stop: int | None
) -> pa.StringArray:
    return texts.change_rows(
        text,
        np.flatnonzero(where),
        lambda some: texts.trim(pc.utf8_slice_codeunits(some, start=start, stop=stop)),
    )


def made_of(source: MappedSource, parts: Sequence[HeaderCells]) -> HeaderCells:
    """Return the texts that an entry of ``column_map`` makes of its parts; none of a sum."""
    if isinstance(source, Join):
        return _joined(source, parts)
    if isinstance(source, First):
        return _first(parts)
    return _changed(source, parts) if isinstance(source, Changed) else parts[0]


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """The reader of one column of numbers."""

    column: CanonicalColumn  # the column
    parser: ParserConfig  # the vendor's options
    source: (
        MappedSource  # its entry of ``column_map``; the name of its header without one
    )
    rate: Fraction | None = (
        None  # of the vendor's currency, where that is not the tenant's
    )

    @property
    def is_plain(self) -> bool:
        """Whether no option asks for more than reading a cell as it stands."""
        name, parser = self.column.name, self.parser
        changes = (
            not isinstance(self.source, str)
            or name in (*parser.defaults, *parser.zero_is_null, *parser.invalid_as_null)
            or (self.column.kind is Kind.MONEY and self.rate is not None)
            or (parser.decimal_separator != "." or parser.thousands_separator)
            or (parser.currency_symbols or parser.null_words(name))
        )
        words = parser.quantity_words or parser.quantity_symbols
        of_quantities = words or parser.negative_quantity == "zero"
        return not (changes or (self.column.takes_words and of_quantities))

    def read(
        self, parts: Sequence[HeaderCells], size: int
    ) -> tuple[ColumnValues, texts.Ints | int]:
        """Return the values of the cells under its headers, and where a fault of each stands.

        The cells of its factor are last; there are none where only a default gives it.
        """
        places: texts.Ints | int
        if not parts:
            read, places = _no_values(size), 0
        elif isinstance(self.source, Sum):
            read, places = self._sum(parts)
        else:
            read, places = self._scaled(parts)
        # What an option makes null stays so.
        fillable = read.nulls & ~self._zeros(read)
        if self.column.name in self.parser.invalid_as_null:
            wrong = read.faults != 0
            read.values[wrong], read.faults[wrong] = 0, 0
            read.nulls[wrong], read.is_canonical[wrong] = True, False
        # A default is read like a cell, by fewer options.
        default = self.parser.defaults.get(self.column.name)
        if default and fillable.any():
            text, rejections = pa.array([default]), self.column.rejections
            if self.column.kind is Kind.MONEY:
                rate = self.rate
                scale = (
                    None if rate is None else Scale(rate.numerator, rate.denominator)
                )
                one = read_amounts(text, self.parser, rejections, scale)
            else:
                one = read_wholes(self.without_words(text), self.parser, rejections)
            read.values[fillable], read.faults[fillable] = one.values[0], one.faults[0]
            read.nulls[fillable], read.is_canonical[fillable] = False, False
        return read, places

    def read_texts(self, part: HeaderCells, scale: Scale | None = None) -> ColumnValues:
        """Read cells as they stand, all options of single cells among them."""
        text, rejections = part.text, self.column.rejections
        if self.column.kind is Kind.MONEY:
            read = read_amounts(text, self.parser, rejections, scale)
            zeros = self._zeros(read)
            read.nulls[zeros], read.is_canonical[zeros] = True, False
            return read
        if self.column.takes_words:
            text = self.without_words(text)
            if self.parser.quantity_symbols:
                stripped = without_quantity_symbols(text, self.parser.quantity_symbols)
                asked = None if part.numbers is None else pa.array(~part.numbers)
                text = stripped if asked is None else pc.if_else(asked, stripped, text)
        read = read_wholes(text, self.parser, rejections)
        if self.column.takes_words and self.parser.negative_quantity == "zero":
            below = read.faults == fault_code(rejections.negative)
            read.values[below], read.faults[below], read.is_canonical[below] = (
                0,
                0,
                False,
            )
        return read

    def without_words(self, text: pa.StringArray) -> pa.StringArray:
        """Return the cells with the vendor's words for quantities as digits."""
        words = list(self.parser.quantity_words) if self.column.takes_words else []
        if not words:
            return text
        found = texts.word_index(text, words)
        amounts = pa.array([str(self.parser.quantity_words[word]) for word in words])
        replaced = amounts.take(pa.array(np.maximum(found, 0)))
        return pc.if_else(pa.array(found >= 0), replaced, text)

    def _sum(self, parts: Sequence[HeaderCells]) -> tuple[ColumnValues, texts.Ints]:
        total = _no_values(len(parts[0].text))
        places = np.full(len(parts[0].text), parts[0].places)
        for part in parts:
            read = self.read_texts(part)
            fresh = (read.faults != 0) & (total.faults == 0)
            total.faults[fresh], places[fresh] = read.faults[fresh], part.places
            total.values[:] += np.where(read.nulls | (read.faults != 0), 0, read.values)
            total.nulls[:] &= read.nulls
        self._refuse_large(total)
        return total, places

    def _scaled(
        self, parts: Sequence[HeaderCells]
    ) -> tuple[ColumnValues, texts.Ints | int]:
        """Read cells, and multiply and divide them."""
        form = self.source if isinstance(self.source, Changed) else None
        part = made_of(self.source, parts)
        places = part.places
        factor = None if form is None else form.factor
        if factor is None:
            scale = None if self.rate is None else self._scale(1)
            return self.read_texts(part, scale), places
        factors: texts.Ints | int = factor if isinstance(factor, int) else 1
        holds: texts.Bools | None = None
        if not isinstance(factor, int):
            cells = parts[-1].text
            is_number = texts.flags_of(pc.match_substring_regex(cells, _FACTOR))
            digits = pc.cast(texts.fill(cells, ~is_number, "0"), pa.int64())
            given = np.array(texts.values_of(digits))
            holds = (given >= 1) & (given <= LARGEST_FACTOR)
            factors = np.where(holds, given, 1)
        if self.column.kind is Kind.MONEY:
            read = self.read_texts(part, self._scale(factors))
        else:
            read = self.read_texts(part)
            is_times = form is not None and form.times is not None
            scaled = read.values * factors if is_times else read.values // factors
            read.values[:] = np.where(read.faults == 0, scaled, read.values)
            read.is_canonical[:] &= read.nulls & texts.is_empty(read.text)
            self._refuse_large(read)
        if holds is not None:
            wrong = ~holds & ~read.nulls & (read.faults == 0)
            beyond = fault_code(self.column.rejections.too_large)
            over = ~holds & (read.faults == beyond)
            if (
                self.column.kind is Kind.MONEY and over.any()
            ):  # as written it may be in range
                wrong |= over & np.asarray(
                    self.read_texts(part, Scale(1, 10**7)).faults == 0
                )
            read.faults[wrong] = fault_code(self.column.rejections.unreadable)
            read.values[wrong] = REJECTED_VALUE
            places = np.where(wrong, parts[-1].places, places)
        return read, places

    def _scale(self, factors: texts.Ints | int) -> Scale:
        rate = Fraction(1) if self.rate is None else self.rate
        is_times = isinstance(self.source, Changed) and self.source.times is not None
        one: texts.Ints | int = 1
        times, divided_by = (factors, one) if is_times else (one, factors)
        return Scale(
            _product(times, rate.numerator), _product(divided_by, rate.denominator)
        )

    def _refuse_large(self, read: ColumnValues) -> None:
        too_large = (read.values > LARGEST_WHOLE) & (read.faults == 0)
        read.faults[too_large] = fault_code(self.column.rejections.too_large)
        read.values[read.faults != 0] = REJECTED_VALUE

    def _zeros(self, read: ColumnValues) -> texts.Bools:
        """Return which amounts are null because all their digits are 0."""
        zeros = np.zeros(len(read.values), np.bool_)
        if self.column.name in self.parser.zero_is_null:
            is_zero = (read.values == 0) & (read.faults == 0)
            rows = np.flatnonzero(is_zero & ~texts.is_empty(read.text))
            text = pc.utf8_trim_whitespace(read.text.take(pa.array(rows)))
            zeros[rows] = texts.flags_of(pc.match_substring_regex(text, _ZERO))
        return zeros


def _no_values(size: int) -> ColumnValues:
    """Return a column of nulls."""
    return ColumnValues(
        np.zeros(size, np.int64),
        np.ones(size, np.bool_),
        np.zeros(size, np.uint8),
        texts.empty_texts(size),
        np.zeros(size, np.bool_),
    )


def _product(factors: texts.Ints | int, number: int) -> texts.Ints | int:
    """Return products; of whole numbers of any size where they may be too large for others."""
    if isinstance(factors, int):
        return factors * number
    if int(factors.max(initial=1)) * number > _MAX_TIMES:
        return np.asarray(factors.astype(object) * number)
    return np.asarray(factors * number)
