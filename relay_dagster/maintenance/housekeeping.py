"""Duties that belong to no single run: partitions, queue attributes, holds, and ages of feeds.

Each function is a duty of its own. ``expiry.py`` has the duties that delete old data.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import TenantPartitions
from relay_dagster.runs.service_level import event_of_feed
from relay_dagster.triggers.rules import TriggerState, late_at
from relay_dagster.wiring import Platform

INDEX_LAG = timedelta(minutes=2)
"""How far the index of tenants may lag behind the table."""
ALL_TENANTS_EVERY_SECONDS = 3600
RUNS_PER_PAGE = 100
_log = event_log()


@dataclass(frozen=True, slots=True)
class Occasion:
    """The resources of a duty: the platform, the time, and the deadline."""

    platform: Platform
    now: datetime
    deadline: Deadline


@dataclass
class Memory:
    """Base of the duties' memories, which a sensor's cursor keeps.

    A memory is small, because Dagster stores it with every tick. Its values are those of JSON;
    instants are seconds since 1970.
    """

    @classmethod
    def read(cls, values: object) -> Self:
        """Return the memory with these values, or an empty one if they cannot be read."""
        try:
            return cls(**values)  # type: ignore[arg-type]  # checked by the call itself
        except TypeError:
            return cls()

    def values(self) -> dict[str, Any]:
        """Return the values to keep."""
        return asdict(self)


@dataclass
class PartitionSync(Memory):
    """The time up to which new tenants are known, and of the last comparison of all."""

    known_until: float = 0
    compared_at: float = 0


def sync_partitions(
    platform: Platform,
    partitions: TenantPartitions,
    memory: PartitionSync,
    now: datetime,
) -> list[str]:
    """Add the partitions of new tenants, and return these tenants.

    Once an hour, all tenants are compared, and partitions of deleted tenants are removed.
    """
    instant = now.timestamp()
    if instant - memory.compared_at >= ALL_TENANTS_EVERY_SECONDS:
        added = _compare_all(platform, partitions)
        memory.compared_at = instant
    else:
        since = datetime.fromtimestamp(memory.known_until, UTC) - INDEX_LAG
        tenant_ids = {*platform.tenants.created_since(since)}
        if tenant_ids:
            tenant_ids -= platform.deletions.listed()
        added = partitions.add_tenants(tenant_ids)
    memory.known_until = instant
    return added


def _compare_all(platform: Platform, partitions: TenantPartitions) -> list[str]:
    """Remove partitions without a tenant, add missing ones, and return the added tenants."""
    stored = set(platform.tenants.all_tenant_ids())
    present = partitions.tenants()
    for tenant_id in sorted(present - stored):
        if not partitions.is_in_use(tenant_id):
            partitions.remove_tenant(tenant_id)
            _log.info("partition_removed", tenant_id=tenant_id)
    return partitions.add_tenants(
        stored - present - platform.deletions.listed(),
    )


def check_queue(platform: Platform) -> list[str]:
    """Return, and log, how the queues' attributes differ from the variables."""
    differences = platform.queue_differences()
    for difference in differences:
        _log.error("queue_misconfigured", difference=difference)
    return differences


def pages_of(
    platform: Platform,
    status: RunStatus,
) -> Iterator[Sequence[RunRecord]]:
    """Yield all runs of a status, page by page."""
    cursor: str | None = None
    while True:
        page = platform.runs.list_runs(
            status=status,
            limit=RUNS_PER_PAGE,
            cursor=cursor,
        )
        yield page.items
        cursor = page.next_cursor
        if cursor is None:
            return


def count_holds(occasion: Occasion, _: Memory | None = None) -> int:
    """Give up holds that are too old; send the number of those that wait, and return it.

    The metric is sent even if no feed is on hold.
    """
    platform = occasion.platform
    days = platform.settings.retention_days
    holds_by_tenant: Counter[str] = Counter()

    def count_or_expire(record: RunRecord) -> None:
        age = occasion.now - (record.finished_at or occasion.now)
        if age <= timedelta(days=days):
            holds_by_tenant[record.tenant_id] += 1
        else:
            platform.ledger.feeds.expire_hold(record.run_id, days)
            _log.warning("hold_expired", **record.log_facts)

    def report(record: RunRecord, error: Exception) -> None:
        facts = record.log_facts
        if isinstance(error, RunError):
            _log.info("hold_not_expired", reason=str(error), **facts)
        else:
            report_fault(platform.metrics, "hold_not_expired", error, **facts)

    for records in pages_of(platform, RunStatus.HELD):
        drain(records, count_or_expire, report)
    platform.metrics.runs_held(holds_by_tenant)
    return holds_by_tenant.total()


def scheduled_feeds(
    platform: Platform,
) -> list[tuple[TriggerState, FeedPointer]]:
    """Return the triggers and the feed of each tenant that has a schedule and a feed."""
    states = {state.tenant_id: state for state in platform.triggers.scheduled()}
    feeds = platform.runs.feeds(states)
    return [(states[tenant_id], feed) for tenant_id, feed in feeds.items()]


def report_feed_ages(
    occasion: Occasion,
    feeds: Sequence[tuple[TriggerState, FeedPointer]],
) -> None:
    """Send the age of each live feed, and whether it is late and who causes the delay."""
    platform = occasion.platform
    now = occasion.now
    if not platform.settings.metrics_enabled:
        return
    ages = {}
    late_since = {}
    for state, feed in feeds:
        published_at = feed.in_force.published_at
        ages[feed.tenant_id] = (now - published_at).total_seconds()
        late_since[feed.tenant_id] = late_at(state, published_at)
    platform.metrics.feed_ages(ages)
    late_tenants = [
        tenant_id
        for tenant_id, instant in late_since.items()
        if instant is not None and instant < now
    ]
    last_runs = platform.runs.last_runs(late_tenants)
    events = [
        event_of_feed(tenant_id, instant, last_runs.get(tenant_id), now)
        for tenant_id, instant in late_since.items()
    ]
    platform.metrics.feeds_judged(events)
