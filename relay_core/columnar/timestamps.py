"""Timestamps of a whole column to microseconds since the epoch, in UTC.

Arrow's own parser reads the common ISO forms; patterns read the others, and the vendor's formats
where they write numbers with fixed marks between them; the scalar rule reads what is left of those,
once a distinct text. Local times follow PEP 495 with ``fold=0``: the first of two where the clock
goes back, and one that is skipped moves forward by the length of the gap.
"""

import calendar
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import text as texts
from relay_core.columnar.numbers import ColumnValues, Faults, fault_code
from relay_core.domain.cell_rules import (
    EXCEL,
    FIRST_SERIAL,
    YEARS,
    CellOptions,
    read_timestamp,
)
from relay_core.domain.columns import RejectionCodes
from relay_core.domain.errors import CellError

BEFORE_ALL = -62_135_596_800_000_000
"""The year 1: what a column holds where a timestamp cannot be read; no contract admits it."""

_SECOND = 1_000_000
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall clock arithmetic, no zone on purpose
_ARROW_LENGTHS = [
    np.isin(np.arange(29), lengths)
    for lengths in ((10, 16, 19), (17, 20, *range(22, 28)))
]
"""Of a form of local times, and one of UTC, which lengths of a text are those of a time."""
_ISO = (
    "^(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    "(?:[ T](?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})"
    r"(?:\.(?P<f>[0-9]{1,9}))?)?(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_SERIAL = r"^(?P<serial>[0-9]{2,6})(?:\.(?P<part>[0-9]{1,12}))?$"
_SERIAL_1970 = 25_569  # the serial of the epoch
_NUMBERS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2}
"""Directives of strptime that are so many digits."""
_NAMES: dict[str, list[str]] = {
    "a": list(calendar.day_abbr),
    "A": list(calendar.day_name),
    "b": list(calendar.month_abbr),
    "B": list(calendar.month_name),
}
_ALIKE = ("Yy", "mbB", "HI")  # directives that say the same


def read_timestamps(
    text: pa.StringArray,
    parser: CellOptions,
    zone: ZoneInfo,
    rejections: RejectionCodes,
) -> ColumnValues:
    """Read trimmed cells, empty where null, of 1900 to 2199; others hold ``BEFORE_ALL``."""
    nulls, (bounds, data) = texts.is_empty(text), texts.offsets_and_bytes(text)
    values, unread = np.where(nulls, 0, BEFORE_ALL), ~nulls
    # Which cells have a dash where ISO has it: to try a form on others is dear.
    iso = np.diff(bounds) >= len("YYYY-MM-DD")
    iso[iso] = data.take(bounds[:-1][iso] + len("YYYY")) == ord("-")
    # ``YYYY-MM-DD[ HH:MM[:SS]]`` and ``YYYY-MM-DD HH:MM[:SS[.f]]Z`` Arrow reads as they are meant.
    is_local, is_utc = (
        form.take(np.diff(bounds), mode="clip") for form in _ARROW_LENGTHS
    )
    is_utc[is_utc] = data.take(bounds[1:][is_utc] - 1) == ord("Z")
    for kind, some in (
        (pa.timestamp("us"), is_local),
        (pa.timestamp("us", "UTC"), is_utc),
    ):
        read = _read_at_once(text, some & unread & iso, kind)
        done = read != BEFORE_ALL
        values[done] = (read if kind.tz else to_utc(read, zone, done))[done]
        unread &= ~done
    for pattern in (_ISO, *_patterns(parser.timestamp_formats)):
        rows = np.flatnonzero(unread & iso if pattern is _ISO else unread)
        if len(rows):
            local, is_local, done = _read_pattern(pattern, text.take(pa.array(rows)))
            values[rows[done]] = to_utc(local, zone, is_local & done)[done]
            unread[rows[done]] = False
    faults = np.where(unread, fault_code(rejections.unreadable), np.uint8(0))
    rows = np.flatnonzero(unread)
    if parser.timestamp_formats and len(rows):
        read_one = partial(read_timestamp, parser=parser, zone=zone)
        others, faults[rows] = _read_distinct(text.take(pa.array(rows)), read_one)
        values[rows] = others
    return ColumnValues(values, nulls, faults, text, np.zeros(len(text), np.bool_))


def _read_distinct(
    text: pa.StringArray, read: Callable[[str], int]
) -> tuple[texts.Ints, Faults]:
    """Read each distinct text once."""
    encoded = text.dictionary_encode()
    values, faults = [], []
    for cell in encoded.dictionary.to_pylist():
        try:
            value, fault = read(cell), fault_code(None)
        except CellError as error:
            value, fault = BEFORE_ALL, fault_code(error.error_code)
        values.append(value)
        faults.append(fault)
    where = texts.values_of(encoded.indices)
    return np.array(values, np.int64)[where], np.array(faults, np.uint8)[where]


