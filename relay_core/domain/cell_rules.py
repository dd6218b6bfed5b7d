"""The reading rules of one cell: trimmed text in, a typed value or a row fault out.

Plain Python, one cell at a time. A config's defaults are checked with these rules, and the column
kernels leave to them the rare forms that they do not read themselves. Nothing here is a float, and
no length of digits or exponent costs more than reading it once.
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
"""Money is whole ten-thousandths."""
MONEY_LIMIT = 1_000_000_000
"""Amounts stay below this many units of the currency."""
MONEY_LIMIT_UNITS = MONEY_LIMIT * MONEY_UNIT
LARGEST_FACTOR = 1_000_000
"""The largest number that cells are multiplied with or divided by."""
WRITTEN_DIGITS = 15
"""So many digits has an amount at most before its point, as it is written, where a factor or a
rate makes another of it."""
EXCEL = "excel"
"""The entry of ``timestamp_formats`` for a spreadsheet's serial numbers."""
FIRST_SERIAL = 61
YEARS = range(1900, 2200)
"""The years that timestamps are of, as they are written."""

_MAX_CELL_LENGTH = 60  # so much of a cell that is rejected stands in the words about it
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SERIAL_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # days of a sheet have no zone
_DAY, _MAX_FRACTION = 86_400, 4_000
_SERIAL = re.compile(r"([0-9]{2,6})(?:\.([0-9]+))?")
_MICROSECOND = timedelta(microseconds=1)
_THOUSANDS_CLASSES = {" ": " \u00a0\u202f", "'": "'\u2019"}
_ISO_FORM = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-5][0-9])?)?"
)


class CellOptions(Protocol):
    """The parser options of a vendor that decide how one cell is read."""

    @property
    def decimal_separator(self) -> str:
        """``.`` or ``,``."""

    @property
    def thousands_separator(self) -> str | None:
        """The mark between groups of three digits."""

    @property
    def currency_symbols(self) -> Sequence[str]:
        """Text that may stand at either end of an amount."""

    @property
    def quantity_words(self) -> Mapping[str, int]:
        """Whole cells that stand for a quantity."""

    @property
    def timestamp_formats(self) -> Sequence[str]:
        """Formats of strptime, tried in order after the ISO form."""


class _Number(NamedTuple):
    """A number as written, its marks taken away; what is not written is empty."""

    negative: bool
    whole: str
    fraction: str
    exponent: str


def read_cell(
    column: str, text: str, parser: CellOptions, zone: tzinfo
) -> int | str | None:
    """Read one cell of a canonical column, None for a null; `CellError`: it breaks a rule."""
    text = text.strip()
    known = BY_NAME[column]
    if not text:
        if known.required:
            raise _cell_error(known.rejections.null, column, text)
        return None
    if known.kind is Kind.WHOLE:
        return read_whole(known, text, parser)
    if known.kind is Kind.MONEY:
        return read_money(text, parser)
    if known.kind is Kind.CONDITION:
        return read_condition(text)
    if known.kind is Kind.INSTANT:
        return read_timestamp(text, parser, zone)
    return text


def read_whole(column: CanonicalColumn, text: str, parser: CellOptions) -> int:
    """Read a whole number: a quantity may be one of the vendor's words."""
    text = text.strip()
    rejections = column.rejections
    folded = text.casefold()
    for word, quantity in parser.quantity_words.items() if column.takes_words else ():
        if word.strip().casefold() == folded:
            return quantity
    number = _number(text, parser)
    if (
        number is None
        or not number.whole
        or number.exponent
        or number.fraction.strip("0")
    ):
        raise _cell_error(rejections.unreadable, column.name, text)
    value = int(number.whole.lstrip("0")[:11] or "0")  # more digits are too many anyway
    if number.negative and value:
        raise _cell_error(rejections.negative, column.name, text)
    if value > LARGEST_WHOLE:
        raise _cell_error(rejections.too_large, column.name, text)
    return value


