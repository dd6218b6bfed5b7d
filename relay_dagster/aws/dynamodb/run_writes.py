"""The items of runs, feed pointers and locks, and the writes that go with a change of a record.

Each feature has its own write, in the same transaction.

The lock's item holds the run that may run (``holder``), the jobs sent straight to the queue that
wait (``waiters``, with the instants by which they sort), how many runs have failed running
(``consecutive_failures``), and when the last run ended that has executed (``served_at``). A
caller's ``Idempotency-Key`` is an item of its own, and so is the count of the runs that a tenant's
callers made in an hour.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.schema import Kind, due_partition, run_count_key
from relay_dagster.aws.dynamodb.table import IS_THERE, Condition, Table, Write
from relay_dagster.aws.dynamodb.trigger_store import trigger_change
from relay_dagster.feeds.pointer import FeedPointer, FeedUpdate
from relay_dagster.runs.errors import CommitLostError, TenantBusyError
from relay_dagster.runs.model import Idempotency, LockState, RunRecord, TenantLock
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.tenants.errors import QuotaExceededError
from relay_dagster.triggers.rules import TriggerUpdate
from relay_dagster.webhooks.model import Event

_KEY_LIFE = timedelta(hours=24)
_FREE = "attribute_not_exists(holder)"
_UNWANTED = f"{_FREE} AND attribute_not_exists(waiters)"
_MINE = f"{_FREE} OR holder = :run"


_RECORDS = codec.Codec(
    kind=RunRecord,
    forms={
        "hold": codec.JSON_TEXT,
        "pending_audit": codec.JSON_TEXT,
        "vendor_results": codec.ROWS,
        schema.EXPIRY: codec.SECONDS,
    },
    renamed={
        "due_queue": "due_lane",
        "dead_letter_resolved_at": "letter_settled_at",
        "pending_audit": "untold",
    },
)
_FEEDS = codec.Codec(kind=FeedPointer)
to_record, to_feed = _RECORDS.read, _FEEDS.read
# All of a record that is written without a new revision.
CHECKED = (
    schema.DUE_SHARD,
    schema.DUE_AT,
    "due_lane",
    "hidden_until",
    "reports_tried_at",
    "watched_as",
    "watched_at",
)


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A change of a record, with the events and audit entries of its transaction."""

    before: RunRecord | None  # the record as it was read; None for a new one
    after: RunRecord  # the record as it will be
    events: tuple[Event, ...] = ()  # the events for the tenant's webhooks
    audit: tuple[AuditEntry, ...] = ()  # the entries for the audit


def to_item(record: RunRecord) -> codec.Item:
    """Return a run's item, with the keys of the indexes that it is to be found in."""
    plain = {
        schema.KEY: Kind.RUN.key(record.run_id),
        schema.REQUESTED_KEY: codec.by_time(record.requested_at, record.run_id),
        schema.LISTED_TENANT: Kind.HIDDEN.key(record.tenant_id),
        **_RECORDS.attributes(record),
    }
    # They have an item of their own, so that lists of runs do not read them.
    del plain["vendor_results"]
    if not record.hidden:
        plain[schema.LISTED] = schema.ALL_RUNS
        plain[schema.LISTED_TENANT] = record.tenant_id
        plain[schema.LISTED_STATUS] = record.status.value
    if record.due_queue is not None:
        plain[schema.DUE_SHARD] = due_partition(record.due_queue, record.run_id)
    return codec.marshal(plain)


def to_results(item: Mapping[str, Any]) -> tuple[VendorResult, ...]:
    """Return the vendors' results of their item."""
    found: tuple[VendorResult, ...] = codec.ROWS.read(
        tuple[VendorResult, ...], codec.unmarshal(item)["vendor_results"]
    )
    return found


def feed_item(feed: FeedPointer) -> codec.Item:
    """Return a feed pointer's item."""
    place = (
        None if feed.due_at is None else due_partition(schema.PUBLISHED, feed.tenant_id)
    )
    return _FEEDS.item(Kind.FEED.key(feed.tenant_id), feed, **{schema.DUE_SHARD: place})


