"""The rules for reading one cell: text in, a typed value or a row fault out.

A config's defaults are checked with these rules, and the kernels that read whole
columns leave to them the rare forms that they do not read. Nothing here is a float, and
long digits or exponents cost no more than one pass over their text.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple, Protocol

from relay_core.domain.codes import RowFault
from relay_core.domain.columns import BY_NAME, CONDITIONS, CanonicalColumn, Kind
from relay_core.domain.errors import CellError
from relay_core.domain.limits import MAX_QUOTED

LARGEST_WHOLE = 2_147_483_647
"""The largest quantity and lead time."""
MONEY_UNIT = 10_000
"""The number of parts of a currency unit; amounts are whole ten-thousandths."""
MONEY_LIMIT = 1_000_000_000
"""Amounts are below this many units of the currency."""
MONEY_LIMIT_UNITS = MONEY_LIMIT * MONEY_UNIT
LARGEST_FACTOR = 1_000_000
"""The largest number that cells are multiplied or divided by."""
WRITTEN_DIGITS = 15
"""The number of digits that an amount may have before its point, if a factor or a rate
changes it afterwards."""
EXCEL = "excel"
"""The entry of ``timestamp_formats`` for a spreadsheet's serial numbers."""
FIRST_SERIAL = 61
"""The first serial number that all spreadsheets give the same date."""
FORMULA_STARTS = "-=+@\t\r"
"""A spreadsheet takes a text that begins with one of these for a formula."""
YEARS = range(1900, 2200)
"""The years that a timestamp may have, as it is written."""

# The number of characters of a rejected cell that an explanation quotes
_MAX_CELL_LENGTH = 60
# More digits of a number are too many for any quantity.
_MAX_WHOLE_DIGITS = 11
# Beyond this many digits only the sign of an exponent matters.
_MAX_EXPONENT_DIGITS = 16
_MONEY_PLACES = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SERIAL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # a sheet's days have no zone
_DAY_SECONDS = 86_400
_MAX_FRACTION_DIGITS = 4_000
_SERIAL = re.compile(r"([0-9]{2,6})(?:\.([0-9]+))?")
_MICROSECOND = timedelta(microseconds=1)
_THOUSANDS_CLASSES = {" ": " \u00a0\u202f", "'": "'\u2019"}
_ISO_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-5][0-9])?)?"
)


class CellOptions(Protocol):
    """The options of a vendor's parser that decide how a cell is read."""

    @property
    def decimal_separator(self) -> str:
        """The decimal separator: ``.`` or ``,``."""

    @property
    def thousands_separator(self) -> str | None:
        """The mark between groups of three digits."""

    @property
    def currency_symbols(self) -> Sequence[str]:
        """The texts that may begin or end an amount."""

    @property
    def quantity_words(self) -> Mapping[str, int]:
        """The quantities by the cells that mean them."""

    @property
    def timestamp_formats(self) -> Sequence[str]:
        """The formats of strptime that are tried in order after the ISO form."""


class _Number(NamedTuple):
    """A number as it is written, without its marks; an absent part is empty."""

    negative: bool
    whole: str
    fraction: str
    exponent: str


def read_cell(
    column: str,
    text: str,
    parser: CellOptions,
    zone: tzinfo,
) -> int | str | None:
    """Return the value of a cell of a canonical column, or None for an empty cell.

    Amounts are ten-thousandths, instants microseconds since the epoch.

    Raises:
        CellError: The cell breaks a rule of its column.
    """
    text = text.strip()
    canonical = BY_NAME[column]
    if not text:
        if canonical.required:
            raise _cell_error(canonical.rejections.null, column, text)
        return None
    if canonical.kind is Kind.WHOLE:
        return read_whole(canonical, text, parser)
    if canonical.kind is Kind.MONEY:
        return read_money(text, parser)
    if canonical.kind is Kind.CONDITION:
        return read_condition(text)
    if canonical.kind is Kind.INSTANT:
        return read_timestamp(text, parser, zone)
    return text


