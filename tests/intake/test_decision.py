"""What a message leads to, from facts alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_dagster.intake.decision import (
    Discard,
    Dispatch,
    KeepWaiting,
    MessageFacts,
    Refuse,
    Replace,
    decide,
)
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import AttemptState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = 3
EXECUTED = {"attempt": 1, "dispatched_at": NOW, "dagster_run_id": "d1"}


def record(**changes: Any) -> RunRecord:
    base = {"run_id": "r1", "tenant_id": "acme", "requested_at": NOW}
    return RunRecord(**{**base, **changes})


def facts(
    record: RunRecord | None, *, receives: int = 1, **changes: Any
) -> MessageFacts:
    return MessageFacts(
        receive_count=receives, now=NOW, record=record, **changes
    )


FIRST = record()
RUNNING = record(status=RunStatus.RUNNING, stage=Stage.NORMALIZE, **EXECUTED)
DISPATCHED = record(attempt=1, dispatched_at=NOW)
BACKING_OFF = record(attempt=1, next_attempt_at=NOW + timedelta(seconds=7))
DUE = record(attempt=1, next_attempt_at=NOW)
SPENT = record(attempt=3, next_attempt_at=NOW)
CANCELLING = record(cancel_requested_at=NOW)
SUCCEEDED = record(status=RunStatus.SUCCEEDED, stage=Stage.COMPLETE)
POISON = record(status=RunStatus.FAILED, error_code="POISON_JOB")
BURIED = record(
    status=RunStatus.FAILED, error_code="POISON_JOB", dlq_message_id="m9"
)


@pytest.mark.parametrize(
    ("run", "dagster", "action"),
    [
        pytest.param(
            FIRST, "absent", Dispatch(1, is_new=True), id="first attempt"
        ),
        pytest.param(
            DUE, "failed", Dispatch(2, is_new=True), id="next attempt is due"
        ),
        pytest.param(
            BACKING_OFF,
            "failed",
            KeepWaiting(7.0),
            id="next attempt is not due",
        ),
        pytest.param(SPENT, "failed", KeepWaiting(), id="no attempt left"),
        pytest.param(
            DISPATCHED,
            "absent",
            Dispatch(1, is_new=False),
            id="request was lost",
        ),
        pytest.param(
            DISPATCHED, "waiting", KeepWaiting(), id="request is queued"
        ),
        pytest.param(
            DISPATCHED, "failed", KeepWaiting(), id="died before its claim"
        ),
        pytest.param(RUNNING, "executing", KeepWaiting(), id="alive"),
        pytest.param(
            RUNNING,
            "absent",
            KeepWaiting(),
            id="gone, for the reconciler to judge",
        ),
        pytest.param(CANCELLING, "absent", KeepWaiting(), id="to be cancelled"),
        pytest.param(SUCCEEDED, "succeeded", Discard(), id="final"),
        pytest.param(
            POISON, "failed", KeepWaiting(), id="poison not yet buried"
        ),
        pytest.param(BURIED, "failed", Discard(), id="poison buried"),
    ],
)
def test_a_message_leads_to(
    run: RunRecord, dagster: str, action: object
) -> None:
    assert decide(facts(run, execution=AttemptState(dagster)), POLICY) == (
        action,
    )


def test_a_body_that_no_run_can_have_is_refused() -> None:
    refusal = Refuse("invalid_job", "the body is not JSON")
    assert decide(facts(None, refusal=refusal, receives=9), POLICY) == (
        refusal,
    )


@pytest.mark.parametrize(
    "run", [FIRST, RUNNING, BACKING_OFF, POISON], ids=lambda run: run.status
)
def test_a_message_at_its_last_receive_is_replaced(run: RunRecord) -> None:
    assert decide(facts(run, receives=3), POLICY)[1:] == (Replace(),)


def test_where_a_message_has_one_receive_its_replacement_comes_later() -> None:
    once = 1
    assert decide(facts(RUNNING), once) == (
        KeepWaiting(),
        Replace(delay_seconds=5),
    )


def test_a_message_that_is_to_be_deleted_is_not_replaced() -> None:
    assert decide(facts(SUCCEEDED, receives=3), POLICY) == (Discard(),)


def test_an_accepted_job_without_a_record_is_a_defect() -> None:
    with pytest.raises(ValueError, match="has a record"):
        decide(facts(None), POLICY)
