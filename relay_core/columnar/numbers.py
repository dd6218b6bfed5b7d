"""Columns of numbers: whole ones, and amounts in ten-thousandths, rounded half up.

Cells of a few digits are one cast of Arrow's. Patterns take the others apart, however long they
are, and tell what is wrong with those that are no numbers.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.text import (
    Bools,
    Ints,
    Rows,
    change_rows,
    fill,
    flags_of,
    is_empty,
    offsets_and_bytes,
    small_letters,
    trim,
    values_of,
    with_nulls,
)
from relay_core.domain.cell_rules import (
    LARGEST_WHOLE,
    MONEY_LIMIT_UNITS,
    MONEY_UNIT,
    WRITTEN_DIGITS,
    CellOptions,
    strip_symbols,
)
from relay_core.domain.codes import RowFault
from relay_core.domain.columns import RejectionCodes

Faults = npt.NDArray[np.uint8]
FAULTS: tuple[RowFault, ...] = tuple(RowFault)
_CODES = {fault: np.uint8(index + 1) for index, fault in enumerate(FAULTS)}
REFUSED = -1
"""The number in place of a cell that cannot be read. The contract of rows rejects it, as it does a
negative number of the feed; the cell's fault code then says why."""
AMOUNT = pa.decimal64(13, 4)
"""Amounts as Arrow has them: below the limit, and their bytes are whole ten-thousandths."""

_WHOLE = r"^(?P<sign>[+-]?)0*(?P<digits>[0-9]+)(?:\.0*)?$"
_SIGNED_AMOUNT = r"^[+-]?(?:[0-9]{1,9}(?:\.[0-9]{0,4})?|\.[0-9]{1,4})$"
_ANY_AMOUNT = (
    r"^(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<fraction>[0-9]*))?"
    r"(?:[eE](?P<exponent_sign>[+-]?)(?P<exponent>[0-9]+))?$"
)
_PLACES = 5  # the decimal places that decide what an amount is rounded to
_MAX_DIGITS = 15  # the digits of an amount, with these places, that is beyond the limit

_POINT, _ODD = 1, 1 << 16
_MAX_WRITTEN = 4_000  # so many digits of an amount decide what a factor makes of it
_LEAST_POINT = (
    40  # an amount that begins so many places behind the point is 0 whatever its factor
)
_HALF_WORD = 1 << 31
_WEIGHTS = np.full(256, _ODD, np.int32)
_WEIGHTS[ord(".")] = _POINT
_WEIGHTS[ord("0") : ord("9") + 1] = 0
"""The weight of each byte of a cell: digits have none."""

_NEVER = np.iinfo(np.int64).max
# The least number that so many digits write with no needless zero in front; and as an amount.
_LEAST_WHOLE = np.array([_NEVER, 0, *(10**size for size in range(1, 18))], np.int64)
_LEAST_AMOUNT = np.array(
    [_NEVER, 0, *(10 ** (size + 4) for size in range(1, 14))], np.int64
)


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """A column of numbers."""

    values: (
        Ints  # 0 where null; a value that no contract admits where ``faults`` is not 0
    )
    nulls: Bools  # which cells are null
    faults: Faults  # each cell's fault code: 0 where it is valid, else its place in `FAULTS` from 1
    text: (
        pa.StringArray
    )  # the cells, with the vendor's way of writing numbers taken off
    is_canonical: Bools  # the cells whose text is as normalized.csv writes the value


def fault_code(fault: RowFault | str | None) -> np.uint8:
    """Return the small integer that stands for a row fault; 0 for None."""
    return np.uint8(0) if fault is None else _CODES[RowFault(fault)]


def read_wholes(
    text: pa.StringArray, options: CellOptions, rejections: RejectionCodes
) -> ColumnValues:
    """Read whole numbers from 0 to the largest.

    Cells are trimmed, unless no option changes what digits mean, and empty where null.
    """
    text = plain_numbers(text, options)
    short = _read_short(text, pa.int64(), points=0)
    canonical = short.values >= _LEAST_WHOLE.take(short.lengths, mode="clip")
    return _with_others(text, short, canonical, partial(_other_wholes, rejections))


class Scale(NamedTuple):
    """The exact factor of amounts, ``times / divided_by``: whole numbers over 0, or one a row."""

    times: Ints | int = 1
    divided_by: Ints | int = 1

    def at(self, rows: Rows) -> tuple[Any, Any]:
        """Return both numbers of some rows, as Python's own whole numbers of any size."""
        some = (each[rows] if isinstance(each, np.ndarray) else each for each in self)
        times, divided_by = (np.asarray(each, object) for each in some)
        return times, divided_by


