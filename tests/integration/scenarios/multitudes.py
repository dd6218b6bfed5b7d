"""What many do to one: many queued runs, many letters, runs that want more than there is."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta

from benchmarks.stored_runs import put_many
from integration.fault_rules import Action
from integration.installation import (
    RUN_SECONDS,
    STALE_SECONDS,
    Installation,
    brief,
    side_by_side,
)
from integration.scenario import scenario
from integration.settled import everything_settled
from integration.waiting import wait_for
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.job_queue import DEAD_LETTER_READ_SECONDS
from relay_dagster.devstack.processes import CODE
from relay_dagster.intake.dead_letters import DeadLetters
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.runs.model import LockState, NewRun, RunRecord
from relay_dagster.runs.ports import utc_now
from support import builders

PURGED = int(os.environ.get("PURGED", "10"))
QUEUED = 1_500
LETTERS = 300
MEMORY_MB = 300
TIME_SECONDS = 60
ROWS_FOR_TOO_MUCH_MEMORY = 3_000_000


@scenario("24", seconds=110, crowd=True)
def the_queue_is_purged(relay: Installation) -> str:
    """The queue is purged while runs wait in it: all are sent again, SUCCEEDED, attempt 1."""
    tenants = [relay.new_tenant("purged") for _ in range(PURGED)]
    relay.dagster.switch_sensor("sqs_run_sensor", on=False)
    try:
        runs = side_by_side(
            *(lambda tenant=tenant: relay.post(tenant) for tenant in tenants)
        )
        relay.aws.clients.sqs.purge_queue(QueueUrl=relay.aws.queue.url)
        purged = time.monotonic()
    finally:
        relay.dagster.switch_sensor("sqs_run_sensor", on=True)
    for run_id in runs:
        record = relay.wait_final(run_id, within=2 * RUN_SECONDS)
        assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(
            record
        )
    took = time.monotonic() - purged
    everything_settled(relay)
    return f"{PURGED} runs sent again and SUCCEEDED, attempt 1, within {took:.0f} s"


@scenario("25", seconds=70)
def a_host_dies_while_very_many_wait(relay: Installation) -> str:
    """A host dies with its run while 1,500 runs wait: SUCCEEDED, attempt 2, as soon as ever."""
    tenant = relay.new_tenant("among")
    work = relay.hold_work(tenant)
    run_id = relay.post(tenant)
    work.wait_for_hits(1, RUN_SECONDS)
    with _queued_runs(relay, QUEUED):
        relay.kill(CODE)
        killed = time.monotonic()
        work.discard()
        relay.start(CODE)
        record = relay.wait_final(run_id, within=STALE_SECONDS + 60)
        took = time.monotonic() - killed
    assert (record.status, record.attempt) == ("SUCCEEDED", 2), brief(record)
    everything_settled(relay)
    return f"SUCCEEDED, attempt 2, {took:.0f} s after the death, beside {QUEUED} queued runs"


@scenario("26", seconds=110)
def a_stray_lies_among_300_dead_letters(relay: Installation) -> str:
    """300 letters lie in the DLQ and a live run's message: all are listed, the run SUCCEEDED."""
    queue = relay.aws.queue
    tenant = relay.new_tenant("stray")
    for number in range(LETTERS):
        cause = "invalid_job: the body is not JSON"
        run_id = str(uuid.uuid4())
        queue.send_dead(f"no job {number}", cause=cause, run_id=run_id)
    new_run = NewRun(run_id=str(uuid.uuid4()), tenant_id=tenant)
    record = relay.aws.ledger.reserve(new_run).record
    # As SQS itself does it, without a cause; a message of tomorrow does not count as lost before.
    letter = relay.aws.clients.sqs.send_message(
        QueueUrl=queue.dlq_url, MessageBody=record.job.body()
    )
    tomorrow = RunLedger(
        relay.aws.runs, clock=lambda: utc_now() + timedelta(days=1)
    )
    tomorrow.messages.mark_sent(record.run_id, letter["MessageId"])
    moved = time.monotonic()
    record = relay.wait_final(record.run_id, within=60 + RUN_SECONDS)
    took = time.monotonic() - moved
    assert (record.status, record.attempt) == ("SUCCEEDED", 1), brief(record)

    def all_are_listed() -> bool:
        return (
            len({letter.run_id for letter in DeadLetters(relay.aws).all()})
            == LETTERS
        )

    # A sweep that reads them at the same time hides them until it ends.
    wait_for(
        f"{LETTERS} dead letters are listed",
        all_are_listed,
        within=4 * DEAD_LETTER_READ_SECONDS,
    )
    relay.empty_dead_letters()
    everything_settled(relay)
    return f"SUCCEEDED, attempt 1, {took:.0f} s after it was moved; {LETTERS} letters listed"


