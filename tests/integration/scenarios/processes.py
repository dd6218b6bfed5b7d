"""Processes that die, freeze and come back: the run's, the code server, the daemon, all."""

from __future__ import annotations

import os
import signal
import time

from integration import sample_tenant
from integration.fault_rules import Action
from integration.installation import (
    CAPACITY,
    DAGSTER,
    RUN_SECONDS,
    STALE_SECONDS,
    Installation,
    brief,
    side_by_side,
)
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_dagster.devstack.processes import CODE, DAEMON

BURST = 20
DAEMON_KILLS = 5


@scenario("5", seconds=130, crowd=True)
def the_daemon_dies_again_and_again(relay: Installation) -> str:
    """Daemon SIGKILLed five times during a burst of 20: 20 runs, none lost or doubled or dead."""
    tenants = [relay.new_tenant("burst") for _ in range(BURST)]
    runs = side_by_side(
        *(lambda tenant=tenant: relay.post(tenant) for tenant in tenants)
    )
    for kill in range(DAEMON_KILLS):
        wait_for(
            f"more than {2 * kill} jobs were dispatched",
            lambda kill=kill: (
                sum(relay.record(run).attempt > 0 for run in runs) > 2 * kill
            ),
            within=RUN_SECONDS,
        )
        relay.kill(DAEMON)
        relay.start(DAEMON)
    for run_id in runs:
        record = relay.wait_final(run_id, within=6 * RUN_SECONDS)
        assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(
            record
        )
    everything_settled(relay)
    return f"{BURST} runs SUCCEEDED, attempt 1, through {DAEMON_KILLS} kills; DLQ empty"


@scenario("6", seconds=60)
def the_code_server_is_dead_at_a_dequeue(relay: Installation) -> str:
    """Code server dead when a queued run is dequeued: the run waits for it, attempt 1."""
    tenants = [relay.new_tenant("queued") for _ in range(CAPACITY + 1)]
    held = [relay.hold_work(tenant) for tenant in tenants[:CAPACITY]]
    runs = [relay.post(tenant) for tenant in tenants[:CAPACITY]]
    for run_id in runs:
        relay.wait_running(run_id)
    runs.append(relay.post(tenants[-1]))
    queued = wait_for(
        "the last run is in Dagster's queue",
        lambda: relay.dagster.runs(runs[-1]),
        within=60,
    )[0]
    relay.kill_alone(CODE)
    for rule in held:
        rule.release()
    wait_for(
        "Dagster has tried to start it in vain",
        lambda: (
            "failed to reach the user code server"
            in relay.dagster.messages(queued.run_id)
        ),
        within=60,
    )
    relay.start(CODE)
    for run_id in runs:
        record = relay.wait_final(run_id)
        assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(
            record
        )
    everything_settled(relay)
    return "dequeued again when the code server was back; SUCCEEDED, attempt 1"


@scenario("7", seconds=30, smoke=True)
def the_run_process_dies(relay: Installation) -> str:
    """Run process SIGKILLed while it works: SUCCEEDED, attempt 2, within a minute, by itself."""
    tenant = relay.new_tenant("killed")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    relay.signal_run(run_id)
    killed = time.monotonic()
    work.discard()
    record = relay.wait_final(run_id, within=60)
    took = time.monotonic() - killed
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    everything_settled(relay)
    return f"SUCCEEDED, attempt 2, {took:.0f} s after the kill"


@scenario("8", seconds=60)
def a_host_dies(relay: Installation) -> str:
    """Code server and run SIGKILLed together: the heartbeat goes stale, SUCCEEDED, attempt 2."""
    tenant = relay.new_tenant("host")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    dead = relay.record(run_id).dagster_run_id
    assert dead is not None
    relay.kill(CODE)
    killed = time.monotonic()
    work.discard()
    relay.start(CODE)
    assert relay.dagster.status(dead) == "STARTED"
    record = relay.wait_final(run_id, within=STALE_SECONDS + 60)
    took = time.monotonic() - killed
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    assert relay.dagster.status(dead) == "FAILURE"
    everything_settled(relay)
    return (
        f"SUCCEEDED, attempt 2, {took:.0f} s after the kill "
        f"(RELAY_HEARTBEAT_STALE_SECONDS={STALE_SECONDS})"
    )