def to_lock(tenant_id: str, item: Mapping[str, Any] | None) -> TenantLock:
    """Return the lock of its item, none for a free one; waiters are stored with their instants."""
    plain = codec.unmarshal(item or {})
    waiters = sorted(plain.get("waiters", ()))
    return TenantLock(
        tenant_id,
        holder=plain.get("holder"),
        waiters=tuple(each.rpartition("#")[2] for each in waiters),
        consecutive_failures=int(plain.get("consecutive_failures", 0)),
        served_at=codec.from_plain(datetime | None, plain.get("served_at")),
    )


def record_write(table: Table, role: str, change: RecordChange) -> Write:
    """Return the write of a record, if it is as it was read."""
    before, after = change.before, change.after
    known, revision = ({}, 0) if before is None else (to_item(before), before.revision)
    # Each write names the tenant, for programs that watch the calls.
    return table.change(role, known, to_item(after), revision, (*CHECKED, "tenant_id"))


@dataclass(frozen=True, slots=True)
class RunItemWrites:
    """Makes the writes; ``RunStore.commit`` carries them out."""

    database: Database

    def lock(
        self, change: RecordChange, *, yield_to_waiters: bool = False
    ) -> list[Write]:
        """Return the lock's write for a change of a record's lock state, or none.

        A run that ends without its lock ends all the same: somebody has helped its tenant by
        deleting the item. A new holder may step back where other runs wait.
        """
        before, after = change.before, change.after
        states = (before.lock_state if before else LockState.NONE, after.lock_state)
        if states == (LockState.NONE, LockState.OWNER):
            condition = _UNWANTED if yield_to_waiters else _FREE
            return [self._lock(after, "SET holder = :run", condition)]
        if states == (LockState.NONE, LockState.QUEUED):
            return [self._lock(after, "ADD waiters :runs")]
        if states == (LockState.QUEUED, LockState.OWNER):
            return [self._lock(after, "SET holder = :run DELETE waiters :runs", _FREE)]
        if states == (LockState.QUEUED, LockState.NONE):
            return [self._lock(after, "DELETE waiters :runs")]
        if states == (LockState.OWNER, LockState.NONE):
            freed = self._lock(after, f"REMOVE holder{_tally(after)}", _MINE)
            return [replace(freed, optional=True)]
        return []

    def tenant_idle(self, change: RecordChange) -> Write:
        """Return the condition that the tenant is idle; a success clears its count of failures."""
        before, after = change.before, change.after
        has_changed = before is not None and before.status is not after.status
        if has_changed and after.status is RunStatus.SUCCEEDED:
            return self._lock(after, "SET consecutive_failures = :zero", _UNWANTED)
        return self._lock(after, None, _UNWANTED)

    def _lock(
        self, run: RunRecord, expression: str | None, condition: str | None = None
    ) -> Write:
        waiter = codec.by_time(run.requested_at, run.run_id)
        served = (
            None if run.finished_at is None else codec.instant_text(run.finished_at)
        )
        values = {
            "run": run.run_id,
            "runs": {waiter},
            "zero": 0,
            "one": 1,
            "served": served,
        }
        used = set(re.findall(r":(\w+)", f"{expression} {condition or ''}"))
        write = self.database.runs.write(
            "lock",
            "ConditionCheck" if expression is None else "Update",
            Kind.LOCK.key(run.tenant_id),
            expression,
            condition,
            None,
            **{name: values[name] for name in sorted(used)},
        )

        def busy(item: Mapping[str, Any] | None) -> Exception:
            active = to_lock(run.tenant_id, item).active_run_id
            if active is None:
                now = self.database.runs.item(Kind.LOCK.key(run.tenant_id))
                active = to_lock(run.tenant_id, now).active_run_id
            if active is None or active == run.run_id:
                return CommitLostError(
                    f"the lock of tenant {run.tenant_id} has changed"
                )
            return TenantBusyError(run.tenant_id, active)

        return replace(write, condition=Condition.TENANT_IDLE, refusal=busy)

    def tenant_active(self, run: RunRecord, sent_at: datetime | None = None) -> Write:
        """Return the condition that nothing of a run's tenant is being deleted."""
        return self.database.tenant_active(run.tenant_id, sent_at)

    def quota(self, run: RunRecord, runs_per_hour: int) -> Write:
        """Return the write that counts a run, on condition that it is not one too many."""
        hour = codec.hour_of(run.requested_at)
        key = run_count_key(run.tenant_id, hour)
        write = self.database.runs.count(
            "quota", key, "runs", runs_per_hour, hour + codec.DAY
        )
        wait = (hour + timedelta(hours=1) - run.requested_at).total_seconds()

        def exceeded(_: Mapping[str, Any] | None) -> QuotaExceededError:
            return QuotaExceededError(
                "RUN_QUOTA_EXCEEDED", run.tenant_id, runs_per_hour, wait
            )

        return replace(write, condition=Condition.WITHIN_QUOTA, refusal=exceeded)

    def uncount(self, run: RunRecord) -> None:
        """Take a run that was counted, and then was none, out of the count of its hour."""
        table, hour = self.database.runs, codec.hour_of(run.requested_at)
        key = run_count_key(run.tenant_id, hour)
        table.carry_out(
            table.write("quota", "Update", key, "ADD runs :less", IS_THERE, less=-1)
        )

    def remember(self, run: RunRecord, asked: Idempotency, now: datetime) -> Write:
        """Return the write by which a caller's key leads to a new run."""
        item = {
            schema.KEY: Kind.IDEMPOTENCY.key(asked.id),
            "run_id": run.run_id,
            "fingerprint": asked.fingerprint,
            schema.EXPIRY: codec.epoch_seconds(now + _KEY_LIFE),
        }
        return self.database.runs.put(
            "idempotency",
            codec.marshal(item),
            # Time-to-live deletes late: an item that is over counts as gone.
            ConditionExpression="attribute_not_exists(pk) OR #expiry <= :now",
            ExpressionAttributeNames={"#expiry": schema.EXPIRY},
            ExpressionAttributeValues=codec.marshal({":now": codec.epoch_seconds(now)}),
        )

    def forget(self, run: RunRecord) -> Write:
        """Return the write by which a caller's key leads to no run: there is none after all."""
        key = Kind.IDEMPOTENCY.key(str(run.idempotency_id))
        is_own = "attribute_not_exists(pk) OR run_id = :run"
        return self.database.runs.write(
            "forget", "Delete", key, condition=is_own, run=run.run_id
        )

    def feed(self, update: FeedUpdate) -> list[Write]:
        """Return the writes of the tenant's feed pointer, and of the held run that gives way."""
        table, before = self.database.runs, update.before
        known, revision = (
            ({}, 0) if before is None else (feed_item(before), before.revision)
        )
        writes = [table.change("feed", known, feed_item(update.after), revision)]
        if update.superseded is not None:
            held, after = update.superseded
            after = replace(
                after, revision=held.revision + 1, write_id=uuid.uuid4().hex
            )
            writes.append(record_write(table, "superseded", RecordChange(held, after)))
        return writes

    def triggers(self, update: TriggerUpdate) -> Write:
        """Return the write by which a run takes from its tenant's triggers what it is for."""
        return trigger_change(self.database.runs, update.before, update.after)

    def vendor_results(self, run: RunRecord) -> list[Write]:
        """Return the write of each vendor's result in a run of all vendors that ends, or none."""
        if run.vendors is not None or not run.vendor_results or not run.has_ended:
            return []
        plain = {
            schema.KEY: Kind.RESULTS.key(run.tenant_id),
            "run_id": run.run_id,
            "results_of": codec.by_time(run.requested_at, run.run_id),
            "vendor_results": codec.ROWS.write(run.vendor_results),
        }
        # Unless a later run's is there
        newest, item = (
            "attribute_not_exists(pk) OR results_of <= :results_of",
            codec.marshal(plain),
        )
        return [
            replace(
                self.database.runs.update("results", item, item, newest), optional=True
            )
        ]


def _tally(after: RunRecord) -> str:
    """Return the expression for the lock at an end: success clears failures, service is noted."""
    has_served = after.started_at is not None and after.finished_at is not None
    sets = ["consecutive_failures = :zero"] * (after.status is RunStatus.SUCCEEDED)
    sets += ["served_at = :served"] * has_served
    text = f" SET {', '.join(sets)}" if sets else ""
    return (
        f"{text} ADD consecutive_failures :one"
        if after.status is RunStatus.FAILED
        else text
    )