def to_utc(local: texts.Ints, zone: ZoneInfo, where: texts.Bools) -> texts.Ints:
    """Return UTC microseconds of local wall clock microseconds; only rows of ``where`` are."""
    if zone.key == "UTC" or not where.any():
        return local
    seconds = np.floor_divide(local, _SECOND)
    days = np.floor_divide(seconds, _DAY)
    offsets = np.zeros(len(local), np.int64)
    known, where_known = np.unique(days[where], return_inverse=True)
    steady = [_steady_offset(day, zone) for day in known.tolist()]
    by_day = np.array([0 if offset is None else offset for offset in steady], np.int64)
    offsets[where] = by_day[where_known]
    moving = np.array([offset is None for offset in steady])
    if moving.any():
        rows = np.flatnonzero(where)[moving[where_known]]
        distinct, back = np.unique(seconds[rows], return_inverse=True)
        offsets[rows] = np.array(
            [_offset(s, zone) for s in distinct.tolist()], np.int64
        )[back]
    return np.asarray(local - offsets * _SECOND)


@lru_cache(maxsize=1 << 18)
def _steady_offset(day: int, zone: ZoneInfo) -> int | None:
    """Return the zone's offset on a local day in seconds, or None where it changes within it."""
    hours = {_offset(day * _DAY + hour * 3600, zone) for hour in range(25)}
    return hours.pop() if len(hours) == 1 else None


def _offset(local_seconds: int, zone: ZoneInfo) -> int:
    moment = (_EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=zone)
    offset = moment.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


def _read_at_once(
    text: pa.StringArray, some: texts.Bools, kind: pa.TimestampType
) -> texts.Ints:
    """Read some cells, or none of them where one is no real timestamp."""
    values = np.full(len(text), BEFORE_ALL)
    if some.any():
        try:
            read = pc.cast(texts.with_nulls(text, ~some), kind)
        except pa.ArrowInvalid:
            return values
        found = texts.values_of(read.view(pa.int64()).fill_null(BEFORE_ALL))
        in_years = (found >= _FIRST) & (found < _END)
        values[in_years] = found[in_years]
    return values


def _patterns(formats: Sequence[str]) -> Iterator[str]:
    """Yield patterns for the first formats, as far as none reads what one before it reads, too."""
    for form in formats:
        pattern, is_only_one = _pattern_of(form)
        if pattern is not None:
            yield pattern
        if not is_only_one:
            return


@lru_cache(maxsize=1 << 10)
def _pattern_of(form: str) -> tuple[str | None, bool]:
    """Return a pattern for texts of a format, None where it takes more than numbers and names.

    Also, whether it takes all texts that strptime takes: not where numbers touch, which may then
    have fewer digits.
    """
    if form == EXCEL:  # longer fractions, and years beyond, are the scalar rule's
        return _SERIAL, False
    directives = re.findall("%(.)", form)
    suspect = any(len({*given} & {*directives}) > 1 for given in _ALIKE)
    if suspect or len({*directives}) < len(directives) or not form.isprintable():
        return None, False
    parts, is_only_one = [], "z" not in directives
    for found in re.finditer("%(.)|[^%]", form):
        name, after = found[1], form[found.end() : found.end() + 1]
        if name is None:
            parts.append(r"[ \t\r\n]+" if found[0].isspace() else re.escape(found[0]))
            continue
        is_apart = not (after.isdigit() or after == "%")
        is_only_one &= is_apart or name not in _NUMBERS
        piece = "%" if name == "%" else _piece(name, is_apart=is_apart)
        if piece is None:
            return None, False
        parts.append(piece if name == "%" else f"(?P<{name}>{piece})")
    return f"^(?i:{''.join(parts)})$", is_only_one


def _piece(name: str, *, is_apart: bool) -> str | None:
    """Return what a directive reads; a number that stands apart can do without its zero."""
    if name in _NUMBERS:
        width = _NUMBERS[name]
        narrow = "[0-9]{1,2}| [1-9]" if name == "d" else "[0-9]{1,2}"
        return narrow if is_apart and name not in "Yy" else f"[0-9]{{{width}}}"
    if name in _NAMES:
        return "|".join(re.escape(word) for word in _NAMES[name] if word)
    return {"f": "[0-9]{1,6}", "p": "am|pm", "z": "[+-][0-9]{2}:?[0-9]{2}"}.get(name)


