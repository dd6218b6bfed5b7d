"""Checks all triggers that are due: due times, uploads that are quiet, runs that waited.

An index finds them, so a tick costs only the triggers that are due. Several are checked at once,
since many tenants' schedules share a minute.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import AFTER_A_FAULT, TICK_SECONDS, Deadline, drain
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers.rules import Plan
from relay_dagster.triggers.state import TriggerQueue, TriggerState
from relay_dagster.triggers.ticks.check import TriggerCheck
from relay_dagster.wiring import Platform

MAX_AT_ONCE, THREADS = 200, 8


def take_due(
    platform: Platform,
    clock: Callable[[], datetime] = utc_now,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Start the runs that are due and can start; return how many were started.

    Triggers that have just fallen due come first. A tick checks a limited number that wait.
    """
    check, deadline = TriggerCheck(platform, clock), Deadline.after(TICK_SECONDS, monotonic)
    count, is_more = 0, True
    while is_more:
        states = platform.triggers.due(TriggerQueue.DUE, clock(), MAX_AT_ONCE)
        count += take_all(check, states)
        is_more = len(states) == MAX_AT_ONCE and not deadline.has_passed()
    return count + take_all(check, platform.triggers.due(TriggerQueue.WANTED, clock(), MAX_AT_ONCE))


def take_all(check: TriggerCheck, states: Sequence[TriggerState], plan: Plan | None = None) -> int:
    """Check tenants' triggers; return how many runs were started. A fault puts one off.

    ``plan`` is given if the config was read after the triggers.
    """
    platform = check.platform

    def put_off(state: TriggerState, error: Exception) -> None:
        report_fault(platform.metrics, "trigger_not_taken", error, tenant_id=state.tenant_id)
        platform.triggers.put(state, replace(state, due_at=check.clock() + AFTER_A_FAULT))

    started = drain(
        states, lambda state: check.take(state, plan), put_off, threads=min(THREADS, len(states))
    )
    return sum(run is not None for run in started)
