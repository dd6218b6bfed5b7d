"""What is kept for its time: run records, and versions of configs.

Both are gone through in rounds, a part in each tick.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.tenant_data import TenantData
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.maintenance.memory import Memory
from relay_dagster.runs.model import LockState, RunRecord
from relay_dagster.wiring import Platform

MIN_RECORD_DAYS = 15
"""The dead-letter queue keeps messages for 14 days, and their runs are known as long."""

KEPT_CONFIGS = 50
_RUNS_ROUND, _CONFIGS_ROUND = timedelta(minutes=10), timedelta(hours=1)
_AT_ONCE = 100


@dataclass
class Round(Memory):
    """The place up to which a round has come, "" where it is over; when it has begun."""

    after: str = ""
    begun_at: float = 0

    def goes_on(self, now: datetime, pause: timedelta) -> bool:
        """Begin a round if it is time; tell whether there is one."""
        if not self.after and now.timestamp() - self.begun_at < pause.total_seconds():
            return False
        if not self.after:
            self.begun_at = now.timestamp()
        return True


def expire_runs(platform: Platform, place: Round, now: datetime, deadline: Deadline) -> int:
    """Delete the records of runs that ended long enough ago; return how many.

    The records stay of feeds that are in force, kept or held, and of what kept ones were compared
    with.
    """
    if not place.goes_on(now, _RUNS_ROUND):
        return 0
    days = max(platform.settings.retention_days, MIN_RECORD_DAYS)
    before, count = now - timedelta(days=days), 0

    def expire(record: RunRecord) -> None:
        nonlocal count
        if _is_over(record, before) and not _is_needed(platform, record):
            count += platform.runs.expire(record, now)

    def report(record: RunRecord, error: Exception) -> None:
        report_fault(platform.metrics, "run_not_expired", error, **record.log_facts)

    oldest = platform.runs.ids_by_request(place.after, before)
    while page := list(islice(oldest, _AT_ONCE)):
        places = {run_id: found_at for found_at, run_id in page}
        records = platform.runs.get_many(places)
        done = drain(records.values(), expire, report, deadline=deadline)
        if deadline.has_passed():
            last = [*records][len(done) - 1] if done else page[-1][1]
            place.after = places[last]
            return count
        place.after = page[-1][0]
    place.after = ""
    return count


def _is_over(record: RunRecord, before: datetime) -> bool:
    """Tell whether a run ended before an instant, and nothing of it is open."""
    is_settled = record.acknowledged_at is not None and not record.has_dead_letter
    return (
        is_settled
        and record.has_ended
        and record.status is not RunStatus.HELD
        and record.lock_state is LockState.NONE
        and record.finished_at is not None
        and record.finished_at < before
    )


def _is_needed(platform: Platform, record: RunRecord) -> bool:
    """Tell whether a tenant's feed pointer leads to a run, or to one that was compared with it."""
    feed = platform.runs.feed(record.tenant_id)
    if feed is None:
        return False
    kept = {each.run_id for each in feed.publications}
    if feed.held_run_id is not None:
        kept.add(feed.held_run_id)
    if record.run_id in kept:
        return True
    if record.published_at is None:
        return False  # never anybody's baseline
    records = platform.runs.get_many(kept)
    # What cannot be read may have been compared with anything.
    is_known = len(records) == len(kept)
    return not is_known or record.run_id in {each.baseline_run_id for each in records.values()}


def expire_configs(platform: Platform, place: Round, now: datetime, deadline: Deadline) -> int:
    """Delete versions of configs but for the newest 50 and those that a record names."""
    if not place.goes_on(now, _CONFIGS_ROUND):
        return 0
    data, count = TenantData(platform.database), 0

    def expire(tenant_id: str) -> None:
        nonlocal count
        latest = platform.tenants.latest_version(tenant_id) or 0
        if latest > KEPT_CONFIGS:
            count += data.remove_old_configs(tenant_id, latest, KEPT_CONFIGS)
        place.after = tenant_id

    def report(tenant_id: str, error: Exception) -> None:
        report_fault(platform.metrics, "configs_not_expired", error, tenant_id=tenant_id)

    tenant_ids = sorted(each for each in platform.tenants.all_tenant_ids() if each > place.after)
    drain(tenant_ids, expire, report, deadline=deadline)
    if not deadline.has_passed():
        place.after = ""
    return count
