"""What a tick, a listing and a dead run cost with 100 to 10,000 tenants: `make scale`.

Each tenant has a config, a queued run, and runs that have ended, twenty unless a size says
otherwise (``2000:9``), written straight into the store of embedded AWS. Then the work of each
sensor is done once, two lists are asked for, and on a clock that is set by hand a killed run, a
cancelled one and lost messages are waited for. Told of each: calls to AWS, items that these read,
and seconds outside of AWS. The seconds inside are moto's, whose index queries go through the whole
table; DynamoDB's do not.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import dagster as dg
import httpx

from benchmarks import tables
from benchmarks.api_bench import KEY, ApiStack
from benchmarks.stored_runs import put_many
from relay_core.config import parse_document
from relay_core.domain.codes import RunStatus, Stage
from relay_core.samples import sample_config_text
from relay_dagster import tags
from relay_dagster.devstack.processes import API, CODE, MOTO
from relay_dagster.drain import Deadline
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.maintenance.housekeeping import (
    Occasion,
    PartitionSync,
    delete_old_runs,
    sync_partitions,
)
from relay_dagster.maintenance.messages import (
    DeadLetterCount,
    QueueWatch,
    send_lost_again,
    sweep,
)
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_history import DagsterHistory
from relay_dagster.orchestration.dagster_instance import (
    DagsterExecutions,
    DagsterPartitions,
)
from relay_dagster.runs.model import LockState, NewRun, RunRecord
from relay_dagster.settings import Settings
from relay_dagster.wiring import Platform, connect, poll_schedule

SIZES = "100,1000,2000:9,10000"
ENDED_RUNS = 20
"""Of each tenant."""
STALE_SECONDS = 20
LOST_SECONDS = 60
LOST = 5
MESSAGES = 100
"""So many messages are lost, and are in the queue; moto copies the tables for a transaction."""
MAX_RUNS = 21_000
"""With more of them one such copy takes longer than a client of AWS waits for an answer."""
EVERY = timedelta(seconds=5)
LIMIT = timedelta(minutes=10)
BEGUN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = BEGUN

    def __call__(self) -> datetime:
        """Return the instant that is set."""
        return self.now


class Calls:
    """Calls to AWS since the last look: how many, what they read, how long they took."""

    def __init__(self, platform: Platform) -> None:
        self.calls = self.items = 0
        self.seconds = self._begun = 0.0
        clients = platform.clients
        for client in (
            clients.dynamodb,
            clients.sqs,
            clients.sqs_polling,
            clients.s3,
        ):
            client.meta.events.register("before-call", self._begin)
            client.meta.events.register("after-call", self._end)

    def reset(self) -> None:
        """Forget what was counted."""
        self.calls = self.items = 0
        self.seconds = 0.0

    def _begin(self, **_: Any) -> None:
        self._begun = time.perf_counter()

    def _end(self, parsed: dict[str, Any], **_: Any) -> None:
        self.calls += 1
        self.seconds += time.perf_counter() - self._begun
        self.items += int(parsed.get("ScannedCount", 0)) + ("Item" in parsed)
        self.items += sum(
            len(response) for response in parsed.get("Responses", {}).values()
        )
        self.items += len(parsed.get("Messages", ()))


@dataclass(frozen=True)
class Cost:
    """What one thing cost at one size."""

    what: str
    tenants: int
    calls: int
    items: int
    own_seconds: float


@dataclass(frozen=True)
class Scale:
    """An installation of so many tenants, and the ways into it."""

    tenants: int
    runs: int
    stack: ApiStack
    platform: Platform
    instance: dg.DagsterInstance
    clock: Clock
    calls: Calls

    def cost(self, what: str, act: Callable[[], object]) -> Cost:
        """Do a thing and return what it cost."""
        self.calls.reset()
        started_at = time.perf_counter()
        act()
        own_seconds = time.perf_counter() - started_at - self.calls.seconds
        return Cost(
            what, self.tenants, self.calls.calls, self.calls.items, own_seconds
        )

    def reconcile(self) -> None:
        """Make one tick of the reconciler."""
        ReconcileTick(
            self.platform, DagsterExecutions(self.instance), clock=self.clock
        ).run()

    def take_in(self, room: int = 1) -> list[RunRecord]:
        """Make one tick of the intake, without waiting."""
        executions = DagsterExecutions(self.instance)
        return IntakeTick(
            self.platform, executions, room, clock=self.clock
        ).run(poll_seconds=0)

    def look(self) -> None:
        """Make one tick of the reconciler and one of the intake."""
        self.reconcile()
        self.take_in()

    def current(self, run_id: str) -> RunRecord:
        """Return a run's record."""
        record = self.platform.runs.get(run_id)
        if record is None:
            raise LookupError(run_id)
        return record

    def seconds_until(
        self, is_done: Callable[[], bool], act: Callable[[], object]
    ) -> float:
        """Act every five seconds of the clock until it is done; return how many seconds it took."""
        started_at = self.clock.now
        while not is_done():
            if self.clock.now - started_at > LIMIT:
                return float("inf")
            self.clock.now += EVERY
            act()
        return (self.clock.now - started_at).total_seconds()


