"""Dagster's instance as the intake and the reconciler see it."""

import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from relay_dagster import tags
from relay_dagster.orchestration.dagster_instance import (
    STATE_OF,
    DagsterExecutions,
    DagsterPartitions,
)
from relay_dagster.orchestration.jobs import INVENTORY_SYNC
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import AttemptState
from support.builders import REQUESTED_AT, RUN_ID

STATUS = dg.DagsterRunStatus
ORIGIN = RemoteJobOrigin(
    RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("relay"), "defs"),
    INVENTORY_SYNC,
)
RECORD = RunRecord(
    run_id=RUN_ID, tenant_id="acme", requested_at=REQUESTED_AT, attempt=2
)


def add_run(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus = STATUS.STARTED,
    *,
    attempt: int = 2,
    job_name: str = INVENTORY_SYNC,
    parent: str | None = None,
    **more_tags: str,
) -> str:
    run = dg.DagsterRun(
        job_name=job_name,
        run_id=str(uuid.uuid4()),
        status=status,
        tags={**tags.run_tags(RUN_ID, "acme", attempt=attempt), **more_tags},
        parent_run_id=parent,
        root_run_id=parent,
        remote_job_origin=ORIGIN if status is STATUS.QUEUED else None,
    )
    return instance.add_run(run).run_id


# --- executions -----------------------------------------------------------------------------------


def test_every_status_that_dagster_writes_is_a_state() -> None:
    # Declared by newer versions, and written by none.
    assert {status for status in STATUS if status.value != "SUSPENDED"} == set(
        STATE_OF
    )


def test_an_attempt_is_found_by_its_tags_before_it_is_claimed(
    instance: dg.DagsterInstance,
) -> None:
    executions = DagsterExecutions(instance)
    add_run(instance, STATUS.FAILURE, attempt=1)
    assert executions.state(RECORD) is AttemptState.ABSENT
    add_run(instance, STATUS.NOT_STARTED)
    assert executions.state(RECORD) is AttemptState.WAITING


def test_a_copy_by_re_execution_is_not_the_attempt(
    instance: dg.DagsterInstance,
) -> None:
    parent = add_run(instance, STATUS.SUCCESS, attempt=1)
    add_run(instance, STATUS.STARTED, parent=parent)
    assert DagsterExecutions(instance).state(RECORD) is AttemptState.ABSENT


def test_runs_that_a_sensor_asked_for_are_counted_until_they_end(
    instance: dg.DagsterInstance,
) -> None:
    sensor = {tags.SENSOR: "sqs_run_sensor"}
    for status in (STATUS.NOT_STARTED, STATUS.STARTED, STATUS.SUCCESS):
        add_run(instance, status, **sensor)
    add_run(instance, STATUS.STARTED)
    assert DagsterExecutions(instance).count_unfinished("sqs_run_sensor") == 2


def test_runs_that_have_waited_in_dagster_s_queue_are_promoted(
    instance: dg.DagsterInstance,
) -> None:
    waiting, ahead, executing = (
        add_run(instance, status, **{tags.PRIORITY: priority})
        for status, priority in (
            (STATUS.QUEUED, "5"),
            (STATUS.QUEUED, "10"),
            (STATUS.STARTED, "5"),
        )
    )
    executions = DagsterExecutions(instance)
    now = datetime.now(UTC)

    def priorities() -> list[str]:
        runs = map(instance.get_run_by_id, (waiting, ahead, executing))
        return [run.tags[tags.PRIORITY] for run in runs if run is not None]

    executions.promote("5", "10", now - timedelta(minutes=10))
    assert priorities() == ["5", "10", "5"]
    executions.promote("5", "10", now + timedelta(seconds=5))
    assert priorities() == ["10", "10", "5"]


@pytest.mark.parametrize(
    ("report", "state"),
    [
        ("report_failed", AttemptState.FAILED),
        ("report_cancelled", AttemptState.CANCELLED),
    ],
)
def test_a_run_that_is_reported_over_is_over(
    instance: dg.DagsterInstance, report: str, state: AttemptState
) -> None:
    executions = DagsterExecutions(instance)
    add_run(instance)
    getattr(executions, report)(RECORD, "its process is gone")
    assert executions.state(RECORD) is state