def read_money(text: str, parser: CellOptions) -> int:
    """Read an amount as whole ten-thousandths, rounded half up, exact from the written digits."""
    # At most one symbol goes from each end, the longest first, with the white space beside it.
    symbols, bare = sorted(parser.currency_symbols, key=len, reverse=True), text.strip()
    front = next((symbol for symbol in symbols if bare.startswith(symbol)), "")
    bare = bare[len(front) :].lstrip()
    back = next((symbol for symbol in symbols if bare.endswith(symbol)), "")
    number = _number(bare[: len(bare) - len(back)].rstrip(), parser)
    if number is None:
        raise _cell_error(RowFault.INVALID_DECIMAL, "amount", text)
    digits = (number.whole + number.fraction).lstrip("0")
    if not digits:
        return 0
    if number.negative:
        raise _cell_error(RowFault.NEGATIVE_AMOUNT, "amount", text)
    # Past 15 digits nothing but the sign of an exponent matters.
    exponent = int(number.exponent.lstrip("+-0")[:16] or "0")
    exponent = -exponent if number.exponent.startswith("-") else exponent
    point = len(digits) - len(number.fraction) + exponent
    if point < -4:  # nothing of 0.DIGITS x 10^point is left of ten-thousandths
        return 0
    amount = MONEY_LIMIT_UNITS
    if point <= 9:
        amount = (int(digits[: point + 5].ljust(point + 5, "0")) + 5) // 10
    if amount >= MONEY_LIMIT_UNITS:
        raise _cell_error(RowFault.AMOUNT_OUT_OF_RANGE, "amount", text)
    return amount


def read_condition(text: str) -> str:
    """Read a condition, in any case, as its lower-case word."""
    word = text.strip().lower()
    if word not in CONDITIONS:
        raise _cell_error(RowFault.INVALID_CONDITION, "condition", text)
    return word


def read_timestamp(text: str, parser: CellOptions, zone: tzinfo) -> int:
    """Read a date or a date and time as microseconds since the epoch, in UTC.

    A time without an offset is local in ``zone``: the first of two where the clock goes back, and
    one that is skipped moves forward by the length of the gap.
    """
    text, moment = text.strip(), None
    if _ISO_FORM.fullmatch(text):
        with suppress(ValueError):
            moment = datetime.fromisoformat(text)
    for form in parser.timestamp_formats if moment is None else ():
        moment = _formatted_moment(text, form)
        if moment is not None:
            break
    if moment is None or moment.year not in YEARS:
        raise _cell_error(RowFault.INVALID_TIMESTAMP, "updated_at", text)
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=zone, fold=0)
    return (moment - _EPOCH) // _MICROSECOND


def shorten(text: str, limit: int = MAX_QUOTED) -> str:
    """Return text in quotes for a message, cut where it is long."""
    return f'"{cut(text, limit, "...")}"'


def cut(text: str, limit: int, mark: str = "…") -> str:
    """Return the first characters of a text; a mark stands for the rest."""
    return text if len(text) <= limit else f"{text[:limit]}{mark}"


def explain(fault: RowFault, column: str, text: str) -> str:
    """Say what is wrong with a trimmed cell of a column, and what to do."""
    words = _words(fault, column, text)
    is_quoted = text and fault in _EXPLANATIONS
    return f"{shorten(text, _MAX_CELL_LENGTH)} {words}" if is_quoted else words


def advise(fault: RowFault, column: str, text: str) -> str:
    """Say what to do about a trimmed cell of a column."""
    return _words(fault, column, text).partition("; ")[2]


def _words(fault: RowFault, column: str, text: str) -> str:
    if text and fault in _EXPLANATIONS:
        return _EXPLANATIONS[fault]
    if not text and fault in _EXPLANATIONS_OF_NULLS:
        return _EXPLANATIONS_OF_NULLS[fault]
    return f"{column} is {fault.replace('_', ' ')}; give each row of the feed a value"


