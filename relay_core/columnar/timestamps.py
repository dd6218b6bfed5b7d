"""Timestamps of a whole column to microseconds since the epoch, in UTC.

Arrow's own parser reads the common ISO forms. Patterns read the other ISO forms, and
the vendor's formats of numbers with fixed marks between them. The scalar rule reads all
other cells, once for each distinct text.

Local times follow PEP 495 with ``fold=0``: where the clock goes back, the first of the
two instants is meant; a time that is skipped moves forward by the length of the gap.
"""

import calendar
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from relay_core.columnar import arrays
from relay_core.columnar import text as texts
from relay_core.columnar.numbers import ColumnValues, fault_code
from relay_core.domain import cell_rules
from relay_core.domain.columns import RejectionCodes
from relay_core.domain.errors import CellError

BEFORE_ALL = -62_135_596_800_000_000
"""The year 1, instead of a timestamp that cannot be read; no contract admits it."""

_SECOND = 1_000_000
"""Microseconds in a second."""
_DAY = 86_400
"""Seconds in a day."""
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # wall clocks have no zone
_MAX_LENGTH = 29
_LOCAL_LENGTHS = np.isin(np.arange(_MAX_LENGTH), [10, 16, 19])
"""Which lengths ``YYYY-MM-DD``, with ``HH:MM`` or ``HH:MM:SS``, can have."""
_UTC_LENGTHS = np.isin(np.arange(_MAX_LENGTH), [17, 20, *range(22, 28)])
"""Which lengths ``YYYY-MM-DD HH:MM``, with ``:SS`` or ``:SS.f``, and ``Z`` can have."""
_ISO = (
    "^(?P<Y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"
    "(?:[ T](?P<H>[0-9]{2}):(?P<M>[0-9]{2})(?::(?P<S>[0-9]{2})"
    r"(?:\.(?P<f>[0-9]{1,9}))?)?(?P<z>Z|[+-][0-9]{2}:?[0-9]{2})?)?$"
)
_SERIAL = r"^(?P<serial>[0-9]{2,6})(?:\.(?P<part>[0-9]{1,12}))?$"
_SERIAL_OF_EPOCH = 25_569
_NUMBERS = {"Y": 4, "y": 2, "m": 2, "d": 2, "H": 2, "I": 2, "M": 2, "S": 2}
"""The directives of strptime that are numbers, with the number of their digits."""
_NAMES: dict[str, list[str]] = {
    "a": list(calendar.day_abbr),
    "A": list(calendar.day_name),
    "b": list(calendar.month_abbr),
    "B": list(calendar.month_name),
}
"""The directives of strptime that are names, with the names."""
_OTHER_DIRECTIVES = {
    "f": "[0-9]{1,6}",
    "p": "am|pm",
    "z": "[+-][0-9]{2}:?[0-9]{2}",
}
_SYNONYMS = ("Yy", "mbB", "HI")
"""Directives of the same part of a timestamp."""


def _microseconds_of(year: int) -> int:
    start = datetime(year, 1, 1)  # noqa: DTZ001  # wall clock arithmetic, no zone
    return (start - _EPOCH) // timedelta(microseconds=1)


_FIRST_INSTANT = _microseconds_of(cell_rules.YEARS.start)
_END = _microseconds_of(cell_rules.YEARS.stop)


def read_timestamps(
    text: pa.StringArray,
    parser: cell_rules.CellOptions,
    zone: ZoneInfo,
    rejections: RejectionCodes,
) -> ColumnValues:
    """Read timestamps from 1900 to 2199 as microseconds since the epoch, in UTC.

    Cells must be trimmed. An empty cell is null; a cell that cannot be read gets
    ``BEFORE_ALL`` and a fault code. Times without an offset are local to ``zone``.
    """
    nulls = texts.is_empty(text)
    values = np.where(nulls, 0, BEFORE_ALL)
    unread = ~nulls
    looks_iso = _looks_iso(text)
    _read_by_arrow(text, looks_iso, zone, values, unread)
    for pattern in (_ISO, *_patterns(parser.timestamp_formats)):
        rows = np.flatnonzero(unread & looks_iso if pattern is _ISO else unread)
        if len(rows):
            clocks = _read_pattern(pattern, text.take(pa.array(rows)))
            is_read = clocks.is_read
            utc = _to_utc(clocks.microseconds, zone, clocks.is_local & is_read)
            values[rows[is_read]] = utc[is_read]
            unread[rows[is_read]] = False
    unreadable = fault_code(rejections.unreadable)
    faults = np.where(unread, unreadable, np.uint8(0))
    rows = np.flatnonzero(unread)
    if parser.timestamp_formats and len(rows):
        read_cell = partial(cell_rules.read_timestamp, parser=parser, zone=zone)
        distinct = _read_distinct(text.take(pa.array(rows)), read_cell)
        values[rows], faults[rows] = distinct
    never = np.zeros(len(text), np.bool_)
    return ColumnValues(values, nulls, faults, text, never)


