"""The duties beside the runs: partitions, queue attributes, holds, ages of feeds, what has expired.

Nothing here is about a single run; each function is a duty of its own.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Self

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.deletion_store import TenantData
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import Deadline, drain
from relay_dagster.execution.run_files import KEPT_AFTER, superseded
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.logs import event_log
from relay_dagster.runs.errors import RunError
from relay_dagster.runs.model import LockState, RunRecord
from relay_dagster.runs.ports import ExecutionHistory, TenantPartitions
from relay_dagster.runs.service_level import event_of_feed
from relay_dagster.triggers.rules import TriggerState, late_at
from relay_dagster.wiring import Platform

# The index of tenants lags behind the table.
OVERLAP = timedelta(minutes=2)
ALL_TENANTS_EVERY_SECONDS = 3600
MIN_RECORD_DAYS = 15
"""The dead-letter queue keeps messages for 14 days, and their runs are known as long."""
KEPT_CONFIGS = 50
_RUNS_ROUND, _CONFIGS_ROUND = timedelta(minutes=10), timedelta(hours=1)
AT_ONCE = 100
log = event_log()


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a duty works with: the platform, the time, and until when."""

    platform: Platform
    now: datetime
    deadline: Deadline


@dataclass
class Memory:
    """Base of duties' memories, kept in a sensor's cursor: defaults, and values as JSON has them.

    They are small, since Dagster stores them with every tick. Instants are seconds since 1970.
    """

    @classmethod
    def read(cls, values: object) -> Self:
        """Return the memory with these values; the empty one if they cannot be read."""
        try:
            return cls(**values)  # type: ignore[arg-type]
        except TypeError:
            return cls()

    def values(self) -> dict[str, Any]:
        """Return the values to keep."""
        return asdict(self)


@dataclass
class PartitionSync(Memory):
    """Until when new tenants are known, and when all of them were last compared."""

    known_until: float = 0
    compared_at: float = 0


def sync_partitions(
    platform: Platform,
    partitions: TenantPartitions,
    cursor: PartitionSync,
    now: datetime,
) -> list[str]:
    """Add the partitions of new tenants, and return these tenants.

    Once an hour all are compared, and those gone removed.
    """
    instant = now.timestamp()
    if instant - cursor.compared_at >= ALL_TENANTS_EVERY_SECONDS:
        stored, present = set(platform.tenants.all_tenant_ids()), partitions.tenants()
        for tenant_id in sorted(present - stored):
            if not partitions.is_in_use(tenant_id):
                partitions.remove_tenant(tenant_id)
                log.info("partition_removed", tenant_id=tenant_id)
        added = partitions.add_tenants(stored - present - platform.deletions.listed())
        cursor.compared_at = instant
    else:
        since = datetime.fromtimestamp(cursor.known_until, UTC) - OVERLAP
        if tenant_ids := {*platform.tenants.created_since(since)}:
            tenant_ids -= platform.deletions.listed()
        added = partitions.add_tenants(tenant_ids)
    cursor.known_until = instant
    return added


def delete_old_runs(on: Occasion, history: ExecutionHistory) -> int:
    """Delete what Dagster has kept of runs for ``RELAY_DAGSTER_RETENTION_DAYS``; count the runs."""
    before = on.now - timedelta(days=on.platform.settings.dagster_retention_days)
    return history.delete_ended_before(before, on.deadline.has_passed)


def check_queue(platform: Platform) -> list[str]:
    """Return how the queues' attributes differ from the variables, and log it."""
    for difference in (differences := platform.queue_differences()):
        log.error("queue_misconfigured", difference=difference)
    return differences


def pages_of(platform: Platform, status: RunStatus) -> Iterator[Sequence[RunRecord]]:
    """Yield all runs of a status, so many together as are read by one call."""
    cursor, is_more = None, True
    while is_more:
        page = platform.runs.list_runs(status=status, limit=AT_ONCE, cursor=cursor)
        yield page.items
        cursor = page.next_cursor
        is_more = cursor is not None


def count_holds(on: Occasion, _: Memory | None = None) -> int:
    """Give up holds that are too old; send how many wait for a decision, and return it.

    The metric is sent also where there is none.
    """
    platform, days = on.platform, on.platform.settings.retention_days
    holds: Counter[str] = Counter()

    def count_or_expire(record: RunRecord) -> None:
        if on.now - (record.finished_at or on.now) <= timedelta(days=days):
            holds[record.tenant_id] += 1
        else:
            platform.ledger.feeds.expire_hold(record.run_id, days)
            log.warning("hold_expired", **record.log_facts)

    def report(record: RunRecord, error: Exception) -> None:
        if isinstance(error, RunError):
            log.info("hold_not_expired", reason=str(error), **record.log_facts)
        else:
            report_fault(
                platform.metrics, "hold_not_expired", error, **record.log_facts
            )

    for records in pages_of(platform, RunStatus.HELD):
        drain(records, count_or_expire, report)
    platform.metrics.runs_held(holds)
    return holds.total()


