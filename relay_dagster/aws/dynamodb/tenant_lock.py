"""The tenant's lock in a record's transaction: which write goes with which change of lock state.

The lock's item holds the run that may run (``holder``), the jobs sent straight to the queue that
wait (``waiters``, with the instants by which they sort), and how many runs have failed running
(``consecutive_failures``).
"""

from __future__ import annotations

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb.schema import by_time, lock_key
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.runs.model import LockState, RunRecord

_FREE = "attribute_not_exists(holder)"
_UNWANTED = f"{_FREE} AND attribute_not_exists(waiters)"
_MINE = f"{_FREE} OR holder = :run"


def of_change(
    table: Table, before: RunRecord | None, after: RunRecord, *, yield_to_waiters: bool = False
) -> list[Write]:
    """Return the lock's write for a record's change, or none.

    Args:
        table: the runs table.
        before: the record as it was, None for a new one.
        after: the record as it is to be.
        yield_to_waiters: a new holder steps back where other runs wait.
    """
    change = (before.lock_state if before else LockState.NONE, after.lock_state)
    if change == (LockState.NONE, LockState.OWNER):
        return [
            _update(table, after, "SET holder = :run", _UNWANTED if yield_to_waiters else _FREE)
        ]
    if change == (LockState.NONE, LockState.QUEUED):
        return [_update(table, after, "ADD waiters :runs")]
    if change == (LockState.QUEUED, LockState.OWNER):
        return [_update(table, after, "SET holder = :run DELETE waiters :runs", _FREE)]
    if change == (LockState.QUEUED, LockState.NONE):
        return [_update(table, after, "DELETE waiters :runs")]
    if change == (LockState.OWNER, LockState.NONE):
        return [_update(table, after, f"REMOVE holder{_tally(after)}", _MINE)]
    return []


def while_idle(table: Table, before: RunRecord | None, after: RunRecord) -> Write:
    """Return the condition that nobody has the lock, or waits for it, in a change that keeps none.

    A held run that succeeds after all clears the count of failures.
    """
    has_changed = before is not None and before.status is not after.status
    if has_changed and after.status is RunStatus.SUCCEEDED:
        return _update(table, after, "SET consecutive_failures = :zero", _UNWANTED)
    return table.write("lock", "ConditionCheck", lock_key(after.tenant_id), condition=_UNWANTED)


def is_wanted(before: RunRecord | None, after: RunRecord) -> bool:
    """Tell whether a change begins something of the tenant: it is new, or takes the lock."""
    held = before is not None and before.lock_state is LockState.OWNER
    return before is None or (after.lock_state is LockState.OWNER and not held)


def is_given_back(before: RunRecord | None, after: RunRecord) -> bool:
    """Tell whether a change gives the lock back.

    Whoever has helped a tenant by deleting the lock's item has let another run have it: a run that
    ends without its lock ends all the same.
    """
    held = before is not None and before.lock_state is LockState.OWNER
    return held and after.lock_state is LockState.NONE


def _tally(after: RunRecord) -> str:
    """Return what an end does to the count of failures: a success clears it, a cancel nothing."""
    if after.status is RunStatus.SUCCEEDED:
        return " SET consecutive_failures = :zero"
    if after.status is RunStatus.FAILED:
        return " ADD consecutive_failures :one"
    return ""


def _update(table: Table, after: RunRecord, expression: str, condition: str | None = None) -> Write:
    waiter = by_time(after.requested_at, after.run_id)
    values = {":run": after.run_id, ":runs": {waiter}, ":zero": 0, ":one": 1}
    text = f"{expression} {condition or ''}"
    used = {name for name in values if name in text.replace("(", " ").replace(")", " ").split()}
    return table.write(
        "lock",
        "Update",
        lock_key(after.tenant_id),
        expression,
        condition=condition,
        values={name: values[name] for name in sorted(used)},
    )
