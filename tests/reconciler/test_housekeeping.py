"""Partitions for tenants, and what the queue itself has moved to the dead letters."""

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest

from builders import config_document
from fakes import FakeClock, embedded_platform
from relay_core.domain.models import RunStatus
from relay_dagster.orchestration.dagster_instance import DagsterRuns
from relay_dagster.orchestration.jobs import INVENTORY_SYNC
from relay_dagster.reconciler.cursor import Memory
from relay_dagster.reconciler.housekeeping import (
    check_queue,
    delete_old_runs,
    settle_dead_letters,
    sync_partitions,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform(FakeClock()) as platform:
        yield platform


@pytest.fixture
def dagster() -> Iterator[DagsterRuns]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield DagsterRuns(instance)


def store_config(platform: Platform, tenant_id: str) -> None:
    platform.tenants.put(tenant_id, json.dumps(config_document(tenant_id=tenant_id)))


def stray(platform: Platform, job: Job) -> None:
    """Let a job lie in the dead letters as the queue's own redrive leaves it."""
    platform.clients.sqs.send_message(QueueUrl=platform.queue.dlq_url, MessageBody=job.body())


def new_job(tenant_id: str = "acme") -> Job:
    return Job(str(uuid.uuid4()), tenant_id)


def test_a_new_tenant_gets_its_partition(platform: Platform, dagster: DagsterRuns) -> None:
    memory = Memory()
    sync_partitions(platform, dagster, memory, utc_now())
    store_config(platform, "acme")
    assert sync_partitions(platform, dagster, memory, utc_now()) == ["acme"]
    assert dagster.tenants() == {"acme"}


def test_a_tenant_that_is_gone_loses_its_partition(
    platform: Platform, dagster: DagsterRuns
) -> None:
    dagster.add_tenants(["gone"])
    store_config(platform, "acme")
    sync_partitions(platform, dagster, Memory(), utc_now())
    assert dagster.tenants() == {"acme"}


def test_a_message_that_was_moved_while_its_run_has_attempts_left_is_sent_again(
    platform: Platform,
) -> None:
    record = platform.ledger.reserve(NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")).record
    stray(platform, record.job)
    assert settle_dead_letters(platform) == 1
    assert platform.queue.peek_dead() == []
    (message,) = platform.queue.receive()
    assert Job.parse(message.body) == record.job


def test_a_moved_job_without_a_record_becomes_poison(platform: Platform) -> None:
    job = new_job()
    stray(platform, job)
    settle_dead_letters(platform)
    record = platform.runs.get(job.run_id)
    assert record is not None
    assert (record.status, record.error_code) == (RunStatus.FAILED, "POISON_JOB")
    assert len(platform.queue.peek_dead()) == 1


def test_a_moved_message_of_a_run_that_ended_is_deleted(platform: Platform) -> None:
    record = platform.ledger.reserve(NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")).record
    platform.ledger.cancel(record.run_id)
    stray(platform, record.job)
    settle_dead_letters(platform)
    assert platform.queue.peek_dead() == []


@pytest.mark.parametrize("ended", [False, True], ids=["under way", "ended"])
def test_a_moved_message_with_another_body_stays_and_touches_no_run(
    platform: Platform, ended: bool
) -> None:
    run_id = str(uuid.uuid4())
    record = platform.ledger.reserve(NewRun(run_id=run_id, tenant_id="acme")).record
    if ended:
        record = platform.ledger.cancel(run_id)
    stray(platform, Job(run_id, "other"))
    assert settle_dead_letters(platform) == 0
    assert platform.runs.get(run_id) == record
    assert len(platform.queue.peek_dead()) == 1
    assert platform.queue.receive() == []


def test_what_was_put_there_on_purpose_stays(platform: Platform) -> None:
    platform.queue.send_dead("hello", cause="invalid_job: not JSON")
    platform.queue.send_dead(new_job().body(), cause="job_conflict: another body")
    assert settle_dead_letters(platform) == 0
    assert len(platform.queue.peek_dead()) == 2


def test_a_body_that_is_no_job_stays_for_the_operator(platform: Platform) -> None:
    platform.clients.sqs.send_message(QueueUrl=platform.queue.dlq_url, MessageBody="hello")
    assert settle_dead_letters(platform) == 0
    assert len(platform.queue.peek_dead()) == 1


def test_a_queue_that_differs_from_the_variables_is_told(platform: Platform) -> None:
    assert check_queue(platform) == []
    platform.clients.sqs.set_queue_attributes(
        QueueUrl=platform.queue.queue_url, Attributes={"VisibilityTimeout": "30"}
    )
    assert check_queue(platform) == ["VisibilityTimeout is 30, not 300"]


def test_dagster_forgets_runs_that_ended_longer_ago_than_artifacts_are_kept(
    platform: Platform,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        ended = [_dagster_run(instance, dg.DagsterRunStatus.SUCCESS) for _ in range(2)]
        executing = _dagster_run(instance, dg.DagsterRunStatus.STARTED)
        another = _dagster_run(instance, dg.DagsterRunStatus.SUCCESS, job_name="somebody_elses")
        runs, days = DagsterRuns(instance), platform.settings.retention_days
        assert delete_old_runs(platform, runs, utc_now() + timedelta(days=days - 1)) == 0
        assert delete_old_runs(platform, runs, utc_now() + timedelta(days=days + 1)) == 2
        left = {run.run_id for run in instance.get_runs()}
        assert left == {executing, another}
        assert left.isdisjoint(ended)


def _dagster_run(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job_name: str = INVENTORY_SYNC
) -> str:
    run = dg.DagsterRun(job_name=job_name, run_id=str(uuid.uuid4()), status=status)
    return instance.add_run(run).run_id
