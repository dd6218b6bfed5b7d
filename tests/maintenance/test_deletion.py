"""Deletions that go on: waited for, killed after any call, and swept once more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster import tags
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.housekeeping import (
    PartitionSync,
    sync_partitions,
)
from relay_dagster.maintenance.messages import resolve_dead_letters
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import (
    DagsterExecutions,
    DagsterPartitions,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.ports import utc_now
from relay_dagster.tenants.audit import Action
from relay_dagster.tenants.deletion import SWEPT_AFTER, Deletion, TenantState
from relay_dagster.wiring import Platform
from relay_dagster.work.item import LEASE
from support.api_world import ApiWorld
from support.deletions import due_deletions
from support.fakes import FakeClock, embedded_platform, peek_dead
from support.tenant_leftovers import kept_by_aws, naming

TENANT = "acme"
CLOSING = TenantState.CLOSING
DELETING = TenantState.DELETING
DELETED = TenantState.DELETED
STATUS = dg.DagsterRunStatus
MAX_TICKS = 300


class Killed(BaseException):
    """The process dies."""


class World:
    """A platform, a Dagster instance and a clock, with a tenant that is to be deleted."""

    def __init__(
        self, platform: Platform, instance: dg.DagsterInstance
    ) -> None:
        self.clock = FakeClock(utc_now())
        deletions = DeletionStore(replace(platform.database, clock=self.clock))
        self.platform = replace(platform, deletions=deletions)
        self.instance = instance
        self.api = ApiWorld(self.platform)
        self.api.store_config()

    def ask(self) -> Deletion:
        return self.platform.closing.ask(TENANT)

    def tick(self) -> None:
        DeletionTick(
            self.platform, DagsterHistory(self.instance), clock=self.clock
        ).run()

    def reconcile(self) -> None:
        ReconcileTick(self.platform, DagsterExecutions(self.instance)).run()

    def take_in(self) -> None:
        """Take in what is in the queue, as the sensor does."""
        IntakeTick(self.platform, DagsterExecutions(self.instance), 10).run(
            poll_seconds=0
        )

    def deletion(self) -> Deletion:
        current_deletion = self.platform.deletions.get(TENANT)
        assert current_deletion is not None
        return current_deletion

    @property
    def state(self) -> TenantState:
        return self.deletion().state

    def delete(self) -> None:
        """Delete the tenant, whose time is over."""
        self.ask()
        for _ in range(5):
            self.clock.advance(hours=1)
            self.reconcile()
            self.tick()
            if self.state is DELETED:
                return
        raise AssertionError(f"still {self.deletion()}")

    def left(self) -> set[str]:
        """Return where something of the tenant is left, beside tombstone and audit.

        The messages of its runs go when they are received.
        """
        self.take_in()
        settings = self.platform.settings
        contents = naming(kept_by_aws(self.platform), [TENANT])
        allowed = (
            f"{settings.audit_table}/",
            f"{settings.tenants_table}/DELETION#",
        )
        return {place for place in contents if not place.startswith(allowed)}

    def letters(self) -> list[dict[str, Any]]:
        return [
            {**json.loads(letter.body), **letter.attributes}
            for letter in peek_dead(self.platform.queue)
        ]


@pytest.fixture
def world() -> Iterator[World]:
    changes = {"deletion_grace_hours": 1, "uploads_queue_url": None}
    with (
        embedded_platform(**changes) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield World(platform, instance)


def dagster_run(world: World, status: dg.DagsterRunStatus, **more: str) -> str:
    run_tags = {tags.PARTITION: TENANT, **more}
    run_id = str(uuid.uuid4())
    run = dg.DagsterRun(
        job_name="inventory_sync", run_id=run_id, status=status, tags=run_tags
    )
    return world.instance.add_run(run).run_id


# --- waiting --------------------------------------------------------------------------------------


def test_nothing_is_removed_before_its_time(world: World) -> None:
    deletion = world.ask()
    world.platform.objects.put("tenants/acme/inbound/feed.csv", b"x")
    world.tick()
    assert world.deletion().stopped_at is not None
    world.clock.advance(minutes=59)
    world.tick()
    assert world.state is CLOSING
    assert world.platform.objects.exists("tenants/acme/inbound/feed.csv")
    assert due_deletions(world.platform.deletions, world.clock()) == []
    world.clock.now = deletion.delete_after
    world.tick()
    assert world.state is DELETED
    assert world.left() == set()


def test_a_tenant_that_rests_is_looked_at_no_more_until_its_time(
    world: World,
) -> None:
    world.ask()
    (due,) = due_deletions(world.platform.deletions, world.clock())
    assert due.tenant_id == TENANT
    world.tick()
    later = world.clock.advance(minutes=30)
    assert due_deletions(world.platform.deletions, later) == []
    assert world.platform.deletions.listed() == {TENANT}


def test_a_run_that_the_asker_did_not_come_to_is_cancelled(
    world: World,
) -> None:
    posted = world.api.post_run()
    # Whoever asked has died before that.
    world.platform.deletions.ask(TENANT, timedelta(hours=1))
    world.tick()
    assert world.api.run_of(posted).status is RunStatus.CANCELLED


def test_what_still_executes_is_waited_for(world: World) -> None:
    run_id = dagster_run(world, STATUS.STARTED)
    world.ask()
    world.clock.advance(hours=2)
    world.tick()
    assert (world.state, world.deletion().step) == (DELETING, "end")
    assert world.platform.tenants.latest(TENANT) is not None
    (run,) = world.instance.get_runs()
    world.instance.report_run_canceled(run)
    world.tick()
    assert world.state is DELETED
    assert world.instance.get_run_by_id(run_id) is None


def test_a_run_that_is_not_settled_is_waited_for(world: World) -> None:
    run_id = world.api.post_run().json()["run_id"]
    world.api.succeed(run_id)
    world.ask()
    world.clock.advance(hours=2)
    world.tick()
    assert (world.state, world.deletion().step) == (DELETING, "runs")
    assert world.platform.runs.get(run_id) is not None
    world.reconcile()
    world.tick()
    assert world.state is DELETED
    assert world.left() == set()


def test_one_that_cannot_go_on_holds_up_no_other(world: World) -> None:
    world.ask()
    world.clock.advance(hours=2)
    s3 = world.platform.clients.s3
    with failing(s3, "ListObjectVersions"):
        world.tick()
    assert world.state is DELETING
    assert due_deletions(world.platform.deletions, world.clock()) == []
    world.clock.advance(seconds=31)
    world.tick()
    assert world.state is DELETED


@contextmanager
def failing(client: Any, operation: str) -> Iterator[None]:
    """Let a call break off."""

    def break_off(**_: Any) -> None:
        raise RuntimeError("broken off")

    event = f"before-call.s3.{operation}"
    client.meta.events.register(event, break_off)
    try:
        yield
    finally:
        client.meta.events.unregister(event, break_off)


# --- killed ---------------------------------------------------------------------------------------


class Executioner:
    """Kills a process once it has made so many calls of AWS, before or after the last."""

    def __init__(self, platform: Platform, *, after_call: bool) -> None:
        self.left = 0
        clients = platform.clients
        for client in (
            clients.s3,
            clients.dynamodb,
            clients.sqs,
            clients.cloudwatch,
        ):
            name = "after-call" if after_call else "before-call"
            client.meta.events.register(name, self._count)

    def _count(self, **_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed


@pytest.mark.parametrize("after_call", [False, True], ids=["before", "after"])
def test_a_deletion_that_is_killed_at_any_call_goes_on(
    world: World, after_call: bool
) -> None:
    furnish(world)
    world.ask()
    world.reconcile()
    world.clock.advance(hours=2)
    executioner = Executioner(world.platform, after_call=after_call)
    lives = 1
    while not lived(world, executioner, lives):
        lives += 1
        assert lives < MAX_TICKS
    executioner.left = 0
    assert lives > 10
    assert world.state is DELETED
    assert world.left() == set()
    assert (
        len(
            world.platform.audit.list_entries(
                TENANT, Action.TENANT_DELETED
            ).items
        )
        == 1
    )


def lived(world: World, executioner: Executioner, calls: int) -> bool:
    """Let a tick live for so many calls; tell whether it has lived to its end."""
    executioner.left = calls
    try:
        world.tick()
    except Killed:
        # Its lease runs out.
        world.clock.now += LEASE
        return False
    executioner.left = 0
    return True


def furnish(world: World) -> None:
    """Give the tenant some of each thing, with more runs than are removed at once."""
    platform = world.platform
    api = world.api
    s3 = platform.clients.s3
    bucket = platform.settings.artifact_bucket
    api.store_config(default_currency="EUR")
    api.issue_key(TENANT)
    platform.objects.put("tenants/acme/inbound/feed.csv", b"x")
    s3.create_multipart_upload(
        Bucket=bucket, Key="tenants/acme/inbound/big.csv"
    )
    for number in range(3):
        posted = api.post_run({"Idempotency-Key": str(number)})
        api.succeed(posted.json()["run_id"])
        platform.runs.beat(posted.json()["run_id"], 1)
    platform.queue.send_dead(
        Job(str(uuid.uuid4()), TENANT).body(), cause="a cause"
    )
    platform.pauses.begin(TENANT, "nothing more")
    dagster_run(world, STATUS.SUCCESS)


# --- jobs of a tenant that goes -------------------------------------------------------------------


def test_its_jobs_go_to_the_dead_letters(world: World) -> None:
    world.ask()
    job = Job(str(uuid.uuid4()), TENANT)
    world.platform.queue.send(job)
    world.take_in()
    (letter,) = world.letters()
    assert letter["run_id"] == job.run_id
    assert letter["cause"].startswith("TENANT_CLOSING: ")
    assert world.platform.runs.get(job.run_id) is None
    assert world.platform.queue.receive() == []


def test_what_the_queue_has_moved_there_itself_stays_until_the_tenant_goes(
    world: World,
) -> None:
    world.ask()
    body = Job(str(uuid.uuid4()), TENANT).body()
    world.platform.clients.sqs.send_message(
        QueueUrl=world.platform.queue.dlq_url, MessageBody=body
    )
    assert resolve_dead_letters(world.platform) == 0
    assert len(world.letters()) == 1
    world.delete()
    assert world.letters() == []


def test_a_job_from_before_is_deleted_with_the_tenant_and_one_from_after_is_not(
    world: World,
) -> None:
    old = Job(str(uuid.uuid4()), TENANT)
    world.clock.now = utc_now()
    world.platform.queue.send(old)
    world.clock.advance(seconds=2)
    world.delete()
    world.take_in()
    assert (world.platform.runs.get(old.run_id), world.letters()) == (None, [])
    assert world.left() == set()
    assert world.platform.queue.receive() == []


# --- swept ----------------------------------------------------------------------------------------


def test_what_comes_late_is_swept_once_more(world: World) -> None:
    world.delete()
    world.platform.objects.put(
        "tenants/acme/inbound/late.csv", b"by a form from before"
    )
    world.clock.advance(minutes=19)
    world.tick()
    assert world.left() != set()
    world.clock.advance(seconds=SWEPT_AFTER.total_seconds())
    world.tick()
    assert world.left() == set()
    assert (world.state, world.deletion().due_at) == (DELETED, None)
    assert world.platform.deletions.listed() == set()


def test_a_tenant_that_was_made_anew_is_not_swept(world: World) -> None:
    world.delete()
    assert world.api.store_config().status_code == 201
    world.platform.objects.put("tenants/acme/inbound/feed.csv", b"its own")
    world.clock.advance(hours=1)
    world.tick()
    assert world.platform.objects.exists("tenants/acme/inbound/feed.csv")
    assert world.platform.tenants.latest_version(TENANT) == 1
    assert world.platform.deletions.listed() == set()


def test_a_tenant_that_is_made_anew_has_its_partition_at_once(
    world: World,
) -> None:
    world.delete()
    partitions = DagsterPartitions(world.instance)
    cursor = PartitionSync()
    assert sync_partitions(world.platform, partitions, cursor, utc_now()) == []
    assert world.platform.deletions.listed() == {TENANT}
    assert world.api.store_config().status_code == 201
    assert world.platform.deletions.listed() == set()
    assert sync_partitions(world.platform, partitions, cursor, utc_now()) == [
        TENANT
    ]
    world.ask()
    assert world.platform.deletions.listed() == {TENANT}


def test_while_it_is_swept_no_tenant_is_made_anew(world: World) -> None:
    world.delete()
    running = dagster_run(world, STATUS.STARTED)
    world.clock.advance(hours=1)
    world.tick()
    assert world.deletion().is_swept
    assert world.api.store_config().json()["error_code"] == "TENANT_CLOSING"
    run = world.instance.get_run_by_id(running)
    assert run is not None
    world.instance.report_run_canceled(run)
    world.tick()
    assert world.api.store_config().status_code == 201


def test_one_that_was_deleted_can_be_deleted_again(world: World) -> None:
    world.delete()
    world.api.store_config()
    assert world.ask().state is CLOSING
    world.delete()
    entries = world.platform.audit.list_entries(
        TENANT, Action.TENANT_DELETED
    ).items
    assert len(entries) == 2
    assert (
        world.api.client.get(f"/v1/tenants/{TENANT}").json()["state"] == DELETED
    )