@scenario("27", seconds=140)
def runs_meet_their_limits_beside_a_well_one(relay: Installation) -> str:
    """A run takes too long, one too much memory: FAILED, finally; the one beside them SUCCEEDED."""
    slow, big, well = (
        relay.new_tenant(word) for word in ("slow", "big", "well")
    )
    rows = (f"SKU-{row},1,2.50" for row in range(ROWS_FOR_TOO_MUCH_MEMORY))
    relay.upload(big, "north", builders.feed(*rows))
    held = relay.proxy.add(
        Action.HOLD, "s3", "PutObject", containing=f"/tenants/{slow}/normalized"
    )
    with _code_server_with(
        relay,
        RELAY_RUN_TIMEOUT_SECONDS=str(TIME_SECONDS),
        RELAY_MAX_RUN_MEMORY_MB=str(MEMORY_MB),
    ):
        runs = [relay.post(tenant) for tenant in (slow, big, well)]
        ends = [
            relay.wait_final(run_id, within=2 * RUN_SECONDS) for run_id in runs
        ]
    held.discard()
    outcomes = [(end.status, end.error_code, end.attempt) for end in ends]
    assert outcomes == [
        ("FAILED", "RUN_TIMEOUT", 1),
        ("FAILED", "feed_too_large", 1),
        ("SUCCEEDED", None, 1),
    ], "; ".join(map(brief, ends))
    everything_settled(relay)
    return "FAILED, RUN_TIMEOUT; FAILED, feed_too_large; SUCCEEDED; one attempt each"


@contextlib.contextmanager
def _queued_runs(relay: Installation, count: int) -> Iterator[None]:
    """Keep so many runs in the table whose messages are on their way for a day."""
    looks = relay.aws.ledger.schedule
    now = utc_now()
    runs = [
        RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id=f"waits-{number}",
            requested_at=now,
            message_id="m",
            sent_at=now + timedelta(days=1),
            lock_state=LockState.OWNER,
        )
        for number in range(count)
    ]
    put_many(relay.aws, (looks.scheduled(None, run, now) for run in runs))
    try:
        yield
    finally:
        for start in range(0, count, 25):
            batch = runs[start : start + 25]
            keys = [
                {
                    "DeleteRequest": {
                        "Key": {"pk": {"S": Kind.RUN.key(run.run_id)}}
                    }
                }
                for run in batch
            ]
            table = relay.aws.settings.runs_table
            relay.aws.clients.dynamodb.batch_write_item(
                RequestItems={table: keys}
            )


@contextlib.contextmanager
def _code_server_with(relay: Installation, **variables: str) -> Iterator[None]:
    """Let the code server, and the runs that it starts, have other variables meanwhile."""
    before = dict(relay.stack.environment)
    try:
        _restart_code_server(relay, {**before, **variables})
        yield
    finally:
        _restart_code_server(relay, before)


def _restart_code_server(
    relay: Installation, environment: dict[str, str]
) -> None:
    relay.kill(CODE)
    relay.stack.environment = environment
    relay.start(CODE)
