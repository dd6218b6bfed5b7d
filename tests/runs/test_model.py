"""What a record says of itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay_core.domain.codes import RunStatus, Stage
from relay_core.domain.records import RunContext, RunFailure
from relay_dagster.runs.model import Outcome, RunRecord, TenantLock, Trigger
from support.builders import REQUESTED_AT, RUN_ID


def test_stage_times_add_up_to_the_time_of_the_attempt() -> None:
    record = RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        stage_entered_at={
            "FETCH_INPUTS": REQUESTED_AT,
            "NORMALIZE": REQUESTED_AT + timedelta(seconds=2),
            "COMPLETE": REQUESTED_AT + timedelta(seconds=5),
        },
    )
    until = REQUESTED_AT + timedelta(seconds=5)
    assert record.stage_times(until) == {"FETCH_INPUTS": 2.0, "NORMALIZE": 3.0}


def test_a_run_that_nobody_claimed_has_no_fence() -> None:
    record = RunRecord(
        run_id=RUN_ID, tenant_id="acme", requested_at=REQUESTED_AT
    )
    with pytest.raises(ValueError, match="not claimed"):
        _ = record.fence


@pytest.mark.parametrize(
    ("trigger", "dlq_message_id", "needed"),
    [
        (Trigger.API, None, True),
        (Trigger.QUEUE, None, True),
        (Trigger.API, "in-the-dlq", False),
        (Trigger.DAGSTER, None, False),
    ],
)
def test_poison_needs_the_dlq_once_and_only_where_there_was_a_message(
    trigger: Trigger, dlq_message_id: str | None, needed: bool
) -> None:
    record = RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        trigger=trigger,
        status=RunStatus.FAILED,
        stage=Stage.QUEUE,
        error_code="POISON_JOB",
        dlq_message_id=dlq_message_id,
    )
    assert record.needs_dlq is needed


def test_runs_that_wait_make_a_tenant_busy_too() -> None:
    assert TenantLock("acme").active_run_id is None
    assert TenantLock("acme", waiters=("b", "a")).active_run_id == "b"
    assert TenantLock("acme", holder="c", waiters=("a",)).active_run_id == "c"


def test_an_attempt_that_entered_no_stage_spent_time_in_none() -> None:
    record = RunRecord(
        run_id=RUN_ID, tenant_id="acme", requested_at=REQUESTED_AT
    )

    assert record.stage_times(REQUESTED_AT) == {}


def test_a_record_names_its_run_to_the_engine_and_its_failure_to_the_reports() -> (
    None
):
    record = RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        config_version=7,
        attempt=2,
        status=RunStatus.FAILED,
        stage=Stage.QUEUE,
        failed_stage=Stage.NORMALIZE,
        error_code="DECODE_ERROR",
        error_message="decode error: vendor_1",
    )
    assert record.context == RunContext(RUN_ID, "acme", REQUESTED_AT, 7, 2)
    assert record.failure == RunFailure(
        "DECODE_ERROR", "decode error: vendor_1", Stage.NORMALIZE
    )


def test_reports_add_to_what_the_record_knows() -> None:
    record = RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        artifacts={"errors": "e"},
        errors_artifact_key="e",
        counts={"total_rows": 5},
    )
    outcome = Outcome(
        artifacts={"run_summary": "s"}, counts={"record_count": 3}
    )
    written = record.with_reports(outcome, REQUESTED_AT)
    assert written.artifacts == {"errors": "e", "run_summary": "s"}
    assert written.counts == {"total_rows": 5, "record_count": 3}
    assert (written.errors_artifact_key, written.reports_written_at) == (
        "e",
        REQUESTED_AT,
    )