def scheduled_feeds(platform: Platform) -> list[tuple[TriggerState, FeedPointer]]:
    """Return the triggers and the feed of each tenant that has a schedule and a feed."""
    states = {each.tenant_id: each for each in platform.triggers.scheduled()}
    feeds = platform.runs.feeds(states)
    return [(states[name], feed) for name, feed in feeds.items()]


def report_feed_ages(
    on: Occasion, feeds: Sequence[tuple[TriggerState, FeedPointer]]
) -> None:
    """Send the age of each feed in force, and whether it is late, and by whose fault."""
    platform, now = on.platform, on.now
    if not platform.settings.metrics_enabled:
        return
    ages = {feed.tenant_id: now - feed.in_force.published_at for _, feed in feeds}
    platform.metrics.feed_ages(
        {name: age.total_seconds() for name, age in ages.items()}
    )
    lates = {
        feed.tenant_id: late_at(state, feed.in_force.published_at)
        for state, feed in feeds
    }
    asked = [name for name, late in lates.items() if late is not None and late < now]
    last_runs = platform.runs.last_runs(asked)
    platform.metrics.feeds_judged(
        [
            event_of_feed(name, late, last_runs.get(name), now)
            for name, late in lates.items()
        ]
    )


@dataclass
class Round(Memory):
    """The place up to which a round has come, "" where it is over; when it has begun."""

    after: str = ""
    begun_at: float = 0

    def goes_on(self, now: datetime, pause: timedelta) -> bool:
        """Begin a round if it is time; tell whether there is one."""
        if not self.after:
            if now.timestamp() - self.begun_at < pause.total_seconds():
                return False
            self.begun_at = now.timestamp()
        return True


def expire_runs(on: Occasion, place: Round) -> int:
    """Delete the records of runs that ended long enough ago; return how many.

    The records stay of feeds that are in force, kept or held, and of what kept ones were compared
    with.
    """
    platform, now, deadline = on.platform, on.now, on.deadline
    if not place.goes_on(now, _RUNS_ROUND):
        return 0
    days = max(platform.settings.retention_days, MIN_RECORD_DAYS)
    before, count = now - timedelta(days=days), 0

    def expire(record: RunRecord) -> None:
        nonlocal count
        if _is_over(record, before) and not _is_needed(platform, record, now):
            count += platform.runs.expire(record, now)

    def report(record: RunRecord, error: Exception) -> None:
        report_fault(platform.metrics, "run_not_expired", error, **record.log_facts)

    oldest = platform.runs.ids_by_request(place.after, before)
    while page := list(islice(oldest, AT_ONCE)):
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
    """Return whether a run ended before an instant, and nothing of it is open."""
    # A record stays for longer than the queue keeps a dead letter.
    is_settled = (
        record.acknowledged_at is not None and record.lock_state is LockState.NONE
    )
    has_ended = record.has_ended and record.status is not RunStatus.HELD
    return is_settled and has_ended and (record.finished_at or before) < before


def _is_needed(platform: Platform, record: RunRecord, now: datetime) -> bool:
    """Return whether a tenant's feed pointer leads to a run, or to one that was compared with it.

    The record of a feed that was pushed out is needed as long as its copy.
    """
    feed, ids = platform.runs.feed(record.tenant_id), {record.run_id}
    if feed is None:
        return False
    kept = {each.run_id for each in feed.publications} | {
        *filter(None, [feed.held_run_id])
    }
    if (
        record.run_id in kept or record.published_at is None
    ):  # then it was never a baseline
        return record.run_id in kept
    until, keep = now - KEPT_AFTER, platform.settings.keep_published
    is_over = superseded(ids, {record.run_id: record}, feed, until, keep)
    if not is_over and platform.objects.exists(str(record.feed_key)):
        return True
    records = platform.runs.get_many(kept)
    # What cannot be read may have been compared with anything.
    is_known = len(records) == len(kept)
    return not is_known or record.run_id in {
        each.baseline_run_id for each in records.values()
    }


def expire_configs(on: Occasion, place: Round) -> int:
    """Delete versions of configs but for the newest 50 and those that a record names."""
    if not place.goes_on(on.now, _CONFIGS_ROUND):
        return 0
    platform, deadline = on.platform, on.deadline
    data, count = TenantData(platform.database), 0

    def expire(tenant_id: str) -> None:
        nonlocal count
        latest = platform.tenants.latest_version(tenant_id) or 0
        if latest > KEPT_CONFIGS:
            count += data.remove_old_configs(tenant_id, latest, KEPT_CONFIGS)
        place.after = tenant_id

    def report(tenant_id: str, error: Exception) -> None:
        report_fault(
            platform.metrics, "configs_not_expired", error, tenant_id=tenant_id
        )

    tenant_ids = sorted(
        each for each in platform.tenants.all_tenant_ids() if each > place.after
    )
    drain(tenant_ids, expire, report, deadline=deadline)
    if not deadline.has_passed():
        place.after = ""
    return count