@scenario("9", seconds=70)
def all_of_dagster_dies(relay: Installation) -> str:
    """All of Dagster SIGKILLed mid-run and restarted: the run ends; jobs posted meanwhile run."""
    tenants = [relay.new_tenant("blackout") for _ in range(3)]
    work = relay.hold_work(tenants[0])
    run_id = relay.post(tenants[0])
    work.wait_for_hits(1, RUN_SECONDS)
    relay.kill(*DAGSTER)
    work.discard()
    meanwhile = [relay.post(tenant) for tenant in tenants[1:]]
    assert relay.ask(tenants[0]).status_code == 409
    relay.start(*DAGSTER)
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    for waiting_id in meanwhile:
        final_record = relay.wait_final(waiting_id)
        assert (final_record.status, final_record.attempt) == (
            "SUCCEEDED",
            1,
        ), brief(final_record)
    everything_settled(relay)
    return "SUCCEEDED, attempt 2; the two posted meanwhile SUCCEEDED, attempt 1"


@scenario("10", seconds=40)
def a_run_dies_after_publishing(relay: Installation) -> str:
    """Dies between feed and final state, and a vendor uploads: attempt 2, the same bytes."""
    tenant = relay.new_tenant("published")
    ending = relay.proxy.add(
        Action.HOLD,
        "dynamodb",
        "TransactWriteItems",
        containing=(tenant, '"SUCCEEDED"'),
    )
    run_id = relay.post(tenant)
    ending.wait_for_hits(1, RUN_SECONDS)
    first = relay.csv(run_id)
    relay.signal_run(run_id)
    relay.upload(tenant, "north", sample_tenant.other_feed(), "later.csv")
    ending.discard()
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    assert relay.csv(run_id) == first
    everything_settled(relay)
    return f"SUCCEEDED, attempt 2, the same {len(first)} bytes"


@scenario("11", seconds=70)
def an_orphan_wakes_up(relay: Installation) -> str:
    """A frozen attempt wakes up while the next one works: its fence fails, the next one ends it."""
    tenant = relay.new_tenant("orphan")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    orphan = relay.record(run_id).dagster_run_id
    sleeper = relay.signal_run(run_id, signal.SIGSTOP)
    assert orphan is not None
    try:
        relay.wait_running(run_id, attempt=2)
        work.wait_for_hits(2, RUN_SECONDS)
    finally:
        os.kill(sleeper, signal.SIGCONT)
    work.release()
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    wait_for("the orphan has ended", lambda: not _is_alive(sleeper), within=60)
    assert relay.dagster.status(orphan) == "FAILURE"
    everything_settled(relay)
    return "SUCCEEDED, attempt 2; the orphan ended without a trace"


@scenario("38", seconds=60)
def the_warm_process_dies_under_runs(relay: Installation) -> str:
    """Warm process SIGKILLed under two runs: one ends, attempt 1; one is killed, attempt 2."""
    tenants = [relay.new_tenant("orphaned") for _ in range(3)]
    works = [relay.hold_work(tenant) for tenant in tenants[:2]]
    runs = [relay.post(tenant) for tenant in tenants[:2]]
    for work in works:
        work.wait_for_hits(1, RUN_SECONDS)
    warm = relay.warm_process()
    os.kill(warm, signal.SIGKILL)
    relay.signal_run(runs[1])
    for work in works:
        work.release()
    runs.append(relay.post(tenants[2]))
    records = [relay.wait_final(run_id) for run_id in runs]
    outcomes = [(record.status, record.attempt) for record in records]
    assert outcomes == [("SUCCEEDED", 1), ("SUCCEEDED", 2), ("SUCCEEDED", 1)]
    assert relay.warm_process() != warm
    everything_settled(relay)
    return (
        "SUCCEEDED, attempt 1; the killed run attempt 2; another warm process"
    )


@scenario("38", seconds=40)
def the_warm_process_dies_as_it_forks(relay: Installation) -> str:
    """Warm process SIGKILLed as it forks a run: the run starts cold, once, attempt 1."""
    tenant = relay.new_tenant("unforked")
    # After an earlier failure, this code server may still start its runs cold.
    relay.kill(CODE)
    relay.start(CODE)
    failures = len(relay.events("warm_process_failed"))
    warm = relay.warm_process()
    os.kill(warm, signal.SIGSTOP)
    run_id = relay.post(tenant)
    wait_for(
        "the run is being started",
        lambda: (
            [run.status.value for run in relay.dagster.runs(run_id)]
            == ["STARTING"]
        ),
        within=RUN_SECONDS,
    )
    assert not relay.record(run_id).is_claimed
    os.kill(warm, signal.SIGKILL)
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    assert len(relay.events("warm_process_failed")) == failures + 1
    everything_settled(relay)
    return "SUCCEEDED, attempt 1, from a cold start"


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - not a file of anybody's
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
