"""Which write of the lock goes with which change of a record."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.codec import by_time, instant_text
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.run_writes import RecordChange, RunItemWrites
from relay_dagster.runs.model import LockState, RunRecord
from support.builders import REQUESTED_AT, RUN_ID
from support.fakes import embedded_clients

NONE = LockState.NONE
QUEUED = LockState.QUEUED
OWNER = LockState.OWNER
NAMES = SimpleNamespace(
    runs_table="runs", tenants_table="tenants", audit_table="audit"
)
WRITES = RunItemWrites(Database.of(embedded_clients(), NAMES))
FREE = "attribute_not_exists(holder)"
WAITER = by_time(REQUESTED_AT, RUN_ID)
OF_EVERY_WRITE = "SET schema = if_not_exists(schema, 1)"


def a_run(
    lock_state: LockState, status: RunStatus = RunStatus.QUEUED
) -> RunRecord:
    return RunRecord(
        run_id=RUN_ID,
        tenant_id="acme",
        requested_at=REQUESTED_AT,
        lock_state=lock_state,
        status=status,
    )


def written(
    before: RunRecord | None, after: RunRecord, **options: bool
) -> tuple[str, str | None]:
    """Return the update and the condition of the lock's write, placeholders filled in."""
    (write,) = WRITES.lock(RecordChange(before, after), **options)
    assert (write.role, write.action) == ("lock", "Update")
    assert write.arguments["Key"] == {"pk": {"S": "LOCK#acme"}}
    update = filled_in(write.arguments, "UpdateExpression")
    assert update is not None
    assert update.startswith(OF_EVERY_WRITE)
    expression = update.removeprefix(OF_EVERY_WRITE)
    expression = (
        f"SET {expression[2:]}"
        if expression.startswith(", ")
        else expression.lstrip()
    )
    return expression, filled_in(write.arguments, "ConditionExpression")


def filled_in(arguments: Mapping[str, Any], parameter: str) -> str | None:
    if parameter not in arguments:
        return None
    texts = dict(arguments["ExpressionAttributeNames"])
    for placeholder, typed in arguments["ExpressionAttributeValues"].items():
        ((kind, value),) = typed.items()
        texts[placeholder] = str(value[0] if kind == "SS" else value)
    return re.sub(
        r"[#:]\w+", lambda found: texts[found[0]], arguments[parameter]
    )


@pytest.mark.parametrize(
    ("before", "after", "expression", "condition"),
    [
        (None, OWNER, f"SET holder = {RUN_ID}", FREE),
        (None, QUEUED, f"ADD waiters {WAITER}", None),
        (QUEUED, OWNER, f"SET holder = {RUN_ID} DELETE waiters {WAITER}", FREE),
        (QUEUED, NONE, f"DELETE waiters {WAITER}", None),
        (OWNER, NONE, "REMOVE holder", f"({FREE} OR holder = {RUN_ID})"),
    ],
    ids=["taken", "queued for", "taken in turn", "given up waiting", "freed"],
)
def test_each_change_has_its_write_and_condition(
    before: LockState | None,
    after: LockState,
    expression: str,
    condition: str | None,
) -> None:
    write = written(before and a_run(before), a_run(after, RunStatus.CANCELLED))
    assert write == (expression, condition)


@pytest.mark.parametrize("state", LockState)
def test_a_record_that_keeps_its_state_writes_no_lock(state: LockState) -> None:
    assert (
        WRITES.lock(
            RecordChange(a_run(state), replace(a_run(state), attempt=1))
        )
        == []
    )


def test_a_newcomer_steps_back_where_others_wait() -> None:
    _, condition = written(None, a_run(OWNER), yield_to_waiters=True)
    assert condition == f"({FREE} AND attribute_not_exists(waiters))"


@pytest.mark.parametrize(
    ("status", "expression"),
    [
        (RunStatus.SUCCEEDED, "SET consecutive_failures = 0 REMOVE holder"),
        (RunStatus.FAILED, "REMOVE holder ADD consecutive_failures 1"),
        (RunStatus.CANCELLED, "REMOVE holder"),
    ],
)
def test_an_end_counts_failures_running(
    status: RunStatus, expression: str
) -> None:
    update, _ = written(a_run(OWNER), a_run(NONE, status))
    assert update == expression


def test_the_end_of_a_run_that_has_executed_is_noted() -> None:
    finished = replace(
        a_run(NONE, RunStatus.SUCCEEDED),
        started_at=REQUESTED_AT,
        finished_at=REQUESTED_AT,
    )
    update, _ = written(a_run(OWNER), finished)
    sets = f"consecutive_failures = 0, served_at = {instant_text(REQUESTED_AT)}"
    assert update == f"SET {sets} REMOVE holder"


def test_only_values_that_are_used_are_named() -> None:
    (write,) = WRITES.lock(RecordChange(None, a_run(QUEUED)))
    assert write.arguments["ExpressionAttributeValues"] == {
        ":schema": {"N": "1"},
        ":waiters": {"SS": [WAITER]},
    }
