"""The two sensors of runs: thin; what they decide is in `intake` and `reconciler`.

Exactly one sensor reads the queue: Dagster keeps run keys by the sensor's name. What is about no
single run has sensors of its own, in `duties`.
"""

from collections.abc import Callable

import dagster as dg

from relay_dagster import tags
from relay_dagster.aws.cloudwatch.metrics import report_fault
from relay_dagster.intake.tick import IntakeTick
from relay_dagster.orchestration.dagster_instance import DagsterExecutions, DagsterPartitions
from relay_dagster.orchestration.jobs import inventory_sync
from relay_dagster.reconciler.tick import ReconcileTick
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

SQS_RUN_SENSOR, RUN_RECONCILER = "sqs_run_sensor", "run_reconciler"
# The daemon looks every five seconds anyway; more than that would make it every ten.
RECONCILE_EVERY_SECONDS = 1
# Before a backfill's runs, which have 0.
PRIORITY = "10"
# What the intake leaves to its next tick: who is first where places are few.
TURNS_FIRST, QUEUE_FIRST = "turns", "queue"


def sqs_run_sensor(connect: Callable[[], Platform]) -> dg.SensorDefinition:
    """Return the sensor that turns the queue's jobs into runs."""

    @dg.sensor(
        name=SQS_RUN_SENSOR,
        job=inventory_sync,
        minimum_interval_seconds=1,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Waits for jobs in SQS and asks for a run for each attempt.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        platform = connect()
        try:
            return take_in(platform, context.instance, context.cursor)
        except Exception as error:
            report_fault(platform.metrics, "intake_error", error)
            raise

    return sensor


def run_reconciler(connect: Callable[[], Platform]) -> dg.SensorDefinition:
    """Return the sensor that settles what runs, processes and messages leave unsettled."""

    @dg.sensor(
        name=RUN_RECONCILER,
        minimum_interval_seconds=RECONCILE_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends what died, extends what waits, deletes what is done; starts no run.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        platform = connect()
        try:
            seen = ReconcileTick(platform, DagsterExecutions(context.instance)).run()
        except Exception as error:
            report_fault(platform.metrics, "reconcile_error", error)
            raise
        return dg.SkipReason(f"{seen} runs were due")

    return sensor


def take_in(
    platform: Platform, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult | dg.SkipReason:
    """Take in jobs while there is room for them; return the runs to ask for, or why there are none.

    Raises:
        Exception: Dagster's storage fails; what is dispatched by then is asked for again.
    """
    executions = DagsterExecutions(instance)
    room = platform.settings.intake_limit - executions.count_unfinished(SQS_RUN_SENSOR)
    tick = IntakeTick(platform, executions, room, turns_first=cursor == TURNS_FIRST)
    records = tick.run()
    if not records:
        return dg.SkipReason(tick.summary())
    DagsterPartitions(instance).add_tenants(record.tenant_id for record in records)
    return dg.SensorResult(
        run_requests=[_run_request(record) for record in records],
        cursor=QUEUE_FIRST if tick.turns_first else TURNS_FIRST,
    )


def _run_request(record: RunRecord) -> dg.RunRequest:
    given = tags.run_tags(
        record.run_id,
        record.tenant_id,
        attempt=record.attempt,
        config_version=record.config_version,
        request_id=record.request_id,
        trigger=record.trigger,
    )
    return dg.RunRequest(
        run_key=tags.run_key(record.run_id, record.attempt),
        partition_key=record.tenant_id,
        tags={**given, tags.PRIORITY: PRIORITY},
    )
