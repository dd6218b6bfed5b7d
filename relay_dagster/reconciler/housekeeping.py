"""What the reconciler does beside the runs: partitions for tenants, and a look at the dead letters.

Nothing is hidden from an operator who looks into the dead-letter queue at the same moment.
"""

from collections.abc import Set
from datetime import UTC, datetime, timedelta

from relay_dagster.aws.sqs.job_queue import CAUSE, Message
from relay_dagster.intake.dead_letters import look
from relay_dagster.logs import event_log
from relay_dagster.orchestration.dagster_instance import DagsterRuns
from relay_dagster.reconciler.cursor import Memory
from relay_dagster.runs.admission import is_job_of
from relay_dagster.runs.job_message import Job, NotAJobError
from relay_dagster.runs.model import RunRecord
from relay_dagster.wiring import Platform

# The index of tenants lags behind the table.
OVERLAP = timedelta(minutes=2)
ALL_TENANTS_EVERY_SECONDS = 3600
# Once a minute: more than thirty thousand a day.
OLD_RUNS_AT_ONCE = 25

log = event_log()


def sync_partitions(
    platform: Platform, dagster: DagsterRuns, memory: Memory, now: datetime
) -> list[str]:
    """Add the partitions of new tenants; once an hour compare all, and remove those gone.

    Returns:
        The tenants whose partitions were added.
    """
    since = datetime.fromtimestamp(memory.tenants_at, UTC) - OVERLAP
    if memory.is_due("all_tenants_at", ALL_TENANTS_EVERY_SECONDS, now):
        stored = set(platform.tenants.all_tenant_ids())
        _remove_gone(dagster, stored)
    else:
        stored = {entry.tenant_id for entry in platform.tenants.created_since(since)}
    added = dagster.add_tenants(stored)
    memory.tenants_at = now.timestamp()
    return added


def _remove_gone(dagster: DagsterRuns, stored: Set[str]) -> None:
    for tenant_id in sorted(dagster.tenants() - stored):
        if not dagster.has_unfinished(tenant_id):
            dagster.remove_tenant(tenant_id)
            log.info("partition_removed", tenant_id=tenant_id)


def delete_old_runs(platform: Platform, dagster: DagsterRuns, now: datetime) -> int:
    """Let Dagster forget runs that ended longer ago than artifacts are kept; their records stay.

    Dagster itself deletes old ticks alone. A few at a time: each takes its events with it.

    Returns:
        How many were deleted.
    """
    before = now - timedelta(days=platform.settings.retention_days)
    return dagster.delete_ended_before(before, at_most=OLD_RUNS_AT_ONCE)


def check_queue(platform: Platform) -> list[str]:
    """Tell how the queues' attributes differ from what the variables say."""
    settings = platform.settings
    differences = platform.queue.differences(
        visibility_timeout_seconds=settings.visibility_timeout_seconds,
        max_receives=settings.max_attempts,
    )
    for difference in differences:
        log.error("queue_misconfigured", difference=difference)
    return differences


def settle_dead_letters(platform: Platform) -> int:
    """Settle what the queue itself has moved to the dead letters, as its last resort.

    Returns:
        How many were settled.
    """
    settled = 0
    for message in look(platform.queue):
        if CAUSE not in message.attributes:  # else it was put there on purpose
            settled += _settle_stray(platform, message)
    return settled


def _settle_stray(platform: Platform, message: Message) -> int:
    try:
        job = Job.parse(message.body)
    except NotAJobError:
        return 0
    record = platform.runs.get(job.run_id)
    if record is not None and not is_job_of(record, job):
        return 0  # job_conflict: the dead letters are where it belongs
    if record is not None:
        _settle(platform, record, message)
        return 1
    cause = "the message was received too often without a run of its own"
    dead = platform.ledger.adopt_dead(job, cause, message.message_id)
    platform.metrics.run_finished(dead)
    log.error("poison_job_detected", **dead.log_facts)
    return 1


def _settle(platform: Platform, record: RunRecord, message: Message) -> None:
    queue = platform.queue
    if record.needs_dlq:
        platform.ledger.record_dlq(record.run_id, message.message_id)
    elif record.is_final:
        if record.dlq_message_id != message.message_id:
            queue.delete_dead(message.receipt_handle)
    else:
        sent = queue.send_again(message)
        platform.ledger.mark_sent(record.run_id, sent)
        queue.delete_dead(message.receipt_handle)
        log.info("message_replaced", message_id=sent, **record.log_facts)
