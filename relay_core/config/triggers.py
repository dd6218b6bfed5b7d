"""The section ``triggers``: uploads and schedules that start runs.

This module decides which crons are allowed, and when a run is due where clocks change;
cronsim decides which days and minutes the fields of a cron name. Instants are aware.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from relay_core.config.refusals import refuse
from relay_core.config.values import WHOLE, Section, Trimmed
from relay_core.domain.cell_rules import shorten

LEAST_MINUTES_APART = 5
_MAX_CRON = 500
_DAY_MINUTES = 24 * 60
_MINUTE = timedelta(minutes=1)
# No clock is changed by more than this at a time.
_MAX_CHANGE = timedelta(hours=3)
# The wall clock from which cronsim searches the first due time, for 50 years.
_PROBE = datetime(2024, 1, 1)  # noqa: DTZ001  # a wall clock has no zone
_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = "SUN|MON|TUE|WED|THU|FRI|SAT"


class _CronField(NamedTuple):
    """One field of a cron."""

    name: str  # the name of the field
    pattern: str  # the pattern of one value
    value_count: int  # the number of its values


_FIELDS = (
    _CronField("minute", "[0-9]{1,2}", 60),
    _CronField("hour", "[0-9]{1,2}", 24),
    _CronField("day of month", "[0-9]{1,2}", 31),
    _CronField("month", f"[0-9]{{1,2}}|{_MONTHS}", 12),
    _CronField("day of week", f"[0-9]|{_DAYS}", 7),
)


# --- crons ----------------------------------------------------------------------------


def _check_cron(text: str) -> str:
    """Refuse a cron that is malformed, never due, or due too often."""
    parts = text.upper().split()
    if len(parts) != len(_FIELDS) or len(text) > _MAX_CRON:
        names = ", ".join(field.name for field in _FIELDS)
        raise refuse(
            f"{shorten(text)} is not a cron of five fields ({names}); write one such as "
            "0 6 * * MON-FRI",
        )
    for index, part in enumerate(parts):
        _check_field(part, index)
    minutes_apart = _least_minutes_apart(parts[0], parts[1])
    if minutes_apart < LEAST_MINUTES_APART:
        raise refuse(
            f"two runs would start {minutes_apart} min apart; "
            f"schedule runs at least {LEAST_MINUTES_APART} min apart",
        )
    try:
        next(CronSim(text, _PROBE))
    except (CronSimError, StopIteration):
        raise refuse(
            f"{shorten(text)} is never due, because none of its months has that day; "
            "correct the day of month or the month",
        ) from None
    return " ".join(text.split())


def _check_field(part: str, index: int) -> None:
    """Refuse a field of a cron that is malformed or out of range."""
    field = _FIELDS[index]
    value = f"(?:{field.pattern})"
    term_pattern = rf"(?:\*|{value}(?:-{value})?)(?:/([0-9]+))?"
    for term in part.split(","):
        match = re.fullmatch(term_pattern, term)
        if match is None:
            raise refuse(
                f"the {field.name} {shorten(part)} is not valid; use numbers, *, ranges, "
                "lists, steps, and names of months or days of the week",
            )
        step = match[1]
        if step and not 1 <= int(step) <= field.value_count:
            raise refuse(
                f"the step of the {field.name} must be 1 to {field.value_count}, "
                f"not {step}",
            )
    alone = ["*"] * len(_FIELDS)
    alone[index] = part
    try:
        CronSim(" ".join(alone), _PROBE)
    except CronSimError:
        raise refuse(
            f"the {field.name} {shorten(part)} has a value that is out of range; "
            "correct it",
        ) from None


def _least_minutes_apart(minute: str, hour: str) -> int:
    """Return the least number of minutes between two due times of following days."""
    daily = CronSim(f"{minute} {hour} * * *", _PROBE)
    times = sorted(
        60 * due_hour + due_minute
        for due_hour in daily.hours
        for due_minute in daily.minutes
    )
    following_times = [*times[1:], times[0] + _DAY_MINUTES]
    return min(
        following - time
        for time, following in zip(times, following_times, strict=True)
    )


# --- the sections ---------------------------------------------------------------------


class OnUploadConfig(Section):
    """Starts a run after uploads, once no further file arrives for a while."""

    quiet_seconds: Annotated[
        int,
        Field(ge=0, le=3600),
        WHOLE,
    ] = 60


class ScheduleConfig(Section):
    """Starts runs at fixed times in the tenant's `timezone`."""

    cron: Annotated[Trimmed, AfterValidator(_check_cron)]

    def next_after(self, instant: datetime, zone: ZoneInfo) -> datetime:
        """Return the first due time after an instant, in UTC.

        An hour field that begins with ``*`` follows elapsed time: every instant whose
        wall clock matches is due. Any other hour field follows the wall clock: a time
        that is skipped is due at the first minute after the gap, and one that is
        repeated is due the first time only.
        """
        hour = self.cron.split()[1]
        if not hour.startswith("*"):
            due_times = _wall_clock_instants(
                self._wall_times(instant, zone),
                zone,
            )
            return _first_after(instant, due_times)
        # Where the clock goes back, both passes of a repeated hour count.
        first_pass = _elapsed_instants(
            self._wall_times(instant, zone),
            zone,
            fold=0,
        )
        second_pass = _elapsed_instants(
            self._wall_times(instant, zone),
            zone,
            fold=1,
        )
        return min(
            _first_after(instant, first_pass),
            _first_after(instant, second_pass),
        )

    def _wall_times(
        self,
        instant: datetime,
        zone: ZoneInfo,
    ) -> Iterator[datetime]:
        """Return the naive due times of the wall clock from before an instant."""
        wall_time = instant.astimezone(zone).replace(tzinfo=None)
        return CronSim(self.cron, wall_time - _MAX_CHANGE)


class TriggersConfig(Section):
    """The events that start runs automatically."""

    on_upload: OnUploadConfig | None = None
    schedule: ScheduleConfig | None = None


# --- wall clocks ----------------------------------------------------------------------


def _first_after(instant: datetime, due_times: Iterator[datetime]) -> datetime:
    return next(due for due in due_times if due > instant)


def _elapsed_instants(
    wall_times: Iterator[datetime],
    zone: ZoneInfo,
    *,
    fold: int,
) -> Iterator[datetime]:
    """Yield the instants at which a clock shows each time, in its first or second pass.

    Times that the clock skips are left out.
    """
    for wall_time in wall_times:
        instant = _instant_of(wall_time, zone, fold=fold)
        if _wall_time_at(instant, zone) == wall_time:
            yield instant


def _wall_clock_instants(
    wall_times: Iterator[datetime],
    zone: ZoneInfo,
) -> Iterator[datetime]:
    """Yield the instants at which a clock first shows or skips each time."""
    for wall_time in wall_times:
        instant = _instant_of(wall_time, zone, fold=0)
        if _wall_time_at(instant, zone) != wall_time:
            # The clock skips this time: go back to the first minute after the gap.
            offset = instant.astimezone(zone).utcoffset()
            while (instant - _MINUTE).astimezone(zone).utcoffset() == offset:
                instant -= _MINUTE
        yield instant


def _instant_of(wall_time: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    return wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _wall_time_at(instant: datetime, zone: ZoneInfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)
