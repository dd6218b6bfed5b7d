"""What the queue does: delivers twice, too late, nothing at all, or what is no job."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

from integration.fault_rules import Action
from integration.installation import (
    CAPACITY,
    MAX_ATTEMPTS,
    RUN_SECONDS,
    VISIBILITY_SECONDS,
    Installation,
    brief,
)
from integration.scenario import scenario
from integration.settled import Exceptions, everything_settled
from integration.waiting import wait_for
from relay_dagster.devstack.processes import CODE
from relay_dagster.runs.job_message import Job

ALL_VISIBILITIES = (MAX_ATTEMPTS + 1) * VISIBILITY_SECONDS
OUTAGE_SECONDS = 60
RIVAL = Path(__file__).parents[1] / "rival.py"
TAGS = ("relay/run_id", "relay/tenant_id", "relay/attempt", "dagster/partition")


@scenario("3", seconds=40, smoke=True)
def the_same_message_comes_again(relay: Installation) -> str:
    """The same message twice while the run works, once more at its end: one run, all deleted."""
    tenant = relay.new_tenant("twice")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    relay.wait_running(run_id)
    job = relay.record(run_id).job
    relay.send(job)
    relay.send(job)
    _wait_received(relay)
    work.release()
    record = relay.wait_final(run_id)
    relay.send(job)
    _wait_received(relay)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    assert relay.record(run_id).finished_at == record.finished_at
    return "one run, SUCCEEDED, attempt 1; four messages deleted"


@scenario("4", seconds=50)
def a_sensor_evaluation_dies_after_a_receive(relay: Installation) -> str:
    """The sensor's process is SIGKILLed after it has received: redelivered, one run, attempt 1."""
    tenant = relay.new_tenant("received")
    receive = relay.proxy.add(
        Action.HOLD_ANSWER,
        "sqs",
        "ReceiveMessage",
        containing="relay-inventory-jobs",
        answer_containing=tenant,
    )
    run_id = relay.post(tenant)
    receive.wait_for_hits(1)
    relay.kill(CODE)
    receive.discard()
    assert relay.record(run_id).attempt == 0, "nothing was dispatched"
    relay.start(CODE)
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    return "redelivered; SUCCEEDED, attempt 1"


@scenario("14", seconds=110)
def receiving_fails_for_a_minute(relay: Installation) -> str:
    """SQS answers receives with 500 for a minute: logged, counted, and it goes on by itself."""
    tenant = relay.new_tenant("outage")
    error_count = len(relay.events("queue_receive_error"))
    counted = _worker_errors(relay)
    started = time.monotonic()
    outage = relay.proxy.add(
        Action.FAIL, "sqs", "ReceiveMessage", containing="relay-inventory-jobs"
    )
    outage.wait_for_hits(1)
    run_id = relay.post(tenant)
    wait_for(
        "the outage has lasted a minute",
        lambda: time.monotonic() - started > OUTAGE_SECONDS,
        within=OUTAGE_SECONDS + 5,
        every=1,
    )
    assert relay.record(run_id).attempt == 0, "received in spite of the outage"
    outage.release()
    outage_end = time.monotonic()
    record = relay.wait_final(run_id)
    took = time.monotonic() - outage_end
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    error_count = len(relay.events("queue_receive_error")) - error_count
    counted = _worker_errors(relay) - counted
    assert error_count >= 2, (
        f"queue_receive_error was logged {error_count} times"
    )
    assert counted >= error_count - 1, (
        f"WorkerError counted {counted}, logged {error_count}"
    )
    everything_settled(relay)
    return f"{error_count} queue_receive_error; SUCCEEDED {took:.0f} s after the outage, attempt 1"


@scenario("15", seconds=40)
def what_is_no_job_goes_to_the_dead_letters(relay: Installation) -> str:
    """Bodies that are no job, and another job under a known run_id: DLQ; nobody is held up."""
    counted = _worker_errors(relay)
    sqs = relay.aws.clients.sqs
    queue = relay.aws.queue
    bodies = ["not a job", json.dumps({"run_id": str(uuid.uuid4())}), "[1, 2]"]
    for body in bodies:
        sqs.send_message(QueueUrl=queue.url, MessageBody=body)
    tenant = relay.new_tenant("honest")
    run_id = relay.post(tenant)
    record = relay.wait_final(run_id)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)

    conflict = Job(run_id, tenant, ("north",), None)
    relay.send(conflict)
    bodies.append(conflict.body())
    wait_for(
        "all of them are in the DLQ",
        lambda: len(relay.dead_letters()) == len(bodies),
        within=60,
    )
    causes = sorted(
        letter["cause"].partition(":")[0] for letter in relay.dead_letters()
    )
    assert causes == ["invalid_job"] * 3 + ["job_conflict"], causes
    assert _worker_errors(relay) - counted >= 3
    assert relay.record(run_id).finished_at == record.finished_at
    everything_settled(relay, Exceptions(dead=bodies))
    relay.empty_dead_letters()
    return (
        "4 in the DLQ, each with its cause; the honest run SUCCEEDED, attempt 1"
    )


