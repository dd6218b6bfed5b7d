"""Columns of numbers, read from cells by the vendor's options.

Cells are trimmed, and null ones are empty. Numbers are read first; then the options'
nulls, sums, factors, rates and defaults apply.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import numbers
from relay_core.columnar import text as texts
from relay_core.columnar.arrays import RowMask, WholeNumbers
from relay_core.columnar.number_notation import without_quantity_symbols
from relay_core.columnar.numbers import ColumnValues, Scale
from relay_core.config import ParserConfig
from relay_core.config.column_forms import Changed, MappedSource, Sum
from relay_core.domain.cell_rules import LARGEST_FACTOR, LARGEST_WHOLE
from relay_core.domain.columns import CanonicalColumn, Kind
from relay_core.normalize.header_cells import HeaderCells, made_of

_FACTOR = "^[0-9]{1,7}$"
_ZERO = r"^[+-]?[0.]*(?:[eE].*)?$"
_MAX_FACTOR = 1 << 62
_SMALLEST_SCALE = Scale(1, 10**7)
"""The scale of the largest factor: amounts out of range as written may fit with it."""


@dataclass(frozen=True, slots=True)
class NumberColumn:
    """The reader of one column of numbers."""

    column: CanonicalColumn  # the column
    parser: ParserConfig  # the vendor's options
    source: MappedSource  # the column's entry of ``column_map``, or its header's name
    # The rate of the vendor's currency; None if the currency is the tenant's.
    rate: Fraction | None = None

    @property
    def is_plain(self) -> bool:
        """True if every cell can be read verbatim, without an option."""
        name = self.column.name
        parser = self.parser
        if not isinstance(self.source, str):
            return False
        if name in (
            *parser.defaults,
            *parser.zero_is_null,
            *parser.invalid_as_null,
        ):
            return False
        if self.column.kind is Kind.MONEY and self.rate is not None:
            return False
        if parser.decimal_separator != "." or parser.thousands_separator:
            return False
        if parser.currency_symbols or parser.null_words(name):
            return False
        if self.column.takes_words:
            if parser.quantity_words or parser.quantity_symbols:
                return False
            return parser.negative_quantity != "zero"
        return True

    def read(
        self,
        parts: Sequence[HeaderCells],
        size: int,
    ) -> tuple[ColumnValues, WholeNumbers | int]:
        """Read a column.

        Args:
            parts: The cells of the column's headers, those of its factor last; none if
                only a default gives the column.
            size: The number of rows.

        Returns:
            The values, and the index of the feed's column that a fault of each cell is
            in: one for all, or one a row.
        """
        source_columns: WholeNumbers | int
        if not parts:
            values = _no_values(size)
            source_columns = 0
        elif isinstance(self.source, Sum):
            values, source_columns = self._sum(parts)
        else:
            values, source_columns = self._scaled(parts)
        # A cell that an option makes null keeps no default.
        fillable = values.nulls & ~self._zeros(values)
        if self.column.name in self.parser.invalid_as_null:
            is_invalid = values.faults != 0
            values.values[is_invalid] = 0
            values.faults[is_invalid] = 0
            values.nulls[is_invalid] = True
            values.is_canonical[is_invalid] = False
        default = self.parser.defaults.get(self.column.name)
        if default and fillable.any():
            default_values = self._read_default(default)
            values.values[fillable] = default_values.values[0]
            values.faults[fillable] = default_values.faults[0]
            values.nulls[fillable] = False
            values.is_canonical[fillable] = False
        return values, source_columns

    def _read_default(self, default: str) -> ColumnValues:
        """Read a default like a cell, by fewer options."""
        text = pa.array([default])
        rejections = self.column.rejections
        if self.column.kind is not Kind.MONEY:
            words_replaced = self.without_words(text)
            return numbers.read_wholes(words_replaced, self.parser, rejections)
        scale = None
        if self.rate is not None:
            scale = Scale(self.rate.numerator, self.rate.denominator)
        return numbers.read_amounts(text, self.parser, rejections, scale)

    def read_texts(
        self,
        part: HeaderCells,
        scale: Scale | None = None,
    ) -> ColumnValues:
        """Read cells by all options that apply to a single cell.

        Args:
            part: The cells.
            scale: The factor of amounts.
        """
        text = part.text
        rejections = self.column.rejections
        if self.column.kind is Kind.MONEY:
            amounts = numbers.read_amounts(text, self.parser, rejections, scale)
            zeros = self._zeros(amounts)
            amounts.nulls[zeros] = True
            amounts.is_canonical[zeros] = False
            return amounts
        if self.column.takes_words:
            text = self.without_words(text)
            symbols = self.parser.quantity_symbols
            if symbols:
                stripped = without_quantity_symbols(text, symbols)
                if part.numbers is None:
                    text = stripped
                else:
                    text = pc.if_else(pa.array(~part.numbers), stripped, text)
        wholes = numbers.read_wholes(text, self.parser, rejections)
        if self.column.takes_words and self.parser.negative_quantity == "zero":
            is_negative = wholes.faults == numbers.fault_code(
                rejections.negative,
            )
            wholes.values[is_negative] = 0
            wholes.faults[is_negative] = 0
            wholes.is_canonical[is_negative] = False
        return wholes

    def without_words(self, text: pa.StringArray) -> pa.StringArray:
        """Return cells with digits instead of the vendor's words for quantities."""
        if not self.column.takes_words or not self.parser.quantity_words:
            return text
        word_index = texts.word_index(text, self.parser.quantity_words)
        quantities = [
            str(number) for number in self.parser.quantity_words.values()
        ]
        replaced = pa.array(quantities).take(
            pa.array(np.maximum(word_index, 0)),
        )
        return pc.if_else(pa.array(word_index >= 0), replaced, text)

    def _sum(
        self,
        parts: Sequence[HeaderCells],
    ) -> tuple[ColumnValues, WholeNumbers]:
        """Read the cells of each header and add them up; null if all cells are."""
        size = len(parts[0].text)
        total = _no_values(size)
        source_columns = np.full(size, parts[0].source_columns)
        for part in parts:
            values = self.read_texts(part)
            is_fault = values.faults != 0
            is_first_fault = is_fault & (total.faults == 0)
            total.faults[is_first_fault] = values.faults[is_first_fault]
            source_columns[is_first_fault] = part.source_columns
            total.values[:] += np.where(
                values.nulls | is_fault,
                0,
                values.values,
            )
            total.nulls[:] &= values.nulls
        self._reject_large(total)
        return total, source_columns

    def _scaled(
        self,
        parts: Sequence[HeaderCells],
    ) -> tuple[ColumnValues, WholeNumbers | int]:
        """Read cells, and multiply or divide them by their factor."""
        form = self.source if isinstance(self.source, Changed) else None
        part = made_of(self.source, parts)
        factor = None if form is None else form.factor
        if factor is None:
            scale = None if self.rate is None else self._scale(1)
            return self.read_texts(part, scale), part.source_columns
        if isinstance(factor, int):
            return self._times(part, factor), part.source_columns
        factors, is_factor = _factors_of(parts[-1].text)
        values = self._times(part, factors)
        is_wrong = ~is_factor & self._needs_factor(part, values)
        rejections = self.column.rejections
        values.faults[is_wrong] = numbers.fault_code(rejections.unreadable)
        values.values[is_wrong] = numbers.REJECTED_VALUE
        factor_columns = parts[-1].source_columns
        return values, np.where(is_wrong, factor_columns, part.source_columns)

    def _times(
        self,
        part: HeaderCells,
        factors: WholeNumbers | int,
    ) -> ColumnValues:
        """Read cells, and multiply or divide them by one factor, or one a row."""
        if self.column.kind is Kind.MONEY:
            return self.read_texts(part, self._scale(factors))
        values = self.read_texts(part)
        unscaled = values.values
        scaled = unscaled * factors if self._multiplies else unscaled // factors
        values.values[:] = np.where(values.faults == 0, scaled, unscaled)
        values.is_canonical[:] &= values.nulls & texts.is_empty(values.text)
        self._reject_large(values)
        return values

    def _needs_factor(self, part: HeaderCells, values: ColumnValues) -> RowMask:
        """Return the mask of cells whose number cannot be had without a factor.

        Cells that have a fault of their own are not among them. An amount that is too
        large may be in range with a factor.
        """
        needs_factor: RowMask = ~values.nulls & (values.faults == 0)
        too_large = numbers.fault_code(self.column.rejections.too_large)
        is_too_large = values.faults == too_large
        if self.column.kind is Kind.MONEY and is_too_large.any():
            smallest = self.read_texts(part, _SMALLEST_SCALE)
            needs_factor |= is_too_large & (smallest.faults == 0)
        return needs_factor

    @property
    def _multiplies(self) -> bool:
        """True if numbers are multiplied by their factor, not divided."""
        return (
            isinstance(self.source, Changed) and self.source.times is not None
        )

    def _scale(self, factors: WholeNumbers | int) -> Scale:
        """Return the scale of amounts with some factors and the currency's rate."""
        rate = Fraction(1) if self.rate is None else self.rate
        if self._multiplies:
            return Scale(_product(factors, rate.numerator), rate.denominator)
        return Scale(rate.numerator, _product(factors, rate.denominator))

    def _reject_large(self, values: ColumnValues) -> None:
        """Give numbers that are too large their fault."""
        is_too_large = (values.values > LARGEST_WHOLE) & (values.faults == 0)
        too_large = numbers.fault_code(self.column.rejections.too_large)
        values.faults[is_too_large] = too_large
        values.values[values.faults != 0] = numbers.REJECTED_VALUE

    def _zeros(self, values: ColumnValues) -> RowMask:
        """Return the mask of amounts that are null because all their digits are 0."""
        zeros = np.zeros(len(values.values), np.bool_)
        if self.column.name in self.parser.zero_is_null:
            is_zero = (values.values == 0) & (values.faults == 0)
            rows = np.flatnonzero(is_zero & ~texts.is_empty(values.text))
            text = pc.utf8_trim_whitespace(values.text.take(pa.array(rows)))
            zeros[rows] = texts.flags_of(pc.match_substring_regex(text, _ZERO))
        return zeros


def _factors_of(cells: pa.StringArray) -> tuple[WholeNumbers, RowMask]:
    """Return the factor in each cell, 1 if there is none, and the mask of factors."""
    is_number = texts.flags_of(pc.match_substring_regex(cells, _FACTOR))
    digits = pc.cast(texts.fill(cells, ~is_number, "0"), pa.int64())
    factors = np.array(texts.values_of(digits))
    is_factor = (factors >= 1) & (factors <= LARGEST_FACTOR)
    return np.where(is_factor, factors, 1), is_factor


def _no_values(size: int) -> ColumnValues:
    """Return a column of nulls."""
    return ColumnValues(
        values=np.zeros(size, np.int64),
        nulls=np.ones(size, np.bool_),
        faults=np.zeros(size, np.uint8),
        text=texts.empty_texts(size),
        is_canonical=np.zeros(size, np.bool_),
    )


def _product(factors: WholeNumbers | int, number: int) -> WholeNumbers | int:
    """Return the products, as Python integers if 64 bits may not suffice."""
    if isinstance(factors, int):
        return factors * number
    if int(factors.max(initial=1)) * number > _MAX_FACTOR:
        factors = factors.astype(object)
    products: WholeNumbers = factors * number
    return products
