"""The age and the number of a part's files, and the failure of files beyond a limit."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from relay_core.config.inputs.parts import InputPart
from relay_core.domain import run_codes, run_faults
from relay_core.domain.codes import FailureCode
from relay_core.domain.records import ReportEntry

_HOUR = timedelta(hours=1)
_TENTH_OF_HOUR = timedelta(minutes=6)


def failure_of_files(
    vendor_id: str,
    part: InputPart,
    upload_times: Sequence[datetime | None],
    requested_at: datetime,
) -> ReportEntry | None:
    """Return the failure of a part's files that are too old, or too many.

    Args:
        vendor_id: The vendor.
        part: The part.
        upload_times: When each file was uploaded, in reading order, if that is known.
        requested_at: The moment that ages are counted up to, aware.
    """
    stale = partial(
        run_faults.fault_of,
        vendor_id=vendor_id,
        part_id=part.part_id,
    )
    changes = part.changes
    delta_count = len(upload_times) - 1
    if changes is not None and delta_count > changes.max_deltas:
        return stale(
            run_codes.TOO_MANY_DELTAS,
            count=delta_count,
            limit=changes.max_deltas,
        )
    times = [time for time in upload_times if time is not None]
    if not times:
        return None
    limits: list[tuple[str, datetime, int | None]] = [
        (FailureCode.STALE_FEED, times[0], part.max_feed_age_hours),
    ]
    if changes is not None:
        limits = [
            (run_codes.STALE_FULL, times[0], part.max_feed_age_hours),
            (run_codes.STALE_DELTAS, times[-1], changes.max_delta_age_hours),
        ]
    for code, uploaded_at, max_hours in limits:
        age = requested_at - uploaded_at
        if max_hours is not None and age > max_hours * _HOUR:
            # Rounded up, so that the age never reads like the limit.
            tenths = -(-age // _TENTH_OF_HOUR)
            hours = Decimal(tenths).scaleb(-1)
            return stale(code, hours=hours, max_hours=max_hours)
    return None