@scenario("16", seconds=110)
def jobs_outwait_all_their_visibility_timeouts(relay: Installation) -> str:
    """Jobs wait longer than all their visibility time-outs for tenant and capacity: attempt 1."""
    tenants = [relay.new_tenant("patient") for _ in range(CAPACITY + 4)]
    held = [relay.slow_work(tenant) for tenant in tenants[:CAPACITY]]
    runs = [relay.post(tenant) for tenant in tenants[:CAPACITY]]
    for run_id in runs:
        relay.wait_running(run_id)
    started = time.monotonic()
    second = Job(str(uuid.uuid4()), tenants[0], None, None)
    relay.send(second)
    runs += [relay.post(tenant) for tenant in tenants[CAPACITY:]]
    wait_for(
        f"they have waited for {ALL_VISIBILITIES} s",
        lambda: time.monotonic() - started > ALL_VISIBILITIES,
        within=ALL_VISIBILITIES + 5,
        every=1,
    )
    assert all(relay.record(run_id).attempt <= 1 for run_id in runs)
    for rule in held:
        rule.release()
    for run_id in [*runs, second.run_id]:
        record = relay.wait_final(run_id, within=2 * RUN_SECONDS)
        assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(
            record
        )
    everything_settled(relay)
    return (
        f"{len(runs) + 1} runs SUCCEEDED, attempt 1, after {ALL_VISIBILITIES} s of waiting "
        f"(visibility shortened to {VISIBILITY_SECONDS} s, {MAX_ATTEMPTS} receives)"
    )


@scenario("19", seconds=40)
def two_processes_race_for_one_attempt(relay: Installation) -> str:
    """Two processes claim one attempt at the same moment, its message comes again: one executes."""
    tenant = relay.new_tenant("race")
    claims = relay.proxy.add(
        Action.HOLD,
        "dynamodb",
        "TransactWriteItems",
        containing=(tenant, "RUNNING"),
    )
    rival = subprocess.Popen(
        [sys.executable, str(RIVAL)],
        env=relay.stack.process_environment(),
        cwd=relay.stack.home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with rival:
        assert rival.stdout.readline() == "ready\n"
        run_id = relay.post(tenant)
        claims.wait_for_hits(1, RUN_SECONDS)
        dagster_run = relay.dagster.runs(run_id)[0]
        rival.stdin.write(
            json.dumps({name: dagster_run.tags[name] for name in TAGS}) + "\n"
        )
        rival.stdin.flush()
        claims.wait_for_hits(2)
        relay.aws.queue.extend(str(relay.record(run_id).receipt_handle), 0)
        claims.release()
        record = relay.wait_final(run_id)
        winner = "the rival" if rival.wait(RUN_SECONDS) == 0 else "the sensor's"
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    wait_for(
        "both Dagster runs have ended",
        lambda: not relay.dagster.unfinished(),
        within=60,
    )
    ends = sorted(run.status.value for run in relay.dagster.runs(run_id))
    assert ends == ["FAILURE", "SUCCESS"], ends
    everything_settled(relay, Exceptions(doubled={(run_id, 1)}))
    return f"one executed ({winner}), SUCCEEDED, attempt 1"


@scenario("20", seconds=110)
def the_reconciler_is_down_for_long(relay: Installation) -> str:
    """The reconciler is down for all visibility time-outs: one run, acknowledged late, no DLQ."""
    tenant = relay.new_tenant("alone")
    relay.dagster.switch_sensor("run_reconciler", on=False)
    try:
        work = relay.slow_work(tenant)
        run_id = relay.post(tenant)
        relay.wait_running(run_id)
        started = time.monotonic()
        wait_for(
            f"{ALL_VISIBILITIES} s have passed",
            lambda: time.monotonic() - started > ALL_VISIBILITIES,
            within=ALL_VISIBILITIES + 5,
            every=1,
        )
        work.release()
        record = relay.wait_final(run_id)
        assert record.acknowledged_at is None, brief(record)
    finally:
        relay.dagster.switch_sensor("run_reconciler", on=True)
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)
    everything_settled(relay)
    replaced = sum(
        e.get("run_id") == run_id for e in relay.events("message_replaced")
    )
    return f"SUCCEEDED, attempt 1, acknowledged late; message replaced {replaced} times"


def _wait_received(relay: Installation) -> None:
    wait_for(
        "every message was received",
        lambda: relay.queue_counts(relay.aws.queue.url)[0] == 0,
        within=60,
    )


def _worker_errors(relay: Installation) -> int:
    """Return how often ``WorkerError`` was counted so far, in all."""
    lines = relay.proxy.seen("cloudwatch", "PutMetricData")
    return sum(b"WorkerError" in line.request.body for line in lines)