def read_whole(column: CanonicalColumn, text: str, parser: CellOptions) -> int:
    """Return a whole number; a quantity may be one of the vendor's words.

    Raises:
        CellError: The text is not a whole number, or is out of range.
    """
    text = text.strip()
    if column.takes_words:
        folded = text.casefold()
        for word, quantity in parser.quantity_words.items():
            if word.strip().casefold() == folded:
                return quantity
    number = _number(text, parser)
    if number is None or not _is_whole(number):
        raise _cell_error(column.rejections.unreadable, column.name, text)
    digits = number.whole.lstrip("0")
    value = int(digits[:_MAX_WHOLE_DIGITS] or "0")
    if number.negative and value:
        raise _cell_error(column.rejections.negative, column.name, text)
    if value > LARGEST_WHOLE:
        raise _cell_error(column.rejections.too_large, column.name, text)
    return value


def _is_whole(number: _Number) -> bool:
    has_fraction = bool(number.fraction.strip("0"))
    return bool(number.whole) and not number.exponent and not has_fraction


def read_money(text: str, parser: CellOptions) -> int:
    """Return an amount in ten-thousandths, rounded half up from the written digits.

    Raises:
        CellError: The text is not an amount, is negative, or is too large.
    """
    number = _number(_without_symbols(text, parser), parser)
    if number is None:
        raise _cell_error(RowFault.INVALID_DECIMAL, "amount", text)
    digits = (number.whole + number.fraction).lstrip("0")
    if not digits:
        return 0
    if number.negative:
        raise _cell_error(RowFault.NEGATIVE_AMOUNT, "amount", text)
    exponent_digits = number.exponent.lstrip("+-0")[:_MAX_EXPONENT_DIGITS]
    exponent = int(exponent_digits or "0")
    if number.exponent.startswith("-"):
        exponent = -exponent
    # The amount is 0.DIGITS x 10^point.
    point = len(digits) - len(number.fraction) + exponent
    if point < -_MONEY_PLACES:
        return 0
    amount = MONEY_LIMIT_UNITS
    if point <= 9:
        # One more digit than is kept decides about rounding.
        count = point + _MONEY_PLACES + 1
        amount = (int(digits[:count].ljust(count, "0")) + 5) // 10
    if amount >= MONEY_LIMIT_UNITS:
        raise _cell_error(RowFault.AMOUNT_OUT_OF_RANGE, "amount", text)
    return amount


def _without_symbols(text: str, parser: CellOptions) -> str:
    """Return an amount without the longest symbol and white space at each end."""
    symbols = sorted(parser.currency_symbols, key=len, reverse=True)
    bare = text.strip()
    for symbol in symbols:
        if bare.startswith(symbol):
            bare = bare[len(symbol) :]
            break
    bare = bare.lstrip()
    for symbol in symbols:
        if bare.endswith(symbol):
            bare = bare[: len(bare) - len(symbol)]
            break
    return bare.rstrip()


def read_condition(text: str) -> str:
    """Return a condition as its lower-case word.

    Raises:
        CellError: The text is not a condition.
    """
    word = text.strip().lower()
    if word not in CONDITIONS:
        raise _cell_error(RowFault.INVALID_CONDITION, "condition", text)
    return word


def read_timestamp(text: str, parser: CellOptions, zone: tzinfo) -> int:
    """Return a date, or a date and time, in microseconds since the epoch.

    A time without an offset is local in ``zone``: the first of two where the clock goes
    back. A time that the clock skips moves forward by the length of the gap.

    Raises:
        CellError: The text is not a timestamp that is read.
    """
    text = text.strip()
    moment = _moment(text, parser.timestamp_formats)
    if moment is None or moment.year not in YEARS:
        raise _cell_error(RowFault.INVALID_TIMESTAMP, "updated_at", text)
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=zone, fold=0)
    return (moment - _EPOCH) // _MICROSECOND


