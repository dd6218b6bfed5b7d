"""Duties that are about no single run: partitions, old runs, the queue's attributes."""

import itertools
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from benchmarks.stored_runs import put_many
from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.aws.metrics import Metrics
from relay_dagster.drain import Deadline
from relay_dagster.maintenance.expiry import delete_old_runs
from relay_dagster.maintenance.housekeeping import (
    RUNS_PER_PAGE,
    Occasion,
    PartitionSync,
    check_queue,
    count_holds,
    sync_partitions,
)
from relay_dagster.runs.ports import ExecutionHistory, utc_now
from relay_dagster.wiring import Platform
from support.api_world import ApiWorld
from support.builders import config_document
from support.fakes import FakeClock, embedded_platform


def at(platform: Platform, now: datetime) -> Occasion:
    return Occasion(platform, now, Deadline.after(60))


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform(FakeClock()) as platform:
        yield platform


class Partitions:
    """The partitions of some tenants, and who of them is executed for."""

    def __init__(self, *tenant_ids: str, in_use: Iterable[str] = ()) -> None:
        self._tenants = set(tenant_ids)
        self._in_use = set(in_use)

    def tenants(self) -> set[str]:
        return set(self._tenants)

    def add_tenants(self, tenant_ids: Iterable[str]) -> list[str]:
        missing = sorted(set(tenant_ids) - self._tenants)
        self._tenants.update(missing)
        return missing

    def is_in_use(self, tenant_id: str) -> bool:
        return tenant_id in self._in_use

    def remove_tenant(self, tenant_id: str) -> None:
        self._tenants.remove(tenant_id)


def store_config(platform: Platform, tenant_id: str) -> None:
    platform.tenants.put(
        tenant_id, json.dumps(config_document(tenant_id=tenant_id))
    )


def test_a_new_tenant_gets_its_partition(platform: Platform) -> None:
    partitions = Partitions()
    cursor = PartitionSync()
    sync_partitions(platform, partitions, cursor, utc_now())
    store_config(platform, "acme")
    assert sync_partitions(platform, partitions, cursor, utc_now()) == ["acme"]
    assert partitions.tenants() == {"acme"}


def test_a_tenant_that_is_gone_loses_its_partition(platform: Platform) -> None:
    partitions = Partitions("gone")
    store_config(platform, "acme")
    sync_partitions(platform, partitions, PartitionSync(), utc_now())
    assert partitions.tenants() == {"acme"}


def test_a_tenant_that_is_gone_keeps_its_partition_while_it_is_executed_for(
    platform: Platform,
) -> None:
    partitions = Partitions("gone", in_use=["gone"])
    sync_partitions(platform, partitions, PartitionSync(), utc_now())
    assert partitions.tenants() == {"gone"}


def test_all_tenants_are_compared_once_an_hour_alone(
    platform: Platform,
) -> None:
    partitions = Partitions()
    cursor = PartitionSync()
    now = utc_now()
    sync_partitions(platform, partitions, cursor, now)
    partitions.add_tenants(["gone"])
    sync_partitions(platform, partitions, cursor, now + timedelta(minutes=59))
    assert partitions.tenants() == {"gone"}
    sync_partitions(platform, partitions, cursor, now + timedelta(minutes=60))
    assert partitions.tenants() == set()


def test_a_queue_that_differs_from_the_variables_is_told(
    platform: Platform,
) -> None:
    assert check_queue(platform) == []
    platform.clients.sqs.set_queue_attributes(
        QueueUrl=platform.queue.url, Attributes={"VisibilityTimeout": "30"}
    )
    assert check_queue(platform) == ["VisibilityTimeout is 30, not 300"]


class Counted(Metrics):
    """Keeps what is told of holds."""

    def __init__(self) -> None:
        self.holds: list[dict[str, int]] = []

    def runs_held(self, holds: Mapping[str, int]) -> None:
        self.holds.append(dict(holds))


def test_holds_that_wait_are_counted_by_tenant_however_many_there_are(
    platform: Platform,
) -> None:
    record = ApiWorld(platform).hold_one()
    metrics = Counted()
    tenants = [
        "acme",
        *(f"tenant_{number}" for number in range(2 * RUNS_PER_PAGE)),
    ]
    put_many(
        platform,
        (
            replace(record, run_id=str(uuid.uuid4()), tenant_id=tenant)
            for tenant in tenants[1:]
        ),
    )
    now = record.finished_at or utc_now()
    assert count_holds(at(replace(platform, metrics=metrics), now)) == len(
        tenants
    )
    assert metrics.holds == [dict.fromkeys(tenants, 1)]


def test_what_is_decided_or_was_never_held_does_not_count(
    platform: Platform,
) -> None:
    world = ApiWorld(platform)
    metrics = Counted()
    platform = replace(platform, metrics=metrics)
    discarded = world.hold_one()
    world.client.post(f"/v1/runs/{discarded.run_id}/cancel")
    world.succeed(str(world.post_run().json()["run_id"]))
    assert count_holds(at(platform, utc_now())) == 0
    assert metrics.holds == [{}]


def test_a_hold_that_is_older_than_artifacts_are_kept_is_given_up(
    platform: Platform,
) -> None:
    world = ApiWorld(platform)
    metrics = Counted()
    platform = replace(platform, metrics=metrics)
    record = world.hold_one()
    held_at = record.finished_at
    days = timedelta(days=platform.settings.retention_days)
    assert held_at is not None
    assert count_holds(at(platform, held_at + days)) == 1
    assert count_holds(at(platform, held_at + days + timedelta(seconds=1))) == 0
    over = platform.runs.get(record.run_id)
    feed = platform.runs.feed(record.tenant_id)
    assert over is not None
    assert feed is not None
    assert (over.status, over.error_code, over.failed_stage) == (
        RunStatus.CANCELLED,
        "HOLD_EXPIRED",
        Stage.WRITE_OUTPUTS,
    )
    assert (feed.held_run_id, metrics.holds) == (
        None,
        [{record.tenant_id: 1}, {}],
    )


class Ended(ExecutionHistory):
    """What was asked to be forgotten."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, bool]] = []

    def delete_ended_before(
        self, instant: datetime, is_late: Callable[[], bool]
    ) -> int:
        self.asked.append((instant, is_late()))
        return 3


def test_runs_are_forgotten_that_ended_longer_ago_than_dagster_is_to_keep_them(
    platform: Platform,
) -> None:
    now = utc_now()
    history = Ended()
    seconds = itertools.count(step=20)
    deadline = Deadline.after(30, lambda: next(seconds))
    on = Occasion(platform, now, deadline)
    assert delete_old_runs(on, history) == 3
    assert delete_old_runs(on, history) == 3
    three_days_ago = now - timedelta(days=3)
    assert history.asked == [(three_days_ago, False), (three_days_ago, True)]


def test_a_comparison_that_fails_is_made_again_at_the_next_tick(
    platform: Platform,
) -> None:
    class Busy(Partitions):
        def remove_tenant(self, tenant_id: str) -> None:
            raise TimeoutError

    cursor = PartitionSync()
    now = utc_now()
    with pytest.raises(TimeoutError):
        sync_partitions(platform, Busy("gone"), cursor, now)
    partitions = Partitions("gone")
    sync_partitions(platform, partitions, cursor, now)
    assert partitions.tenants() == set()
