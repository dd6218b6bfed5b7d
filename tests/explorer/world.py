"""The product in one process, on embedded AWS and one clock: the only module that imports it.

A world has several processes, each with a wire of its own. What a process can do are the verbs of
`Process`; what is kept between two explorations of the same beginning is `World.save`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any

from explorer.aws_state import AwsState, quick_transactions
from explorer.clock import WorldClock, ruling_aws
from explorer.dagster_stand_in import DagsterStandIn, Execution
from explorer.watch import Watch
from explorer.wire import ProcessDiedError, Wire
from relay_core.domain.codes import Stage
from relay_core.domain.records import RunFailure
from relay_dagster.aws.clients import Clients
from relay_dagster.aws.dynamodb.deletion_store import DeletionStore
from relay_dagster.aws.dynamodb.tenant_store import TenantStore
from relay_dagster.drain import Deadline
from relay_dagster.execution.published_copies import (
    KEPT_AFTER,
    copies_of,
    feed_copy_key,
    remove_superseded,
    unpublish,
)
from relay_dagster.external_errors import (
    ExternalServiceError,
    RequestRejectedError,
)
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.ledger.runs import RunLedger
from relay_dagster.maintenance.deletion import DeletionTick
from relay_dagster.maintenance.housekeeping import Occasion, count_holds
from relay_dagster.maintenance.messages import (
    QueueWatch,
    resolve_dead_letters,
    send_lost_again,
)
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.runs.errors import (
    CancelRequestedError,
    FenceLostError,
    RunError,
)
from relay_dagster.runs.job_message import Job
from relay_dagster.runs.model import (
    ChannelFile,
    Idempotency,
    Outcome,
    Release,
    RunRecord,
)
from relay_dagster.runs.ports import AttemptState, Removed
from relay_dagster.settings import Settings
from relay_dagster.tenants.errors import UnknownTenantError
from relay_dagster.transfers.webhook_calls import WebhookClient
from relay_dagster.transfers.webhook_sender import Sender
from relay_dagster.webhooks.changes import added
from relay_dagster.webhooks.model import SUBSCRIBABLE, DeliveryAttempt
from relay_dagster.wiring import Platform, connect, poll_schedule
from support.bootstrapped_aws import bootstrapped_aws
from support.builders import config_document
from support.webhooks_world import webhook

TENANT = "acme"
CHANNEL = "shop"
REFUSED = (RunError, UnknownTenantError)
UNSURE = ExternalServiceError
RETENTION_DAYS = 30
GUARD = {
    "guard": "skus_removed",
    "tripped": True,
    "value": "0.9",
    "limit": "0.5",
    "count": 9,
}


class Receiver(WebhookClient):
    """A receiver of webhooks that takes everything, and counts what it was told."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        object.__setattr__(self, "told", told)

    def call(
        self,
        destination: Any,
        headers: Mapping[str, str],
        body: bytes,
        at: datetime,
    ) -> DeliveryAttempt:
        self.told.append(headers["webhook-id"])  # type: ignore[attr-defined]
        return DeliveryAttempt(at, 200, 0, None)


class History(DagsterStandIn):
    """The stand-in with the word of the port for what was removed."""

    def remove_tenant(
        self,
        tenant_id: str,
        run_ids: Any,
        is_late: Callable[[], bool],
        mark: str | None = None,
    ) -> Removed:
        gone = list(self.history_of(tenant_id))
        for name in gone:
            del self.executions[name]
        return Removed(len(gone))


@cache
def _clients(name: str) -> tuple[Clients, Wire]:
    """Return a process's clients and their wire: making them takes longer than a world."""
    clients = Clients("us-east-1")
    names = (
        "dynamodb",
        "dynamodb_heartbeats",
        "s3",
        "sqs",
        "sqs_polling",
        "cloudwatch",
    )
    return clients, Wire([getattr(clients, name) for name in names])


