"""Processes that are told to end, as a deployment or a machine that is shut down does."""

from __future__ import annotations

import signal
import time

from integration.installation import (
    DAGSTER,
    RUN_SECONDS,
    STALE_SECONDS,
    Installation,
    brief,
)
from integration.scenario import scenario
from integration.settled import everything_settled
from relay_dagster.devstack.processes import API


@scenario("23", seconds=40)
def the_run_process_is_told_to_end(relay: Installation) -> str:
    """Run process SIGTERMed while it works: the attempt is lost, SUCCEEDED, attempt 2."""
    tenant = relay.new_tenant("asked")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    relay.signal_run(run_id, signal.SIGTERM)
    told_at = time.monotonic()
    work.discard()
    record = relay.wait_final(run_id, within=60)
    took = time.monotonic() - told_at
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    everything_settled(relay)
    return f"SUCCEEDED, attempt 2, {took:.0f} s after the signal"


@scenario("23", seconds=70)
def everything_is_deployed_anew(relay: Installation) -> str:
    """Every process SIGTERMed and started again while a run works: all runs end, none is open."""
    tenants = [relay.new_tenant("deployed") for _ in range(3)]
    work = relay.hold_work(tenants[0])
    runs = [relay.post(tenants[0])]
    work.wait_for_hits(1, RUN_SECONDS)
    runs.append(relay.post(tenants[1]))
    for name in (*DAGSTER, API):
        relay.stack.stop(name)
    work.discard()
    relay.start(*DAGSTER, API)
    runs.append(relay.post(tenants[2]))
    records = [
        relay.wait_final(run_id, within=RUN_SECONDS + STALE_SECONDS)
        for run_id in runs
    ]
    for record in records:
        assert record.status == "SUCCEEDED", brief(record)
    everything_settled(relay)
    attempts = ", ".join(str(record.attempt) for record in records)
    return f"three runs SUCCEEDED, attempts {attempts}: the one that worked, one before, one after"
