"""What is to be done beside the runs: partitions, Dagster's old runs, queue attributes, holds.

Nothing here is about a single run; each function is a duty of its own.
"""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.logs import event_log
from relay_dagster.maintenance.memory import Memory
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import ExecutionHistory, TenantPartitions
from relay_dagster.wiring import Platform

# The index of tenants lags behind the table.
OVERLAP = timedelta(minutes=2)
ALL_TENANTS_EVERY_SECONDS = 3600
HOLDS_AT_ONCE = 100

log = event_log()


@dataclass
class PartitionSync(Memory):
    """Until when new tenants are known, and when all of them were last compared."""

    known_until: float = 0
    compared_at: float = 0


def sync_partitions(
    platform: Platform, partitions: TenantPartitions, cursor: PartitionSync, now: datetime
) -> list[str]:
    """Add the partitions of new tenants; once an hour compare all, and remove those gone.

    Returns:
        The tenants whose partitions were added.
    """
    instant = now.timestamp()
    if instant - cursor.compared_at >= ALL_TENANTS_EVERY_SECONDS:
        stored, present = set(platform.tenants.all_tenant_ids()), partitions.tenants()
        _remove_gone(partitions, present - stored)
        added = partitions.add_tenants(stored - present - platform.deletions.listed())
        cursor.compared_at = instant
    else:
        since = datetime.fromtimestamp(cursor.known_until, UTC) - OVERLAP
        new = platform.tenants.created_since(since)
        tenant_ids = {entry.tenant_id for entry in new}
        if tenant_ids:
            tenant_ids -= platform.deletions.listed()
        added = partitions.add_tenants(tenant_ids)
    cursor.known_until = instant
    return added


def _remove_gone(partitions: TenantPartitions, gone: Set[str]) -> None:
    for tenant_id in sorted(gone):
        if not partitions.is_in_use(tenant_id):
            partitions.remove_tenant(tenant_id)
            log.info("partition_removed", tenant_id=tenant_id)


def delete_old_runs(
    platform: Platform, history: ExecutionHistory, now: datetime, deadline: Deadline
) -> int:
    """Delete what Dagster has kept for ``RELAY_DAGSTER_RETENTION_DAYS``; run records stay.

    Dagster itself deletes old ticks alone.

    Returns:
        How many runs were deleted.
    """
    before = now - timedelta(days=platform.settings.dagster_retention_days)
    return history.delete_ended_before(before, deadline.has_passed)


def check_queue(platform: Platform) -> list[str]:
    """Tell how the queues' attributes differ from what the variables say."""
    settings = platform.settings
    differences = platform.queue.differences(
        visibility_timeout_seconds=settings.visibility_timeout_seconds,
        max_receives=settings.max_attempts,
    )
    for difference in differences:
        log.error("queue_misconfigured", difference=difference)
    return differences


def count_holds(platform: Platform, now: datetime) -> int:
    """Give up holds that are too old; send how many wait for a decision, and return it.

    The metric is sent also where there is none.
    """
    days = platform.settings.retention_days
    holds: Counter[str] = Counter()

    def count_or_expire(record: RunRecord) -> None:
        if now - (record.finished_at or now) <= timedelta(days=days):
            holds[record.tenant_id] += 1
        else:
            platform.ledger.feeds.expire_hold(record.run_id, days)
            log.warning("hold_expired", **record.log_facts)

    def report(record: RunRecord, error: Exception) -> None:
        if isinstance(error, RunError):
            log.info("hold_not_expired", reason=str(error), **record.log_facts)
        else:
            report_fault(platform.metrics, "hold_not_expired", error, **record.log_facts)

    cursor, is_more = None, True
    while is_more:
        page = platform.runs.list_runs(status=RunStatus.HELD, limit=HOLDS_AT_ONCE, cursor=cursor)
        drain(page.records, count_or_expire, report)
        cursor = page.next_cursor
        is_more = cursor is not None
    platform.metrics.runs_held(holds)
    return holds.total()
