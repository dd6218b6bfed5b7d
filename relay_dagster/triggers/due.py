"""Looks at all triggers that are due: due times, uploads that are quiet, runs that waited.

They are found by an index, so that a look costs what is due, and several are looked at at once:
many tenants' hours begin at the same minute. One that cannot be looked at spoils only itself.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

from relay_dagster.aws.cloudwatch.metrics import report_fault
from relay_dagster.runs.ports import utc_now
from relay_dagster.runs.triggers.state import TriggerLane, TriggerState
from relay_dagster.triggers.look import TriggerLook
from relay_dagster.triggers.rules import Plan
from relay_dagster.wiring import Platform

MOST_AT_ONCE, THREADS = 200, 8
MAX_SECONDS = 20
AFTER_A_FAULT = timedelta(seconds=30)


def take_due(
    platform: Platform,
    clock: Callable[[], datetime] = utc_now,
    stopwatch: Callable[[], float] = time.monotonic,
) -> int:
    """Start what is due, as far as it can start; return how many runs that were.

    What falls due goes first; of what waits only so many are looked at in one go.
    """
    look, until = TriggerLook(platform, clock), stopwatch() + MAX_SECONDS
    count, is_more = 0, True
    while is_more:
        states = platform.triggers.due(TriggerLane.DUE, clock(), MOST_AT_ONCE)
        count += _take_all(look, states)
        is_more = len(states) == MOST_AT_ONCE and stopwatch() < until
    return count + _take_all(look, platform.triggers.due(TriggerLane.WANTED, clock(), MOST_AT_ONCE))


def take_one(look: TriggerLook, state: TriggerState, plan: Plan | None = None) -> bool:
    """Look at one tenant's triggers; tell whether a run was started. A fault puts them off.

    The plan is what the config says, where that was read after the triggers.
    """
    platform, tenant_id = look.platform, state.tenant_id
    try:
        return look.take(state, plan) is not None
    except Exception as error:  # noqa: BLE001 - the others must not wait for this one
        report_fault(platform.metrics, "trigger_not_taken", error, tenant_id=tenant_id)
    try:
        platform.triggers.put(state, replace(state, due_at=look.clock() + AFTER_A_FAULT))
    except Exception as error:  # noqa: BLE001 - it stays due
        report_fault(platform.metrics, "trigger_not_put_off", error, tenant_id=tenant_id)
    return False


def _take_all(look: TriggerLook, states: list[TriggerState]) -> int:
    if not states:
        return 0
    with ThreadPoolExecutor(min(THREADS, len(states))) as pool:
        return sum(pool.map(lambda state: take_one(look, state), states))
