"""What tenants may have in an hour or a day of the UTC clock, counted where all processes see it.

A count stands in the transaction of what it counts: of runs an item an hour, of config versions a
part of the tenant's own item.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import epoch_seconds
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.runs.model import RunRecord

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

# --- runs of an hour ----------------------------------------------------------------------------


def counted(table: Table, record: RunRecord, most: int) -> Write:
    """Return the write that counts a run, on condition that it is not one too many."""
    expiry = epoch_seconds(hour_of(record.requested_at) + _DAY)
    return table.write(
        "quota",
        "Update",
        _count_key(record),
        "ADD runs :one SET #expiry = :expiry",
        condition="attribute_not_exists(runs) OR runs < :most",
        values={":one": 1, ":most": most, ":expiry": expiry},
        names={"#expiry": schema.EXPIRY},
    )


def given_back(table: Table, record: RunRecord) -> Write:
    """Return the write that takes a run out of its hour's count again."""
    values = {":less": -1}
    return table.write("quota", "Update", _count_key(record), "ADD runs :less", values=values)


def seconds_left_of_hour(record: RunRecord) -> float:
    """Return how long the hour of a run's request goes on."""
    return (hour_of(record.requested_at) + _HOUR - record.requested_at).total_seconds()


def hour_of(instant: datetime) -> datetime:
    """Return the hour of the UTC clock that an instant lies in."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _count_key(record: RunRecord) -> str:
    return schema.run_count_key(record.tenant_id, hour_of(record.requested_at))


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
    midnight = datetime.combine(now.astimezone(UTC).date() + _DAY, time.min, UTC)
    return (midnight - now).total_seconds()