def test_a_run_that_has_ended_is_reported_no_other_end(
    instance: dg.DagsterInstance,
) -> None:
    executions = DagsterExecutions(instance)
    add_run(instance, STATUS.SUCCESS)
    executions.report_failed(RECORD, "its process is gone")
    assert executions.state(RECORD) is AttemptState.SUCCEEDED


# --- partitions -----------------------------------------------------------------------------------


def test_missing_partitions_are_added_and_named(
    instance: dg.DagsterInstance,
) -> None:
    partitions = DagsterPartitions(instance)
    assert partitions.add_tenants(["b", "a"]) == ["a", "b"]
    assert partitions.add_tenants(["a", "c"]) == ["c"]
    partitions.remove_tenant("a")
    assert partitions.tenants() == {"b", "c"}


def test_a_partition_is_in_use_while_a_run_of_it_has_not_ended(
    instance: dg.DagsterInstance,
) -> None:
    partitions = DagsterPartitions(instance)
    add_run(instance, STATUS.SUCCESS, **{tags.PARTITION: "acme"})
    assert not partitions.is_in_use("acme")
    add_run(instance, STATUS.NOT_STARTED, **{tags.PARTITION: "acme"})
    assert partitions.is_in_use("acme")


def test_a_partition_that_the_other_sensor_adds_at_the_same_moment_is_no_fault(
    instance: dg.DagsterInstance,
) -> None:
    DagsterPartitions(instance).add_tenants(["acme"])
    clashing = ClashingInstance(instance)
    DagsterPartitions(clashing).add_tenants(["acme"])  # type: ignore[arg-type]
    assert clashing.looks == 2


def test_ten_thousand_partitions_are_not_read_to_add_none() -> None:
    nothing_to_read: Any = None
    assert DagsterPartitions(nothing_to_read).add_tenants([]) == []


def test_a_process_that_does_not_end_is_not_waited_for(
    instance: dg.DagsterInstance,
) -> None:
    request_received = threading.Event()
    answers = threading.Event()

    class Frozen:
        """An instance whose launcher waits for a process that is frozen."""

        run_coordinator = property(lambda self: self)

        def __getattr__(self, name: str) -> Any:
            return getattr(instance, name)

        def cancel_run(self, _: str) -> None:
            request_received.set()
            answers.wait(60)

    add_run(instance)
    frozen: Any = Frozen()
    started = time.monotonic()
    DagsterExecutions(frozen).terminate(RECORD)
    answers.set()
    assert request_received.is_set()
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("launcher", "asked"),
    [("DefaultRunLauncher", False), ("EcsRunLauncher", True)],
)
def test_a_silent_process_is_ended_where_it_need_not_be_asked_itself(
    instance: dg.DagsterInstance, launcher: str, asked: bool
) -> None:
    """Dagster's own launcher would hold the code server up until a frozen process answers."""
    ended_runs: list[str] = []

    class Launched:
        run_coordinator = property(lambda self: self)
        run_launcher = type(launcher, (), {})()

        def __getattr__(self, name: str) -> Any:
            return getattr(instance, name)

        def cancel_run(self, dagster_run_id: str) -> None:
            ended_runs.append(dagster_run_id)

    run_id = add_run(instance)
    launched: Any = Launched()
    DagsterExecutions(launched).stop(RECORD)
    assert ended_runs == ([run_id] if asked else [])


def test_a_process_that_nobody_can_ask_is_no_fault(
    instance: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deserted:
        """An instance whose code server is dead."""

        run_coordinator = property(lambda self: self)

        def __getattr__(self, name: str) -> Any:
            return getattr(instance, name)

        def cancel_run(self, _: str) -> None:
            raise ConnectionError("the code server is gone")

    add_run(instance)
    deserted: Any = Deserted()
    DagsterExecutions(deserted).terminate(RECORD)
    assert "the code server is gone" in capsys.readouterr().err


class ClashingInstance:
    """An instance that sees no partition at first: another process inserts it right after."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self.looks = 0

    def has_dynamic_partition(self, name: str, key: str) -> bool:
        self.looks += 1
        return self.looks > 1 and self._instance.has_dynamic_partition(
            name, key
        )

    def add_dynamic_partitions(self, name: str, keys: list[str]) -> None:
        raise RuntimeError("UNIQUE constraint failed")