def read_amounts(
    text: pa.StringArray,
    options: CellOptions,
    rejections: RejectionCodes,
    scale: Scale | None = None,
) -> ColumnValues:
    """Read amounts of 0 and more as ten-thousandths.

    Cells are trimmed, unless no option changes what digits mean, and empty where null. A scale
    makes other amounts of them, exactly, rounded once; these may be larger as written.
    """
    plain = plain_numbers(without_symbols(text, options.currency_symbols), options)
    short = _read_short(plain, AMOUNT, points=1)
    if scale is not None:
        short = short._replace(values=_scaled(short.values, scale))
        others = partial(_other_scaled, rejections, scale)
        read = _with_others(plain, short, np.zeros(len(plain), np.bool_), others)
        _reject_beyond(read.values, read.faults, MONEY_LIMIT_UNITS, rejections)
        return read
    # Written with two decimal places, and no needless zero before the point.
    bounds, data = offsets_and_bytes(plain)
    canonical = short.values >= _LEAST_AMOUNT.take(short.lengths - 3, mode="clip")
    if len(data):
        canonical &= data.take(bounds[1:] - 3, mode="clip") == ord(".")
    return _with_others(plain, short, canonical, partial(_other_amounts, rejections))


class _ShortCells(NamedTuple):
    """Cells of a few digits: their values, which they are, and how many bytes each cell has."""

    values: Ints
    done: Bools
    lengths: Ints


def _read_short(text: pa.StringArray, kind: pa.DataType, points: int) -> _ShortCells:
    """Read cells of a few digits, with at most so many points."""
    bounds, data = offsets_and_bytes(text)
    weights = np.zeros(bounds[-1] - bounds[0] + 1, np.int32)
    np.cumsum(_WEIGHTS.take(data[bounds[0] : bounds[-1]]), out=weights[1:])
    places = bounds - bounds[0]
    counts, lengths = np.diff(weights.take(places)), np.diff(places)
    done = (counts <= points) & (lengths > counts) & (lengths <= 9 + 5 * points)
    try:
        read = pc.cast(with_nulls(text, ~done), kind)
    except pa.ArrowInvalid:  # one of them is no number of the type
        done &= flags_of(pc.match_substring_regex(text, _SIGNED_AMOUNT))
        read = pc.cast(with_nulls(text, ~done), kind)
    values = np.frombuffer(read.buffers()[1], np.int64, len(text), 8 * read.offset)
    return _ShortCells(np.where(done, values, 0), done, lengths)


def _with_others(
    text: pa.StringArray,
    short: _ShortCells,
    canonical: Bools,
    read: Callable[[pa.StringArray, Rows], tuple[Ints, Faults]],
) -> ColumnValues:
    """Return a column whose short cells are read; ``read`` gets the others, trimmed, and rows."""
    faults, nulls = np.zeros(len(text), np.uint8), short.lengths == 0
    canonical = (canonical & short.done) | nulls
    rows = np.flatnonzero(~(short.done | nulls))
    if len(rows):
        others = trim(text.take(pa.array(rows)))
        nulls[rows] = is_empty(others)
        short.values[rows], faults[rows] = read(others, rows)
        canonical[rows] = faults[rows] != 0
    return ColumnValues(short.values, nulls, faults, text, canonical)


def _other_wholes(
    rejections: RejectionCodes, text: pa.StringArray, _: Rows
) -> tuple[Ints, Faults]:
    values, faults = np.zeros(len(text), np.int64), np.zeros(len(text), np.uint8)
    groups = pc.extract_regex(text, _WHOLE)
    is_number = flags_of(groups.is_valid())
    faults[~is_number & ~is_empty(text)] = fault_code(rejections.unreadable)
    groups = groups.filter(pa.array(is_number))
    sign, digits = (pc.struct_field(groups, [place]) for place in range(2))
    size = values_of(pc.cast(pc.utf8_slice_codeunits(digits, 0, 11), pa.int64()))
    values[is_number] = np.where(flags_of(pc.equal(sign, "-")), -size, size)
    _reject_beyond(values, faults, LARGEST_WHOLE + 1, rejections)
    return values, faults


