"""The hours and days of the UTC clock that quotas of tenants are counted by.

A count stands in the transaction of what it counts: of runs an item an hour (`run_writes`), of
upload links one a day (`deletion_store`), of config versions a part of the tenant's own item
(`tenant_store`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

_HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# --- runs of an hour ----------------------------------------------------------------------------


def seconds_left_of_hour(now: datetime) -> float:
    """Return how long the hour goes on."""
    return (hour_of(now) + _HOUR - now).total_seconds()


def hour_of(instant: datetime) -> datetime:
    """Return the hour of the UTC clock that an instant lies in."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


# --- config versions of a day -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many versions were stored on the day of the last one, ``2026-03-01``; "" before any."""

    day: str = ""
    versions: int = 0

    def and_one(self, now: datetime) -> DayCount:
        """Return the count with a version that is stored now."""
        day = now.astimezone(UTC).date().isoformat()
        return DayCount(day, self.versions + 1 if self.day == day else 1)


def seconds_left_of_day(now: datetime) -> float:
    """Return how long the day goes on."""
    midnight = datetime.combine(now.astimezone(UTC).date() + DAY, time.min, UTC)
    return (midnight - now).total_seconds()
