"""The reconciler on embedded AWS: dead runs, settled runs, messages and reports."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.metrics import Metrics
from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.execution.published_copies import feed_copy_key, state_key
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_instance import DagsterExecutions
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import NewRun, Outcome, RunRecord
from relay_dagster.runs.ports import AttemptState, utc_now
from relay_dagster.tenants.audit import Action, ActorKind
from relay_dagster.wiring import poll_schedule
from support.builders import config_document
from support.fakes import (
    FakeClock,
    embedded_platform,
    peek_dead,
    published_outcome,
)
from support.reconciler_world import STATUS, World

NOBODY_S_RUN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def world() -> Iterator[World]:
    clock = FakeClock()
    with (
        embedded_platform(clock, max_attempts=2) as platform,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield World(platform, instance, clock)


def test_a_dead_process_costs_the_attempt_and_the_next_is_the_intake_s(
    world: World,
) -> None:
    record = world.executing(STATUS.FAILURE)
    world.ticks(10)
    after = world.current(record)
    assert (after.status, after.error_code) == (
        RunStatus.QUEUED,
        "run_process_lost",
    )
    assert after.next_attempt_at is not None
    assert world.take_in() == []
    world.clock.advance(seconds=11)
    assert world.take_in() == [record.run_id]
    assert world.current(record).attempt == 2


def test_a_silent_run_is_ended_in_dagster_too(world: World) -> None:
    record = world.executing()
    world.platform.runs.beat(record.run_id, 1)
    world.ticks(130)
    assert world.current(record).error_code == "heartbeat_stale"
    run = world.instance.get_run_by_id(str(record.dagster_run_id))
    assert run is not None
    assert run.status is STATUS.FAILURE


def test_a_run_whose_heart_beats_is_left_alone(world: World) -> None:
    record = world.executing()
    for _ in range(4):
        world.ticks(80)
        world.platform.runs.beat(record.run_id, 1)
    assert world.current(record).status is RunStatus.RUNNING
    assert world.in_sight() == []


def test_a_run_that_waited_long_in_dagster_is_not_silent_when_it_begins(
    world: World,
) -> None:
    record = world.dispatched()
    run_id = world.add_run(record, STATUS.NOT_STARTED)
    world.ticks(1800, every=20)
    run = world.instance.get_run_by_id(run_id)
    assert run is not None
    world.instance.report_dagster_event(
        dg.DagsterEvent(
            event_type_value="PIPELINE_START", job_name="inventory_sync"
        ),
        run_id,
    )
    world.ticks(60)
    assert world.current(record).is_dispatched


def test_attempts_used_up_end_in_the_dead_letters_with_the_cause(
    world: World,
) -> None:
    record = world.executing(STATUS.FAILURE)
    world.ticks(40)
    assert world.take_in() == [record.run_id]
    second = world.current(record)
    world.platform.ledger.claim(
        record.run_id, 2, world.add_run(second, STATUS.FAILURE)
    )
    world.ticks(30)
    assert world.current(record).error_code == "POISON_JOB"
    (dead,) = peek_dead(world.platform.queue)
    assert dead.attributes["run_id"] == record.run_id
    assert dead.attributes["cause"].startswith(
        "POISON_JOB: attempts used up (2 of 2)"
    )
    settled = world.current(record)
    assert settled.dlq_message_id == dead.message_id
    assert settled.acknowledged_at is not None
    assert world.report(record, "errors")["error_code"] == "POISON_JOB"
    assert world.report(record, "run_summary")["status"] == "FAILED"


def test_a_run_terminated_in_dagster_is_cancelled_and_frees_its_tenant(
    world: World,
) -> None:
    record = world.executing(STATUS.CANCELED)
    world.ticks(30)
    assert world.current(record).status is RunStatus.CANCELLED
    assert world.platform.runs.lock("acme").active_run_id is None
    assert world.report(record, "run_summary")["status"] == "CANCELLED"
    assert world.current(record).acknowledged_at is not None
    (entry,) = world.platform.audit.list_entries(
        "acme", Action.RUN_CANCELLED
    ).items
    assert (entry.target, entry.actor.kind) == (
        record.run_id,
        ActorKind.DAGSTER,
    )
    assert entry.actor.id == record.dagster_run_id


def test_a_run_that_was_to_be_cancelled_is_so_once_in_the_audit(
    world: World,
) -> None:
    record = world.executing(STATUS.CANCELED)
    world.platform.ledger.request_cancel(record.run_id)
    world.ticks(30)
    assert world.current(record).status is RunStatus.CANCELLED
    (entry,) = world.platform.audit.list_entries(
        "acme", Action.RUN_CANCELLED
    ).items
    assert entry.actor.kind is ActorKind.SYSTEM


def test_a_run_that_was_deleted_in_dagster_is_attempted_again(
    world: World,
) -> None:
    record = world.executing()
    world.instance.delete_run(str(record.dagster_run_id))
    world.ticks(20)
    assert world.current(record).status is RunStatus.QUEUED


def test_a_message_that_was_never_sent_is_sent_once(world: World) -> None:
    request = NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    record = world.platform.ledger.reserve(request).record
    world.tick()
    assert world.in_sight() == []
    world.ticks(65)
    assert world.in_sight() == [record.run_id]
    assert world.current(record).message_id is not None


def test_a_final_run_loses_its_message_and_is_looked_at_no_more(
    world: World,
) -> None:
    record = world.executing(STATUS.FAILURE)
    world.platform.ledger.cancel(record.run_id)
    world.tick()
    assert world.tick() == 0
    assert world.current(record).acknowledged_at is not None


def test_jobs_that_wait_have_their_turn_in_order_when_their_tenant_is_free(
    world: World,
) -> None:
    first = world.posted()
    waiting = [Job(str(uuid.uuid4()), "acme") for _ in range(3)]
    for job in waiting:
        world.platform.queue.send(job)
        world.take_in()
        world.clock.advance(seconds=1)
    world.platform.ledger.cancel(first.run_id)
    for job in waiting:
        world.tick()
        assert world.take_in(room=3) == [job.run_id]
        world.platform.ledger.cancel(job.run_id)


def test_a_job_that_waits_is_called_again_where_the_call_was_lost(
    world: World,
) -> None:
    first = world.posted()
    waiting = Job(str(uuid.uuid4()), "acme")
    world.platform.queue.send(waiting)
    world.take_in()
    world.platform.ledger.messages.acknowledge(
        world.platform.ledger.cancel(first.run_id).run_id
    )
    assert world.tick() == 0
    world.clock.advance(minutes=51)
    world.tick()
    assert world.take_in() == [waiting.run_id]


def test_late_reports_name_the_vendors_of_the_config(world: World) -> None:
    world.platform.tenants.put("acme", json.dumps(config_document()))
    record = world.executing(STATUS.CANCELED)
    world.platform.ledger.pin(record.fence, 1)
    world.ticks(30)
    summary = world.report(record, "run_summary")
    assert summary["vendor_count"] == 1
    assert summary["vendor_record_counts"] == {"vendor_1": 0}


def test_a_run_of_vendors_that_the_config_lacks_is_settled_too(
    world: World,
) -> None:
    world.platform.tenants.put("acme", json.dumps(config_document()))
    world.platform.queue.send(
        Job(NOBODY_S_RUN, "acme", ("vendor_1", "vendor_9"), 1)
    )
    record = world.dispatched(world.received())
    world.platform.ledger.request_cancel(record.run_id)
    world.ticks(70)
    assert world.report(record, "run_summary")["vendor_record_counts"] == {
        "vendor_1": 0
    }
    assert world.current(record).acknowledged_at is not None


def test_a_run_that_died_while_it_published_leaves_no_feed(
    world: World,
) -> None:
    record = world.executing(STATUS.FAILURE)
    world.platform.objects.put(feed_copy_key(record, "csv"), b"sku\n")
    world.platform.ledger.poison(record.run_id, "attempts used up")
    world.tick()
    assert not world.platform.objects.exists(feed_copy_key(record, "csv"))


def test_reports_of_a_run_that_died_before_its_end_tell_how_it_ended(
    world: World,
) -> None:
    record = world.executing(STATUS.FAILURE)
    key = f"{record.run_id}/tenants/acme/reports/run_summary.json"
    world.platform.objects.put(key, b'{"status": "SUCCEEDED"}')
    world.platform.ledger.poison(record.run_id, "attempts used up")
    world.tick()
    assert world.report(record, "run_summary")["status"] == "FAILED"
    assert world.report(record, "errors")["error_code"] == "POISON_JOB"


def test_a_success_that_is_settled_removes_feeds_that_are_long_out_of_force(
    world: World,
) -> None:
    world.platform.objects.put(f"published/acme/{NOBODY_S_RUN}.csv", b"sku\n")
    record = world.executing(STATUS.SUCCESS)
    world.platform.ledger.succeed(
        record.fence, published_outcome(world.platform, record)
    )
    world.platform.ledger.messages.note_reports(record.run_id)
    # Objects carry the true time.
    world.clock.now = utc_now() + timedelta(days=2)
    world.tick()
    assert world.current(record).acknowledged_at is not None
    remaining = {
        item.key for item in world.platform.objects.list_objects("published/")
    }
    assert remaining == {feed_copy_key(record, "csv"), state_key(record)}


class Reluctant(DagsterExecutions):
    """Dagster's runs, of which it does not tell those of tenant ``a``."""

    def state(self, record: RunRecord) -> AttemptState:
        if record.tenant_id == "a":
            raise ValueError("no")
        return super().state(record)