_REPEATED = (
    "is the SKU of more than one row of the feed; give each SKU one row, or set duplicate_skus "
    "to say which of them counts"
)
_EXPLANATIONS = {
    RowFault.DUPLICATE_SKU: _REPEATED,
    RowFault.INVALID_QUANTITY: f"is no whole number from 0 to {LARGEST_WHOLE}; correct the cell, "
    "or list the word in parser.quantity_words, or set the parser's separators",
    RowFault.NEGATIVE_QUANTITY: "is below zero; give 0 for what is not in stock",
    RowFault.INVALID_LEAD_TIME: f"is no whole number of days from 0 to {LARGEST_WHOLE}; correct "
    "the cell, or leave it empty, or list the text in parser.null_values",
    RowFault.INVALID_DECIMAL: "is no amount; correct the cell, or set parser.currency_symbols, "
    "decimal_separator and thousands_separator to how the vendor writes amounts",
    RowFault.NEGATIVE_AMOUNT: "is below zero; give an amount of 0 or more, or leave the cell empty",
    RowFault.AMOUNT_OUT_OF_RANGE: f"is too large; give an amount below {MONEY_LIMIT:,}",
    RowFault.INVALID_CONDITION: "is no condition; use new, used or refurb, or leave the cell empty",
    RowFault.INVALID_TIMESTAMP: "is no real date or time of the years 1900 to 2199 in a form that "
    "is read; write YYYY-MM-DD HH:MM:SS, or add the vendor's form to parser.timestamp_formats",
}
_EXPLANATIONS_OF_NULLS = {
    RowFault.DUPLICATE_SKU: f"the default {_REPEATED}",
    RowFault.MISSING_SKU: "the SKU is empty; give every row one",
    RowFault.MISSING_QUANTITY: "the quantity is empty; fill it in, or give quantity_available a "
    "value in parser.defaults",
}


def _cell_error(fault: RowFault | None, column: str, text: str) -> CellError:
    if fault is None:
        raise ValueError(f"no rule of {column} refuses {shorten(text)}")
    return CellError(fault, explain(fault, column, text))


def _number(text: str, parser: CellOptions) -> _Number | None:
    found = _number_form(
        parser.decimal_separator, parser.thousands_separator
    ).fullmatch(text)
    if found is None:
        return None
    sign, whole, fraction, exponent = found.groups("")
    if not whole and not fraction:
        return None
    digits = "".join(re.findall("[0-9]+", whole))
    return _Number(sign == "-", digits, fraction, exponent)


@lru_cache(maxsize=64)
def _number_form(
    decimal_separator: str, thousands_separator: str | None
) -> re.Pattern[str]:
    whole = "[0-9]+"
    if thousands_separator is not None:
        marks = _THOUSANDS_CLASSES.get(thousands_separator, thousands_separator)
        whole = f"[0-9]{{1,3}}(?:[{re.escape(marks)}][0-9]{{3}})+|[0-9]+"
    point = re.escape(decimal_separator)
    return re.compile(f"([+-]?)({whole})?(?:{point}([0-9]*))?(?:[eE]([+-]?[0-9]+))?")


def strip_symbols(text: str, symbols: Sequence[str]) -> str:
    """Take at most one symbol in any case from each end of a quantity; a plus from its end."""
    ordered = sorted(symbols, key=len, reverse=True)
    front = next(
        (s for s in ordered if s != "+" and text[: len(s)].lower() == s.lower()), ""
    )
    text = text[len(front) :].lstrip()
    back = next((s for s in ordered if text[-len(s) :].lower() == s.lower()), "")
    return text[: len(text) - len(back)].rstrip()


def _formatted_moment(text: str, form: str) -> datetime | None:
    if form == EXCEL:
        found = _SERIAL.fullmatch(text)
        if found is None or int(found[1]) < FIRST_SERIAL:
            return None
        digits = (found[2] or "0")[:_MAX_FRACTION]
        seconds = (2 * int(digits) * _DAY + 10 ** len(digits)) // (
            2 * 10 ** len(digits)
        )
        return _SERIAL_EPOCH + timedelta(days=int(found[1]), seconds=seconds)
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007  # the zone is the tenant's
    except (ValueError, OverflowError):
        return None
