"""Columns of numbers: whole ones, and amounts in ten-thousandths, rounded half up.

Arrow casts the cells of a few digits all at once. Patterns take the other cells apart,
however long they are, and report why a cell is not a number.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.columnar.number_notation import plain_numbers, without_symbols
from relay_core.domain import cell_rules
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import RejectionCodes

FAULTS: tuple[RowFault, ...] = tuple(RowFault)
REJECTED_VALUE = -1
"""The number instead of a cell that is unreadable, negative or too large.

The contract of rows rejects it as it rejects any negative number; the cell's fault code
says why.
"""
AMOUNT = pa.decimal64(13, 4)
"""Arrow's type of an amount below the limit, stored as whole ten-thousandths."""

_FAULT_CODES = {
    fault: np.uint8(index + 1) for index, fault in enumerate(FAULTS)
}
_WHOLE = r"^(?P<sign>[+-]?)0*(?P<digits>[0-9]+)(?:\.0*)?$"
_SHORT_AMOUNT = r"^[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,4})?|\.[0-9]{1,4})$"
_ANY_AMOUNT = (
    r"^(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?:[eE](?P<exponent_sign>[+-]?)(?P<exponent>[0-9]+))?$"
)
_ROUNDING_PLACES = 5
"""The number of decimal places that decide how an amount is rounded."""
_MAX_DIGITS = 15
"""An amount with this number of digits, decimal places included, exceeds the limit."""
_MAX_SCALED_DIGITS = 4_000
"""The number of an amount's digits that decide the product with a factor."""
_MAX_LEADING_ZEROS = 40
"""An amount with more zeros behind the point is 0, whatever its factor."""
_MAX_SMALL_DIVISOR = 1 << 31
"""With greater divisors, the product of two remainders may not fit into 64 bits."""

_POINT_WEIGHT = 1
_OTHER_WEIGHT = 1 << 16
_WEIGHTS = np.full(256, _OTHER_WEIGHT, np.int32)
_WEIGHTS[ord(".")] = _POINT_WEIGHT
_WEIGHTS[ord("0") : ord("9") + 1] = 0
"""The weight of each byte of a cell; a cell of digits and one point weighs 1."""

_NEVER = np.iinfo(np.int64).max
_LEAST_WHOLE = np.array(
    [_NEVER, 0, *(10**size for size in range(1, 18))],
    np.int64,
)
"""The least whole number without needless zeros, by its number of digits."""
_LEAST_AMOUNT = np.array(
    [_NEVER, 0, *(10 ** (size + 4) for size in range(1, 14))],
    np.int64,
)
"""The least amount without needless zeros, by its number of digits before the point."""

# These stand in for the digits of an amount that has none to scale.
_UNREADABLE = -1
_NEGATIVE = -2
_TOO_LARGE = -3


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """A column of numbers; every array has one entry a row."""

    values: arrays.WholeNumbers
    """The numbers: 0 for a null, and a number that no contract admits for a fault."""
    nulls: arrays.RowMask
    """Which cells are null."""
    faults: arrays.FaultCodes
    """The fault code of each cell; 0 for a valid cell."""
    text: pa.StringArray
    """The cells, rewritten from the vendor's notation to plain numbers."""
    is_canonical: arrays.RowMask
    """The cells whose text is exactly as normalized.csv writes the value."""


class Scale(NamedTuple):
    """An exact factor of amounts: ``times / divided_by``.

    Both are whole numbers greater than 0: one for all rows, or one a row.
    """

    times: arrays.WholeNumbers | int = 1
    divided_by: arrays.WholeNumbers | int = 1

    def at(self, rows: arrays.RowIndex) -> tuple[Any, Any]:
        """Return both numbers at the given rows, as Python integers of any size."""
        times = _python_integers(self.times, rows)
        divided_by = _python_integers(self.divided_by, rows)
        return times, divided_by


def _python_integers(
    numbers: arrays.WholeNumbers | int,
    rows: arrays.RowIndex,
) -> Any:
    selected = numbers[rows] if isinstance(numbers, np.ndarray) else numbers
    return np.asarray(selected, object)


def fault_code(fault: RowFault | str | None) -> np.uint8:
    """Return the code of a row fault in `arrays.FaultCodes`; 0 for None."""
    return np.uint8(0) if fault is None else _FAULT_CODES[RowFault(fault)]