# --- what there is ------------------------------------------------------------------------------


@contextmanager
def installed(tenants: int, ended: int) -> Iterator[Scale]:
    """Yield an installation of so many tenants with so many ended runs each."""
    with (
        tempfile.TemporaryDirectory(prefix="relay-scale-") as folder,
        ApiStack(Path(folder)) as stack,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        stack.start(MOTO)
        stack.bootstrap()
        stack.environment |= {
            "RELAY_HEARTBEAT_STALE_SECONDS": str(STALE_SECONDS),
            "RELAY_MESSAGE_LOST_SECONDS": str(LOST_SECONDS),
        }
        os.environ.update(stack.process_environment())
        clock = Clock()
        settings = Settings.from_env()
        platform = connect(settings)
        schedule = poll_schedule(settings)
        ledger = RunLedger(
            platform.runs, schedule, clock=clock, rng=lambda: 0.5
        )
        platform = replace(platform, ledger=ledger)
        _fill(platform, tenants, ended, clock.now)
        stack.start(API, CODE)
        runs = tenants * (1 + ended)
        yield Scale(
            tenants, runs, stack, platform, instance, clock, Calls(platform)
        )


def _fill(platform: Platform, tenants: int, ended: int, now: datetime) -> None:
    document = parse_document(sample_config_text("acme_parts"), format="yaml")
    platform.tenants.put(
        _tenant(0),
        json.dumps(document | {"tenant_id": _tenant(0)}, default=str),
    )
    _copy_first_tenant(platform, tenants)
    put_many(platform, _ended(tenants, ended, now))
    queued = [
        _queued(number, now, number >= tenants - LOST)
        for number in range(tenants)
    ]
    for record in queued[: min(MESSAGES, tenants - LOST)]:
        platform.queue.send(record.job)
    looks = platform.ledger.schedule
    put_many(
        platform, (looks.scheduled(None, record, now) for record in queued)
    )


def _copy_first_tenant(platform: Platform, tenants: int) -> None:
    """Store the items of the first tenant for all others, too."""
    dynamodb = platform.clients.dynamodb
    table = platform.settings.tenants_table
    first = json.dumps(dynamodb.scan(TableName=table)["Items"])
    copies: Iterator[Any] = (
        {"PutRequest": {"Item": item}}
        for number in range(1, tenants)
        for item in json.loads(first.replace(_tenant(0), _tenant(number)))
    )
    while batch := list(islice(copies, 25)):
        dynamodb.batch_write_item(RequestItems={table: batch})


def _ended(tenants: int, runs: int, now: datetime) -> Iterator[RunRecord]:
    for number in range(tenants * runs):
        at = now - timedelta(hours=1 + number // tenants)
        yield RunRecord(
            run_id=str(uuid.uuid4()),
            tenant_id=_tenant(number % tenants),
            requested_at=at,
            status=RunStatus.SUCCEEDED,
            stage=Stage.COMPLETE,
            attempt=1,
            started_at=at,
            finished_at=at,
            acknowledged_at=at,
            reports_written_at=at,
        )


def _queued(number: int, now: datetime, is_lost: bool) -> RunRecord:
    """Return a run that waits for its message; one that is not lost shows signs for a day."""
    sent_at = now if is_lost else now + timedelta(days=1)
    return RunRecord(
        run_id=str(uuid.uuid4()),
        tenant_id=_tenant(number),
        requested_at=now,
        message_id=f"message-{number}",
        sent_at=sent_at,
        lock_state=LockState.OWNER,
    )


def _tenant(number: int) -> str:
    return f"tenant-{number:05}"


# --- what is measured ---------------------------------------------------------------------------


def ticks(scale: Scale) -> Iterator[Cost]:
    """Yield what one tick of each sensor costs, and two lists."""
    platform = scale.platform
    clock = scale.clock
    history = DagsterHistory(scale.instance)
    partitions = DagsterPartitions(scale.instance)
    now = clock.now
    sync = PartitionSync()
    later = datetime.now(UTC) + timedelta(minutes=5)

    def compare(hours: int = 0) -> None:
        sync_partitions(
            platform, partitions, sync, later + timedelta(hours=hours)
        )

    yield scale.cost("partitions, the first time", compare)
    yield scale.cost("partitions, none new", compare)
    yield scale.cost("partitions, all compared", lambda: compare(hours=1))
    yield scale.cost("reconciler, nothing due", scale.reconcile)
    yield scale.cost("intake, one place", scale.take_in)
    yield scale.cost(
        "lost messages",
        lambda: send_lost_again(
            Occasion(platform, now, Deadline.after(60)), QueueWatch()
        ),
    )
    yield scale.cost(
        "dead letters",
        lambda: sweep(
            Occasion(platform, now, Deadline.after(60)), DeadLetterCount()
        ),
    )
    yield scale.cost(
        "history",
        lambda: delete_old_runs(
            Occasion(platform, now, Deadline.after(30)), history
        ),
    )
    listed = platform.runs.list_runs
    yield scale.cost(
        "runs?status=RUNNING", lambda: listed(None, RunStatus.RUNNING)
    )
    yield scale.cost("runs?tenant_id=", lambda: listed(_tenant(0)))


def _executing(scale: Scale) -> RunRecord:
    """Return a run of a tenant of its own that a process of Dagster executes."""
    ledger = scale.platform.ledger
    run_id = str(uuid.uuid4())
    new_run = NewRun(run_id=run_id, tenant_id=f"extra-{run_id[:8]}")
    record = ledger.reserve(new_run).record
    record = ledger.messages.mark_sent(run_id, "message", cached_record=record)
    record = ledger.dispatch(
        run_id, 1, message_id="message", receipt_handle="handle"
    )
    run = dg.DagsterRun(
        job_name="inventory_sync",
        run_id=str(uuid.uuid4()),
        status=dg.DagsterRunStatus.STARTED,
        tags=tags.run_tags(run_id, record.tenant_id, attempt=1),
    )
    scale.instance.add_run(run)
    return ledger.claim(run_id, 1, run.run_id)


def waits(scale: Scale) -> dict[str, float]:
    """Return how many seconds of the clock three things take that nobody may wait for long."""
    platform = scale.platform
    killed = _executing(scale)
    seconds_by_wait = {
        "a killed run's next attempt": scale.seconds_until(
            lambda: scale.current(killed.run_id).attempt == 2,
            scale.look,
        )
    }
    cancelled = _executing(scale)
    platform.ledger.request_cancel(cancelled.run_id)
    seconds_by_wait["a cancelled run's end"] = scale.seconds_until(
        lambda: scale.current(cancelled.run_id).status is RunStatus.CANCELLED,
        scale.reconcile,
    )
    watch = QueueWatch()
    sent = 0
    platform.clients.sqs.purge_queue(QueueUrl=platform.settings.queue_url)

    def send() -> None:
        nonlocal sent
        sent += send_lost_again(
            Occasion(platform, scale.clock.now, Deadline.after(60)), watch
        )
        _empty(platform)

    waited = scale.seconds_until(lambda: sent >= LOST, send)
    seconds_by_wait[f"{LOST} lost messages are sent again"] = waited
    return seconds_by_wait


def _empty(platform: Platform) -> None:
    """Take what is in the queue out of sight, as the intake does."""
    while platform.queue.receive(10):
        pass


def memory(scale: Scale) -> dict[str, float]:
    """Return the MiB that API and code server hold, the API after a page of each list.

    With more runs than that moto takes longer over a page than the API waits.
    """
    paths = (
        "/v1/runs?limit=100",
        "/v1/runs?status=RUNNING",
        "/v1/runs?status=QUEUED",
    )
    with httpx.Client(
        base_url=scale.stack.url(API), trust_env=False, timeout=120
    ) as client:
        for path in paths if scale.runs <= MAX_RUNS else ("/v1/health",):
            client.get(path, headers={"X-API-Key": KEY}).raise_for_status()
    return {name: _resident_mib(scale.stack, name) for name in (API, CODE)}


def _resident_mib(stack: ApiStack, name: str) -> float:
    process = stack.services[name].process
    status = Path(
        f"/proc/{process.pid if process else 'self'}/status"
    ).read_text("ascii")
    line = next(
        line for line in status.splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1]) / 1024


# --- the tables ---------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Measure each size and print the tables; exit status 1 where a wait has no end."""
    options = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    options.add_argument("--sizes", default=SIZES, help="numbers of tenants")
    pairs = [
        size.partition(":")
        for size in options.parse_args(argv).sizes.split(",")
    ]
    ended_runs = {
        int(tenants): int(runs or ENDED_RUNS) for tenants, _, runs in pairs
    }
    sizes = list(ended_runs)
    # Thousands of messages are lost on purpose.
    logging.disable(logging.WARNING)
    costs: list[Cost] = []
    waited: dict[int, dict[str, float]] = {}
    held: dict[int, dict[str, float]] = {}
    for size in sizes:
        print(f"  {size:,} tenants", file=sys.stderr, flush=True)
        with installed(size, ended_runs[size]) as scale:
            costs += ticks(scale)
            held[size] = memory(scale)
            if scale.runs <= MAX_RUNS:
                waited[size] = waits(scale)
    print(f"{tables.machine()}\n")
    print(_costs(costs, sizes))
    print(
        f"\n{_numbers('seconds until', waited)}\n\n{_numbers('MiB held by', held)}"
    )
    return int(
        any(
            seconds == float("inf")
            for waits in waited.values()
            for seconds in waits.values()
        )
    )


def _costs(costs: Sequence[Cost], sizes: Sequence[int]) -> str:
    names = list(dict.fromkeys(cost.what for cost in costs))
    costs_by_size = {(cost.what, cost.tenants): cost for cost in costs}
    header = (
        "calls / items read / own s",
        *(f"{size:,} tenants" for size in sizes),
    )
    rows = [
        (name, *(_cell(costs_by_size[name, size]) for size in sizes))
        for name in names
    ]
    return tables.table(header, rows)


def _cell(cost: Cost) -> str:
    return f"{cost.calls:,} / {cost.items:,} / {cost.own_seconds:.2f}"


def _numbers(what: str, found: dict[int, dict[str, float]]) -> str:
    names = list(
        dict.fromkeys(name for numbers in found.values() for name in numbers)
    )
    header = (what, *(f"{size:,} tenants" for size in found))
    rows = [
        (
            name,
            *(
                f"{numbers[name]:.0f}" if name in numbers else ""
                for numbers in found.values()
            ),
        )
        for name in names
    ]
    return tables.table(header, rows)


if __name__ == "__main__":
    sys.exit(main())
