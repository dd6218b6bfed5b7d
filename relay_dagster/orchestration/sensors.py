"""The six sensors. They are thin: `intake`, `transfers`, and `maintenance` decide.

Exactly one sensor reads the queue, because Dagster keeps run keys by the sensor's name. The
others ask Dagster for no run: they submit runs as the API does.

A tick costs more than many queries for due work, so sensors that others wait for query again and
again within a tick. Each occupies a thread of the code server in the meantime, which must have more
threads than there are sensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg

from relay_dagster import tags
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import wait_for_due
from relay_dagster.intake.tick import SERVED_LATELY, IntakeTick
from relay_dagster.intake.trigger_check import take_due
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration import dagster_instance
from relay_dagster.orchestration.duties import keep_house
from relay_dagster.orchestration.jobs import inventory_sync
from relay_dagster.runs.model import RunRecord
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

if TYPE_CHECKING:
    from relay_dagster.transfers.process import Transfers
    from relay_dagster.transfers.webhook_sender import Sender

SQS_RUN_SENSOR = "sqs_run_sensor"
EACH_TIME = 1
"""The daemon evaluates sensors every five seconds, so this interval is each time."""
EVERY_TEN_SECONDS = 9
"""The daemon would sometimes make fifteen seconds of ten."""
WAIT_SECONDS = 25.0
"""How long a tick waits for work that is due."""
PRIORITY = "10"
"""Before a backfill's runs, which have 0."""
PRIORITY_OF_SERVED = "5"
"""Of tenants that had a run lately: other tenants come first."""
TURNS_FIRST = "turns"
"""The intake's cursor if waiting runs get the odd slot of its next tick."""
QUEUE_FIRST = "queue"
"""The intake's cursor if the queue's messages get it."""

_DESCRIPTIONS = {
    SQS_RUN_SENSOR: (
        "Starts requested runs: waits for jobs in SQS, and asks Dagster for a run per "
        "attempt. While it is off, runs are accepted but none starts."
    ),
    "run_reconciler": (
        "Ends runs whose process died and starts their next attempt, ends cancelled "
        "runs, and deletes the messages of ended runs. While it is off, a dead run "
        "keeps its tenant busy."
    ),
    "upload_sensor": (
        "Waits for vendors' uploads, and starts the runs of tenants whose config has "
        "triggers.on_upload. While it is off, uploads are kept, and start their runs "
        "later."
    ),
    "schedule_sensor": (
        "Starts runs when tenants' schedules are due, starts runs that waited for a "
        "busy or paused tenant, pulls vendors' files that are due, and delivers feeds. "
        "Due times that pass while it is off make one run."
    ),
    "webhook_sender": (
        "Sends events to tenants' webhooks, and retries failed deliveries. While it is "
        "off, events wait."
    ),
    "housekeeping": (
        "Does the work that belongs to no single run: partitions of new tenants, "
        "deletions, lost messages, dead letters, held runs, events and ages of "
        "published feeds, old runs and records, and the hourly check of invariants. A "
        "tick has a line per duty that was due; FAILED marks one that is tried again."
    ),
}

_Context = dg.SensorEvaluationContext
_TickResult = dg.SensorResult | dg.SkipReason