def read_wholes(
    text: pa.StringArray,
    options: cell_rules.CellOptions,
    rejections: RejectionCodes,
) -> ColumnValues:
    """Read whole numbers from 0 to the largest.

    Cells must be trimmed, unless no option changes the meaning of digits. An empty cell
    is null.
    """
    text = plain_numbers(text, options)
    short = _read_short(text, pa.int64(), max_points=0)
    least_values = _LEAST_WHOLE.take(short.lengths, mode="clip")
    is_canonical = short.values >= least_values
    read_long = partial(_read_long_wholes, rejections)
    return _column_values(text, short, is_canonical, read_long)


def read_amounts(
    text: pa.StringArray,
    options: cell_rules.CellOptions,
    rejections: RejectionCodes,
    scale: Scale | None = None,
) -> ColumnValues:
    """Read amounts of 0 and more as ten-thousandths.

    Cells must be trimmed, unless no option changes the meaning of digits. An empty cell
    is null. Amounts are multiplied by the scale exactly and then rounded once; before
    that they may be larger than the limit.
    """
    plain = without_symbols(text, options.currency_symbols)
    plain = plain_numbers(plain, options)
    short = _read_short(plain, AMOUNT, max_points=1)
    if scale is not None:
        scaled = short._replace(values=_scaled(short.values, scale))
        never = np.zeros(len(plain), np.bool_)
        read_long = partial(_read_long_scaled, rejections, scale)
        column = _column_values(plain, scaled, never, read_long)
        _reject_beyond(
            column.values,
            column.faults,
            cell_rules.MONEY_LIMIT_UNITS,
            rejections,
        )
        return column
    # A canonical amount has two decimal places, and no needless zero before the point.
    bounds, data = texts.offsets_and_bytes(plain)
    least_values = _LEAST_AMOUNT.take(short.lengths - 3, mode="clip")
    is_canonical = short.values >= least_values
    if len(data):
        point_offsets = bounds[1:] - 3
        is_canonical &= data.take(point_offsets, mode="clip") == ord(".")
    read_long = partial(_read_long_amounts, rejections)
    return _column_values(plain, short, is_canonical, read_long)


class _ShortCells(NamedTuple):
    """The cells of a column that have only a few digits; one entry a row."""

    values: arrays.WholeNumbers  # 0 for a cell that is not short
    is_short: arrays.RowMask
    lengths: arrays.WholeNumbers  # the length of each cell in bytes


def _read_short(
    text: pa.StringArray,
    kind: pa.DataType,
    max_points: int,
) -> _ShortCells:
    """Read the cells of a few digits and at most ``max_points`` decimal points."""
    bounds, _ = texts.offsets_and_bytes(text)
    byte_weights = _WEIGHTS.take(texts.byte_array_of(text))
    weights_before = np.zeros(len(byte_weights) + 1, np.int32)
    np.cumsum(byte_weights, out=weights_before[1:])
    weights = np.diff(weights_before.take(bounds - bounds[0]))
    lengths = texts.lengths_of(text)
    is_short = weights <= max_points
    is_short &= lengths > weights
    is_short &= lengths <= 9 + 5 * max_points
    try:
        column = pc.cast(texts.with_nulls(text, ~is_short), kind)
    except pa.ArrowInvalid:
        # A cell has more decimal places, or more digits before them, than the type.
        is_short &= texts.flags_of(
            pc.match_substring_regex(text, _SHORT_AMOUNT),
        )
        column = pc.cast(texts.with_nulls(text, ~is_short), kind)
    _, data = column.buffers()
    values = np.frombuffer(data, np.int64, len(text), 8 * column.offset)
    return _ShortCells(np.where(is_short, values, 0), is_short, lengths)


_ReadLong: TypeAlias = Callable[
    [pa.StringArray, arrays.RowIndex],
    tuple[arrays.WholeNumbers, arrays.FaultCodes],
]
"""Returns the values and fault codes of trimmed cells, which come with their rows."""


def _column_values(
    text: pa.StringArray,
    short: _ShortCells,
    is_canonical: arrays.RowMask,
    read_long: _ReadLong,
) -> ColumnValues:
    """Return a column whose short cells are read; ``read_long`` reads the others."""
    faults = np.zeros(len(text), np.uint8)
    nulls = short.lengths == 0
    is_canonical = (is_canonical & short.is_short) | nulls
    rows = np.flatnonzero(~(short.is_short | nulls))
    if len(rows):
        long_cells = texts.trim(text.take(pa.array(rows)))
        nulls[rows] = texts.is_empty(long_cells)
        long_values, long_faults = read_long(long_cells, rows)
        short.values[rows] = long_values
        faults[rows] = long_faults
        is_canonical[rows] = long_faults != 0
    return ColumnValues(short.values, nulls, faults, text, is_canonical)


