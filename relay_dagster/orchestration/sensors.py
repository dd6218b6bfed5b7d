"""The six sensors, thin: `intake`, `maintenance` and `transfers` decide.

Exactly one sensor reads the queue: Dagster keeps run keys by the sensor's name. The others ask
Dagster for no run: what starts one submits it, as the API does. A tick costs more than many queries
of what is due, so sensors that others wait for ask again and again within a tick. Each holds a
thread of the code server meanwhile, which must have more of them than there are sensors.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

import dagster as dg

from relay_dagster import tags
from relay_dagster.aws.metrics import report_fault
from relay_dagster.drain import wait_for_due
from relay_dagster.intake.tick import SERVED_LATELY, IntakeTick
from relay_dagster.intake.trigger_check import take_due
from relay_dagster.intake.uploads import UploadTick
from relay_dagster.maintenance.reconciler import ReconcileTick
from relay_dagster.orchestration.dagster_instance import (
    DagsterExecutions,
    DagsterPartitions,
)
from relay_dagster.orchestration.duties import keep_house
from relay_dagster.orchestration.jobs import inventory_sync
from relay_dagster.runs.ports import utc_now
from relay_dagster.wiring import Platform

if TYPE_CHECKING:
    from relay_dagster.transfers.puller import Puller
    from relay_dagster.transfers.webhook_sender import Sender

SQS_RUN_SENSOR = "sqs_run_sensor"
# The daemon evaluates sensors every five seconds, so this is each time.
EACH_TIME = 1
# A second less than ten, which the daemon would make fifteen at times.
EVERY_TEN_SECONDS = 9
WAIT_SECONDS = 25.0
"""How long a tick waits for something that is due."""
# Before a backfill's runs, which have 0; first those of tenants that have had none lately.
PRIORITY, PRIORITY_OF_SERVED = "10", "5"
# The intake's cursor: who has the odd place in its next tick.
TURNS_FIRST, QUEUE_FIRST = "turns", "queue"

_Connect = Callable[[], Platform]
_Context = dg.SensorEvaluationContext


def all_sensors(
    connect: _Connect, wait_seconds: float = WAIT_SECONDS
) -> list[dg.SensorDefinition]:
    """Return the sensors, which connect when a tick first needs the platform."""

    @cache
    def sender() -> "Sender":
        """Return the sender, which outlives a tick: its threads wait for receivers that hang."""
        from relay_dagster.transfers.webhook_sender import (
            Sender,
        )  # no run's process loads it

        return Sender(connect())

    @cache
    def puller() -> "Puller":
        """Return the puller, which outlives a tick: its threads read vendors' files meanwhile."""
        from relay_dagster.transfers.puller import Puller  # nor this

        return Puller(connect())

    def reconcile(platform: Platform, context: _Context) -> dg.SkipReason:
        tick = ReconcileTick(platform, DagsterExecutions(lambda: context.instance))
        return dg.SkipReason(f"{wait_for_due(tick.run, wait_seconds)} runs were due")

    def take_schedules(platform: Platform, _: _Context) -> dg.SkipReason:
        pulls = 0

        def take() -> int:
            nonlocal pulls
            pulls = puller().run()
            return take_due(platform)

        started = wait_for_due(take, wait_seconds)
        return dg.SkipReason(f"runs started: {started}, pulls in hand: {pulls}")

    def tidy(platform: Platform, context: _Context) -> dg.SkipReason:
        done, cursor = keep_house(platform, lambda: context.instance, context.cursor)
        context.update_cursor(cursor)
        return dg.SkipReason(done)

    sensor = partial(_sensor, connect)
    return [
        sensor(
            SQS_RUN_SENSOR,
            "Starts the runs that were asked for: waits for jobs in SQS, and asks Dagster for a "
            "run of each attempt. While it is off, runs are accepted, and none starts.",
            lambda platform, context: take_in(
                platform, context.instance, context.cursor
            ),
            asks_for_runs=True,
        ),
        sensor(
            "run_reconciler",
            "Ends runs whose process died and starts their next attempt, ends those that were "
            "cancelled, deletes the messages of those that are over. While it is off, a dead run "
            "keeps its tenant busy.",
            reconcile,
        ),
        sensor(
            "upload_sensor",
            "Waits for vendors' uploads, and starts the runs of tenants whose config has "
            "triggers.on_upload. While it is off, uploads are kept, and start their runs later.",
            lambda platform, _: dg.SkipReason(UploadTick(platform).run()),
        ),
        sensor(
            "schedule_sensor",
            "Starts runs when tenants' schedules are due, and those that waited for a busy or "
            "paused tenant, and pulls vendors' files that are due. Due times that passed while it "
            "was off make one run.",
            take_schedules,
        ),
        sensor(
            "webhook_sender",
            "Sends events to tenants' webhooks, and tries failed deliveries again. While it is "
            "off, events wait.",
            lambda *_: dg.SkipReason(str(wait_for_due(sender().run, wait_seconds))),
        ),
        sensor(
            "housekeeping",
            "Does what belongs to no single run: partitions of new tenants, deletions, lost "
            "messages, dead letters, held runs, events and ages of published feeds, old runs and "
            "records, the hourly check of invariants. A tick has a line for each duty that "
            "was due; FAILED marks one that will try again.",
            tidy,
            seconds=EVERY_TEN_SECONDS,
        ),
    ]


def _sensor(
    connect: _Connect,
    name: str,
    description: str,
    tick: Callable[[Platform, _Context], dg.SensorResult | dg.SkipReason],
    *,
    seconds: int = EACH_TIME,
    asks_for_runs: bool = False,
) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        job=inventory_sync if asks_for_runs else None,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        platform = connect()
        try:
            return tick(platform, context)
        except Exception as error:
            report_fault(platform.metrics, "tick_error", error, sensor=name)
            raise

    return sensor


def take_in(
    platform: Platform, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    """Take in jobs while there is room for them; return the runs to ask for, or why there are none.

    Where Dagster's storage fails, what is dispatched by then is asked for again.
    """
    executions = DagsterExecutions(instance)
    executions.promote(PRIORITY_OF_SERVED, PRIORITY, utc_now() - SERVED_LATELY)
    room = platform.settings.intake_limit - executions.count_unfinished(SQS_RUN_SENSOR)
    tick = IntakeTick(platform, executions, room, turns_first=cursor == TURNS_FIRST)
    records = tick.run()
    if not records:
        return dg.SkipReason(tick.summary())
    DagsterPartitions(instance).add_tenants(record.tenant_id for record in records)
    requests = []
    for record in records:
        priority = PRIORITY_OF_SERVED if tick.is_served_lately(record) else PRIORITY
        given = tags.run_tags(
            record.run_id,
            record.tenant_id,
            attempt=record.attempt,
            config_version=record.config_version,
            request_id=record.request_id,
            trigger=record.trigger,
        )
        key = tags.run_key(record.run_id, record.attempt)
        given |= {tags.PRIORITY: priority}
        requests.append(dg.RunRequest(key, tags=given, partition_key=record.tenant_id))
    cursor = QUEUE_FIRST if tick.turns_first else TURNS_FIRST
    return dg.SensorResult(run_requests=requests, cursor=cursor)
