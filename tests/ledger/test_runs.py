"""The life of a run, on an embedded DynamoDB: what may follow what, and who holds the tenant."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunFailure
from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.runs.errors import (
    CancelRequestedError,
    ClaimRefusedError,
    CommitLostError,
    DispatchRefusedError,
    FenceLostError,
    IdempotencyKeyReusedError,
    JobConflictError,
    RunAlreadyFinishedError,
    RunError,
    TenantBusyError,
    TransitionRefusedError,
    UnknownRunError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    DueQueue,
    Idempotency,
    LockState,
    NewRun,
    Outcome,
    RunRecord,
    Trigger,
)
from relay_dagster.wiring import Platform
from support.fakes import FakeClock

pytestmark = pytest.mark.platform(max_attempts=2)

KEY = Idempotency(id="digest-of-key", fingerprint="digest-of-body")
FAILURE = RunFailure(
    "validation_errors", "validation errors: 3 invalid rows", Stage.MERGE_PRICE
)


def request(tenant_id: str = "acme", **changes: object) -> NewRun:
    return NewRun(run_id=str(uuid.uuid4()), tenant_id=tenant_id, **changes)  # type: ignore[arg-type]


def job(tenant_id: str = "acme") -> Job:
    return Job(str(uuid.uuid4()), tenant_id)


def reserved(
    ledger: RunLedger, tenant_id: str = "acme", **changes: object
) -> RunRecord:
    return ledger.reserve(request(tenant_id, **changes)).record


def dispatched(
    ledger: RunLedger, record: RunRecord, attempt: int = 1
) -> RunRecord:
    return ledger.dispatch(
        record.run_id, attempt, message_id="m1", receipt_handle="h1"
    )


def running(
    ledger: RunLedger, record: RunRecord | None = None, attempt: int = 1
) -> RunRecord:
    record = record or reserved(ledger)
    dispatched(ledger, record, attempt)
    return ledger.claim(record.run_id, attempt, f"dagster-{attempt}")


# --- asked for --------------------------------------------------------------------------------


def test_a_reserved_run_waits_in_the_queue_and_holds_its_tenant(
    platform: Platform, clock: FakeClock
) -> None:
    record = reserved(
        platform.ledger, config_version=3, vendors=("v1",), request_id="q1"
    )
    assert (record.status, record.stage, record.attempt) == (
        RunStatus.QUEUED,
        Stage.QUEUE,
        0,
    )
    assert record.requested_at == clock.now
    assert record.job == Job(record.run_id, "acme", ("v1",), 3)
    assert platform.runs.get(record.run_id) == record
    assert platform.runs.lock("acme").holder == record.run_id


def test_a_busy_tenant_gets_no_second_run(platform: Platform) -> None:
    first = reserved(platform.ledger)
    second = request()
    with pytest.raises(TenantBusyError) as caught:
        platform.ledger.reserve(second)
    assert caught.value.active_run_id == first.run_id
    assert platform.runs.get(second.run_id) is None


def test_tenants_do_not_hold_each_other_up(ledger: RunLedger) -> None:
    reserved(ledger, "acme")
    assert reserved(ledger, "other").lock_state is LockState.OWNER


def test_the_same_key_and_body_lead_to_the_same_run_while_it_is_active(
    ledger: RunLedger,
) -> None:
    first = ledger.reserve(request(), KEY)
    second = ledger.reserve(request(), KEY)
    assert (first.created, second.created) == (True, False)
    assert second.record == first.record


def test_the_same_key_with_another_body_is_refused(ledger: RunLedger) -> None:
    first = ledger.reserve(request(), KEY).record
    with pytest.raises(IdempotencyKeyReusedError) as caught:
        ledger.reserve(request(), Idempotency(KEY.id, "another"))
    assert first.run_id in str(caught.value)


def test_a_key_is_forgotten_after_a_day(
    ledger: RunLedger, clock: FakeClock
) -> None:
    first = ledger.reserve(request(), KEY).record
    ledger.request_cancel(first.run_id)
    clock.advance(hours=24)
    assert ledger.earlier_run(KEY) is None
    assert ledger.reserve(request(), KEY).created


def test_a_key_leaves_no_trace_where_the_tenant_is_busy(
    ledger: RunLedger,
) -> None:
    reserved(ledger)
    with pytest.raises(TenantBusyError):
        ledger.reserve(request(), KEY)
    assert ledger.earlier_run(KEY) is None


def test_reserving_the_same_run_again_finds_what_got_through(
    ledger: RunLedger,
) -> None:
    new_run = request()
    first = ledger.reserve(new_run)
    assert ledger.reserve(new_run) == first


def test_a_tombstone_is_hidden_final_and_frees_tenant_and_key(
    platform: Platform, clock: FakeClock
) -> None:
    record = platform.ledger.reserve(request(), KEY).record
    dead = platform.ledger.tombstone(record.run_id)
    assert dead.hidden
    assert dead.has_ended
    assert dead.expires_at == clock.now + timedelta(days=30)
    assert platform.runs.get_visible(record.run_id) is None
    assert platform.runs.list_runs().items == ()
    assert platform.runs.lock("acme").active_run_id is None
    assert platform.ledger.reserve(request(), KEY).created


def test_a_late_message_finds_its_tombstone(ledger: RunLedger) -> None:
    record = reserved(ledger)
    ledger.tombstone(record.run_id)
    assert ledger.adopt(record.job).has_ended
    with pytest.raises(RunAlreadyFinishedError):
        dispatched(ledger, record)


def test_a_run_whose_message_arrived_after_all_gets_no_tombstone(
    ledger: RunLedger,
) -> None:
    record = reserved(ledger)
    dispatched(ledger, record)
    record_now = ledger.tombstone(record.run_id)
    assert not record_now.hidden
    assert record_now.is_dispatched


def test_noting_the_send_keeps_the_handle_of_a_message_that_was_already_received(
    ledger: RunLedger,
) -> None:
    record = dispatched(ledger, reserved(ledger))
    assert ledger.messages.mark_sent(record.run_id, "m1").receipt_handle == "h1"


def test_a_message_sent_in_place_of_another_voids_the_old_handle(
    ledger: RunLedger,
) -> None:
    record = reserved(ledger)
    ledger.messages.note_receive(record.run_id, "m1", "h1")
    again = ledger.messages.mark_sent(record.run_id, "m2")
    assert (again.message_id, again.receipt_handle, again.received_at) == (
        "m2",
        None,
        None,
    )


def test_noting_the_send_leaves_a_final_run_alone(ledger: RunLedger) -> None:
    record = reserved(ledger)
    over = ledger.request_cancel(record.run_id)
    assert ledger.messages.mark_sent(record.run_id, "m1") == over


def test_only_one_may_send_what_was_never_sent(
    ledger: RunLedger, clock: FakeClock
) -> None:
    record = reserved(ledger)
    with pytest.raises(TransitionRefusedError):
        ledger.messages.claim_send(record.run_id)
    clock.advance(seconds=60)
    ledger.messages.claim_send(record.run_id)
    with pytest.raises(TransitionRefusedError):
        ledger.messages.claim_send(record.run_id)


def test_a_message_that_waits_in_the_backlog_is_not_sent_again(
    ledger: RunLedger, clock: FakeClock
) -> None:
    record = reserved(ledger)
    ledger.messages.mark_sent(record.run_id, "m1")
    clock.advance(hours=1)
    with pytest.raises(TransitionRefusedError):
        ledger.messages.claim_send(record.run_id)


# --- from the queue ---------------------------------------------------------------------------


def test_a_job_sent_straight_to_the_queue_gets_a_record(
    platform: Platform,
) -> None:
    sent = job()
    record = platform.ledger.adopt(sent, "q1")
    assert (record.trigger, record.lock_state, record.request_id) == (
        Trigger.QUEUE,
        LockState.OWNER,
        "q1",
    )
    assert platform.ledger.adopt(sent) == record
    assert platform.runs.lock("acme").holder == sent.run_id


def test_the_same_run_id_with_another_body_is_a_conflict(
    ledger: RunLedger,
) -> None:
    record = reserved(ledger, config_version=1)
    with pytest.raises(JobConflictError):
        ledger.adopt(Job(record.run_id, "other", None, 1))
    with pytest.raises(JobConflictError):
        ledger.adopt(Job(record.run_id, "acme", None, 2))


def test_a_version_that_was_pinned_later_makes_no_conflict(
    ledger: RunLedger,
) -> None:
    sent = job()
    record = running(ledger, ledger.adopt(sent))
    ledger.pin(record.fence, 4)
    assert ledger.adopt(sent).config_version == 4


def test_jobs_for_a_busy_tenant_wait_and_run_one_after_the_other(
    platform: Platform,
) -> None:
    ledger = platform.ledger
    first, second, third = (ledger.adopt(job()) for _ in range(3))
    assert [first.lock_state, second.lock_state, third.lock_state] == [
        LockState.OWNER,
        LockState.QUEUED,
        LockState.QUEUED,
    ]
    with pytest.raises(TenantBusyError) as caught:
        dispatched(ledger, second)
    assert caught.value.active_run_id == first.run_id
    ledger.fail(running(ledger, first).fence, FAILURE)
    assert dispatched(ledger, third).lock_state is LockState.OWNER
    with pytest.raises(TenantBusyError):
        dispatched(ledger, second)
    assert platform.runs.lock("acme").waiters == (second.run_id,)


def test_a_job_that_waits_makes_its_tenant_busy_for_new_requests(
    ledger: RunLedger,
) -> None:
    first = ledger.adopt(job())
    second = ledger.adopt(job())
    ledger.request_cancel(first.run_id)
    with pytest.raises(TenantBusyError) as caught:
        ledger.reserve(request())
    assert caught.value.active_run_id == second.run_id
    with pytest.raises(TenantBusyError):
        ledger.start_by_hand(str(uuid.uuid4()), "acme")


def test_a_cancelled_job_waits_no_more(platform: Platform) -> None:
    platform.ledger.adopt(job())
    waiting = platform.ledger.adopt(job())
    assert (
        platform.ledger.request_cancel(waiting.run_id).status
        is RunStatus.CANCELLED
    )
    assert platform.runs.lock("acme").waiters == ()


def test_an_attempt_is_dispatched_once(
    ledger: RunLedger, clock: FakeClock
) -> None:
    record = dispatched(ledger, reserved(ledger))
    assert (record.attempt, record.dispatched_at, record.status) == (
        1,
        clock.now,
        RunStatus.QUEUED,
    )
    for attempt in (1, 2):
        with pytest.raises(DispatchRefusedError):
            dispatched(ledger, record, attempt)


def test_a_receive_keeps_the_newest_handle(
    ledger: RunLedger, clock: FakeClock
) -> None:
    record = reserved(ledger)
    clock.advance(seconds=5)
    noted = ledger.messages.note_receive(record.run_id, "m1", "h2")
    assert (noted.message_id, noted.receipt_handle, noted.received_at) == (
        "m1",
        "h2",
        clock.now,
    )


def test_a_dead_job_without_a_record_gets_one_that_is_poison(
    platform: Platform,
) -> None:
    dead = job()
    record = platform.ledger.adopt_dead(dead, "found dead", "d1")
    assert (record.status, record.error_code) == (
        RunStatus.FAILED,
        "POISON_JOB",
    )
    assert not record.needs_dlq
    assert platform.runs.lock("acme").active_run_id is None
    with pytest.raises(CommitLostError):
        platform.ledger.adopt_dead(dead, "found dead", "d1")


# --- by the run -------------------------------------------------------------------------------


def test_a_claim_starts_the_run(ledger: RunLedger, clock: FakeClock) -> None:
    record = running(ledger)
    assert (record.status, record.stage) == (
        RunStatus.RUNNING,
        Stage.FETCH_INPUTS,
    )
    assert record.started_at == clock.now
    assert record.dagster_run_id == "dagster-1"


def test_one_dagster_run_has_the_attempt(ledger: RunLedger) -> None:
    record = running(ledger)
    assert ledger.claim(record.run_id, 1, "dagster-1") == record
    with pytest.raises(ClaimRefusedError):
        ledger.claim(record.run_id, 1, "re-executed")


def test_an_attempt_that_was_not_dispatched_cannot_be_claimed(
    ledger: RunLedger,
) -> None:
    record = reserved(ledger)
    with pytest.raises(ClaimRefusedError):
        ledger.claim(record.run_id, 0, "dagster-1")
    with pytest.raises(ClaimRefusedError):
        ledger.claim(record.run_id, 1, "dagster-1")


def test_stages_go_forward_alone(ledger: RunLedger) -> None:
    record = running(ledger)
    ahead = ledger.enter_stage(record.fence, Stage.MERGE_PRICE)
    assert ledger.enter_stage(record.fence, Stage.MERGE_PRICE) == ahead
    with pytest.raises(TransitionRefusedError):
        ledger.enter_stage(record.fence, Stage.NORMALIZE)


def test_only_a_success_is_complete(ledger: RunLedger) -> None:
    record = running(ledger)
    with pytest.raises(TransitionRefusedError):
        ledger.enter_stage(record.fence, Stage.COMPLETE)


def test_the_first_version_that_takes_effect_stays(ledger: RunLedger) -> None:
    record = running(ledger)
    ledger.pin(record.fence, 4)
    assert ledger.pin(record.fence, 5).config_version == 4


def test_a_run_that_is_posted_with_its_version_is_pinned_to_a_baseline_all_the_same(
    platform: Platform,
) -> None:
    record = running(
        platform.ledger, reserved(platform.ledger, config_version=4)
    )
    pinned = platform.ledger.pin(record.fence, 4, "published-run")
    assert (pinned.config_version, pinned.baseline_run_id) == (
        4,
        "published-run",
    )
    again = platform.ledger.pin(record.fence, 5, "later-run")
    assert (again.config_version, again.baseline_run_id) == (4, "published-run")


def test_a_success_frees_the_tenant_and_moves_its_feed(
    platform: Platform, clock: FakeClock
) -> None:
    record = running(platform.ledger)
    clock.advance(seconds=9)
    outcome = Outcome(
        artifacts={"merged_inventory": "k"},
        counts={"record_count": 5},
        feed_key="k",
        feed_sha256="ab12",
    )
    succeeded = platform.ledger.succeed(record.fence, outcome)
    assert (succeeded.status, succeeded.stage, succeeded.failed_stage) == (
        RunStatus.SUCCEEDED,
        Stage.COMPLETE,
        None,
    )
    assert (succeeded.finished_at, succeeded.counts["record_count"]) == (
        clock.now,
        5,
    )
    assert platform.runs.get(record.run_id) == succeeded
    assert platform.runs.lock("acme").active_run_id is None
    feed = platform.runs.feed("acme")
    assert feed is not None
    in_force = feed.in_force
    assert (in_force.run_id, in_force.key, in_force.sha256) == (
        record.run_id,
        "k",
        "ab12",
    )


def test_a_run_of_some_vendors_leaves_the_feed_alone(
    platform: Platform,
) -> None:
    record = running(
        platform.ledger, reserved(platform.ledger, vendors=("v1",))
    )
    platform.ledger.succeed(
        record.fence, Outcome(feed_key="k", feed_sha256="ab12")
    )
    assert platform.runs.feed("acme") is None


def test_a_failure_is_final_and_frees_the_tenant(platform: Platform) -> None:
    record = running(platform.ledger)
    failed = platform.ledger.fail(
        record.fence, FAILURE, Outcome(errors_artifact_key="e")
    )
    assert (failed.status, failed.failed_stage) == (
        RunStatus.FAILED,
        Stage.MERGE_PRICE,
    )
    assert (failed.error_code, failed.error_message) == (
        FAILURE.error_code,
        FAILURE.error_message,
    )
    assert failed.errors_artifact_key == "e"
    assert platform.runs.lock("acme").active_run_id is None


def test_failures_running_are_counted_until_a_success(
    platform: Platform,
) -> None:
    ledger = platform.ledger
    counts = []
    for ends_well in (False, False, True, False):
        record = running(ledger)
        if ends_well:
            ledger.succeed(record.fence, Outcome())
        else:
            ledger.fail(record.fence, FAILURE)
        counts.append(platform.runs.lock("acme").consecutive_failures)
    assert counts == [1, 2, 0, 1]


def test_a_fault_of_the_world_sends_the_run_back_to_the_queue(
    platform: Platform, clock: FakeClock
) -> None:
    record = running(platform.ledger)
    back = platform.ledger.retry_later(record.fence, "throttled", "SlowDown")
    assert (back.status, back.stage, back.attempt) == (
        RunStatus.QUEUED,
        Stage.QUEUE,
        1,
    )
    assert (back.error_code, back.error_message) == ("throttled", "SlowDown")
    assert back.next_attempt_at == clock.now + timedelta(seconds=10)
    assert back.dagster_run_id is None
    assert platform.runs.lock("acme").holder == record.run_id


def test_the_next_attempt_starts_clean_and_keeps_the_first_start(
    ledger: RunLedger, clock: FakeClock
) -> None:
    first = running(ledger)
    ledger.retry_later(first.fence, "throttled", "SlowDown")
    clock.advance(seconds=10)
    second = running(ledger, first, attempt=2)
    assert (
        second.error_code,
        second.error_message,
        second.next_attempt_at,
    ) == (
        None,
        None,
        None,
    )
    assert second.started_at == first.started_at
    assert (second.attempt, second.stage) == (2, Stage.FETCH_INPUTS)


def test_the_last_attempt_ends_as_poison_in_the_stage_it_reached(
    platform: Platform,
) -> None:
    ledger = platform.ledger
    first = running(ledger)
    ledger.retry_later(first.fence, "throttled", "SlowDown")
    second = running(ledger, first, attempt=2)
    ledger.enter_stage(second.fence, Stage.NORMALIZE)
    over = ledger.retry_later(second.fence, "throttled", "SlowDown again")
    assert (over.status, over.error_code) == (RunStatus.FAILED, "POISON_JOB")
    assert over.failed_stage is Stage.NORMALIZE
    assert (
        over.error_message
        == "attempts used up (2 of 2); the last ended with: SlowDown again"
    )
    assert over.needs_dlq
    assert platform.runs.lock("acme").active_run_id is None


def test_a_message_of_any_length_fits_into_the_record(
    ledger: RunLedger,
) -> None:
    record = running(ledger)
    failure = RunFailure(
        "DECODE_ERROR", "decode error \ud800 " * 100_000, Stage.NORMALIZE
    )
    failed = ledger.fail(record.fence, failure)
    assert failed.error_message is not None
    assert len(failed.error_message) < 21_000


STALE: list[tuple[str, Callable[[RunLedger, RunRecord], object]]] = [
    (
        "enter_stage",
        lambda ledger, old: ledger.enter_stage(old.fence, Stage.WRITE_OUTPUTS),
    ),
    ("pin", lambda ledger, old: ledger.pin(old.fence, 1)),
    ("succeed", lambda ledger, old: ledger.succeed(old.fence, Outcome())),
    ("fail", lambda ledger, old: ledger.fail(old.fence, FAILURE)),
    (
        "retry_later",
        lambda ledger, old: ledger.retry_later(old.fence, "late", "late"),
    ),
    (
        "lose_attempt",
        lambda ledger, old: ledger.lose_attempt(old, "late", "late"),
    ),
]


def test_an_orphaned_attempt_can_write_nothing(platform: Platform) -> None:
    old = running(platform.ledger)
    platform.ledger.lose_attempt(old, "dead", "its process is gone")
    new = running(platform.ledger, old, attempt=2)
    for name, write in STALE:
        with pytest.raises(FenceLostError):
            write(platform.ledger, old)
        assert platform.runs.get(old.run_id) == new, name


def test_nothing_is_published_once_a_cancel_is_wished(
    platform: Platform,
) -> None:
    record = running(platform.ledger)
    wished = platform.ledger.request_cancel(record.run_id)
    for name, write in STALE:
        with pytest.raises(CancelRequestedError):
            write(platform.ledger, record)
        assert platform.runs.get(record.run_id) == wished, name


# --- by hand ----------------------------------------------------------------------------------


def test_a_run_started_in_dagster_is_a_run_of_its_own(
    platform: Platform,
) -> None:
    dagster_run_id = str(uuid.uuid4())
    record = platform.ledger.start_by_hand(dagster_run_id, "acme", 2)
    assert (record.run_id, record.trigger) == (dagster_run_id, Trigger.DAGSTER)
    assert (record.status, record.attempt) == (RunStatus.RUNNING, 1)
    assert platform.runs.lock("acme").holder == dagster_run_id
    assert platform.ledger.start_by_hand(dagster_run_id, "acme", 2) == record


def test_a_run_started_in_dagster_for_a_busy_tenant_leaves_no_record(
    platform: Platform,
) -> None:
    active = reserved(platform.ledger)
    dagster_run_id = str(uuid.uuid4())
    with pytest.raises(TenantBusyError) as caught:
        platform.ledger.start_by_hand(dagster_run_id, "acme")
    assert caught.value.active_run_id == active.run_id
    assert platform.runs.get(dagster_run_id) is None


def test_a_run_started_in_dagster_has_one_attempt_and_no_message(
    ledger: RunLedger,
) -> None:
    record = ledger.start_by_hand(str(uuid.uuid4()), "acme")
    over = ledger.retry_later(record.fence, "throttled", "SlowDown")
    assert (over.status, over.error_code) == (RunStatus.FAILED, "POISON_JOB")
    assert not over.needs_dlq
    with pytest.raises(ClaimRefusedError):
        ledger.start_by_hand(record.run_id, "acme")


# --- ends -------------------------------------------------------------------------------------


def test_a_cancel_before_dispatch_is_done_at_once(platform: Platform) -> None:
    record = reserved(platform.ledger)
    over = platform.ledger.request_cancel(record.run_id)
    assert (over.status, over.failed_stage) == (
        RunStatus.CANCELLED,
        Stage.QUEUE,
    )
    assert platform.runs.lock("acme").active_run_id is None


def test_a_cancel_between_attempts_is_done_at_once(ledger: RunLedger) -> None:
    record = running(ledger)
    ledger.retry_later(record.fence, "throttled", "SlowDown")
    assert ledger.request_cancel(record.run_id).status is RunStatus.CANCELLED


def test_a_cancel_of_a_dispatched_run_is_a_wish(
    ledger: RunLedger, clock: FakeClock
) -> None:
    record = dispatched(ledger, reserved(ledger))
    wished = ledger.request_cancel(record.run_id)
    assert (wished.status, wished.cancel_requested_at) == (
        RunStatus.QUEUED,
        clock.now,
    )
    clock.advance(seconds=1)
    assert ledger.request_cancel(record.run_id) == wished
    with pytest.raises(CancelRequestedError):
        ledger.claim(record.run_id, 1, "dagster-1")
    assert ledger.cancel(record.run_id).status is RunStatus.CANCELLED


def test_an_attempt_that_nobody_claimed_can_be_lost(ledger: RunLedger) -> None:
    record = dispatched(ledger, reserved(ledger))
    back = ledger.lose_attempt(record, "dagster_run_gone", "no Dagster run")
    assert (back.status, back.is_dispatched) == (RunStatus.QUEUED, False)


def test_an_attempt_that_was_claimed_meanwhile_is_not_lost(
    ledger: RunLedger,
) -> None:
    stale_record = dispatched(ledger, reserved(ledger))
    ledger.claim(stale_record.run_id, 1, "dagster-1")
    with pytest.raises(FenceLostError):
        ledger.lose_attempt(stale_record, "dagster_run_gone", "no Dagster run")


FINAL: list[tuple[str, Callable[[RunLedger, RunRecord], object]]] = [
    *STALE,
    ("dispatch", lambda ledger, old: dispatched(ledger, old, old.attempt + 1)),
    (
        "claim",
        lambda ledger, old: ledger.claim(old.run_id, old.attempt, "dagster-1"),
    ),
    ("claim_send", lambda ledger, old: ledger.messages.claim_send(old.run_id)),
    ("request_cancel", lambda ledger, old: ledger.request_cancel(old.run_id)),
    ("cancel", lambda ledger, old: ledger.cancel(old.run_id)),
    ("poison", lambda ledger, old: ledger.poison(old.run_id, "late")),
]
ENDS: list[tuple[str, Callable[[RunLedger, RunRecord], RunRecord]]] = [
    (
        "SUCCEEDED",
        lambda ledger, record: ledger.succeed(record.fence, Outcome()),
    ),
    ("FAILED", lambda ledger, record: ledger.fail(record.fence, FAILURE)),
    ("CANCELLED", lambda ledger, record: ledger.cancel(record.run_id)),
    ("POISON", lambda ledger, record: ledger.poison(record.run_id, "poison")),
]


@pytest.mark.parametrize("end", [pytest.param(e, id=name) for name, e in ENDS])
def test_a_final_run_is_never_unfinished(
    platform: Platform, end: Callable[[RunLedger, RunRecord], RunRecord]
) -> None:
    record = running(platform.ledger)
    over = end(platform.ledger, record)
    for name, write in FINAL:
        with pytest.raises(RunError):
            write(platform.ledger, record)
        assert platform.runs.get(record.run_id) == over, name


def test_a_run_whose_lock_was_taken_away_by_hand_ends_all_the_same(
    platform: Platform,
) -> None:
    stuck = reserved(platform.ledger)
    platform.clients.dynamodb.delete_item(
        TableName=platform.settings.runs_table, Key={"pk": {"S": "LOCK#acme"}}
    )
    other_record = platform.ledger.reserve(request()).record
    assert (
        platform.ledger.request_cancel(stuck.run_id).status
        is RunStatus.CANCELLED
    )
    assert platform.runs.lock("acme").holder == other_record.run_id


def test_poison_is_acknowledged_once_it_is_in_the_dlq(
    platform: Platform,
) -> None:
    ledger = platform.ledger
    record = reserved(ledger)
    ledger.poison(record.run_id, "it is broken")
    with pytest.raises(TransitionRefusedError):
        ledger.messages.acknowledge(record.run_id)
    ledger.messages.record_dlq(record.run_id, "d1")
    settled = ledger.messages.acknowledge(record.run_id)
    assert ledger.messages.acknowledge(record.run_id) == settled
    assert settled.due_queue is DueQueue.DEAD_LETTER


def test_a_run_that_goes_on_is_not_acknowledged(ledger: RunLedger) -> None:
    record = reserved(ledger)
    with pytest.raises(TransitionRefusedError):
        ledger.messages.acknowledge(record.run_id)
    with pytest.raises(TransitionRefusedError):
        ledger.messages.note_reports(record.run_id)


@pytest.mark.parametrize(
    "end",
    [
        lambda ledger, record: ledger.succeed(record.fence, Outcome()),
        lambda ledger, record: ledger.fail(record.fence, FAILURE),
    ],
    ids=["succeed", "fail"],
)
def test_a_run_that_ends_itself_has_written_its_reports(
    ledger: RunLedger, end: Callable[[RunLedger, RunRecord], RunRecord]
) -> None:
    assert not end(ledger, running(ledger)).needs_reports


class CountedReads:
    """Runs that count how often a record is read."""

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    def get(self, run_id: str) -> RunRecord | None:
        self.reads += 1
        return self._runs.get(run_id)


def counted(platform: Platform) -> tuple[RunLedger, CountedReads]:
    runs = CountedReads(platform.runs)
    return RunLedger(runs), runs


def test_a_record_that_is_known_is_written_without_being_read(
    platform: Platform,
) -> None:
    ledger, runs = counted(platform)
    record = running(platform.ledger)
    record = ledger.enter_stage(
        record.fence, Stage.NORMALIZE, cached_record=record
    )
    succeeded = ledger.succeed(record.fence, Outcome(), cached_record=record)
    assert runs.reads == 0
    assert succeeded == platform.runs.get(record.run_id)


def test_a_run_on_its_way_to_dagster_is_not_read_by_those_who_know_it(
    platform: Platform,
) -> None:
    ledger, runs = counted(platform)
    record = reserved(platform.ledger)
    record = ledger.messages.mark_sent(
        record.run_id, "m1", cached_record=record
    )
    record = ledger.dispatch(
        record.run_id,
        1,
        message_id="m1",
        receipt_handle="h1",
        cached_record=record,
    )
    assert runs.reads == 0
    assert record == platform.runs.get(record.run_id)


def test_a_message_that_is_received_before_its_sender_notes_it_keeps_its_attempt(
    platform: Platform,
) -> None:
    record = reserved(platform.ledger)
    dispatched(platform.ledger, record)
    noted = platform.ledger.messages.mark_sent(
        record.run_id, "m1", cached_record=record
    )
    assert (noted.attempt, noted.receipt_handle) == (1, "h1")


def test_a_record_that_has_changed_while_it_was_known_is_read_again(
    platform: Platform,
) -> None:
    ledger, runs = counted(platform)
    record = running(platform.ledger)
    platform.ledger.messages.note_receive(record.run_id, "m", "a newer handle")
    after = ledger.enter_stage(
        record.fence, Stage.NORMALIZE, cached_record=record
    )
    assert (runs.reads, after.receipt_handle) == (1, "a newer handle")


def test_a_known_record_does_not_get_past_the_fence_or_a_cancel(
    platform: Platform,
) -> None:
    record = running(platform.ledger)
    platform.ledger.request_cancel(record.run_id)
    with pytest.raises(CancelRequestedError):
        platform.ledger.succeed(record.fence, Outcome(), cached_record=record)
    platform.ledger.cancel(record.run_id)
    with pytest.raises(FenceLostError):
        platform.ledger.enter_stage(
            record.fence, Stage.NORMALIZE, cached_record=record
        )


def test_entering_the_stage_that_a_run_is_in_looks_at_the_fence(
    platform: Platform,
) -> None:
    record = running(platform.ledger)
    platform.ledger.retry_later(record.fence, "throttled", "slow down")
    with pytest.raises(FenceLostError):
        platform.ledger.enter_stage(record.fence, record.stage)


def test_reports_are_noted_on_a_final_run(ledger: RunLedger) -> None:
    over = ledger.cancel(running(ledger).run_id)
    assert over.needs_reports
    noted = ledger.messages.note_reports(
        over.run_id, Outcome(artifacts={"run_summary": "k"})
    )
    assert not noted.needs_reports
    assert noted.artifacts == {"run_summary": "k"}


def test_a_run_without_a_record_is_named(ledger: RunLedger) -> None:
    run_id = str(uuid.uuid4())
    with pytest.raises(UnknownRunError, match=run_id):
        ledger.request_cancel(run_id)