def _read_long_wholes(
    rejections: RejectionCodes,
    text: pa.StringArray,
    _: arrays.RowIndex,
) -> tuple[arrays.WholeNumbers, arrays.FaultCodes]:
    values = np.zeros(len(text), np.int64)
    faults = np.zeros(len(text), np.uint8)
    groups = pc.extract_regex(text, _WHOLE)
    is_number = texts.flags_of(groups.is_valid())
    is_unreadable = ~is_number & ~texts.is_empty(text)
    faults[is_unreadable] = fault_code(rejections.unreadable)
    groups = groups.filter(pa.array(is_number))
    # Eleven digits are beyond the largest number already.
    first_digits = pc.utf8_slice_codeunits(
        pc.struct_field(groups, "digits"),
        0,
        11,
    )
    numbers = texts.values_of(pc.cast(first_digits, pa.int64()))
    is_negative = _is_minus(pc.struct_field(groups, "sign"))
    values[is_number] = np.where(is_negative, -numbers, numbers)
    _reject_beyond(values, faults, cell_rules.LARGEST_WHOLE + 1, rejections)
    return values, faults


def _read_long_amounts(
    rejections: RejectionCodes,
    text: pa.StringArray,
    _: arrays.RowIndex,
) -> tuple[arrays.TenThousandths, arrays.FaultCodes]:
    """Read amounts of any length, as 0.DIGITS x 10^point, rounded half up."""
    groups = pc.extract_regex(text, _ANY_AMOUNT)
    fraction = _group(groups, "fraction")
    digits = pc.binary_join_element_wise(_group(groups, "whole"), fraction, "")
    is_number = ~texts.is_empty(digits)
    digits = pc.ascii_ltrim(digits, characters="0")
    exponent_digits = pc.ascii_ltrim(_group(groups, "exponent"), characters="0")
    exponents = _first_digits(exponent_digits)
    exponents[_is_minus(_group(groups, "exponent_sign"))] *= -1
    # Only the digits before the point and in the first places behind it count.
    written_before_point = texts.lengths_of(digits) - texts.lengths_of(fraction)
    before_point = written_before_point + exponents
    digit_counts = np.clip(before_point + _ROUNDING_PLACES, 0, _MAX_DIGITS)
    values = np.zeros(len(text), np.int64)
    for count in np.unique(digit_counts[digit_counts > 0]).tolist():
        rows = np.flatnonzero(digit_counts == count)
        leading = pc.utf8_slice_codeunits(digits.take(pa.array(rows)), 0, count)
        padded = pc.utf8_rpad(leading, count, padding="0")
        values[rows] = (_first_digits(padded) + 5) // 10
    is_negative = _is_minus(_group(groups, "sign")) & ~texts.is_empty(digits)
    values[is_negative] = REJECTED_VALUE
    is_readable = is_number | texts.is_empty(text)
    faults = np.where(
        is_readable,
        np.uint8(0),
        fault_code(rejections.unreadable),
    )
    _reject_beyond(values, faults, cell_rules.MONEY_LIMIT_UNITS, rejections)
    return values, faults


def _read_long_scaled(
    rejections: RejectionCodes,
    scale: Scale,
    text: pa.StringArray,
    rows: arrays.RowIndex,
) -> tuple[arrays.TenThousandths, arrays.FaultCodes]:
    """Read amounts of any length and multiply them by the scale, rounded half up."""
    encoded = text.dictionary_encode()
    fractions = [
        _digits_and_places(cell) for cell in encoded.dictionary.to_pylist()
    ]
    index = texts.values_of(encoded.indices)
    digits = np.array([digits for digits, _ in fractions], object)[index]
    places = np.array([places for _, places in fractions], object)[index]
    times, divided_by = scale.at(rows)
    dividend = np.maximum(digits, 0) * cell_rules.MONEY_UNIT * times
    values = _rounded(dividend, divided_by * 10**places)
    values[digits == _TOO_LARGE] = cell_rules.MONEY_LIMIT_UNITS
    values[digits == _NEGATIVE] = REJECTED_VALUE
    is_unreadable = (digits == _UNREADABLE) & ~texts.is_empty(text)
    faults = np.where(
        is_unreadable,
        fault_code(rejections.unreadable),
        np.uint8(0),
    )
    return values.astype(np.int64), faults