@dataclass(frozen=True)
class _Ticks:
    """The tick of each sensor."""

    # Returns the one sender, which outlives a tick.
    sender: Callable[[], "Sender"]
    # Returns the transfers of the process, which outlive a tick
    transfers: Callable[[], "Transfers"]
    wait_seconds: float

    def take_jobs(self, platform: Platform, context: _Context) -> _TickResult:
        """Take in jobs while there is room; return the runs to ask for, or why there are none.

        If Dagster's storage fails, the next tick asks for the attempts that are open by then.
        """
        instance = context.instance
        executions = dagster_instance.DagsterExecutions(instance)
        executions.promote(
            PRIORITY_OF_SERVED,
            PRIORITY,
            utc_now() - SERVED_LATELY,
        )
        unfinished = executions.count_unfinished(SQS_RUN_SENSOR)
        room = platform.settings.intake_limit - unfinished
        tick = IntakeTick(
            platform,
            executions,
            room,
            turns_first=context.cursor == TURNS_FIRST,
        )
        records = tick.run()
        if not records:
            return dg.SkipReason(tick.summary())
        partitions = dagster_instance.DagsterPartitions(instance)
        partitions.add_tenants(record.tenant_id for record in records)
        requests = [_run_request(record, tick) for record in records]
        next_cursor = QUEUE_FIRST if tick.turns_first else TURNS_FIRST
        return dg.SensorResult(run_requests=requests, cursor=next_cursor)

    def reconcile(self, platform: Platform, context: _Context) -> _TickResult:
        executions = dagster_instance.DagsterExecutions(
            lambda: context.instance,
        )
        tick = ReconcileTick(platform, executions)
        count = wait_for_due(tick.run, self.wait_seconds)
        return dg.SkipReason(f"{count} runs were due")

    def take_uploads(self, platform: Platform, _: _Context) -> _TickResult:
        return dg.SkipReason(UploadTick(platform).run())

    def start_due_runs(self, platform: Platform, _: _Context) -> _TickResult:
        is_apart = platform.settings.transfers_apart
        pulls = "left to relay server transfers"

        def take() -> int:
            nonlocal pulls
            if not is_apart:
                pulls, _ = map(str, self.transfers().run())
            return take_due(platform)

        started = wait_for_due(take, self.wait_seconds)
        return dg.SkipReason(f"runs started: {started}, pulls in hand: {pulls}")

    def send_webhooks(self, _: Platform, __: _Context) -> _TickResult:
        count = wait_for_due(self.sender().run, self.wait_seconds)
        return dg.SkipReason(str(count))

    def keep_house(self, platform: Platform, context: _Context) -> _TickResult:
        def open_instance() -> dg.DagsterInstance:
            return context.instance

        summary, cursor = keep_house(platform, open_instance, context.cursor)
        context.update_cursor(cursor)
        return dg.SkipReason(summary)


def all_sensors(
    connect: Callable[[], Platform],
    wait_seconds: float = WAIT_SECONDS,
) -> list[dg.SensorDefinition]:
    """Return the sensors, which connect when a tick first needs the platform."""
    # Only the code server's process loads these two modules: no run does.

    @cache
    def sender() -> "Sender":
        from relay_dagster.transfers.webhook_sender import Sender

        return Sender(connect())

    @cache
    def transfers() -> "Transfers":
        from relay_dagster.transfers.process import Transfers

        return Transfers(connect())

    ticks = _Ticks(sender, transfers, wait_seconds)
    return [
        _sensor(connect, SQS_RUN_SENSOR, ticks.take_jobs, asks_for_runs=True),
        _sensor(connect, "run_reconciler", ticks.reconcile),
        _sensor(connect, "upload_sensor", ticks.take_uploads),
        _sensor(connect, "schedule_sensor", ticks.start_due_runs),
        _sensor(connect, "webhook_sender", ticks.send_webhooks),
        _sensor(
            connect,
            "housekeeping",
            ticks.keep_house,
            seconds=EVERY_TEN_SECONDS,
        ),
    ]


def _sensor(
    connect: Callable[[], Platform],
    name: str,
    tick: Callable[[Platform, _Context], _TickResult],
    *,
    seconds: int = EACH_TIME,
    asks_for_runs: bool = False,
) -> dg.SensorDefinition:
    """Return a sensor whose tick reports an error by the sensor's name."""

    @dg.sensor(
        name=name,
        job=inventory_sync if asks_for_runs else None,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=_DESCRIPTIONS[name],
    )
    def sensor(
        context: dg.SensorEvaluationContext,
    ) -> dg.SensorResult | dg.SkipReason:
        platform = connect()
        try:
            return tick(platform, context)
        except Exception as error:
            report_fault(platform.metrics, "tick_error", error, sensor=name)
            raise

    return sensor


def _run_request(record: RunRecord, tick: IntakeTick) -> dg.RunRequest:
    """Return the request for the Dagster run of a record's open attempt."""
    run_tags: dict[str, Any] = tags.run_tags(
        record.run_id,
        record.tenant_id,
        attempt=record.attempt,
        config_version=record.config_version,
        request_id=record.request_id,
        trigger=record.trigger,
    )
    is_served_lately = tick.is_served_lately(record)
    run_tags[tags.PRIORITY] = (
        PRIORITY_OF_SERVED if is_served_lately else PRIORITY
    )
    return dg.RunRequest(
        tags.run_key(record.run_id, record.attempt),
        tags=run_tags,
        partition_key=record.tenant_id,
    )
