"""Duties that are about no single run: partitions, old runs, the queue's attributes."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import pytest

from builders import config_document
from fakes import FakeClock, embedded_platform
from relay_dagster.reconciler.cursor import ReconcilerCursor
from relay_dagster.reconciler.housekeeping import check_queue, delete_old_runs, sync_partitions
from relay_dagster.runs.ports import Executions, utc_now
from relay_dagster.wiring import Platform


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
    platform.tenants.put(tenant_id, json.dumps(config_document(tenant_id=tenant_id)))


def test_a_new_tenant_gets_its_partition(platform: Platform) -> None:
    partitions, cursor = Partitions(), ReconcilerCursor()
    sync_partitions(platform, partitions, cursor, utc_now())
    store_config(platform, "acme")
    assert sync_partitions(platform, partitions, cursor, utc_now()) == ["acme"]
    assert partitions.tenants() == {"acme"}


def test_a_tenant_that_is_gone_loses_its_partition(platform: Platform) -> None:
    partitions = Partitions("gone")
    store_config(platform, "acme")
    sync_partitions(platform, partitions, ReconcilerCursor(), utc_now())
    assert partitions.tenants() == {"acme"}


def test_a_tenant_that_is_gone_keeps_its_partition_while_it_is_executed_for(
    platform: Platform,
) -> None:
    partitions = Partitions("gone", in_use=["gone"])
    sync_partitions(platform, partitions, ReconcilerCursor(), utc_now())
    assert partitions.tenants() == {"gone"}


def test_all_tenants_are_compared_once_an_hour_alone(platform: Platform) -> None:
    partitions, cursor, now = Partitions(), ReconcilerCursor(), utc_now()
    sync_partitions(platform, partitions, cursor, now)
    partitions.add_tenants(["gone"])
    sync_partitions(platform, partitions, cursor, now + timedelta(minutes=59))
    assert partitions.tenants() == {"gone"}
    sync_partitions(platform, partitions, cursor, now + timedelta(minutes=60))
    assert partitions.tenants() == set()


def test_a_queue_that_differs_from_the_variables_is_told(platform: Platform) -> None:
    assert check_queue(platform) == []
    platform.clients.sqs.set_queue_attributes(
        QueueUrl=platform.queue.queue_url, Attributes={"VisibilityTimeout": "30"}
    )
    assert check_queue(platform) == ["VisibilityTimeout is 30, not 300"]


def test_runs_are_forgotten_that_ended_longer_ago_than_artifacts_are_kept(
    platform: Platform,
) -> None:
    class Asked(Executions):
        """Keeps what it was asked to forget."""

        def delete_ended_before(self, instant: datetime, *, at_most: int) -> int:
            self.before, self.at_most = instant, at_most
            return 3

    now, executions = utc_now(), Asked()
    assert delete_old_runs(platform, executions, now) == 3
    assert executions.before == now - timedelta(days=platform.settings.retention_days)
    assert executions.at_most == 25