def _digits_and_places(text: str) -> tuple[int, int]:
    """Return an amount as ``digits / 10**places``; ``12.50`` gives 1250 and 2.

    In place of the digits is `_UNREADABLE`, `_NEGATIVE` or `_TOO_LARGE` if that is so.
    """
    match = re.fullmatch(_ANY_AMOUNT, text)
    if match is None:
        return _UNREADABLE, 0
    fraction = match["fraction"] or ""
    digits = match["whole"] + fraction
    if not digits:
        return _UNREADABLE, 0
    digits = digits.lstrip("0")
    if not digits:
        return 0, 0
    if match["sign"] == "-":
        return _NEGATIVE, 0
    # Sixteen digits of an exponent are far beyond every limit.
    exponent_digits = (match["exponent"] or "").lstrip("0")
    exponent = int(exponent_digits[:16] or 0)
    if match["exponent_sign"] == "-":
        exponent = -exponent
    point = len(digits) - len(fraction) + exponent
    if point > cell_rules.WRITTEN_DIGITS:
        return _TOO_LARGE, 0
    if point < -_MAX_LEADING_ZEROS:
        return 0, 0
    digits = digits[:_MAX_SCALED_DIGITS]
    places = max(len(digits) - point, 0)
    return int(digits.ljust(point, "0")), places


def _scaled(
    amounts: arrays.TenThousandths,
    scale: Scale,
) -> arrays.TenThousandths:
    """Return amounts times a scale, rounded half up, up to the limit of amounts."""
    limit = cell_rules.MONEY_LIMIT_UNITS
    times = np.asarray(scale.times)
    divided_by = np.asarray(scale.divided_by)
    if (
        times.dtype != np.int64
        or divided_by.max(initial=1) > _MAX_SMALL_DIVISOR
    ):
        products = amounts.astype(object) * times.astype(object)
        rounded = _rounded(products, divided_by.astype(object))
        return np.asarray(rounded.astype(np.int64))
    # The estimate only finds amounts far beyond the limit; it rounds no amount.
    estimates = amounts.astype(np.float64) * times / divided_by
    is_beyond = estimates >= 2 * limit
    whole, remainder = np.divmod(np.where(is_beyond, 0, amounts), divided_by)
    whole_times, remaining_times = np.divmod(times, divided_by)
    scaled = whole * times
    scaled += remainder * whole_times
    # The last term is the only one with a fraction: rounded half up.
    scaled += (2 * remainder * remaining_times + divided_by) // (2 * divided_by)
    return np.where(is_beyond, limit, np.minimum(scaled, limit))


def _rounded(dividend: Any, divisor: Any) -> Any:
    """Return quotients of integers of any size, half up, up to the limit of amounts."""
    quotients = (2 * dividend + divisor) // (2 * divisor)
    return np.minimum(quotients, cell_rules.MONEY_LIMIT_UNITS)


def _group(groups: pa.StructArray, name: str) -> pa.StringArray:
    """Return a group of a pattern; empty in rows that the pattern does not match."""
    return pc.fill_null(pc.struct_field(groups, name), "")


def _first_digits(text: pa.StringArray) -> arrays.WholeNumbers:
    """Return the first `_MAX_DIGITS` digits of each text as a number; 0 for none."""
    leading = pc.utf8_slice_codeunits(text, 0, _MAX_DIGITS)
    filled = texts.fill(leading, texts.is_empty(leading), "0")
    return np.array(texts.values_of(pc.cast(filled, pa.int64())))


def _is_minus(sign: pa.StringArray) -> arrays.RowMask:
    return texts.flags_of(pc.equal(sign, "-"))


def _reject_beyond(
    values: arrays.WholeNumbers,
    faults: arrays.FaultCodes,
    limit: int,
    rejections: RejectionCodes,
) -> None:
    """Give negative and too large values a fault and `REJECTED_VALUE`, in place."""
    faults[(faults == 0) & (values < 0)] = fault_code(rejections.negative)
    faults[(faults == 0) & (values >= limit)] = fault_code(rejections.too_large)
    values[faults != 0] = REJECTED_VALUE
