"""The cells of workbooks to the text that a feed's cell has: numbers, dates, times."""

import math
import re
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,13}|-?(?:0|[1-9][0-9]{0,6})\.[0-9]{0,5}[1-9]")
"""A number that is written as it is to be, of at most 15 digits."""
_DIGITS = 15
_DAY = 86_400
_LAST_DAY = 2_958_465
"""31 December 9999 in the 1900 system."""
_BETWEEN_SYSTEMS = 1_462
_NO_DAY = 60
"""29 February 1900, a day of the 1900 system alone."""
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # days of a sheet have no zone
# Numbers of built-in formats that show a date, a time or both.
_DATE_FORMATS = frozenset((*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)))
_NOT_SHOWN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_DATE_LETTER = re.compile(r"[ymdhs]", re.IGNORECASE)


Cell: TypeAlias = tuple[int, str, bool]
"""A cell that holds something: its column from 0, its text, whether it is a number."""
Row: TypeAlias = tuple[int, list[Cell]]
"""The number of a sheet's row, from 1, and its cells."""


def number_text(text: str) -> str:
    """Return a number to 15 significant digits, without an exponent and zeros at the end."""
    if _PLAIN.fullmatch(text):
        return text
    number = _float(text)
    if not math.isfinite(number):
        return text
    shown = format(Decimal(f"{number:.{_DIGITS}g}"), "f")
    return "0" if shown == "-0" else shown


def serial_text(text: str, *, from_1904: bool) -> str:
    """Return a serial as a date, as a date with a time, or below 1 as a time."""
    serial = _float(text)
    if not 0 <= serial < _LAST_DAY + 1 - (_BETWEEN_SYSTEMS if from_1904 else 0):
        return number_text(text)
    days, clock = divmod(math.floor(serial * _DAY + 0.5), _DAY)
    moment = _EPOCH + timedelta(days=days + (_BETWEEN_SYSTEMS if from_1904 else days < _NO_DAY))
    shown = moment + timedelta(seconds=clock)
    if serial < 1:
        return f"{shown:%H:%M:%S}"
    is_no_day = days == _NO_DAY and not from_1904
    date = "1900-02-29" if is_no_day else shown.date().isoformat()
    return f"{date} {shown:%H:%M:%S}" if clock else date


def iso_text(text: str) -> str:
    """Return a date or a moment, which may be written with a ``T``, rounded to the second."""
    try:
        moment = datetime.fromisoformat(text) + timedelta(microseconds=500_000)
    except (ValueError, OverflowError):
        return text
    return moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")


def shows_date(number: str, formats: dict[str, str]) -> bool:
    """Return whether a number format, one of a workbook's or built in, shows a date or a time."""
    if number in formats:
        return _DATE_LETTER.search(_NOT_SHOWN.sub("", formats[number])) is not None
    return number.isdecimal() and int(number) in _DATE_FORMATS


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