@dataclass
class World:
    """One installation with one tenant."""

    settings: Settings
    state: AwsState = field(default_factory=AwsState)
    clock: WorldClock = field(default_factory=WorldClock)
    dagster: History = field(default_factory=lambda: History(AttemptState))
    endings: dict[str, str] = field(default_factory=dict)
    next_ending: str = "published"
    told: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    watch: Watch = field(init=False)
    _processes: dict[str, Process] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.watch = Watch(self.state, self.settings.runs_table)

    def process(self, name: str = "world") -> Process:
        """Return a process, by its name."""
        if name not in self._processes:
            clients, wire = _clients(name)
            wire.reset()
            wire.made = 0
            wire.sabotage = None
            wire.shortcut = self.state.answer
            wire.before_write = lambda call: self.watch.before_write(call)
            self._processes[name] = Process(self, self._platform(clients), wire)
        return self._processes[name]

    def _platform(self, clients: Clients) -> Platform:
        platform = connect(self.settings, clients=clients)
        clock = self.clock
        database = replace(platform.database, clock=clock)
        schedule = poll_schedule(self.settings)
        ledger = RunLedger(
            platform.runs, schedule, clock=clock, rng=lambda: 0.5
        )
        return replace(
            platform,
            ledger=ledger,
            tenants=TenantStore(database),
            deletions=DeletionStore(database),
        )

    def calls(self) -> int:
        """Return how many calls its processes have made so far."""
        return sum(process.wire.made for process in self._processes.values())

    # --- put aside, and put back ----------------------------------------------------------------

    def save(self) -> Any:
        clock_state = (
            self.clock.now,
            dict(self.endings),
            self.next_ending,
            list(self.told),
        )
        executions = {k: replace(v) for k, v in self.dagster.executions.items()}
        return (
            self.state.save(),
            clock_state,
            executions,
            list(self.accepted),
            self._counts(),
        )

    def restore(self, saved: Any) -> None:
        aws, clock_state, executions, accepted, counts = saved
        self.state.restore(aws)
        self.clock.now, endings, self.next_ending, messages = clock_state
        self.endings = dict(endings)
        self.told[:] = messages
        self.dagster.executions = {k: replace(v) for k, v in executions.items()}
        self.accepted = list(accepted)
        self.watch = Watch(
            self.state,
            self.settings.runs_table,
            *(count.copy() for count in counts),
        )
        for process in self._processes.values():
            process.begin()

    def _counts(self) -> Any:
        watch = self.watch
        return [
            counter.copy()
            for counter in (
                watch.ends,
                watch.events,
                watch.moves,
                watch.rollbacks,
            )
        ]

    # --- what is there --------------------------------------------------------------------------

    def runs(self) -> list[dict[str, Any]]:
        return self.state.items(self.settings.runs_table, "RUN#")

    def run(self, run_id: str) -> dict[str, Any] | None:
        return self.state.item(self.settings.runs_table, f"RUN#{run_id}")

    def lock(self) -> dict[str, Any]:
        return self.state.item(self.settings.runs_table, f"LOCK#{TENANT}") or {}

    def feed(self) -> dict[str, Any] | None:
        return self.state.item(self.settings.runs_table, f"FEED#{TENANT}")

    def events(self) -> list[dict[str, Any]]:
        return self.state.items(self.settings.runs_table, "EVENT#")

    def deletion(self) -> dict[str, Any] | None:
        return self.state.item(
            self.settings.tenants_table, f"DELETION#{TENANT}"
        )

    def tenant_items(self) -> list[str]:
        tables = (self.settings.tenants_table, self.settings.runs_table)
        return [
            item["pk"] for table in tables for item in self.state.items(table)
        ]

    def audit(self) -> list[dict[str, Any]]:
        entries = self.state.items(self.settings.audit_table)
        return [json.loads(entry["entry"]) for entry in entries]

    def copies(self) -> list[str]:
        return self.state.keys(
            self.settings.artifact_bucket, f"published/{TENANT}/"
        )

    def messages(self) -> list[Any]:
        return self.state.messages(self.settings.queue_url)

    def dead_letters(self) -> list[Any]:
        return self.state.messages(self.settings.dlq_url)

    # --- what happens to it ---------------------------------------------------------------------

    def lose_messages(self) -> None:
        """Let the queue lose its messages; of a job without a record nobody else knows."""
        jobs = {
            json.loads(message.body)["run_id"] for message in self.messages()
        }
        unknown = jobs - {run["run_id"] for run in self.runs()}
        self.accepted = [
            run_id for run_id in self.accepted if run_id not in unknown
        ]
        self.state.purge(self.settings.queue_url)

    def redrive(self) -> None:
        self.state.redrive(self.settings.queue_url, self.settings.dlq_url)

    def show_messages(self) -> None:
        """Let all messages be seen again, whoever has them."""
        for message in self.messages():
            message.visible_at = 0

    def forget_sending(self) -> None:
        """Make open runs as they were before anybody noted that their message was sent."""
        for run in self.runs():
            if run["status"] == "QUEUED":
                key = run["pk"]
                names = ("message_id", "sent_at")
                self.state.remove_attributes(
                    self.settings.runs_table, key, *names
                )

    def has_webhooks(self) -> bool:
        return (
            self.state.item(self.settings.tenants_table, f"WEBHOOKS#{TENANT}")
            is not None
        )

    def held_run(self) -> str | None:
        return (self.feed() or {}).get("held_run_id")


