"""The intake on an embedded queue: what a received message does to record, queue and Dagster."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster import tags
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.drain import AFTER_A_FAULT
from relay_dagster.external_errors import ThrottledError
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.maintenance.messages import resolve_dead_letters
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_instance import DagsterExecutions
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    DueQueue,
    LockState,
    NewRun,
    RunRecord,
    Trigger,
)
from relay_dagster.runs.poll_schedule import WAITS_HIDDEN
from relay_dagster.runs.ports import AttemptState
from relay_dagster.wiring import Platform
from support.fakes import (
    NOW,
    CallCounter,
    FakeClock,
    embedded_platform,
    peek_dead,
)


@pytest.fixture
def platform(clock: FakeClock) -> Iterator[Platform]:
    # Messages come again at once, so that a test need not wait for them.
    with embedded_platform(clock, visibility_timeout_seconds=0) as platform:
        platform.clients.sqs.set_queue_attributes(
            QueueUrl=platform.queue.url, Attributes={"VisibilityTimeout": "0"}
        )
        yield platform


def tick(
    platform: Platform,
    instance: dg.DagsterInstance,
    clock: FakeClock,
    room: int = 1,
    **options: bool,
) -> IntakeTick:
    """Receive once: messages come again at once, so one look is told from the next by room."""
    looks = iter([0.0, *[99.0] * 99])
    intake = IntakeTick(
        platform,
        DagsterExecutions(instance),
        room,
        clock=clock,
        monotonic=lambda: next(looks),
        **options,
    )
    intake.run(poll_seconds=0)
    return intake


def posted(platform: Platform, tenant_id: str = "acme") -> RunRecord:
    """Reserve a run and send its message, as the API does."""
    request = NewRun(run_id=str(uuid.uuid4()), tenant_id=tenant_id)
    record = platform.ledger.reserve(request).record
    return platform.ledger.messages.mark_sent(
        record.run_id, platform.queue.send(record.job)
    )


def current(platform: Platform, record: RunRecord) -> RunRecord:
    current_record = platform.runs.get(record.run_id)
    assert current_record is not None
    return current_record


def counted(platform: Platform, url: str) -> int:
    answer = platform.clients.sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def in_queue(platform: Platform) -> int:
    return counted(platform, platform.queue.url)


def in_dlq(platform: Platform) -> int:
    return counted(platform, platform.queue.dlq_url)


def test_a_posted_run_is_dispatched_and_its_message_kept(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    assert [
        record.run_id for record in tick(platform, instance, clock).dispatched
    ] == [record.run_id]
    after = current(platform, record)
    assert (after.attempt, after.is_dispatched) == (1, True)
    assert after.receipt_handle is not None
    assert in_queue(platform) == 1


@pytest.mark.parametrize("dies", [False, True], ids=["dispatched", "dies"])
def test_an_intake_that_dies_costs_half_a_minute_and_not_the_whole_time_out(
    instance: dg.DagsterInstance, clock: FakeClock, dies: bool
) -> None:
    with embedded_platform(clock) as platform:
        posted(platform)
        client = platform.clients.sqs
        hidden = list[int]()

        def note(params: dict[str, Any], **_: Any) -> None:
            hidden.append(json.loads(params["body"])["VisibilityTimeout"])

        def die(**_: Any) -> None:
            raise SystemExit

        handlers: list[tuple[Any, str, Callable[..., None]]] = [
            (sqs_client.meta.events, f"before-call.sqs.{call}", note)
            for sqs_client in (client, platform.clients.sqs_polling)
            for call in ("ReceiveMessage", "ChangeMessageVisibility")
        ]
        if dies:
            events = platform.clients.dynamodb.meta.events
            handlers.append(
                (events, "before-call.dynamodb.TransactWriteItems", die)
            )
        for events, name, handler in handlers:
            events.register(name, handler)
        try:
            with pytest.raises(SystemExit) if dies else nullcontext():
                tick(platform, instance, clock)
        finally:
            for events, name, handler in handlers:
                events.unregister(name, handler)
        assert hidden == ([30] if dies else [30, 300])


def test_a_message_is_one_look_at_its_run_and_one_write(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    posted(platform)
    calls = CallCounter(platform)
    tick(platform, instance, clock)
    assert (
        dict(calls)
        == {
            "dynamodb.Query": 4,  # of what is due, by shards
            "sqs.ReceiveMessage": 1,
            "dynamodb.GetItem": 1,
            "dynamodb.TransactWriteItems": 1,
            "sqs.ChangeMessageVisibility": 1,  # to the whole time-out, once it is dispatched
        }
    )


def test_a_request_that_dagster_never_got_is_made_again_as_the_same_attempt(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    tick(platform, instance, clock)
    again = tick(platform, instance, clock).dispatched
    assert [(record.run_id, record.attempt) for record in again] == [
        (record.run_id, 1)
    ]
    assert current(platform, record).attempt == 1


def test_a_request_that_dagster_has_is_not_made_again(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    tick(platform, instance, clock)
    add_run(instance, record, attempt=1)
    assert tick(platform, instance, clock).dispatched == []


def add_run(
    instance: dg.DagsterInstance, record: RunRecord, attempt: int
) -> None:
    """Let the instance know of a Dagster run that waits for its turn."""
    run = dg.DagsterRun(
        job_name="inventory_sync",
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.NOT_STARTED,
        tags=tags.run_tags(record.run_id, record.tenant_id, attempt=attempt),
    )
    instance.add_run(run)


def test_a_job_sent_straight_to_the_queue_gets_a_record_and_runs(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    job = Job(str(uuid.uuid4()), "acme")
    platform.queue.send(job)
    (record,) = tick(platform, instance, clock).dispatched
    assert (record.run_id, record.trigger) == (job.run_id, Trigger.QUEUE)


def test_a_job_for_a_busy_tenant_waits_out_of_sight_and_takes_no_capacity(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    platform.ledger.reserve(NewRun(run_id=str(uuid.uuid4()), tenant_id="acme"))
    job = Job(str(uuid.uuid4()), "acme")
    platform.queue.send(job)
    assert tick(platform, instance, clock).dispatched == []
    waiting = platform.runs.get(job.run_id)
    assert waiting is not None
    assert (waiting.lock_state, waiting.attempt) == (LockState.QUEUED, 0)
    assert waiting.hidden_until == clock.now + WAITS_HIDDEN
    assert in_queue(platform) == 0


def test_a_body_that_is_no_job_goes_to_the_dead_letters_with_its_cause(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    platform.clients.sqs.send_message(
        QueueUrl=platform.queue.url, MessageBody="hello"
    )
    tick(platform, instance, clock)
    (dead,) = peek_dead(platform.queue)
    assert dead.body == "hello"
    assert dead.attributes["cause"].startswith(
        "invalid_job: the body is not JSON"
    )
    assert in_queue(platform) == 0


def test_another_body_under_a_known_run_id_goes_to_the_dead_letters(
    platform: Platform,
    instance: dg.DagsterInstance,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    platform.queue.send(Job(record.run_id, "other"))
    tick(platform, instance, clock)
    (dead,) = peek_dead(platform.queue)
    assert dead.attributes["cause"].startswith("job_conflict: ")
    assert dead.attributes["run_id"] == record.run_id
    assert current(platform, record) == record
    (line,) = [
        json.loads(line) for line in capsys.readouterr().err.splitlines()
    ]
    logged = (line["event"], line["run_id"], line["tenant_id"])
    assert logged == ("job_refused", record.run_id, "other")


def test_the_body_of_a_run_whose_record_is_gone_goes_to_the_dead_letters_and_stays_there(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = platform.ledger.reserve(
        NewRun(run_id=str(uuid.uuid4()), tenant_id="acme")
    ).record
    assert platform.runs.expire(record, clock())
    platform.queue.send(record.job)
    tick(platform, instance, clock)
    (dead,) = peek_dead(platform.queue)
    assert dead.attributes["cause"].startswith("job_expired: ")
    assert dead.attributes["run_id"] == record.run_id
    assert (platform.runs.get(record.run_id), in_queue(platform)) == (None, 0)
    platform.clients.sqs.send_message(
        QueueUrl=platform.queue.dlq_url, MessageBody=record.job.body()
    )
    assert resolve_dead_letters(platform) == 0
    causes = [
        letter.attributes["cause"] for letter in peek_dead(platform.queue)
    ]
    assert causes == [dead.attributes["cause"]] * 2
    assert platform.runs.get(record.run_id) is None


def test_a_message_of_a_final_run_is_deleted(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    platform.ledger.cancel(record.run_id)
    assert tick(platform, instance, clock).dispatched == []
    assert in_queue(platform) == 0
    assert current(platform, record).status is RunStatus.CANCELLED


def test_a_tenant_is_served_lately_for_ten_minutes_after_its_run(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    earlier = posted(platform)
    tick(platform, instance, clock)
    platform.ledger.claim(earlier.run_id, 1, "d-1")
    platform.ledger.cancel(earlier.run_id)
    record = posted(platform)
    intake = tick(platform, instance, clock, room=0)
    clock.advance(minutes=10)
    assert intake.is_served_lately(record)
    clock.advance(seconds=1)
    assert not intake.is_served_lately(record)
    assert intake.is_served_lately(replace(record, attempt=2))
    assert not intake.is_served_lately(posted(platform, "globex"))


def test_a_message_near_its_last_receive_is_replaced_by_a_fresh_one(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    for _ in range(3):
        tick(platform, instance, clock)
    replaced = current(platform, record)
    assert replaced.message_id != record.message_id
    assert replaced.attempt == 1
    (fresh,) = platform.queue.receive()
    assert (fresh.message_id, fresh.receive_count) == (replaced.message_id, 1)
    assert in_dlq(platform) == 0


def test_two_copies_of_a_message_in_one_tick_are_one_attempt(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    platform.queue.send(record.job)
    intake = tick(platform, instance, clock, room=2)
    assert intake.seen == 2
    assert [record.run_id for record in intake.dispatched] == [record.run_id]


def test_where_messages_have_one_receive_a_tick_looks_at_each_of_them_once(
    instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    with embedded_platform(clock, max_attempts=1) as platform:
        record = posted(platform)
        intake = IntakeTick(
            platform, DagsterExecutions(instance), 4, clock=clock
        )
        intake.run(poll_seconds=0)
        assert intake.seen == 1
        assert current(platform, record).message_id != record.message_id


def test_no_more_is_received_than_there_is_room_for(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    for tenant in ("a", "b", "c"):
        posted(platform, tenant)
    assert len(tick(platform, instance, clock, room=2).dispatched) == 2


def test_nothing_is_received_without_room(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    posted(platform)
    full = tick(platform, instance, clock, room=0)
    assert full.seen == 0
    assert "RELAY_INTAKE_LIMIT" in full.summary()


def test_where_places_are_few_a_busy_tenant_s_jobs_and_the_queue_take_turns(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    """A tenant that has sent a hundred jobs gets no more than others that have asked once."""
    waiting = [Job(str(uuid.uuid4()), "greedy") for _ in range(3)]
    new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id="greedy")
    holder = platform.ledger.reserve(new_run).record
    for job in waiting:
        platform.ledger.adopt(job)
        clock.advance(seconds=1)
    reconciler = ReconcileTick(
        platform, DagsterExecutions(instance), clock=clock
    )
    other_tenants = [posted(platform, tenant) for tenant in ("a", "b", "c")]
    served = []
    turns_first = True
    platform.ledger.cancel(holder.run_id)
    for _ in range(4):
        reconciler.run()
        (dispatched,) = tick(
            platform, instance, clock, turns_first=turns_first
        ).dispatched
        served.append(dispatched.tenant_id)
        platform.ledger.cancel(dispatched.run_id)
        turns_first = not turns_first
    assert served == ["greedy", "a", "greedy", "b"]
    assert other_tenants[2].attempt == 0


def test_an_attempt_that_follows_another_comes_before_all(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    again = posted(platform, "again")
    tick(platform, instance, clock)
    posted(platform, "first-time")
    platform.ledger.lose_attempt(
        current(platform, again), "run_process_lost", "it died"
    )
    clock.advance(seconds=15)
    (dispatched,) = tick(platform, instance, clock).dispatched
    assert (dispatched.run_id, dispatched.attempt) == (again.run_id, 2)


def test_an_attempt_that_comes_due_while_the_queue_is_waited_for_is_taken(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    record = posted(platform)
    tick(platform, instance, clock)
    platform.ledger.lose_attempt(
        current(platform, record), "run_process_lost", "it died"
    )
    platform.clients.sqs.purge_queue(QueueUrl=platform.queue.url)

    def passes() -> float:
        return (clock.advance(seconds=5) - NOW).total_seconds()

    waits = IntakeTick(
        platform, DagsterExecutions(instance), 1, clock=clock, monotonic=passes
    )
    assert [record.attempt for record in waits.run(poll_seconds=20)] == [2]


def test_what_was_never_dispatched_is_not_looked_for_in_dagster(
    platform: Platform, clock: FakeClock
) -> None:
    posted(platform)
    blind: Any = None
    looks = iter([0.0, *[99.0] * 9])
    intake = IntakeTick(
        platform, blind, 1, clock=clock, monotonic=lambda: next(looks)
    )
    assert len(intake.run(poll_seconds=0)) == 1


def test_an_attempt_that_cannot_be_dispatched_lets_the_others_go_first(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    class Reluctant(DagsterExecutions):
        def state(self, record: RunRecord) -> AttemptState:
            raise ValueError("no")

    record = posted(platform)
    tick(platform, instance, clock)
    record = current(platform, record)
    platform.ledger.check_again(record, timedelta(0), queue=DueQueue.READY)
    looks = iter([0.0, *[99.0] * 9])
    intake = IntakeTick(
        platform,
        Reluctant(instance),
        1,
        clock=clock,
        monotonic=lambda: next(looks),
    )
    assert intake.run(poll_seconds=0) == []
    assert current(platform, record).due_at == clock.now + AFTER_A_FAULT


def test_one_message_that_cannot_be_handled_holds_nobody_up(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    class Reluctant(DagsterExecutions):
        def state(self, record: RunRecord):  # type: ignore[no-untyped-def]
            if record.tenant_id == "a":
                raise ValueError("no")
            return super().state(record)

    bad = posted(platform, "a")
    platform.ledger.dispatch(bad.run_id, 1, message_id=str(bad.message_id))
    posted(platform, "b")
    looks = iter([0.0, *[99.0] * 9])
    intake = IntakeTick(
        platform,
        Reluctant(instance),
        2,
        clock=clock,
        monotonic=lambda: next(looks),
    )
    assert [record.tenant_id for record in intake.run(poll_seconds=0)] == ["b"]


def test_a_table_that_does_not_tell_what_is_due_does_not_keep_the_queue_waiting(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    class Deaf(RunStore):
        def due(self, *_: object, **__: object) -> list[RunRecord]:
            raise ThrottledError("dynamodb.Query", "slow down")

    posted(platform)
    deaf = Deaf(platform.runs.database)
    assert (
        len(tick(replace(platform, runs=deaf), instance, clock).dispatched) == 1
    )


def test_a_queue_that_does_not_answer_is_told_and_ends_the_tick(
    platform: Platform, instance: dg.DagsterInstance, clock: FakeClock
) -> None:
    platform.clients.sqs.delete_queue(QueueUrl=platform.queue.url)
    failed = tick(platform, instance, clock)
    assert failed.dispatched == []
    assert failed.summary().startswith("queue_receive_error: ")


def test_the_log_names_the_request_that_a_run_came_from(
    platform: Platform,
    instance: dg.DagsterInstance,
    clock: FakeClock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = NewRun(
        run_id=str(uuid.uuid4()), tenant_id="acme", request_id="order-7"
    )
    record = platform.ledger.reserve(request).record
    platform.queue.send(record.job, request_id=record.request_id)
    tick(platform, instance, clock)
    (line,) = [
        json.loads(line) for line in capsys.readouterr().err.splitlines()
    ]
    assert line["event"] == "run_dispatched"
    logged = (line["run_id"], line["tenant_id"], line["request_id"])
    assert logged == (record.run_id, "acme", "order-7")