def _looks_iso(text: pa.StringArray) -> arrays.RowMask:
    """Return which cells have a dash behind the year; trying ISO on others is slow."""
    bounds, data = texts.offsets_and_bytes(text)
    starts = bounds[:-1]
    looks_iso = np.asarray(texts.lengths_of(text) >= len("YYYY-MM-DD"))
    dash_offsets = starts[looks_iso] + len("YYYY")
    looks_iso[looks_iso] = data.take(dash_offsets) == ord("-")
    return looks_iso


def _read_by_arrow(
    text: pa.StringArray,
    looks_iso: arrays.RowMask,
    zone: ZoneInfo,
    values: arrays.Microseconds,
    unread: arrays.RowMask,
) -> None:
    """Read the forms that Arrow reads as they are meant; change values and unread.

    These are ``YYYY-MM-DD[ HH:MM[:SS]]`` and ``YYYY-MM-DD HH:MM[:SS[.f]]Z``.
    """
    lengths = texts.lengths_of(text)
    is_local = _LOCAL_LENGTHS.take(lengths, mode="clip")
    local = _cast_at_once(
        text,
        is_local & unread & looks_iso,
        pa.timestamp("us"),
    )
    is_read = local != BEFORE_ALL
    values[is_read] = _to_utc(local, zone, is_read)[is_read]
    unread &= ~is_read
    bounds, data = texts.offsets_and_bytes(text)
    ends = bounds[1:]
    is_utc = _UTC_LENGTHS.take(lengths, mode="clip")
    is_utc[is_utc] = data.take(ends[is_utc] - 1) == ord("Z")
    utc = _cast_at_once(
        text,
        is_utc & unread & looks_iso,
        pa.timestamp("us", "UTC"),
    )
    is_read = utc != BEFORE_ALL
    values[is_read] = utc[is_read]
    unread &= ~is_read


def _cast_at_once(
    text: pa.StringArray,
    mask: arrays.RowMask,
    kind: pa.TimestampType,
) -> arrays.Microseconds:
    """Read the cells of the mask, or none of them if one is not a real timestamp."""
    values = np.full(len(text), BEFORE_ALL)
    if mask.any():
        try:
            column = pc.cast(texts.with_nulls(text, ~mask), kind)
        except pa.ArrowInvalid:
            return values
        instants = texts.values_of(
            column.view(pa.int64()).fill_null(BEFORE_ALL),
        )
        is_in_years = (instants >= _FIRST_INSTANT) & (instants < _END)
        values[is_in_years] = instants[is_in_years]
    return values


def _read_distinct(
    text: pa.StringArray,
    read_cell: Callable[[str], int],
) -> tuple[arrays.Microseconds, arrays.FaultCodes]:
    """Read each distinct text once."""
    encoded = text.dictionary_encode()
    values = []
    faults = []
    for cell in encoded.dictionary.to_pylist():
        try:
            value = read_cell(cell)
            fault = fault_code(None)
        except CellError as error:
            value = BEFORE_ALL
            fault = fault_code(error.error_code)
        values.append(value)
        faults.append(fault)
    index = texts.values_of(encoded.indices)
    return np.array(values, np.int64)[index], np.array(faults, np.uint8)[index]


# --- local time to UTC --------------------------------------------------------------


def _to_utc(
    clocks: arrays.Microseconds,
    zone: ZoneInfo,
    is_local: arrays.RowMask,
) -> arrays.Microseconds:
    """Return wall clocks as instants in UTC; only some are local to the zone."""
    if zone.key == "UTC" or not is_local.any():
        return clocks
    seconds = np.floor_divide(clocks, _SECOND)
    days = np.floor_divide(seconds, _DAY)
    distinct_days, day_index = np.unique(days[is_local], return_inverse=True)
    day_offsets = [offset_of_day(day, zone) for day in distinct_days.tolist()]
    known_offsets = [0 if offset is None else offset for offset in day_offsets]
    offsets = np.zeros(len(clocks), np.int64)
    offsets[is_local] = np.array(known_offsets, np.int64)[day_index]
    has_change = np.array([offset is None for offset in day_offsets])
    if has_change.any():
        rows = np.flatnonzero(is_local)[has_change[day_index]]
        distinct_seconds, index = np.unique(seconds[rows], return_inverse=True)
        exact_offsets = [
            _offset(second, zone) for second in distinct_seconds.tolist()
        ]
        offsets[rows] = np.array(exact_offsets, np.int64)[index]
    return np.asarray(clocks - offsets * _SECOND)


