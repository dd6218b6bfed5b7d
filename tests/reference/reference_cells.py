"""One cell at a time, from trimmed text to a value or a row fault: for tests only."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from fractions import Fraction
from typing import Any

LARGEST_WHOLE = 2_147_483_647
LARGEST_MONEY = 1_000_000_000 * 10_000  # ten-thousandths; not reached
MONEY = ("cost", "map_price", "price", "msrp")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
THOUSANDS = {" ": " \u00a0\u202f", "'": "'\u2019", ",": ",", ".": "."}
ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)


class FaultError(Exception):
    """A cell that breaks its column's rule; ``args[0]`` is the row fault code."""


def read_cell(column: str, text: str, parser: Any, zone: tzinfo) -> Any:
    if column == "quantity_available":
        return quantity(text, parser)
    if column == "lead_time_days":
        return lead_time(text, parser)
    if column in MONEY:
        return money(text, parser)
    if column == "condition":
        return condition(text)
    if column == "updated_at":
        return timestamp(text, parser, zone)
    return text


def number_parts(
    text: str, parser: Any
) -> tuple[str, str, str | None, str | None] | None:
    """Return sign, whole digits, digits after the separator, exponent; None if no number."""
    whole = "[0-9]+"
    if parser.thousands_separator is not None:
        group = "[" + re.escape(THOUSANDS[parser.thousands_separator]) + "]"
        whole = f"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+"
    point = re.escape(parser.decimal_separator)
    shape = f"([+-]?)({whole})?(?:{point}([0-9]*))?(?:[eE]([+-]?[0-9]+))?"
    match = re.fullmatch(shape, text)
    if match is None or not (match[2] or match[3]):
        return None
    return match[1], re.sub("[^0-9]", "", match[2] or ""), match[3], match[4]


def whole_number(text: str, parser: Any) -> tuple[bool, int | None]:
    """Return whether it is under zero, and the number; None where it is none or too large."""
    parts = number_parts(text, parser)
    if (
        parts is None
        or not parts[1]
        or (parts[2] or "").strip("0")
        or parts[3] is not None
    ):
        return False, None
    digits = parts[1].lstrip("0") or "0"
    if parts[0] == "-" and digits != "0":
        return True, None
    if len(digits) > 10 or int(digits) > LARGEST_WHOLE:
        return False, None
    return False, int(digits)


def quantity(text: str, parser: Any) -> int:
    for word, value in parser.quantity_words.items():
        if word.strip().casefold() == text.casefold():
            return int(value)
    negative, value = whole_number(text, parser)
    if negative:
        raise FaultError("negative_quantity")
    if value is None:
        raise FaultError("invalid_quantity")
    return value


def lead_time(text: str, parser: Any) -> int:
    _, value = whole_number(text, parser)
    if value is None:
        raise FaultError("invalid_lead_time")
    return value


def without_symbols(text: str, parser: Any) -> str:
    symbols = sorted(parser.currency_symbols, key=len, reverse=True)
    for symbol in symbols:
        if text.startswith(symbol):
            text = text[len(symbol) :].lstrip()
            break
    for symbol in symbols:
        if text.endswith(symbol):
            text = text[: -len(symbol)].rstrip()
            break
    return text


def money(text: str, parser: Any) -> int:
    """Return ten-thousandths, half up, from the written digits alone."""
    parts = number_parts(without_symbols(text, parser), parser)
    if parts is None:
        raise FaultError("invalid_decimal")
    sign, whole, fraction, exponent = parts
    digits = (whole + (fraction or "")).lstrip("0")
    if not digits:
        return 0
    if sign == "-":
        raise FaultError("negative_amount")
    # value = 0.DIGITS * 10 ** point
    point = len(digits) - len(fraction or "") + small_exponent(exponent)
    if point > 12:
        raise FaultError("amount_out_of_range")
    if point < -6:
        return 0
    hundred_thousandths = (
        int((digits + "0" * 20)[: point + 5] or "0") if point + 5 > 0 else 0
    )
    value = (hundred_thousandths + 5) // 10
    if value >= LARGEST_MONEY:
        raise FaultError("amount_out_of_range")
    return value


def small_exponent(text: str | None) -> int:
    """Read an exponent of any length; beyond 15 digits only its sign matters."""
    if text is None:
        return 0
    digits = text.lstrip("+-").lstrip("0")[:16] or "0"
    return -int(digits) if text.startswith("-") else int(digits)


def condition(text: str) -> str:
    if text.lower() not in ("new", "used", "refurb"):
        raise FaultError("invalid_condition")
    return text.lower()


def timestamp(text: str, parser: Any, zone: tzinfo) -> int:
    """Return microseconds since the epoch."""
    written = iso_form(text)
    for form in parser.timestamp_formats:
        if written is None:
            if form == "excel":
                written = serial(text)
                continue
            try:
                written = datetime.strptime(text, form)  # noqa: DTZ007 (%z is the vendor's to use)
            except (ValueError, OverflowError):
                written = None
    if written is None or not 1900 <= written.year <= 2199:
        raise FaultError("invalid_timestamp")
    return microseconds(written if written.tzinfo else in_zone(written, zone))


def serial(text: str) -> datetime | None:
    """Read days since 1899-12-30, from 61 on; the fraction is the time of day."""
    match = re.fullmatch(r"([0-9]{2,6})(\.[0-9]+)?", text)
    if match is None or int(match[1]) < 61:
        return None
    seconds = Fraction(match[2] or 0) * 86_400
    whole = (2 * seconds + 1) // 2
    epoch = datetime(1899, 12, 30)  # noqa: DTZ001
    return epoch + timedelta(days=int(match[1]), seconds=int(whole))


def in_zone(written: datetime, zone: tzinfo) -> datetime:
    """Place a wall clock time: the first of two; a skipped one as the clock before the gap."""
    return written.replace(tzinfo=zone, fold=0)


def iso_form(text: str) -> datetime | None:
    match = ISO.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    try:
        clock = time(
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
        )
        written = datetime.combine(date(int(year), int(month), int(day)), clock)
        return written.replace(tzinfo=offset_of(offset)) if offset else written
    except ValueError:
        return None


def offset_of(text: str) -> tzinfo:
    if text == "Z":
        return UTC
    hours = int(text[1:3])
    minutes = int(text[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError("an offset is under 24 hours")
    distance = timedelta(hours=hours, minutes=minutes)
    return timezone(-distance if text[0] == "-" else distance)


def microseconds(moment: datetime) -> int:
    return (moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