def _read_pattern(
    pattern: str, text: pa.StringArray
) -> tuple[texts.Ints, texts.Bools, texts.Bools]:
    """Return microseconds as written but for their offset, which are local, which were read."""
    groups = pc.extract_regex(text, pattern)
    rows = np.flatnonzero(texts.flags_of(groups.is_valid()))
    matched = groups.take(pa.array(rows))
    parts = {
        field.name: pc.fill_null(pc.struct_field(matched, [place]), "")
        for place, field in enumerate(matched.type)
    }
    local, ok = _moments(parts, len(rows))
    offset = parts.get("z", pa.repeat("", len(rows)))
    shift, fits = np.zeros(len(offset), np.int64), np.ones(len(offset), np.bool_)
    if not texts.is_empty(offset).all():
        plain = pc.replace_substring(offset, ":", "")
        is_written = texts.flags_of(pc.greater(pc.binary_length(plain), 1))
        plain = pc.if_else(pa.array(is_written), plain, "+0000")
        digits = texts.values_of(
            pc.cast(pc.utf8_slice_codeunits(plain, 1, 5), pa.int64())
        )
        hours, minutes = digits // 100, digits % 100
        shift, fits = hours * 3600 + minutes * 60, (hours < 24) & (minutes < 60)
        shift = np.where(texts.flags_of(pc.starts_with(plain, "-")), -shift, shift)
    values = np.full(len(text), BEFORE_ALL)
    values[rows] = local - shift * _SECOND
    is_local, done = np.ones(len(text), np.bool_), np.zeros(len(text), np.bool_)
    is_local[rows], done[rows] = texts.is_empty(offset), ok & fits
    return values, is_local, done


def _moments(
    parts: dict[str, pa.StringArray], size: int
) -> tuple[texts.Ints, texts.Bools]:
    """Return wall clock microseconds, and which of them are real dates and times."""
    if "serial" in parts:  # days since 1899-12-30
        part = parts["part"]
        places = 10 ** texts.values_of(pc.binary_length(part)).astype(np.int64)
        rest = texts.values_of(
            pc.cast(texts.fill(part, texts.is_empty(part), "0"), pa.int64())
        )
        seconds = (2 * rest * _DAY + places) // (2 * places)
        serials = texts.values_of(pc.cast(parts["serial"], pa.int64()))
        local = ((serials - _SERIAL_1970) * _DAY + seconds) * _SECOND
        return local, (serials >= FIRST_SERIAL) & (local < _END)

    def number(name: str, default: int = 0) -> texts.Ints:
        text = parts.get(name)
        if text is None:
            return np.full(size, default)
        text = pc.ascii_ltrim_whitespace(text) if name == "d" else text
        return texts.values_of(
            pc.cast(texts.fill(text, texts.is_empty(text), str(default)), pa.int64())
        )

    year, month, day = number("Y"), number("m", 1), number("d")
    if "y" in parts:
        year = number("y")
        year = year + np.where(year <= 68, 2000, 1900)
    for name in ("b", "B"):
        if name in parts:
            month = texts.word_index(parts[name], _NAMES[name], str.lower)
    hour, minute, second = number("H"), number("M"), number("S")
    if "I" in parts:
        twelve = number("I")
        afternoon = (
            texts.flags_of(pc.equal(pc.ascii_lower(parts["p"]), "pm"))
            if "p" in parts
            else False
        )
        hour = twelve % 12 + 12 * afternoon
        hour[(twelve < 1) | (twelve > 12)] = 24
    ok = (
        (year >= YEARS.start)
        & (year < YEARS.stop)
        & (month >= 1)
        & (month <= 12)
        & (day >= 1)
    )
    ok &= (hour < 24) & (minute < 60) & (second < 60)
    months = np.where(ok, (year - 1970) * 12 + month - 1, 0)
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    ok &= days.astype("datetime64[M]").astype(np.int64) == months
    seconds = days.astype(np.int64) * _DAY + hour * 3600 + minute * 60 + second
    if "f" in parts:
        parts["f"] = pc.utf8_slice_codeunits(
            pc.utf8_rpad(parts["f"], 6, padding="0"), 0, 6
        )
    return seconds * _SECOND + number("f"), ok


def _microseconds(year: int) -> int:
    return (datetime(year, 1, 1) - _EPOCH) // timedelta(microseconds=1)  # noqa: DTZ001  # no zone


_FIRST, _END = _microseconds(YEARS.start), _microseconds(YEARS.stop)
