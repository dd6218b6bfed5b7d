"""Cells of workbooks: numbers, dates and times as the text that a feed has for them.

A serial is a date and time as workbooks store it: a number of days since the end of
1899, or since the start of 1904.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

Cell: TypeAlias = tuple[int, str, bool]
"""A cell that is not empty: its column from 0, its text, and whether it is a number.

Cells are plain tuples because a workbook has millions of them.
"""
SheetRow: TypeAlias = tuple[int, list[Cell]]
"""The number of a sheet's row, from 1, and its cells."""

_WRITTEN_NUMBER = re.compile(
    r"0|-?[1-9][0-9]{0,13}|-?(?:0|[1-9][0-9]{0,6})\.[0-9]{0,5}[1-9]",
)
"""A number of at most 15 digits in the form that `number_text` writes."""
_SIGNIFICANT_DIGITS = 15
_DAY_SECONDS = 86_400
_LAST_DAY = 2_958_465
"""The serial of 31 December 9999, in the 1900 system."""
_DAYS_BETWEEN_SYSTEMS = 1_462
_LEAP_DAY_OF_1900 = 60
"""The serial of 29 February 1900, which only the 1900 system has."""
_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001  # the days of a sheet have no zone
_BUILT_IN_DATE_FORMATS = frozenset(
    (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)),
)
"""The numbers of built-in formats that show a date, a time or both."""
_LITERALS = re.compile(
    r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]',
    re.IGNORECASE,
)
"""The parts of a number format that are no placeholders."""
_DATE_LETTER = re.compile(r"[ymdhs]", re.IGNORECASE)


def number_text(text: str) -> str:
    """Return a number with 15 significant digits, no exponent and no trailing zeros."""
    if _WRITTEN_NUMBER.fullmatch(text):
        return text
    number = _float_of(text)
    if not math.isfinite(number):
        return text
    rounded = Decimal(f"{number:.{_SIGNIFICANT_DIGITS}g}")
    written = format(rounded, "f")
    return "0" if written == "-0" else written


def serial_text(text: str, *, from_1904: bool) -> str:
    """Return a serial as a date, as a date with a time, or below 1 as a time."""
    serial = _float_of(text)
    last_day = _LAST_DAY - _DAYS_BETWEEN_SYSTEMS if from_1904 else _LAST_DAY
    if not 0 <= serial < last_day + 1:
        return number_text(text)
    days, seconds = divmod(
        math.floor(serial * _DAY_SECONDS + 0.5),
        _DAY_SECONDS,
    )
    if days > last_day:  # rounded up beyond the calendar
        return number_text(text)
    days_since_epoch = days
    if from_1904:
        days_since_epoch += _DAYS_BETWEEN_SYSTEMS
    elif days < _LEAP_DAY_OF_1900:
        days_since_epoch += 1
    moment = _EPOCH + timedelta(days=days_since_epoch, seconds=seconds)
    if serial < 1:
        return f"{moment:%H:%M:%S}"
    date = moment.date().isoformat()
    if days == _LEAP_DAY_OF_1900 and not from_1904:
        date = "1900-02-29"
    return f"{date} {moment:%H:%M:%S}" if seconds else date


def iso_text(text: str) -> str:
    """Return an ISO date or timestamp with a space for its ``T``, without fractions."""
    try:
        moment = datetime.fromisoformat(text) + timedelta(microseconds=500_000)
    except (ValueError, OverflowError):
        return text
    return moment.strftime("%Y-%m-%d %H:%M:%S").removesuffix(" 00:00:00")


def shows_date(format_number: str, formats: Mapping[str, str]) -> bool:
    """Return whether a number format shows a date or a time.

    ``formats`` are the workbook's own formats, by number; all others are built in.
    """
    if format_number in formats:
        placeholders = _LITERALS.sub("", formats[format_number])
        return _DATE_LETTER.search(placeholders) is not None
    return (
        format_number.isdecimal()
        and int(format_number) in _BUILT_IN_DATE_FORMATS
    )


def _float_of(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
