"""Which write of the lock goes with which change of a record."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.codec import by_time
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.run_writes import RecordChange, RunItemWrites
from relay_dagster.runs.model import LockState, RunRecord
from support.builders import REQUESTED_AT, RUN_ID
from support.fakes import embedded_clients

NONE, QUEUED, OWNER = LockState.NONE, LockState.QUEUED, LockState.OWNER
NAMES = SimpleNamespace(runs_table="runs", tenants_table="tenants", audit_table="audit")
WRITES = RunItemWrites(Database.of(embedded_clients(), NAMES))
FREE = "attribute_not_exists(holder)"
OF_EVERY_WRITE = "SET #schema = if_not_exists(#schema, :schema)"


def a_run(lock_state: LockState, status: RunStatus = RunStatus.QUEUED) -> RunRecord:
    return RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        lock_state=lock_state,
        status=status,
    )


def written(
    before: RunRecord | None, after: RunRecord, **options: bool
) -> dict[str, Any]:
    (write,) = WRITES.lock(RecordChange(before, after), **options)
    assert (write.role, write.action) == ("lock", "Update")
    assert write.arguments["Key"] == {"pk": {"S": "LOCK#acme"}}
    arguments = dict(write.arguments)
    assert arguments["ExpressionAttributeValues"].pop(":schema") == {"N": "1"}
    expression = arguments["UpdateExpression"]
    assert expression.count(OF_EVERY_WRITE) == 1
    own = expression.replace(f"{OF_EVERY_WRITE}, ", "SET ").replace(
        f" {OF_EVERY_WRITE}", ""
    )
    return {**arguments, "UpdateExpression": own}


@pytest.mark.parametrize(
    ("before", "after", "expression", "condition"),
    [
        (None, OWNER, "SET holder = :run", FREE),
        (None, QUEUED, "ADD waiters :runs", None),
        (QUEUED, OWNER, "SET holder = :run DELETE waiters :runs", FREE),
        (QUEUED, NONE, "DELETE waiters :runs", None),
        (OWNER, NONE, "REMOVE holder", f"{FREE} OR holder = :run"),
    ],
    ids=["taken", "queued for", "taken in turn", "given up waiting", "freed"],
)
def test_each_change_has_its_write_and_condition(
    before: LockState | None, after: LockState, expression: str, condition: str | None
) -> None:
    write = written(before and a_run(before), a_run(after, RunStatus.CANCELLED))
    assert write["UpdateExpression"] == expression
    assert write.get("ConditionExpression") == condition


@pytest.mark.parametrize("state", LockState)
def test_a_record_that_keeps_its_state_writes_no_lock(state: LockState) -> None:
    assert (
        WRITES.lock(RecordChange(a_run(state), replace(a_run(state), attempt=1))) == []
    )


def test_a_newcomer_steps_back_where_others_wait() -> None:
    write = written(None, a_run(OWNER), yield_to_waiters=True)
    assert write["ConditionExpression"] == f"{FREE} AND attribute_not_exists(waiters)"


@pytest.mark.parametrize(
    ("status", "tally"),
    [
        (RunStatus.SUCCEEDED, " SET consecutive_failures = :zero"),
        (RunStatus.FAILED, " ADD consecutive_failures :one"),
        (RunStatus.CANCELLED, ""),
    ],
)
def test_an_end_counts_failures_running(status: RunStatus, tally: str) -> None:
    write = written(a_run(OWNER), a_run(NONE, status))
    assert write["UpdateExpression"] == f"REMOVE holder{tally}"


def test_the_end_of_a_run_that_has_executed_is_noted() -> None:
    ended = replace(
        a_run(NONE, RunStatus.SUCCEEDED),
        started_at=REQUESTED_AT,
        finished_at=REQUESTED_AT,
    )
    write = written(a_run(OWNER), ended)
    sets = "SET consecutive_failures = :zero, served_at = :served"
    assert write["UpdateExpression"] == f"REMOVE holder {sets}"


def test_only_values_that_are_used_are_named() -> None:
    write = written(None, a_run(QUEUED))
    assert write["ExpressionAttributeValues"] == {
        ":runs": {"SS": [by_time(REQUESTED_AT, RUN_ID)]}
    }
