from __future__ import annotations

import json
from datetime import timedelta

import pytest

from builders import REQUESTED_AT, RUN_ID
from relay_core.domain.models import RunStatus, Stage
from relay_dagster.runs.model import Job, NotAJobError, RunRecord, TenantLock, Trigger


def body(**changes: object) -> str:
    job = {"run_id": RUN_ID, "tenant_id": "acme", "vendors": None, "config_version": None}
    return json.dumps({**job, **changes})


def test_a_job_reads_back_what_it_wrote() -> None:
    job = Job(RUN_ID, "acme", ("vendor_1", "vendor_2"), 7)
    assert Job.parse(job.body()) == job


def test_vendors_and_version_may_be_left_out() -> None:
    assert Job.parse(json.dumps({"run_id": RUN_ID, "tenant_id": "acme"})) == Job(RUN_ID, "acme")


def test_an_empty_list_of_vendors_is_all() -> None:
    assert Job.parse(body(vendors=[])).vendors is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "[" * 100_000,
        "null",
        "1" * 5000,
        body(run_id="tenants"),
        body(run_id=None),
        body(run_id=f"{RUN_ID}/x"),
        body(tenant_id="../other"),
        body(tenant_id=5),
        body(vendors="vendor_1"),
        body(vendors=[1]),
        body(vendors=["a/b"]),
        body(config_version=True),
        body(config_version="1"),
        body(config_version=0),
        body(config_version=1.0),
        body(config_version=10**400),
    ],
)
def test_a_body_that_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(NotAJobError) as caught:
        Job.parse(text)
    assert len(str(caught.value)) < 300


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
    record = RunRecord(run_id=RUN_ID, tenant_id="acme", requested_at=REQUESTED_AT)
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
    assert TenantLock("acme", waiters=frozenset({"b", "a"})).active_run_id == "a"
    assert TenantLock("acme", holder="c", waiters=frozenset({"a"})).active_run_id == "c"


def test_an_attempt_that_entered_no_stage_spent_time_in_none() -> None:
    record = RunRecord(run_id=RUN_ID, tenant_id="acme", requested_at=REQUESTED_AT)

    assert record.stage_times(REQUESTED_AT) == {}