def test_one_run_that_cannot_be_reconciled_holds_no_other_up(
    world: World,
) -> None:
    bad = world.dispatched(world.posted("a"))
    good = world.dispatched(world.posted("b"))
    world.add_run(good, STATUS.FAILURE)
    world.clock.advance(seconds=30)
    tick = ReconcileTick(
        world.platform, Reluctant(world.instance), clock=world.clock
    )
    assert tick.run() == 2
    assert world.current(bad).is_dispatched
    assert world.current(good).error_code == "run_not_started"
    assert world.current(bad).due_at == world.clock.now + AFTER_A_FAULT


def test_a_run_that_cannot_be_reconciled_is_a_worker_error_with_its_calls(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = WorkerErrors()
    platform = replace(world.platform, metrics=counted)
    record = world.dispatched(world.posted("a"))
    world.clock.advance(seconds=30)
    ReconcileTick(platform, Reluctant(world.instance), clock=world.clock).run()
    assert counted.types == ["internal_error"]
    (line,) = events(capsys, "run_not_reconciled")
    assert (line["run_id"], line["error"]) == (record.run_id, "no")
    assert "in state" in line["exception"]


def test_a_verdict_that_comes_too_late_is_told_as_no_error_of_the_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    class EndsMeanwhile(DagsterExecutions):
        def state(self, record: RunRecord) -> AttemptState:
            world.platform.ledger.succeed(record.fence, Outcome())
            return super().state(record)

    counted = WorkerErrors()
    platform = replace(world.platform, metrics=counted)
    record = world.executing(STATUS.SUCCESS)
    world.clock.advance(seconds=30)
    ReconcileTick(
        platform, EndsMeanwhile(world.instance), clock=world.clock
    ).run()
    assert world.current(record).status is RunStatus.SUCCEEDED
    assert counted.types == []
    assert events(capsys, "run_retryable_error") == []


def test_a_run_that_has_more_attempts_than_are_allowed_by_now_ends_as_poison(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    record = world.executing(STATUS.FAILURE)
    world.ticks(20)
    fewer = world.platform.settings.model_copy(update={"max_attempts": 1})
    ledger = RunLedger(
        world.platform.runs, poll_schedule(fewer), clock=world.clock
    )
    world.platform = replace(world.platform, settings=fewer, ledger=ledger)
    world.clock.advance(seconds=20)
    assert world.take_in() == []
    world.ticks(30)
    over = world.current(record)
    assert (over.status, over.error_code) == (RunStatus.FAILED, "POISON_JOB")
    assert str(over.error_message).startswith(
        "attempts used up (1 of 1); the last ended with: the"
    )
    assert world.platform.runs.lock("acme").holder is None
    assert len(events(capsys, "run_failed")) == 1
    (dead,) = peek_dead(world.platform.queue)
    assert dead.attributes["run_id"] == record.run_id


def test_a_tick_that_takes_too_long_goes_on_where_it_stopped(
    world: World,
) -> None:
    for tenant in ("a", "b"):
        world.dispatched(world.posted(tenant))
        world.clock.advance(seconds=1)
    world.clock.advance(seconds=30)
    tenants = []

    class Watched(DagsterExecutions):
        def state(self, record: RunRecord) -> AttemptState:
            tenants.append(record.tenant_id)
            return super().state(record)

    for _ in range(2):
        looks = iter([0.0, 99.0])
        ReconcileTick(
            world.platform,
            Watched(world.instance),
            clock=world.clock,
            monotonic=lambda: next(looks),  # noqa: B023 - called within the round
        ).run()
    assert tenants == ["a", "b"]


class WorkerErrors(Metrics):
    """Keeps the kinds of the errors that it was told of."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def worker_error(self, error_type: str) -> None:
        self.types.append(error_type)


def events(
    capsys: pytest.CaptureFixture[str], name: str
) -> list[dict[str, Any]]:
    """Return the lines of the log about one kind of event."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [line for line in lines if line["event"] == name]
