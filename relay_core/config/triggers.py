"""What starts runs by itself: uploads after a quiet time, and a schedule with its due times.

What may stand in a cron is said here, and what becomes of its times where a clock is changed;
which days and minutes its fields name is cronsim's to know. Instants are aware.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from relay_core.config.values import WHOLE, Section, Trimmed, refuse
from relay_core.domain.cell_rules import shorten

LEAST_MINUTES_APART = 5
_MAX_CRON = 500
_DAY_OF_MINUTES = 24 * 60
_MINUTE = timedelta(minutes=1)
# No clock is changed by more than this at a time.
_MAX_CHANGE = timedelta(hours=3)
# From when cronsim looks for a time that is due at all, for 50 years; naive as a wall clock is.
_PROBE = datetime(2024, 1, 1)  # noqa: DTZ001
_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT"


class _Field(NamedTuple):
    """One field of a cron: its name, what a value looks like, and how many there are."""

    name: str
    value: str
    values: int


_FIELDS = (
    _Field("minute", "[0-9]{1,2}", 60),
    _Field("hour", "[0-9]{1,2}", 24),
    _Field("day of month", "[0-9]{1,2}", 31),
    _Field("month", f"[0-9]{{1,2}}|{_MONTHS}", 12),
    _Field("day of week", f"[0-9]|{_DAYS}", 7),
)


# --- what may stand in a cron -------------------------------------------------------------------


def _check_cron(text: str) -> str:
    """Return a cron of five fields that is due at times, none of them close to another."""
    parts = text.upper().split()
    if len(parts) != len(_FIELDS) or len(text) > _MAX_CRON:
        names = ", ".join(field.name for field in _FIELDS)
        raise refuse(
            f"{shorten(text)} is no cron of five fields ({names}), such as 0 6 * * MON-FRI"
        )
    for position, (field, part) in enumerate(zip(_FIELDS, parts, strict=True)):
        _check_field(field, part, position)
    daily = CronSim(f"{parts[0]} {parts[1]} * * *", _PROBE)
    of_day = sorted(
        60 * hour + minute for hour in daily.hours for minute in daily.minutes
    )
    after = [*of_day[1:], of_day[0] + _DAY_OF_MINUTES]
    nearest = min(later - time for time, later in zip(of_day, after, strict=True))
    if nearest < LEAST_MINUTES_APART:
        raise refuse(
            f"runs would follow each other after {nearest} min; "
            f"they must be at least {LEAST_MINUTES_APART} min apart"
        )
    try:
        next(CronSim(text, _PROBE))
    except (CronSimError, StopIteration):
        raise refuse(
            f"{shorten(text)} is never due: no month that it names has such a day"
        ) from None
    return " ".join(text.split())


def _check_field(field: _Field, part: str, position: int) -> None:
    value = f"(?:{field.value})"
    for term in part.split(","):
        found = re.fullmatch(rf"(?:\*|{value}(?:-{value})?)(?:/([0-9]+))?", term)
        if found is None:
            raise refuse(
                f"the {field.name} {shorten(part)} is none: numbers, *, ranges, lists and steps "
                "are read, and the names of months and days of the week"
            )
        if found[1] and not 1 <= int(found[1]) <= field.values:
            raise refuse(
                f"the step of the {field.name} must be 1 to {field.values}, not {found[1]}"
            )
    alone = ["*"] * len(_FIELDS)
    alone[position] = part
    try:
        CronSim(" ".join(alone), _PROBE)
    except CronSimError:
        raise refuse(
            f"the {field.name} {shorten(part)} has a value out of range"
        ) from None


# --- the sections -------------------------------------------------------------------------------


class OnUploadConfig(Section):
    """A run once no vendor has uploaded anything for a while."""

    quiet_seconds: Annotated[int, Field(ge=0, le=3600), WHOLE] = 60


class ScheduleConfig(Section):
    """Runs by the clock of the tenant's ``timezone``."""

    cron: Annotated[Trimmed, AfterValidator(_check_cron)]

    def next_after(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Return the first due time after an instant, UTC.

        An hour field that begins with ``*`` follows elapsed time: every instant whose wall clock
        matches is due. Any other follows the wall clock: a time that is skipped is due at the first
        minute after the gap, one that is repeated the first time only.
        """
        if self.cron.split()[1].startswith("*"):
            passes = (
                _elapsed(self._walls(instant, zone), zone, fold) for fold in (0, 1)
            )
            return min(next(due for due in each if due > instant) for each in passes)
        on_the_wall = _on_the_wall(self._walls(instant, zone), zone)
        return next(due for due in on_the_wall if due > instant)

    def _walls(self, instant: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Return the wall clock's due times from before an instant on, naive."""
        begin = instant.astimezone(zone).replace(tzinfo=None) - _MAX_CHANGE
        return CronSim(self.cron, begin)


class TriggersConfig(Section):
    """What starts runs beside those who post them."""

    on_upload: OnUploadConfig | None = None
    schedule: ScheduleConfig | None = None


def _elapsed(
    walls: Iterator[datetime], zone: ZoneInfo, fold: int
) -> Iterator[datetime]:
    """Yield the instants at which a clock shows each time, for its first or its second pass."""
    for wall in walls:
        instant = wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            yield instant


def _on_the_wall(walls: Iterator[datetime], zone: ZoneInfo) -> Iterator[datetime]:
    """Yield the instants at which a clock shows, or passes over, each time at first."""
    for wall in walls:
        instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) != wall:
            offset = instant.astimezone(zone).utcoffset()
            while (instant - _MINUTE).astimezone(zone).utcoffset() == offset:
                instant -= _MINUTE
        yield instant