@dataclass
class Process:
    """One process: what it can do. A verb raises `REFUSED` or `UNSURE`, or the process dies."""

    world: World
    platform: Platform
    wire: Wire
    _sender: Sender | None = None
    _queue_watch: QueueWatch = field(default_factory=QueueWatch)

    def begin(self) -> None:
        """Be a new process, which remembers nothing."""
        self.wire.reset()
        self._sender = None
        self._queue_watch = QueueWatch()

    # --- people and programs --------------------------------------------------------------------

    def store_config(self) -> None:
        self.platform.tenants.put(TENANT, json.dumps(config_document()))

    def add_webhook(self) -> None:
        self.platform.webhooks.change(
            TENANT, added(webhook(events=SUBSCRIBABLE))
        )

    def submit(self, key: str | None = None, ending: str | None = None) -> str:
        """Post a run, which is to end so; the same key again is the same request."""
        self.world.next_ending = ending or self.world.next_ending
        idempotency = None if key is None else Idempotency(key, "body")
        record = self.platform.submission.submit(
            TENANT, idempotency=idempotency
        )
        self.world.accepted.append(record.run_id)
        return record.run_id

    def send_job(self, run_id: str | None = None) -> str:
        """Send a job straight to the queue."""
        run_id = run_id or str(uuid.uuid4())
        self.platform.queue.send(Job(run_id, TENANT))
        self.world.accepted.append(run_id)
        return run_id

    def send_copy(self, run_id: str) -> None:
        """Send the message of a run once more, as a queue may deliver it twice."""
        record = self.platform.runs.get(run_id)
        if record is not None:
            self.platform.queue.send(record.job)

    def release(self, run_id: str) -> None:
        record = self.platform.runs.get(run_id)
        hold = record.hold if record is not None else None
        sha256, guards = (
            ("", frozenset[str]())
            if hold is None
            else (hold.sha256, hold.guard_names)
        )
        self.platform.ledger.feeds.release(
            run_id, Release(sha256, guards, "looks right", "a person")
        )

    def cancel(self, run_id: str) -> None:
        self.platform.ledger.request_cancel(run_id)

    def roll_back(self, run_id: str) -> None:
        self.platform.ledger.feeds.roll_back(TENANT, run_id, "it was better")

    def delete_tenant(self) -> None:
        self.platform.closing.ask(TENANT)

    # --- ticks ----------------------------------------------------------------------------------

    def intake(self, room: int = 5) -> None:
        """Take in what is there, and have Dagster told when the tick is over."""
        tick = IntakeTick(
            self.platform, self.world.dagster, room, clock=self.world.clock
        )
        for record in tick.run(poll_seconds=0):
            self.world.dagster.request(record)

    def reconcile(self) -> int:
        return ReconcileTick(
            self.platform, self.world.dagster, clock=self.world.clock
        ).run()

    def sweep(self) -> None:
        """Resolve dead letters.

        moto refuses to show one again that was sent over 12 hours ago; SQS counts the 12 hours from
        when it was received.
        """
        with suppress(RequestRejectedError):
            resolve_dead_letters(self.platform)

    def _occasion(self) -> Occasion:
        return Occasion(self.platform, self.world.clock(), Deadline.after(60))

    def send_lost(self) -> int:
        return send_lost_again(self._occasion(), self._queue_watch)

    def expire_holds(self) -> int:
        return count_holds(self._occasion())

    def sweep_copies(self) -> None:
        """Delete the copies that are out of reach, as a run that succeeds a day from now does."""
        remove_superseded(
            self.platform, TENANT, self.world.clock.now + KEPT_AFTER
        )

    def delete_due(self) -> str:
        return DeletionTick(
            self.platform, self.world.dagster, clock=self.world.clock
        ).run()

    def send_webhooks(self) -> str:
        if self._sender is None:
            caller = Receiver(self.world.told)
            self._sender = Sender(
                self.platform, caller, clock=self.world.clock, rng=lambda: 0.5
            )
        return str(self._sender.run())

    # --- runs -----------------------------------------------------------------------------------

    def execute_waiting(self, *, unseen: bool = False) -> int:
        """Execute what Dagster has waiting, one after the other; return how many those were."""
        waiting = self.world.dagster.waiting()
        for execution in waiting:
            self.execute(execution, unseen=unseen)
        return len(waiting)

    def execute(self, execution: Execution, *, unseen: bool = False) -> None:
        """Execute an attempt as a run's process does.

        Where it dies Dagster sees it, but for a host that dies ``unseen``: it counts as executing.
        """
        if execution.state != "waiting":
            return
        execution.state = "executing"
        try:
            self._attempt(execution)
        except ProcessDiedError:
            execution.state = "executing" if unseen else "failed"
            raise
        except (RunError, ExternalServiceError):
            execution.state = "failed"
        else:
            execution.state = "succeeded"

    def _attempt(self, execution: Execution) -> None:
        ledger = self.platform.ledger
        try:
            record = ledger.claim(
                execution.run_id, execution.attempt, execution.dagster_run_id
            )
        except CancelRequestedError:
            ledger.cancel(execution.run_id)
            return
        try:
            self._steps(record)
        except CancelRequestedError:
            cancelled = ledger.cancel(record.run_id)
            unpublish(self.platform.objects, cancelled)
            ledger.messages.note_reports(record.run_id)
        except ExternalServiceError as error:
            ledger.retry_later(record.fence, error.error_code, str(error))

    def _steps(self, record: RunRecord) -> None:
        """Do what `execution/` does to record, feed and bucket, without reading a feed."""
        platform = self.platform
        ledger = self.platform.ledger
        ending = self._ending_of(record)
        feed = platform.runs.feed(record.tenant_id)
        baseline = feed.in_force.run_id if feed is not None else None
        record = ledger.pin(record.fence, 1, baseline, cached_record=record)
        record = ledger.enter_stage(
            record.fence, Stage.WRITE_OUTPUTS, cached_record=record
        )
        if ending == "failed":
            failure = RunFailure(
                "no_rows_parsed", "no rows parsed", Stage.WRITE_OUTPUTS
            )
            ledger.fail(record.fence, failure)
            return
        outcome = self._publish(record)
        is_held = ending == "held" and baseline is not None
        if is_held:
            outcome = replace(outcome, guards=(GUARD,))
        try:
            (ledger.feeds.hold if is_held else ledger.succeed)(
                record.fence, outcome, cached_record=record
            )
        except FenceLostError:
            record_now = platform.runs.get(record.run_id)
            if record_now is not None and record_now.status in (
                "FAILED",
                "CANCELLED",
            ):
                unpublish(platform.objects, record)
            raise
        except ExternalServiceError:
            record_now = platform.runs.get(record.run_id)
            final_status = "HELD" if is_held else "SUCCEEDED"
            is_mine = (
                record_now is not None
                and record_now.dagster_run_id == record.dagster_run_id
            )
            if (
                not is_mine
                or record_now is None
                or record_now.status != final_status
            ):
                raise

    def _publish(self, record: RunRecord) -> Outcome:
        objects = self.platform.objects
        keys = record.keys
        data = f"sku\n{record.run_id}\n".encode()
        objects.put(keys.merged_inventory("csv"), data)
        objects.put(keys.state, b"state")
        objects.put(keys.channel(CHANNEL, "csv"), data)
        # Checks that the run still belongs to this attempt.
        self.platform.ledger.enter_stage(record.fence, record.stage)
        sha256 = hashlib.sha256(data).hexdigest()
        channels = (ChannelFile(CHANNEL, "csv", sha256, 1),)
        for key, copy in copies_of(keys, "csv", channels).items():
            objects.copy(key, copy)
        return Outcome(
            artifacts={"merged_inventory": keys.merged_inventory("csv")},
            feed_key=feed_copy_key(record, "csv"),
            feed_sha256=sha256,
            channels=channels,
        )

    def _ending_of(self, record: RunRecord) -> str:
        return self.world.endings.setdefault(
            record.run_id, self.world.next_ending
        )


@contextmanager
def new_world(**changes: Any) -> Iterator[World]:
    """Yield an empty installation; ``changes`` are fields of its settings."""
    with _no_log(), bootstrapped_aws() as variables:
        settings = Settings.from_env({**variables, "AWS_REGION": "us-east-1"})
        world_settings = {
            "deletion_grace_hours": 1,
            "retention_days": RETENTION_DAYS,
            **changes,
        }
        world = World(settings.model_copy(update=world_settings))
        with ruling_aws(world.clock), quick_transactions():
            yield world


@contextmanager
def _no_log() -> Iterator[None]:
    """Keep the log of deaths and faults, which are meant, off standard error meanwhile."""
    logger = logging.getLogger("relay")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
