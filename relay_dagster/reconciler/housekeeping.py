"""What the reconciler does beside the runs: partitions, Dagster's old runs, the queue's attributes.

Nothing here is about a single run; each function is a duty of its own.
"""

from collections.abc import Set
from datetime import UTC, datetime, timedelta

from relay_dagster.logs import event_log
from relay_dagster.reconciler.cursor import ReconcilerCursor
from relay_dagster.runs.ports import Executions, TenantPartitions
from relay_dagster.wiring import Platform

# The index of tenants lags behind the table.
OVERLAP = timedelta(minutes=2)
ALL_TENANTS_EVERY_SECONDS = 3600
# Once a minute: more than thirty thousand a day.
OLD_RUNS_AT_ONCE = 25

log = event_log()


def sync_partitions(
    platform: Platform, partitions: TenantPartitions, cursor: ReconcilerCursor, now: datetime
) -> list[str]:
    """Add the partitions of new tenants; once an hour compare all, and remove those gone.

    Returns:
        The tenants whose partitions were added.
    """
    since = datetime.fromtimestamp(cursor.tenants_at, UTC) - OVERLAP
    if cursor.is_due("all_tenants_at", ALL_TENANTS_EVERY_SECONDS, now):
        stored = set(platform.tenants.all_tenant_ids())
        _remove_gone(partitions, stored)
    else:
        stored = {entry.tenant_id for entry in platform.tenants.created_since(since)}
    added = partitions.add_tenants(stored)
    cursor.tenants_at = now.timestamp()
    return added


def _remove_gone(partitions: TenantPartitions, stored: Set[str]) -> None:
    for tenant_id in sorted(partitions.tenants() - stored):
        if not partitions.is_in_use(tenant_id):
            partitions.remove_tenant(tenant_id)
            log.info("partition_removed", tenant_id=tenant_id)


def delete_old_runs(platform: Platform, executions: Executions, now: datetime) -> int:
    """Let Dagster forget runs that ended longer ago than artifacts are kept; their records stay.

    Dagster itself deletes old ticks alone. A few at a time: each takes its events with it.

    Returns:
        How many were deleted.
    """
    before = now - timedelta(days=platform.settings.retention_days)
    return executions.delete_ended_before(before, at_most=OLD_RUNS_AT_ONCE)


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