def _other_amounts(
    rejections: RejectionCodes, text: pa.StringArray, _: Rows
) -> tuple[Ints, Faults]:
    """Read amounts of any length, 0.DIGITS x 10^point, rounded half up."""
    groups = pc.extract_regex(text, _ANY_AMOUNT)
    sign, whole, fraction, exponent_sign, exponent = (
        pc.fill_null(pc.struct_field(groups, [place]), "") for place in range(5)
    )
    digits = pc.binary_join_element_wise(whole, fraction, "")
    is_number = ~is_empty(digits)
    digits = pc.ascii_ltrim(digits, characters="0")
    shift = _first_digits(pc.ascii_ltrim(exponent, characters="0"))
    shift[_is_minus(exponent_sign)] *= -1
    kept = _lengths(digits) - _lengths(fraction) + shift + _PLACES
    kept, values = np.clip(kept, 0, _MAX_DIGITS), np.zeros(len(text), np.int64)
    for size in np.unique(
        kept[kept > 0]
    ).tolist():  # zeros stand for digits that are not there
        rows = np.flatnonzero(kept == size)
        some = pc.utf8_slice_codeunits(digits.take(pa.array(rows)), 0, size)
        values[rows] = (_first_digits(pc.utf8_rpad(some, size, padding="0")) + 5) // 10
    values[_is_minus(sign) & ~is_empty(digits)] = REFUSED
    faults = np.where(
        is_number | is_empty(text), np.uint8(0), fault_code(rejections.unreadable)
    )
    _reject_beyond(values, faults, MONEY_LIMIT_UNITS, rejections)
    return values, faults


def _other_scaled(
    rejections: RejectionCodes, scale: Scale, text: pa.StringArray, rows: Rows
) -> tuple[Ints, Faults]:
    encoded = text.dictionary_encode()
    read = [_digits_and_places(each) for each in encoded.dictionary.to_pylist()]
    where = values_of(encoded.indices)
    digits, places = (np.array(part, object)[where] for part in zip(*read, strict=True))
    times, divided_by = scale.at(rows)
    values = _rounded(
        np.maximum(digits, 0) * MONEY_UNIT * times, divided_by * 10**places
    )
    values[digits == _TOO_LARGE] = MONEY_LIMIT_UNITS
    values[digits == _NEGATIVE] = REFUSED
    unreadable = (digits == _UNREADABLE) & ~is_empty(text)
    faults = np.where(unreadable, fault_code(rejections.unreadable), np.uint8(0))
    return values.astype(np.int64), faults


_UNREADABLE, _NEGATIVE, _TOO_LARGE = -1, -2, -3  # in place of an amount's digits


def _digits_and_places(text: str) -> tuple[int, int]:
    """Return the whole numbers of an amount of ``digits / 10**places``; ``12.50`` is 1250 and 2."""
    found = re.fullmatch(_ANY_AMOUNT, text)
    whole, fraction = (found["whole"], found["fraction"] or "") if found else ("", "")
    if found is None or not whole + fraction:
        return _UNREADABLE, 0
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0, 0
    if found["sign"] == "-":
        return _NEGATIVE, 0
    exponent = int((found["exponent"] or "").lstrip("0")[:16] or 0)
    exponent = -exponent if found["exponent_sign"] == "-" else exponent
    point = len(digits) - len(fraction) + exponent
    if point > WRITTEN_DIGITS:
        return _TOO_LARGE, 0
    if point < -_LEAST_POINT:
        return 0, 0
    digits = digits[:_MAX_WRITTEN]
    return int(digits.ljust(point, "0")), max(len(digits) - point, 0)


def _scaled(values: Ints, scale: Scale) -> Ints:
    """Return ten-thousandths times a scale, rounded half up, and at most the limit of amounts."""
    times, divided_by = (np.asarray(each) for each in scale)
    if times.dtype != np.int64 or divided_by.max(initial=1) > _HALF_WORD:
        whole = values.astype(object) * times.astype(object)
        return np.asarray(_rounded(whole, divided_by.astype(object)).astype(np.int64))
    is_over = values.astype(np.float64) * times / divided_by >= 2 * MONEY_LIMIT_UNITS
    whole, rest = np.divmod(np.where(is_over, 0, values), divided_by)
    of_times, rest_of_times = np.divmod(times, divided_by)
    scaled = whole * times + rest * of_times
    scaled += (2 * rest * rest_of_times + divided_by) // (2 * divided_by)
    return np.where(is_over, MONEY_LIMIT_UNITS, np.minimum(scaled, MONEY_LIMIT_UNITS))


