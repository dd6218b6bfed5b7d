"""Timestamps of a whole column to microseconds since the epoch, in UTC.

The ISO forms are read from the bytes; any other text goes to the scalar rule, once per distinct
text. Local times follow PEP 495 with ``fold=0``: the first of two where the clock goes back, and
one that is skipped moves forward by the length of the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columns import Bools, Ints, Typed, distinct_values, is_empty
from relay_core.text_words import offsets_and_bytes

_SECOND = 1_000_000
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall clock arithmetic, no zone on purpose
_LONG_FORM = (
    r"^(?P<base>[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"(?P<fraction>\.[0-9]{1,9})?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?$"
)
_TEMPLATE = b"0000-00-00 00:00:00"
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def read_instants(text: pa.StringArray, zone: ZoneInfo, scalar: Callable[[str], int]) -> Typed:
    """Read ISO timestamps; ``scalar`` reads, or refuses, every other text.

    Args:
        text: trimmed cells, empty where null.
        zone: where a time without an offset is local.
        scalar: microseconds since the epoch for one text, or ``CellError``.
    """
    nulls = is_empty(text)
    values, done = _wall_clock(text)
    values = np.where(done, to_utc(values, zone, done), 0)
    done |= nulls
    rest = np.flatnonzero(~done)
    if len(rest):
        read, ok = _long_forms(text.take(pa.array(rest)), zone)
        values[rest[ok]] = read[ok]
        done[rest[ok]] = True
    faults = np.zeros(len(text), np.uint8)
    rest = np.flatnonzero(~done)
    if len(rest):
        values[rest], faults[rest] = distinct_values(text.take(pa.array(rest)), scalar)
    return Typed(values, nulls, faults)


def to_utc(local: Ints, zone: ZoneInfo, where: Bools) -> Ints:
    """Return UTC microseconds of local wall clock microseconds; only rows of ``where`` count."""
    if zone.key == "UTC" or not where.any():
        return local
    seconds = np.floor_divide(local, _SECOND)
    days = np.floor_divide(seconds, _DAY)
    offsets = np.zeros(len(local), np.int64)
    known, where_known = np.unique(days[where], return_inverse=True)
    steady = [_steady_offset(int(day), zone) for day in known]
    by_day = np.array([0 if offset is None else offset for offset in steady], np.int64)
    offsets[where] = by_day[where_known]
    moving = np.array([offset is None for offset in steady])
    if moving.any():
        rows = np.flatnonzero(where)[moving[where_known]]
        distinct, back = np.unique(seconds[rows], return_inverse=True)
        offsets[rows] = np.array([_offset(int(s), zone) for s in distinct], np.int64)[back]
    return np.asarray(local - offsets * _SECOND)


def _steady_offset(day: int, zone: ZoneInfo) -> int | None:
    """Return the zone's offset on a local day in seconds, or None where it changes within it."""
    hours = {_offset(day * _DAY + hour * 3600, zone) for hour in range(25)}
    return hours.pop() if len(hours) == 1 else None


def _offset(local_seconds: int, zone: ZoneInfo) -> int:
    moment = (_EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=zone)
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _wall_clock(text: pa.StringArray) -> tuple[Ints, Bools]:
    """Read ``YYYY-MM-DD[ HH:MM[:SS]]`` as local microseconds; return which rows are that."""
    bounds, data = offsets_and_bytes(text)
    lengths = np.diff(bounds)
    values = np.zeros(len(text), np.int64)
    done = np.zeros(len(text), np.bool_)
    for length in (10, 16, 19):
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            starts = bounds[rows].astype(np.int64)
            values[rows], done[rows] = _fixed_form(data[starts + np.arange(length)[:, None]])
    return values, done


def _fixed_form(chars: npt.NDArray[np.uint8]) -> tuple[Ints, Bools]:
    """Read one length of the ISO form; ``chars`` is a matrix of length x rows."""
    ok = np.ones(chars.shape[1], np.bool_)
    for position, row in enumerate(chars):
        if position == 10:
            ok &= (row == ord(" ")) | (row == ord("T"))
        elif _TEMPLATE[position] == ord("0"):
            ok &= (row - np.uint8(ord("0"))) <= 9
        else:
            ok &= row == _TEMPLATE[position]

    def number(start: int, stop: int) -> npt.NDArray[np.int32]:
        total = np.zeros(chars.shape[1], np.int32)
        for row in chars[start:stop]:
            total = total * 10 + (row - np.uint8(ord("0")))
        return total

    year, month, day = number(0, 4), number(5, 7), number(8, 10)
    hour, minute, second = number(11, 13), number(14, 16), number(17, 19)
    ok &= (year >= 1900) & (year <= 2199) & (month >= 1) & (month <= 12)
    month = np.where(ok, month, 1)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    ok &= (day >= 1) & (day <= _MONTH_DAYS[month] + (leap & (month == 2)))
    ok &= (hour < 24) & (minute < 60) & (second < 60)
    seconds = _days(year, month, day) * _DAY + hour * 3600 + minute * 60 + second
    return np.where(ok, seconds * _SECOND, 0), ok


def _days(
    year: npt.NDArray[np.int32], month: npt.NDArray[np.int32], day: npt.NDArray[np.int32]
) -> Ints:
    """Return days since 1970-01-01 of Gregorian dates, counting years from March."""
    shifted = (year - (month <= 2)).astype(np.int64)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return np.asarray(
        shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719_468
    )


def _long_forms(text: pa.StringArray, zone: ZoneInfo) -> tuple[Ints, Bools]:
    """Read the forms with a fraction of a second or an offset; return which rows are that."""
    groups = pc.extract_regex(text, _LONG_FORM)
    matched = np.asarray(groups.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    base, fraction, offset = (
        pc.fill_null(pc.struct_field(groups, [index]), "") for index in range(3)
    )
    local, ok = _wall_clock(base)
    long_base = np.asarray(pc.binary_length(base).to_numpy(zero_copy_only=False)) == 19
    ok &= matched & (is_empty(fraction) | long_base)
    micros = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, 7, padding="0"), 1, 7)
    micros = pc.cast(pc.if_else(pa.array(is_empty(fraction)), "0", micros), pa.int64())
    aware = ~is_empty(offset)
    shift, fits = _offset_seconds(offset, aware)
    ok &= fits
    utc = np.where(aware, local - shift * _SECOND, to_utc(local, zone, ok & ~aware))
    return utc + np.asarray(micros.to_numpy(zero_copy_only=False)), ok


def _offset_seconds(offset: pa.StringArray, aware: Bools) -> tuple[Ints, Bools]:
    plain = pc.replace_substring(offset, ":", "")
    zulu = np.asarray(pc.equal(plain, "Z").to_numpy(zero_copy_only=False), np.bool_)
    plain = pc.if_else(pa.array(aware & ~zulu), plain, "+0000")
    number = pc.cast(pc.utf8_slice_codeunits(plain, 1, 5), pa.int64())
    digits = np.asarray(number.to_numpy(zero_copy_only=False))
    negative = np.asarray(pc.starts_with(plain, "-").to_numpy(zero_copy_only=False), np.bool_)
    hours, minutes = digits // 100, digits % 100
    seconds = hours * 3600 + minutes * 60
    return np.where(negative, -seconds, seconds), (hours < 24) & (minutes < 60)