def _moment(text: str, forms: Sequence[str]) -> datetime | None:
    """Return the moment that a text writes, or None; a local time has no zone."""
    if _ISO_FORM.fullmatch(text):
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    for form in forms:
        moment = _formatted_moment(text, form)
        if moment is not None:
            return moment
    return None


def _formatted_moment(text: str, form: str) -> datetime | None:
    if form == EXCEL:
        return _serial_moment(text)
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007  # the zone is the tenant's
    except (ValueError, OverflowError):
        return None


def _serial_moment(text: str) -> datetime | None:
    """Return the moment of a spreadsheet's serial number, to the nearest second."""
    match = _SERIAL.fullmatch(text)
    if match is None or int(match[1]) < FIRST_SERIAL:
        return None
    digits = (match[2] or "0")[:_MAX_FRACTION_DIGITS]
    scale = 10 ** len(digits)
    seconds = (2 * int(digits) * _DAY_SECONDS + scale) // (2 * scale)
    return _SERIAL_EPOCH + timedelta(days=int(match[1]), seconds=seconds)


# --- messages -------------------------------------------------------------------------


def shorten(text: str, limit: int = MAX_QUOTED) -> str:
    """Return a text in quotes for a message, cut if it is long."""
    return f'"{cut(text, limit, "...")}"'


def cut(text: str, limit: int, mark: str = "…") -> str:
    """Return the first characters of a text, with a mark for the omitted ones."""
    return text if len(text) <= limit else f"{text[:limit]}{mark}"


def explain(fault: RowFault, column: str, text: str) -> str:
    """Return the problem of a trimmed cell of a column and the fix, as two sentences."""
    problem = describe(fault, column, text)
    fix = advise(fault, column, text)
    return f"{as_sentence(problem)} {as_sentence(fix)}"


def describe(fault: RowFault, column: str, text: str) -> str:
    """Return the problem of a trimmed cell of a column, as a clause."""
    if text and fault in _PROBLEMS:
        return f"{shorten(text, _MAX_CELL_LENGTH)} {_PROBLEMS[fault]}"
    if not text and fault in _PROBLEMS_OF_NULLS:
        return _PROBLEMS_OF_NULLS[fault]
    return f"{column} has the error {fault.replace('_', ' ')}"


def advise(fault: RowFault, column: str, text: str) -> str:
    """Return the fix of a trimmed cell of a column, as an imperative clause."""
    if text and fault in _PROBLEMS:
        return _FIXES[fault]
    if not text and fault in _PROBLEMS_OF_NULLS:
        return _FIXES[fault]
    return f"enter a value for {column} in every row"


def as_sentence(clause: str) -> str:
    """Return a clause as a sentence, with a capital letter and a period."""
    return f"{clause[:1].upper()}{clause[1:]}."


