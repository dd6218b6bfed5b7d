"""What a run that is not settled needs, from facts alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.maintenance.run_decision import (
    Act,
    Extend,
    Lose,
    ReportFailed,
    RunFacts,
    decide,
    next_check,
)
from relay_dagster.runs.model import LockState, RunRecord, Trigger
from relay_dagster.runs.poll_schedule import WAITS_HIDDEN, PollSchedule
from relay_dagster.runs.ports import AttemptState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = PollSchedule(stale_seconds=90, visibility_seconds=300)


def ago(**amount: float) -> datetime:
    return NOW - timedelta(**amount)


def ahead(**amount: float) -> datetime:
    return NOW + timedelta(**amount)


def record(**changes: Any) -> RunRecord:
    base = {
        "run_id": "r1",
        "tenant_id": "acme",
        "requested_at": ago(minutes=9),
        "message_id": "m",
    }
    return RunRecord(**{**base, **changes})


def claimed(**changes: Any) -> RunRecord:
    base = {
        "status": RunStatus.RUNNING,
        "stage": Stage.NORMALIZE,
        "attempt": 1,
        "dispatched_at": ago(minutes=5),
        "dagster_run_id": "d1",
        "receipt_handle": "h",
        "received_at": ago(minutes=5),
    }
    return record(**{**base, **changes})


def dispatched(**changes: Any) -> RunRecord:
    return claimed(
        **{"status": RunStatus.QUEUED, "dagster_run_id": None, **changes}
    )


def final(status: RunStatus = RunStatus.SUCCEEDED, **changes: Any) -> RunRecord:
    base = {
        "status": status,
        "finished_at": ago(seconds=5),
        "reports_written_at": NOW,
    }
    return claimed(**{**base, **changes})


def actions(
    record: RunRecord, dagster: str = "executing", **changes: Any
) -> list[Any]:
    return decide(
        RunFacts(record, AttemptState(dagster), NOW, **changes), POLICY
    )


# --- under way ------------------------------------------------------------------------------------


def test_a_message_of_a_run_that_is_alive_is_kept_out_of_sight() -> None:
    assert actions(claimed()) == [Extend(300)]


def test_a_message_is_not_extended_at_every_tick() -> None:
    assert actions(claimed(hidden_until=ahead(seconds=290))) == []
    assert actions(claimed(hidden_until=ahead(seconds=220))) == [Extend(300)]


def test_a_message_is_replaced_before_sqs_must_show_it() -> None:
    assert actions(claimed(received_at=ago(hours=11, minutes=1))) == [
        Act.REPLACE
    ]


@pytest.mark.parametrize("state", ["absent", "failed", "succeeded"])
def test_a_run_whose_process_is_dead_loses_its_attempt(state: str) -> None:
    (action,) = actions(claimed(), state)
    assert isinstance(action, Lose)
    assert action.error_code == "run_process_lost"


def test_a_silent_run_s_process_is_told_to_end_before_its_attempt_is_lost() -> (
    None
):
    stop, report, lose = actions(claimed(), silent_seconds=91)
    assert stop is Act.STOP
    assert isinstance(report, ReportFailed)
    assert (lose.error_code, lose.message) == (
        "heartbeat_stale",
        "no heartbeat for 91 seconds",
    )


def test_a_run_that_waits_in_dagster_needs_no_heartbeat() -> None:
    assert actions(dispatched(), "waiting", silent_seconds=999) == [Extend(300)]


def test_a_run_that_began_and_never_claimed_is_dead_when_it_is_silent() -> None:
    _, report, lose = actions(dispatched(), silent_seconds=91)
    assert [type(report), type(lose)] == [ReportFailed, Lose]


def test_a_run_terminated_in_dagster_is_cancelled() -> None:
    assert actions(claimed(), "cancelled") == [Act.CANCEL]
    assert actions(dispatched(), "cancelled") == [Act.CANCEL]


def test_a_request_that_dagster_never_got_is_the_intake_s_again_after_a_minute() -> (
    None
):
    assert actions(dispatched(dispatched_at=ago(seconds=59)), "absent") == []
    assert actions(dispatched(dispatched_at=ago(seconds=61)), "absent") == [
        Act.HAND_OVER
    ]


def test_a_run_that_died_before_its_claim_loses_its_attempt() -> None:
    (action,) = actions(dispatched(), "failed")
    assert action.error_code == "run_not_started"


# --- waiting --------------------------------------------------------------------------------------


def test_a_message_that_was_never_sent_is_sent_after_a_minute() -> None:
    unsent = {"message_id": None, "requested_at": ago(seconds=60)}
    assert actions(record(**unsent), "absent") == [Act.SEND]
    assert (
        actions(record(message_id=None, requested_at=ago(seconds=59)), "absent")
        == []
    )


def test_a_message_that_somebody_is_sending_is_left_to_them() -> None:
    sending = record(message_id=None, send_claimed_at=ago(seconds=10))
    assert actions(sending, "absent") == []


def test_a_job_that_waits_in_the_backlog_is_left_there() -> None:
    assert actions(record(requested_at=ago(hours=9)), "absent") == []


def test_a_run_between_two_attempts_is_the_intake_s() -> None:
    assert actions(record(attempt=1, next_attempt_at=NOW), "failed") == [
        Act.HAND_OVER
    ]


def test_a_run_that_has_had_all_the_attempts_that_are_left_to_it_by_now_is_poison() -> (
    None
):
    waiting = record(attempt=3, next_attempt_at=NOW + timedelta(seconds=8))
    assert actions(waiting, "failed") == [Act.POISON]


def test_a_job_that_waits_for_its_tenant_is_the_intake_s_when_its_turn_comes() -> (
    None
):
    waiting = record(
        lock_state=LockState.QUEUED, receipt_handle="h", received_at=NOW
    )
    assert actions(waiting, "absent") == [Extend(WAITS_HIDDEN.total_seconds())]
    assert actions(waiting, "absent", is_its_turn=True) == [Act.HAND_OVER]


# --- to be cancelled ------------------------------------------------------------------------------


def test_a_run_to_be_cancelled_is_terminated_first() -> None:
    assert actions(claimed(cancel_requested_at=ago(seconds=5))) == [
        Act.TERMINATE
    ]


def test_a_run_that_does_not_end_is_cancelled_by_force() -> None:
    wished = claimed(cancel_requested_at=ago(seconds=61))
    assert actions(wished) == [Act.STOP, Act.FORCE_CANCELLED, Act.CANCEL]


def test_a_process_that_seems_frozen_is_not_asked_to_end_for_dagster_would_wait_for_it() -> (
    None
):
    assert (
        actions(claimed(cancel_requested_at=ago(seconds=5)), silent_seconds=30)
        == []
    )


def test_a_run_to_be_cancelled_whose_process_is_gone_is_cancelled() -> None:
    assert actions(claimed(cancel_requested_at=ago(seconds=5)), "failed") == [
        Act.CANCEL
    ]


# --- final ----------------------------------------------------------------------------------------


def test_a_final_run_is_settled() -> None:
    assert actions(final(), "succeeded") == [Act.SETTLE]


def test_poison_is_buried_before_its_message_is_deleted() -> None:
    poison = final(RunStatus.FAILED, error_code="POISON_JOB")
    assert actions(poison, "failed") == [Act.SEND_TO_DLQ, Act.SETTLE]


def test_poison_of_a_run_that_dagster_started_has_no_message_to_bury() -> None:
    poison = final(
        RunStatus.FAILED, error_code="POISON_JOB", trigger=Trigger.DAGSTER
    )
    assert actions(poison, "failed") == [Act.SETTLE]


def test_reports_that_a_dead_run_owes_are_written_first() -> None:
    assert actions(final(reports_written_at=None), "failed") == [
        Act.REPORT,
        Act.SETTLE,
    ]


def test_a_run_that_is_still_there_is_left_to_end_by_itself() -> None:
    assert actions(final(reports_written_at=None)) == []
    assert actions(final()) == []


def test_reports_that_cannot_be_written_are_given_up_after_an_hour_of_trying() -> (
    None
):
    late = final(reports_written_at=None, finished_at=ago(hours=9))
    assert actions(late, "failed") == [Act.REPORT, Act.SETTLE]
    tried = final(reports_written_at=None, reports_tried_at=ago(minutes=61))
    assert actions(tried, "failed") == [Act.SETTLE]


def test_a_run_that_was_cancelled_before_its_dispatch_has_nothing_to_report() -> (
    None
):
    cancelled = final(
        RunStatus.CANCELLED,
        reports_written_at=None,
        attempt=0,
        dagster_run_id=None,
    )
    assert actions(cancelled, "absent") == [Act.SETTLE]


def test_a_final_run_whose_process_hangs_is_told_to_end_and_reported_to_dagster() -> (
    None
):
    stop, report, settle = actions(final(), silent_seconds=91)
    assert (stop, type(report), settle) == (Act.STOP, ReportFailed, Act.SETTLE)


# --- when to look again ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "state", "silent_seconds", "wanted"),
    [
        pytest.param(claimed(), "executing", 0, 10, id="under way"),
        pytest.param(
            claimed(), "executing", 85, 6, id="when its heartbeat will be stale"
        ),
        pytest.param(
            claimed(cancel_requested_at=NOW),
            "executing",
            0,
            5,
            id="to be cancelled",
        ),
        pytest.param(
            final(), "executing", 0, 5, id="its process ends just now"
        ),
        pytest.param(
            dispatched(dispatched_at=ago(seconds=20)),
            "absent",
            0,
            40,
            id="not in Dagster yet",
        ),
    ],
)
def test_a_run_that_stays_as_it_is_is_looked_at_again(
    run: RunRecord, state: str, silent_seconds: float, wanted: float
) -> None:
    facts = RunFacts(run, AttemptState(state), NOW, silent_seconds)
    assert next_check(facts, POLICY) == timedelta(seconds=wanted)
