"""Duties that delete old data: Dagster's runs, run records, and versions of configs.

A duty goes through all records in rounds. A tick without enough time stops somewhere, and the
next tick goes on from there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.metrics import report_fault
from relay_dagster.aws.tenant_data import TenantData
from relay_dagster.drain import drain
from relay_dagster.execution.published_copies import KEPT_AFTER, superseded_runs
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.maintenance.housekeeping import Memory, Occasion
from relay_dagster.runs.model import LockState, RunRecord
from relay_dagster.runs.ports import ExecutionHistory
from relay_dagster.wiring import Platform

MIN_RECORD_DAYS = 15
"""The dead-letter queue keeps messages for 14 days, and their runs are known as long."""
KEPT_CONFIGS = 50
_RECORDS_PER_PAGE = 100
_BETWEEN_ROUNDS_OF_RUNS = timedelta(minutes=10)
_BETWEEN_ROUNDS_OF_CONFIGS = timedelta(hours=1)


@dataclass
class Round(Memory):
    """The last key of a round so far, "" if the round is over, and when the round began."""

    after: str = ""
    begun_at: float = 0

    def goes_on(self, now: datetime, pause: timedelta) -> bool:
        """Begin a round if it is time; return True if there is one."""
        if not self.after:
            if now.timestamp() - self.begun_at < pause.total_seconds():
                return False
            self.begun_at = now.timestamp()
        return True


def delete_old_runs(occasion: Occasion, history: ExecutionHistory) -> int:
    """Delete Dagster's runs after ``RELAY_DAGSTER_RETENTION_DAYS``; return how many."""
    days = occasion.platform.settings.dagster_retention_days
    before = occasion.now - timedelta(days=days)
    return history.delete_ended_before(before, occasion.deadline.has_passed)


def expire_runs(occasion: Occasion, position: Round) -> int:
    """Delete the records of runs that ended long enough ago; return how many.

    The records of live, kept, and held feeds are kept, and those of the baselines of kept feeds.
    """
    platform = occasion.platform
    now = occasion.now
    deadline = occasion.deadline
    if not position.goes_on(now, _BETWEEN_ROUNDS_OF_RUNS):
        return 0
    days = max(platform.settings.retention_days, MIN_RECORD_DAYS)
    before = now - timedelta(days=days)
    count = 0

    def expire(record: RunRecord) -> None:
        nonlocal count
        if _is_over(record, before) and not _is_needed(platform, record, now):
            count += platform.runs.expire(record, now)

    def report(record: RunRecord, error: Exception) -> None:
        report_fault(
            platform.metrics,
            "run_not_expired",
            error,
            **record.log_facts,
        )

    runs_by_age = platform.runs.ids_by_request(position.after, before)
    while page := list(islice(runs_by_age, _RECORDS_PER_PAGE)):
        keys = {run_id: key for key, run_id in page}
        records = platform.runs.get_many(keys)
        results = drain(records.values(), expire, report, deadline=deadline)
        if deadline.has_passed():
            last_run_id = page[-1][1]
            if results:
                last_run_id = [*records][len(results) - 1]
            position.after = keys[last_run_id]
            return count
        position.after = page[-1][0]
    position.after = ""
    return count


def _is_over(record: RunRecord, before: datetime) -> bool:
    """Return True if a run ended before an instant and is settled."""
    if (
        record.acknowledged_at is None
        or record.lock_state is not LockState.NONE
    ):
        return False
    if not record.has_ended or record.status is RunStatus.HELD:
        return False
    return (record.finished_at or before) < before


def _is_needed(platform: Platform, record: RunRecord, now: datetime) -> bool:
    """Return True if a tenant's feed pointer leads to a run, or to one that it was compared with.

    The record of a feed that can no longer be published again is kept as long as its copy.
    """
    feed = platform.runs.feed(record.tenant_id)
    if feed is None:
        return False
    run_ids = _runs_of(feed)
    if record.run_id in run_ids:
        return True
    if record.published_at is None:
        return False  # it was never a baseline
    keep = platform.settings.keep_published
    unreachable = superseded_runs(
        {record.run_id},
        {record.run_id: record},
        feed,
        now - KEPT_AFTER,
        keep,
    )
    if not unreachable and platform.objects.exists(str(record.feed_key)):
        return True
    records = platform.runs.get_many(run_ids)
    if len(records) < len(run_ids):
        return True
    return any(
        published_run.baseline_run_id == record.run_id
        for published_run in records.values()
    )


def _runs_of(feed: FeedPointer) -> set[str]:
    run_ids = {publication.run_id for publication in feed.publications}
    if feed.held_run_id is not None:
        run_ids.add(feed.held_run_id)
    return run_ids


def expire_configs(occasion: Occasion, position: Round) -> int:
    """Delete versions of configs, except the newest 50 and those that a record names."""
    if not position.goes_on(occasion.now, _BETWEEN_ROUNDS_OF_CONFIGS):
        return 0
    platform = occasion.platform
    deadline = occasion.deadline
    data = TenantData(platform.database)
    count = 0

    def expire(tenant_id: str) -> None:
        nonlocal count
        latest = platform.tenants.latest_version(tenant_id) or 0
        if latest > KEPT_CONFIGS:
            count += data.remove_old_configs(tenant_id, latest, KEPT_CONFIGS)
        position.after = tenant_id

    def report(tenant_id: str, error: Exception) -> None:
        metrics = platform.metrics
        report_fault(metrics, "configs_not_expired", error, tenant_id=tenant_id)

    all_tenant_ids = platform.tenants.all_tenant_ids()
    tenant_ids = sorted(
        name for name in all_tenant_ids if name > position.after
    )
    drain(tenant_ids, expire, report, deadline=deadline)
    if not deadline.has_passed():
        position.after = ""
    return count