_PROBLEMS = {
    RowFault.DUPLICATE_SKU: "is the SKU of more than one row of the file",
    RowFault.INVALID_QUANTITY: f"is not a whole number from 0 to {LARGEST_WHOLE}",
    RowFault.NEGATIVE_QUANTITY: "is below zero",
    RowFault.INVALID_LEAD_TIME: (
        f"is not a whole number of days from 0 to {LARGEST_WHOLE}"
    ),
    RowFault.INVALID_DECIMAL: "is not an amount that the parser can read",
    RowFault.NEGATIVE_AMOUNT: "is below zero",
    RowFault.AMOUNT_OUT_OF_RANGE: "is too large for an amount",
    RowFault.INVALID_CONDITION: "is not a known condition",
    RowFault.INVALID_TIMESTAMP: (
        "is not a date or time from 1900 to 2199 that the parser can read"
    ),
    RowFault.INVALID_GTIN: (
        "is not a GTIN of 8, 12, 13, or 14 digits with a right check digit"
    ),
}
"""The problem of a cell with text, by fault; the text comes first in the message."""
_PROBLEMS_OF_NULLS = {
    RowFault.DUPLICATE_SKU: (
        "the default of sku is the SKU of more than one row of the file"
    ),
    RowFault.MISSING_SKU: "the SKU is empty",
    RowFault.MISSING_QUANTITY: "the quantity is empty",
}
"""The problem of an empty cell, by fault."""
_FIXES = {
    RowFault.DUPLICATE_SKU: "keep one row for each SKU, or set duplicate_skus to choose "
    "which rows count",
    RowFault.INVALID_QUANTITY: "correct the cell, add the word to parser.quantity_words, "
    "or set the parser's separators to match the file",
    RowFault.NEGATIVE_QUANTITY: "write 0 for items that are out of stock",
    RowFault.INVALID_LEAD_TIME: "correct the cell, leave it empty, or add its text to "
    "parser.null_values",
    RowFault.INVALID_DECIMAL: "correct the cell, or set parser.currency_symbols, "
    "decimal_separator, and thousands_separator to match the file",
    RowFault.NEGATIVE_AMOUNT: "enter an amount of 0 or more, or leave the cell empty",
    RowFault.AMOUNT_OUT_OF_RANGE: f"enter an amount below {MONEY_LIMIT:,}",
    RowFault.INVALID_CONDITION: "write new, used, or refurb, or leave the cell empty",
    RowFault.INVALID_TIMESTAMP: "write YYYY-MM-DD HH:MM:SS, or add the vendor's format to "
    "parser.timestamp_formats",
    RowFault.INVALID_GTIN: "copy the number under the barcode, leave the cell empty, or "
    "add the column to parser.invalid_as_null",
    RowFault.MISSING_SKU: "enter a SKU in every row",
    RowFault.MISSING_QUANTITY: "fill in the cell, or set quantity_available in "
    "parser.defaults",
}
"""The fix of a cell, by fault, as an imperative clause."""


def _cell_error(fault: RowFault | None, column: str, text: str) -> CellError:
    if fault is None:
        raise ValueError(f"no rule of {column} refuses {shorten(text)}")
    return CellError(fault, explain(fault, column, text))


# --- numbers --------------------------------------------------------------------------


def _number(text: str, parser: CellOptions) -> _Number | None:
    form = _number_form(parser.decimal_separator, parser.thousands_separator)
    match = form.fullmatch(text)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups("")
    if not whole and not fraction:
        return None
    digits = "".join(re.findall("[0-9]+", whole))
    return _Number(
        negative=sign == "-",
        whole=digits,
        fraction=fraction,
        exponent=exponent,
    )


@lru_cache(maxsize=64)
def _number_form(
    decimal_separator: str,
    thousands_separator: str | None,
) -> re.Pattern[str]:
    whole = "[0-9]+"
    if thousands_separator is not None:
        marks = _THOUSANDS_CLASSES.get(thousands_separator, thousands_separator)
        whole = f"[0-9]{{1,3}}(?:[{re.escape(marks)}][0-9]{{3}})+|[0-9]+"
    point = re.escape(decimal_separator)
    return re.compile(
        f"([+-]?)({whole})?(?:{point}([0-9]*))?(?:[eE]([+-]?[0-9]+))?"
    )


def strip_symbols(text: str, symbols: Sequence[str]) -> str:
    """Return a quantity without the longest symbol at each end, in any case.

    A plus is a symbol only at the end.
    """
    ordered = sorted(symbols, key=len, reverse=True)
    for symbol in ordered:
        if symbol != "+" and text[: len(symbol)].lower() == symbol.lower():
            text = text[len(symbol) :]
            break
    text = text.lstrip()
    for symbol in ordered:
        if text[-len(symbol) :].lower() == symbol.lower():
            text = text[: len(text) - len(symbol)]
            break
    return text.rstrip()