@lru_cache(maxsize=1 << 18)
def offset_of_day(day: int, zone: ZoneInfo) -> int | None:
    """Return a zone's offset on a local day in seconds; None if it changes that day."""
    offsets = {_offset(day * _DAY + hour * 3600, zone) for hour in range(25)}
    return offsets.pop() if len(offsets) == 1 else None


def _offset(local_seconds: int, zone: ZoneInfo) -> int:
    clock = (_EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=zone)
    offset = clock.utcoffset()
    return 0 if offset is None else int(offset.total_seconds())


# --- patterns of formats ------------------------------------------------------------


def _patterns(formats: Sequence[str]) -> Iterator[str]:
    """Yield a pattern for each format, as long as formats keep their precedence.

    A format after one whose pattern does not match all of the format's texts is left to
    the scalar rule: it could read a text that the format before it reads too.
    """
    for time_format in formats:
        pattern, is_complete = _pattern_of(time_format)
        if pattern is not None:
            yield pattern
        if not is_complete:
            return


@lru_cache(maxsize=1 << 10)
def _pattern_of(time_format: str) -> tuple[str | None, bool]:
    """Return a pattern for texts of a format, and whether it is complete.

    The pattern is None if the format has other parts than numbers and names. It is
    complete if it matches all texts that strptime reads. It is not complete where
    numbers touch, because strptime then accepts fewer digits.
    """
    if time_format == cell_rules.EXCEL:
        # The scalar rule reads longer fractions, and years beyond the limit.
        return _SERIAL, False
    directives = re.findall("%(.)", time_format)
    distinct = {*directives}
    has_repeated = len(distinct) < len(directives)
    has_synonyms = any(len(distinct & {*group}) > 1 for group in _SYNONYMS)
    if has_synonyms or has_repeated or not time_format.isprintable():
        return None, False
    parts = []
    is_complete = "z" not in directives
    for match in re.finditer("%(.)|[^%]", time_format):
        name = match[1]
        if name is None:
            is_space = match[0].isspace()
            parts.append(r"[ \t\r\n]+" if is_space else re.escape(match[0]))
            continue
        if name == "%":
            parts.append("%")
            continue
        next_character = time_format[match.end() : match.end() + 1]
        is_apart = not (next_character.isdigit() or next_character == "%")
        is_complete &= is_apart or name not in _NUMBERS
        directive = _directive_pattern(name, is_apart=is_apart)
        if directive is None:
            return None, False
        parts.append(f"(?P<{name}>{directive})")
    return f"^(?i:{''.join(parts)})$", is_complete


def _directive_pattern(name: str, *, is_apart: bool) -> str | None:
    """Return the pattern of a directive; a number between separators needs no leading zero."""
    if name in _NUMBERS:
        if not is_apart or name in "Yy":
            return f"[0-9]{{{_NUMBERS[name]}}}"
        return "[0-9]{1,2}| [1-9]" if name == "d" else "[0-9]{1,2}"
    if name in _NAMES:
        return "|".join(re.escape(word) for word in _NAMES[name] if word)
    return _OTHER_DIRECTIVES.get(name)


# --- texts that match a pattern -----------------------------------------------------


class _Clocks(NamedTuple):
    """Wall clocks that a pattern read; one entry a row."""

    microseconds: arrays.Microseconds  # in UTC if the text has an offset
    is_local: arrays.RowMask  # whether the text has no offset
    is_read: arrays.RowMask  # whether the text matches and is a real timestamp


def _read_pattern(pattern: str, text: pa.StringArray) -> _Clocks:
    groups = pc.extract_regex(text, pattern)
    rows = np.flatnonzero(texts.flags_of(groups.is_valid()))
    matched = groups.take(pa.array(rows))
    parts = {
        field.name: pc.fill_null(pc.struct_field(matched, [index]), "")
        for index, field in enumerate(matched.type)
    }
    if "serial" in parts:
        clocks, is_real = _serial_clocks(parts)
    else:
        clocks, is_real = _calendar_clocks(parts, len(rows))
    offset_text = parts.get("z", pa.repeat("", len(rows)))
    has_no_offset = texts.is_empty(offset_text)
    if not has_no_offset.all():
        offsets, is_offset = _offsets_of(offset_text)
        clocks = clocks - offsets * _SECOND
        is_real &= is_offset
    values = np.full(len(text), BEFORE_ALL)
    is_local = np.ones(len(text), np.bool_)
    is_read = np.zeros(len(text), np.bool_)
    values[rows] = clocks
    is_local[rows] = has_no_offset
    is_read[rows] = is_real
    return _Clocks(values, is_local, is_read)


