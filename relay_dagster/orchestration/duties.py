"""The sensors of what is about no single run: each a duty with its own cursor, time and page.

They ask Dagster for no run: what starts one submits it, as the API does. One that fails holds up no
other: its tick has failed, and the next tries.
"""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import TypeVar

import dagster as dg

from relay_dagster.aws.cloudwatch.metrics import report_fault
from relay_dagster.drain import Deadline
from relay_dagster.notify.sender import Sender
from relay_dagster.orchestration.dagster_instance import DagsterExecutions, DagsterPartitions
from relay_dagster.orchestration.tenant_traces import DagsterTraces
from relay_dagster.reconciler.cursor import Cursor
from relay_dagster.reconciler.dead_letter_sweep import LetterCount, sweep
from relay_dagster.reconciler.deletion.tick import DeletionTick
from relay_dagster.reconciler.housekeeping import (
    PartitionSync,
    check_queue,
    delete_old_runs,
    look_at_holds,
    sync_partitions,
)
from relay_dagster.reconciler.lost_messages import QueueWatch, send_lost_again
from relay_dagster.runs.ports import utc_now
from relay_dagster.triggers.due import take_due
from relay_dagster.triggers.feed_ages import tell_feed_ages
from relay_dagster.triggers.uploads import UploadTick
from relay_dagster.wiring import Platform

_Kept = TypeVar("_Kept", bound=Cursor)
_Connect = Callable[[], Platform]

# The daemon looks every five seconds at most.
AT_EACH_LOOK, EVERY_TEN_SECONDS, EVERY_MINUTE, EVERY_FIVE_MINUTES = 1, 10, 60, 300


def duty_sensors(connect: _Connect) -> list[dg.SensorDefinition]:
    """Return the duties as sensors."""
    return [
        tenant_partitions(connect),
        tenant_deletions(connect),
        lost_messages(connect),
        dead_letters(connect),
        queue_settings(connect),
        held_runs(connect),
        upload_sensor(connect),
        schedule_sensor(connect),
        webhook_sender(connect),
        feed_ages(connect),
        dagster_history(connect),
    ]


def tenant_partitions(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that gives new tenants their partition, and takes it from those gone."""

    def act(
        platform: Platform, instance: dg.DagsterInstance, kept: PartitionSync, now: datetime
    ) -> str:
        added = sync_partitions(platform, DagsterPartitions(instance), kept, now)
        return f"partitions added: {len(added)}"

    about = "Adds the partitions of new tenants; once an hour removes those of tenants gone."
    return _duty("tenant_partitions", AT_EACH_LOOK, about, PartitionSync, act, connect)


def tenant_deletions(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that removes tenants whose time has come."""

    def act(platform: Platform, instance: dg.DagsterInstance, _kept: Cursor, _now: datetime) -> str:
        return DeletionTick(platform, DagsterTraces(instance)).run()

    about = "Cancels what tenants have under way that are to be deleted; then removes them."
    return _duty("tenant_deletions", AT_EACH_LOOK, about, Cursor, act, connect)


def lost_messages(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that sends again what a queue has lost."""

    def act(platform: Platform, _: dg.DagsterInstance, kept: QueueWatch, now: datetime) -> str:
        return f"messages sent again: {send_lost_again(platform, kept, now)}"

    about = "Sends the message of a queued run again that the queue has lost."
    return _duty("lost_messages", EVERY_TEN_SECONDS, about, QueueWatch, act, connect)


def dead_letters(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that settles what the queue has moved to the dead letters by itself."""

    def act(platform: Platform, _: dg.DagsterInstance, kept: LetterCount, now: datetime) -> str:
        return sweep(platform, kept, now)

    about = "Settles what the queue itself has moved to the dead letters."
    return _duty("dead_letters", EVERY_MINUTE, about, LetterCount, act, connect)


def queue_settings(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that compares the queues' attributes with the variables."""

    def act(platform: Platform, _: dg.DagsterInstance, _kept: Cursor, _now: datetime) -> str:
        return f"queue_misconfigured: {'; '.join(check_queue(platform)) or 'no'}"

    about = "Tells how the queues' attributes differ from the variables."
    return _duty("queue_settings", EVERY_MINUTE, about, Cursor, act, connect)


def held_runs(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that counts the runs whose feed waits for a decision."""

    def act(platform: Platform, _: dg.DagsterInstance, _kept: Cursor, now: datetime) -> str:
        return f"runs held: {look_at_holds(platform, now)}"

    about = "Counts the runs that are held, and gives those up that are older than RETENTION_DAYS."
    return _duty("held_runs", EVERY_MINUTE, about, Cursor, act, connect)


def upload_sensor(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that starts a run once vendors have uploaded and are quiet."""

    def act(platform: Platform, _: dg.DagsterInstance, _kept: Cursor, _now: datetime) -> str:
        return UploadTick(platform).run()

    about = "Waits for S3's events of uploads, and starts the runs of tenants that want them."
    return _duty("upload_sensor", AT_EACH_LOOK, about, Cursor, act, connect)


def schedule_sensor(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that starts what is due by now, and what could not start before."""

    def act(platform: Platform, _: dg.DagsterInstance, _kept: Cursor, _now: datetime) -> str:
        return f"runs started: {take_due(platform)}"

    about = "Starts the runs of tenants' schedules, and what waited for its tenant or a pause."
    return _duty("schedule_sensor", AT_EACH_LOOK, about, Cursor, act, connect)


def webhook_sender(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that tells tenants' receivers what has happened.

    The sender outlives a tick: a receiver that hangs is waited for by a thread of it, not by ticks.
    """

    @cache
    def sender() -> Sender:
        return Sender(connect())

    def act(_platform: Platform, _: dg.DagsterInstance, _kept: Cursor, _now: datetime) -> str:
        return sender().tick()

    about = "Sends what tenants' webhooks are to be told, and tries again what failed."
    return _duty("webhook_sender", AT_EACH_LOOK, about, Cursor, act, connect)


def feed_ages(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that tells how old the feeds are of tenants that have a schedule."""

    def act(platform: Platform, _: dg.DagsterInstance, _kept: Cursor, now: datetime) -> str:
        return f"feeds told of: {tell_feed_ages(platform, now)}"

    about = "Sends FeedAgeSeconds of tenants that have a schedule."
    return _duty("feed_ages", EVERY_FIVE_MINUTES, about, Cursor, act, connect)


def dagster_history(connect: _Connect) -> dg.SensorDefinition:
    """Return the sensor that lets Dagster forget runs as old as deleted artifacts."""

    def act(platform: Platform, instance: dg.DagsterInstance, _: Cursor, now: datetime) -> str:
        executions, deadline = DagsterExecutions(instance), Deadline.after(30)
        return f"old runs deleted: {delete_old_runs(platform, executions, now, deadline)}"

    about = "Deletes Dagster's runs that are older than RETENTION_DAYS; their records stay."
    return _duty("dagster_history", EVERY_MINUTE, about, Cursor, act, connect)


def _duty(
    name: str,
    seconds: int,
    description: str,
    kept: type[_Kept],
    act: Callable[[Platform, dg.DagsterInstance, _Kept, datetime], str],
    connect: _Connect,
) -> dg.SensorDefinition:
    @dg.sensor(
        name=name,
        minimum_interval_seconds=seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        platform, cursor = connect(), kept.parse(context.cursor)
        try:
            done = act(platform, context.instance, cursor, utc_now())
        except Exception as error:
            report_fault(platform.metrics, "duty_error", error, duty=name)
            raise
        context.update_cursor(cursor.dump())
        return dg.SkipReason(done)

    return sensor
