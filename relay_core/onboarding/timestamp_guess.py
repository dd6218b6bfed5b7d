"""The probable formats of a vendor's days and times, where they are not in the ISO form."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import product

from relay_core.config import ParserConfig
from relay_core.domain.cell_rules import EXCEL, read_timestamp
from relay_core.domain.errors import CellError

_DAYS = (
    ("%d.%m.%Y", "%d.%m.%y", "%Y.%m.%d"),
    ("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d"),
    ("%d-%m-%Y", "%m-%d-%Y", "%d-%b-%Y", "%d-%b-%y"),
    ("%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    ("%Y%m%d",),
)
_TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", "T%H:%M:%S", "%H%M%S")
_FORMATS = (*(day + time for days in _DAYS for day, time in product(days, _TIMES)), EXCEL)
_RECENT_SERIALS = range(30_000, 80_000)
"""Serial numbers of the days from 1982 to 2119; others are rather something else."""
_MAX_FORMATS = 3
"""No list has more forms of its own."""
_MAX_TEXTS = 200
_FIRST = 5
"""A form that reads none of so many is not tried on the others."""


@dataclass(frozen=True, slots=True)
class TimestampGuess:
    """The formats that a vendor's times are in; none where they are read already, or are no times.

    ``note`` says why none is proposed although one is needed, where that is known.
    """

    formats: tuple[str, ...] = ()
    note: str = ""


def guess_timestamps(cells: Sequence[str], parser: ParserConfig, zone: tzinfo) -> TimestampGuess:
    """Return what formats a parser lacks for the cells, trimmed, not null, of ``updated_at``."""
    left = [text for text in dict.fromkeys(cells) if _moment(text, parser, zone) is None]
    left, formats = left[:_MAX_TEXTS], list[str]()
    while left and len(formats) < _MAX_FORMATS:
        readings = {
            form: _readings(form, left, parser, zone)
            for form in _FORMATS
            if _count(_readings(form, left[:_FIRST], parser, zone))
        }
        if not readings:
            break
        best = max(readings, key=lambda form: _count(readings[form]))
        other = _month_and_day_exchanged(best)
        if (
            other != best
            and other in readings
            and _count(readings[other]) == _count(readings[best])
        ):
            text = next(
                t for t, moment in zip(left, readings[best], strict=True) if moment is not None
            )
            return TimestampGuess(
                note=f'updated_at: "{text[:40]}" may begin with the day or with the month; set '
                f'parser.timestamp_formats to ["{best}"] or ["{other}"]'
            )
        formats.append(best)
        left = [t for t, moment in zip(left, readings[best], strict=True) if moment is None]
    return TimestampGuess(tuple(formats))


def _readings(
    form: str, texts: Sequence[str], parser: ParserConfig, zone: tzinfo
) -> list[int | None]:
    if form == EXCEL:
        texts = [text if _is_recent(text) else "" for text in texts]
    alone = parser.model_copy(update={"timestamp_formats": (form,)})
    return [_moment(text, alone, zone) for text in texts]


def _is_recent(text: str) -> bool:
    days = text.partition(".")[0]
    return len(days) == 5 and days.isdecimal() and int(days) in _RECENT_SERIALS


def _moment(text: str, parser: ParserConfig, zone: tzinfo) -> int | None:
    try:
        return read_timestamp(text, parser, zone)
    except CellError:
        return None


def _count(moments: Sequence[int | None]) -> int:
    return len(moments) - moments.count(None)


def _month_and_day_exchanged(form: str) -> str:
    return form.replace("%d", "%-").replace("%m", "%d").replace("%-", "%m")