def _offsets_of(text: pa.StringArray) -> tuple[arrays.Seconds, arrays.RowMask]:
    """Return offsets such as ``+05:30`` in seconds, and which of them are real.

    ``Z`` and the empty text are no offset.
    """
    compact = pc.replace_substring(text, ":", "")
    has_digits = texts.flags_of(pc.greater(pc.binary_length(compact), 1))
    compact = pc.if_else(pa.array(has_digits), compact, "+0000")
    digits = pc.utf8_slice_codeunits(compact, 1, 5)
    hours, minutes = np.divmod(_integers(digits), 100)
    seconds = hours * 3600 + minutes * 60
    is_negative = texts.flags_of(pc.starts_with(compact, "-"))
    offsets = np.where(is_negative, -seconds, seconds)
    return offsets, (hours < 24) & (minutes < 60)


def _serial_clocks(
    parts: Mapping[str, pa.StringArray],
) -> tuple[arrays.Microseconds, arrays.RowMask]:
    """Return the wall clocks of serials, and which of them are within the limits.

    A serial is a number of days since 1899-12-30. Its clock is rounded to the second.
    """
    fraction = parts["part"]
    fraction_lengths = texts.values_of(pc.binary_length(fraction))
    divisor = 10 ** fraction_lengths.astype(np.int64)
    dividend = _integers(fraction)
    seconds = (2 * dividend * _DAY + divisor) // (2 * divisor)
    serials = _integers(parts["serial"])
    clocks = ((serials - _SERIAL_OF_EPOCH) * _DAY + seconds) * _SECOND
    return clocks, (serials >= cell_rules.FIRST_SERIAL) & (clocks < _END)


def _calendar_clocks(
    parts: Mapping[str, pa.StringArray],
    size: int,
) -> tuple[arrays.Microseconds, arrays.RowMask]:
    """Return the wall clocks of dates and times, and which of them are real."""
    years = _years(parts, size)
    months = _months(parts, size)
    days = np.ones(size, np.int64)
    if "d" in parts:
        days = _integers(pc.ascii_ltrim_whitespace(parts["d"]), default=1)
    hours = _hours(parts, size)
    minutes = _numbers(parts, "M", size)
    seconds = _numbers(parts, "S", size)
    is_real = (years >= cell_rules.YEARS.start) & (
        years < cell_rules.YEARS.stop
    )
    is_real &= (months >= 1) & (months <= 12) & (days >= 1)
    is_real &= (hours < 24) & (minutes < 60) & (seconds < 60)
    month_numbers = np.where(is_real, (years - 1970) * 12 + months - 1, 0)
    dates = month_numbers.astype("datetime64[M]").astype("datetime64[D]") + (
        days - 1
    )
    # A day beyond the end of its month is in another month.
    is_real &= dates.astype("datetime64[M]").astype(np.int64) == month_numbers
    clock_seconds = dates.astype(np.int64) * _DAY + hours * 3600 + minutes * 60
    clocks = (clock_seconds + seconds) * _SECOND
    if "f" in parts:
        padded = pc.utf8_rpad(parts["f"], 6, padding="0")
        clocks += _integers(pc.utf8_slice_codeunits(padded, 0, 6))
    return clocks, is_real


def _years(
    parts: Mapping[str, pa.StringArray],
    size: int,
) -> arrays.WholeNumbers:
    if "y" not in parts:
        return _numbers(parts, "Y", size)
    years = _integers(parts["y"])
    return years + np.where(years <= 68, 2000, 1900)  # as strptime does


def _months(
    parts: Mapping[str, pa.StringArray],
    size: int,
) -> arrays.WholeNumbers:
    for name in ("b", "B"):
        if name in parts:
            return texts.word_index(parts[name], _NAMES[name], str.lower)
    return _numbers(parts, "m", size, default=1)


def _hours(
    parts: Mapping[str, pa.StringArray],
    size: int,
) -> arrays.WholeNumbers:
    """Return the hours of the day; 24, which is no hour, for ``0 pm`` and ``13 pm``."""
    if "I" not in parts:
        return _numbers(parts, "H", size)
    twelve_hours = _integers(parts["I"])
    hours = twelve_hours % 12
    if "p" in parts:
        is_afternoon = pc.equal(pc.ascii_lower(parts["p"]), "pm")
        hours += 12 * texts.flags_of(is_afternoon)
    hours[(twelve_hours < 1) | (twelve_hours > 12)] = 24
    return hours


def _numbers(
    parts: Mapping[str, pa.StringArray],
    name: str,
    size: int,
    default: int = 0,
) -> arrays.WholeNumbers:
    """Return a part's numbers, one a row; the default if it is empty or not there."""
    text = parts.get(name)
    if text is None:
        return np.full(size, default)
    return _integers(text, default)


def _integers(text: pa.StringArray, default: int = 0) -> arrays.WholeNumbers:
    """Return the numbers of digits; the default for an empty text."""
    filled = texts.fill(text, texts.is_empty(text), str(default))
    return texts.values_of(pc.cast(filled, pa.int64()))