def _rounded(dividend: Any, divisor: Any) -> Any:
    """Return quotients of whole numbers of any size, half up, at most the limit of amounts."""
    return np.minimum((2 * dividend + divisor) // (2 * divisor), MONEY_LIMIT_UNITS)


def _first_digits(text: pa.StringArray) -> Ints:
    """Return the number that the first `_MAX_DIGITS` digits of each text are; 0 for no digit."""
    some = pc.utf8_slice_codeunits(text, 0, _MAX_DIGITS)
    return np.array(values_of(pc.cast(fill(some, is_empty(some), "0"), pa.int64())))


def _is_minus(sign: pa.StringArray) -> Bools:
    return flags_of(pc.equal(sign, "-"))


def _lengths(text: pa.StringArray) -> Ints:
    bounds, _ = offsets_and_bytes(text)
    return np.diff(bounds)


def plain_numbers(text: pa.StringArray, options: CellOptions) -> pa.StringArray:
    """Rewrite numbers with the vendor's separators to digits with ``.``; others become ``?``."""
    decimal, thousands = options.decimal_separator, options.thousands_separator
    if thousands is not None:
        for twin in {" ": ("\u00a0", "\u202f"), "'": ("\u2019",)}.get(thousands, ()):
            text = pc.replace_substring(text, twin, thousands)
        point, mark = re.escape(decimal), re.escape(thousands)
        grouped = rf"^[+-]?[0-9]{{1,3}}(?:{mark}[0-9]{{3}})+(?:{point}[0-9]*)?(?:[eE][+-]?[0-9]+)?$"
        holding = flags_of(pc.match_substring(text, thousands))
        odd = holding & ~flags_of(pc.match_substring_regex(text, grouped))
        text = change_rows(text, np.flatnonzero(odd), _question_marks)
        text = pc.replace_substring(text, thousands, "") if holding.any() else text
    if decimal == ",":
        wrong = np.flatnonzero(flags_of(pc.match_substring(text, ".")))
        text = change_rows(text, wrong, _question_marks)
        text = pc.replace_substring(text, ",", ".")
    return text


def without_symbols(text: pa.StringArray, symbols: Sequence[str]) -> pa.StringArray:
    """Take one currency symbol at most from each end, with white space; symbols alone are ``?``."""
    if not symbols:
        return text
    ordered = sorted(symbols, key=len, reverse=True)
    empty = is_empty(text)
    text = _strip_one(_strip_one(text, ordered), ordered, at_end=True)
    return fill(text, is_empty(text) & ~empty, "?")


def without_quantity_symbols(
    text: pa.StringArray, symbols: Sequence[str]
) -> pa.StringArray:
    """Take at most one symbol in any case from each end, with the white space beside it.

    A plus goes from the end alone. A cell that is nothing but symbols becomes ``?``.
    """
    bounds, data = offsets_and_bytes(text)
    filled = np.flatnonzero(bounds[1:] > bounds[:-1])
    ends = (data[bounds[:-1][filled]], data[bounds[1:][filled] - 1])
    is_digit = [(end >= ord("0")) & (end <= ord("9")) for end in ends]
    return change_rows(
        text, filled[~(is_digit[0] & is_digit[1])], partial(_trimmed_of, symbols)
    )


def _trimmed_of(symbols: Sequence[str], text: pa.StringArray) -> pa.StringArray:
    is_narrow = flags_of(pc.string_is_ascii(text))
    ordered = sorted(map(str.lower, symbols), key=len, reverse=True)

    def narrow(some: pa.StringArray) -> pa.StringArray:
        front = [symbol for symbol in ordered if symbol != "+"]
        some = _strip_one(some, front, folds=True)
        return _strip_one(some, ordered, at_end=True, folds=True)

    def any_script(some: pa.StringArray) -> pa.StringArray:
        encoded = some.dictionary_encode()
        read = [strip_symbols(each, symbols) for each in encoded.dictionary.to_pylist()]
        return pa.array(read, some.type).take(encoded.indices)

    stripped = change_rows(text, np.flatnonzero(is_narrow), narrow)
    stripped = change_rows(stripped, np.flatnonzero(~is_narrow), any_script)
    return fill(stripped, is_empty(stripped), "?")


def _reject_beyond(
    values: Ints, faults: Faults, limit: int, rejections: RejectionCodes
) -> None:
    faults[(faults == 0) & (values < 0)] = fault_code(rejections.negative)
    faults[(faults == 0) & (values >= limit)] = fault_code(rejections.too_large)
    values[faults != 0] = REFUSED


def _question_marks(text: pa.StringArray) -> pa.StringArray:
    return pa.repeat(pa.scalar("?", text.type), len(text))


def _strip_one(
    text: pa.StringArray,
    symbols: list[str],
    *,
    at_end: bool = False,
    folds: bool = False,
) -> pa.StringArray:
    """Take the first of some symbols, of small letters where it folds, off an end, and trim."""
    left, holds = (
        np.ones(len(text), np.bool_),
        pc.ends_with if at_end else pc.starts_with,
    )
    for symbol in symbols:
        hit = (
            flags_of(holds(small_letters(text) if folds else text, pattern=symbol))
            & left
        )
        left &= ~hit
        start, stop = (0, -len(symbol)) if at_end else (len(symbol), None)
        cut = partial(pc.utf8_slice_codeunits, start=start, stop=stop)
        text = change_rows(text, np.flatnonzero(hit), cut)
    return trim(text)
