"""Timestamps of a whole column to microseconds since the epoch, in UTC.

The ISO forms are read from the bytes; any other text goes to the scalar rule, once per distinct
text. Local times follow PEP 495 with ``fold=0``: the first of two where the clock goes back, and
one that is skipped moves forward by the length of the gap.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar.columns import Bools, Ints, Typed, distinct_values, is_empty
from relay_core.columnar.text_words import TextWords, Words, offsets_and_bytes

_SECOND = 1_000_000
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall clock arithmetic, no zone on purpose
_LONG_FORM = (
    r"^(?P<base>[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2})?)"
    r"(?P<fraction>\.[0-9]{1,9})?(?P<offset>Z|[+-][0-9]{2}:?[0-9]{2})?$"
)
_YEARS = 300
"""Years are read from 1900 on, so many of them."""
_NO_DAY = np.iinfo(np.int32).min
_BYTE = np.uint64(0xFF)
_HIGH_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0)


def read_instants(text: pa.StringArray, zone: ZoneInfo, scalar: Callable[[str], int]) -> Typed:
    """Read ISO timestamps; ``scalar`` reads, or refuses, every other text.

    Args:
        text: trimmed cells, empty where null.
        zone: where a time without an offset is local.
        scalar: microseconds since the epoch for one text, or ``CellError``.
    """
    nulls = is_empty(text)
    values, done = _wall_clock(text)
    values = to_utc(values, zone, done)
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
    return Typed(values, nulls, faults, text, np.zeros(len(text), np.bool_))


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
    bounds, _ = offsets_and_bytes(text)
    lengths = np.diff(bounds)
    values = np.zeros(len(text), np.int64)
    done = np.zeros(len(text), np.bool_)
    for length, read in _FORMS.items():
        rows = np.flatnonzero(lengths == length)
        if len(rows):
            seconds, ok = read(TextWords(_of_length(text, rows, length)))
            seconds *= ok * _SECOND
            values[rows], done[rows] = seconds, ok
    return values, done


def _of_length(text: pa.StringArray, rows: Ints, length: int) -> pa.StringArray:
    """Return the given rows, all those of a length; no byte is copied where others are empty."""
    bounds, _ = offsets_and_bytes(text)
    if bounds[-1] - bounds[0] > len(rows) * length:
        return text.take(pa.array(rows))
    ends = np.arange(bounds[0], bounds[-1] + 1, length, dtype=bounds.dtype)
    return pa.Array.from_buffers(
        text.type, len(rows), [None, pa.py_buffer(ends), text.buffers()[2]]
    )


def _read_day(cells: TextWords) -> tuple[Ints, Bools]:
    """Read ``YYYY-MM-DD`` as seconds."""
    return _read_date(cells, *_pairs(cells.little_endian(8), b"00"))


def _read_minute(cells: TextWords) -> tuple[Ints, Bools]:
    """Read ``YYYY-MM-DD HH:MM`` as seconds."""
    word = cells.little_endian(8)
    pairs, clock_ok = _pairs(word, b"00?00:00")
    seconds, ok = _read_date(cells, pairs, clock_ok)
    separator = (word >> np.uint64(16)) & _BYTE
    hour, minute = _pair(pairs, 3), _pair(pairs, 6)
    ok &= (separator == ord(" ")) | (separator == ord("T"))
    ok &= (hour < 24) & (minute < 60)
    seconds += (hour * 3600 + minute * 60).view(np.int64)
    return seconds, ok


def _read_date(cells: TextWords, day: Words, day_ok: Bools) -> tuple[Ints, Bools]:
    """Read ``YYYY-MM-`` as seconds; the lowest byte of ``day`` is the day of the month."""
    pairs, ok = _pairs(cells.little_endian(), b"0000-00-")
    year = _pair(pairs, 0) * 100 + _pair(pairs, 2) - 1900
    month, day = _pair(pairs, 5) - 1, _pair(day, 0) - 1
    # unsigned: what would be negative is large
    ok &= day_ok & (year < _YEARS) & (month < 12) & (day < 31)
    days = _day_table().take(((year * 12 + month) * 31 + day) * ok)
    ok &= days != _NO_DAY
    return days * _DAY, ok


def _read_second(cells: TextWords) -> tuple[Ints, Bools]:
    """Read ``YYYY-MM-DD HH:MM:SS`` as seconds."""
    seconds, ok = _read_minute(cells)
    pairs, clock_ok = _pairs(cells.little_endian(11), b"00:00:00")
    second = _pair(pairs, 6)
    ok &= clock_ok & (second < 60)
    seconds += second.view(np.int64)
    return seconds, ok


_FORMS: dict[int, Callable[[TextWords], tuple[Ints, Bools]]] = {
    10: _read_day,
    16: _read_minute,
    19: _read_second,
}


def _pairs(words: Words, form: bytes) -> tuple[Words, Bools]:
    """Hold words to a form and read every two neighbouring digits as one number.

    Byte ``n`` of a result is what the digits ``n`` and ``n + 1`` say. In the form ``0`` is any
    digit, ``?`` any byte; other bytes, and none after the form's end, are held to what they are.
    """
    judged = int.from_bytes(bytes(0 if c == ord("?") else 0xFF for c in form), "little")
    room = bytes({ord("0"): 6, ord("?"): 0}.get(char, 15) for char in form)
    digits = (words ^ _word(form)) & np.uint64(judged)
    # the high half of a byte fills where a digit is more than 9 or another byte differs at all
    wrong = (digits | (digits + _word(room))) & _HIGH_HALVES
    return digits * np.uint64(10) + (digits >> np.uint64(8)), wrong == 0


def _pair(pairs: Words, place: int) -> Words:
    return (pairs >> np.uint64(8 * place)) & _BYTE


def _word(chars: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(chars, "little"))


@cache
def _day_table() -> Ints:
    """Return days since 1970-01-01 of every year, month and day of the month there could be."""
    months = np.arange("1900-01", f"{1900 + _YEARS}-01", dtype="datetime64[M]")
    dates = months.astype("datetime64[D]")[:, None] + np.arange(31)
    real = dates.astype("datetime64[M]") == months[:, None]
    return np.where(real, dates.astype(np.int64), _NO_DAY).ravel()


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
