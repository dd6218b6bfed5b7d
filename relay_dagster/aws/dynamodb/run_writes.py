"""Translates runs, feed pointers, and locks to items, and makes the writes of a change.

Each feature has a write of its own, in the transaction of the run's record.

A lock's item has the run that may execute (``holder``). It has the jobs that were sent
straight to the queue and wait (``waiters``, with the instants by which they sort), and
the number of runs that failed in succession (``consecutive_failures``). Its
``served_at`` is the end of the last run that has executed. A caller's
``Idempotency-Key`` is an item of its own, and so is the number of runs that a tenant's
callers made in an hour.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws.dynamodb import codec, schema
from relay_dagster.aws.dynamodb.codec import Item
from relay_dagster.aws.dynamodb.database import Database
from relay_dagster.aws.dynamodb.expressions import (
    DOES_NOT_EXIST,
    EXISTS,
    Update,
    count_up,
)
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import Table
from relay_dagster.aws.dynamodb.transfer_store import DELIVERIES
from relay_dagster.aws.dynamodb.trigger_store import trigger_change
from relay_dagster.aws.dynamodb.writes import Precondition, Write
from relay_dagster.feeds.pointer import FeedPointer, FeedUpdate
from relay_dagster.runs.errors import CommitLostError, TenantBusyError
from relay_dagster.runs.model import (
    Idempotency,
    LockState,
    RunRecord,
    TenantLock,
)
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.tenants.errors import QuotaExceededError
from relay_dagster.triggers.rules import TriggerUpdate
from relay_dagster.webhooks.model import Event

_IDEMPOTENCY_KEY_LIFE = timedelta(hours=24)
_IS_FREE = Attr("holder").not_exists()
_IS_FREE_AND_UNWANTED = _IS_FREE & Attr("waiters").not_exists()

_RECORDS = codec.Codec(
    kind=RunRecord,
    forms={
        "hold": codec.JSON_TEXT,
        "pending_audit": codec.JSON_TEXT,
        "vendor_results": codec.ROWS,
        "channels": codec.ROWS,
        schema.EXPIRY: codec.SECONDS,
    },
    # Stored items keep these names: a record that lost one would leave its queue, forget
    # that its dead letter is resolved, or drop an audit entry.
    renamed={
        "due_queue": "due_lane",
        "dead_letter_resolved_at": "letter_settled_at",
        "pending_audit": "untold",
    },
)
_FEEDS = codec.Codec(kind=FeedPointer)

CHECKED = (
    schema.DUE_SHARD,
    schema.DUE_AT,
    "due_lane",
    "hidden_until",
    "reports_tried_at",
    "watched_as",
    "watched_at",
)
"""The attributes of a record that are also written without a new revision."""


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A change of a record, with the events and audit entries of its transaction."""

    # The record as it was read; None for a new one
    before: RunRecord | None
    # The record as it will be
    after: RunRecord
    # The events for the tenant's webhooks
    events: tuple[Event, ...] = ()
    # The entries for the audit
    audit: tuple[AuditEntry, ...] = ()


# --- items --------------------------------------------------------------------------------


def to_item(record: RunRecord) -> Item:
    """Return the item of a run, with the keys of the indexes that list it."""
    plain = {
        schema.KEY: Kind.RUN.key(record.run_id),
        schema.REQUESTED_KEY: codec.by_time(record.requested_at, record.run_id),
        schema.LISTED_TENANT: Kind.HIDDEN.key(record.tenant_id),
        **_RECORDS.attributes(record),
    }
    # The results are an item of their own, so that listings of runs do not read them.
    del plain["vendor_results"]
    if not record.hidden:
        plain[schema.LISTED] = schema.ALL_RUNS
        plain[schema.LISTED_TENANT] = record.tenant_id
        plain[schema.LISTED_STATUS] = record.status.value
    if record.due_queue is not None:
        plain[schema.DUE_SHARD] = schema.due_shard(
            record.due_queue,
            record.run_id,
        )
    return codec.marshal(plain)


to_record = _RECORDS.read
"""Returns the run of an item, without its vendors' results."""


def to_results(item: Item) -> tuple[VendorResult, ...]:
    """Return the results of a run's vendors, one a vendor, from their item."""
    text = codec.unmarshal(item)["vendor_results"]
    results: tuple[VendorResult, ...] = codec.ROWS.read(
        tuple[VendorResult, ...],
        text,
    )
    return results


def feed_item(feed: FeedPointer) -> Item:
    """Return the item of a feed pointer."""
    shard = None
    if feed.due_at is not None:
        shard = schema.due_shard(schema.PUBLISHED, feed.tenant_id)
    key = Kind.FEED.key(feed.tenant_id)
    return _FEEDS.item(key, feed, **{schema.DUE_SHARD: shard})


to_feed = _FEEDS.read
"""Returns the feed pointer of an item."""


def to_lock(tenant_id: str, item: Item | None) -> TenantLock:
    """Return the lock of an item, or a free lock for None."""
    plain = codec.unmarshal(item or {})
    # Each waiter is stored behind the instant by which the waiters sort.
    waiters = [
        waiter.rpartition("#")[2] for waiter in sorted(plain.get("waiters", ()))
    ]
    return TenantLock(
        tenant_id,
        holder=plain.get("holder"),
        waiters=tuple(waiters),
        consecutive_failures=int(plain.get("consecutive_failures", 0)),
        served_at=codec.from_plain(datetime | None, plain.get("served_at")),
    )


# --- writes -------------------------------------------------------------------------------


def record_write(table: Table, role: str, change: RecordChange) -> Write:
    """Return the write of a record, if the stored one is as it was read."""
    before = change.before
    after_item = to_item(change.after)
    # Each write has the tenant's id, for programs that watch the calls.
    always = (*CHECKED, "tenant_id")
    if before is None:
        return table.new(role, after_item)
    return table.change(
        role,
        to_item(before),
        after_item,
        before.revision,
        always,
    )


@dataclass(frozen=True, slots=True)
class RunItemWrites:
    """Makes the writes of a change, which ``RunStore.commit`` carries out."""

    database: Database

    def lock(
        self,
        change: RecordChange,
        *,
        yield_to_waiters: bool = False,
    ) -> list[Write]:
        """Return the write of the lock if the record's lock state changes, or none.

        With ``yield_to_waiters``, a run that is new takes the lock only if no other run
        waits for it. A run can end although it no longer has its lock, because a person
        may have deleted the item to help the tenant.
        """
        run = change.after
        state_before = (
            change.before.lock_state if change.before else LockState.NONE
        )
        waiter = {codec.by_time(run.requested_at, run.run_id)}
        take = Update(sets={"holder": run.run_id})
        match state_before, run.lock_state:
            case LockState.NONE, LockState.OWNER:
                condition = (
                    _IS_FREE_AND_UNWANTED if yield_to_waiters else _IS_FREE
                )
                return [self._lock(run, take, condition)]
            case LockState.NONE, LockState.QUEUED:
                return [self._lock(run, Update(adds={"waiters": waiter}))]
            case LockState.QUEUED, LockState.OWNER:
                take_in_turn = replace(take, deletes={"waiters": waiter})
                return [self._lock(run, take_in_turn, _IS_FREE)]
            case LockState.QUEUED, LockState.NONE:
                return [self._lock(run, Update(deletes={"waiters": waiter}))]
            case LockState.OWNER, LockState.NONE:
                return [self._lock_freed(run)]
        return []

    def _lock_freed(self, run: RunRecord) -> Write:
        """Return the write of the lock at a run's end.

        A success clears the count of failures. The end of a run that has executed is the
        lock's ``served_at``.
        """
        sets: dict[str, Any] = {}
        adds = {}
        if run.status is RunStatus.SUCCEEDED:
            sets["consecutive_failures"] = 0
        if run.status is RunStatus.FAILED:
            adds["consecutive_failures"] = 1
        if run.started_at is not None and run.finished_at is not None:
            sets["served_at"] = codec.instant_text(run.finished_at)
        update = Update(sets=sets, adds=adds, removes=["holder"])
        is_own_or_free = _IS_FREE | Attr("holder").eq(run.run_id)
        return replace(self._lock(run, update, is_own_or_free), optional=True)

    def tenant_idle(self, change: RecordChange) -> Write:
        """Return the condition that the tenant has no run, and none that waits.

        If the record changes to a success, the write clears the count of failures.
        """
        before = change.before
        run = change.after
        has_changed = before is not None and before.status is not run.status
        if has_changed and run.status is RunStatus.SUCCEEDED:
            clear = Update(sets={"consecutive_failures": 0})
            return self._lock(run, clear, _IS_FREE_AND_UNWANTED)
        key = Kind.LOCK.key(run.tenant_id)
        condition = self.database.runs.require(
            "lock", key, _IS_FREE_AND_UNWANTED
        )
        return self._unless_busy(condition, run)

    def _lock(
        self,
        run: RunRecord,
        update: Update,
        condition: ConditionBase | None = None,
    ) -> Write:
        key = Kind.LOCK.key(run.tenant_id)
        write = self.database.runs.update("lock", key, update, condition)
        return self._unless_busy(write, run)

    def _unless_busy(self, write: Write, run: RunRecord) -> Write:
        """Return a write of a run's lock with the meaning of its condition."""
        return replace(
            write,
            precondition=Precondition.TENANT_IDLE,
            refusal=partial(self._busy_error, run),
        )

    def _busy_error(self, run: RunRecord, lock_item: Item | None) -> Exception:
        """Return the error of a lock that another run has, or had a moment ago."""
        active_run_id = to_lock(run.tenant_id, lock_item).active_run_id
        if active_run_id is None:
            current_item = self.database.runs.item(Kind.LOCK.key(run.tenant_id))
            active_run_id = to_lock(run.tenant_id, current_item).active_run_id
        if active_run_id is None or active_run_id == run.run_id:
            return CommitLostError(
                f"the lock of tenant {run.tenant_id} has changed",
            )
        return TenantBusyError(run.tenant_id, active_run_id)

    def quota(self, run: RunRecord, runs_per_hour: int) -> Write:
        """Return the write that counts a run, on the condition that it is not one too many."""
        hour = codec.hour_of(run.requested_at)
        key = schema.run_count_key(run.tenant_id, hour)
        expires_at = hour + codec.DAY
        update, is_below = count_up("runs", runs_per_hour, expires_at)
        write = self.database.runs.update("quota", key, update, is_below)
        next_hour = hour + timedelta(hours=1)
        wait_seconds = (next_hour - run.requested_at).total_seconds()

        def exceeded(_count_item: Item | None) -> QuotaExceededError:
            return QuotaExceededError(
                "RUN_QUOTA_EXCEEDED",
                run.tenant_id,
                runs_per_hour,
                wait_seconds,
            )

        return replace(
            write,
            precondition=Precondition.WITHIN_QUOTA,
            refusal=exceeded,
        )

    def uncount(self, run: RunRecord) -> None:
        """Subtract a run from the count of its hour, because it was not created after all."""
        hour = codec.hour_of(run.requested_at)
        key = schema.run_count_key(run.tenant_id, hour)
        self.database.runs.carry_out(
            self.database.runs.update(
                "quota", key, Update(adds={"runs": -1}), EXISTS
            ),
        )

    def remember(
        self,
        run: RunRecord,
        idempotency: Idempotency,
        now: datetime,
    ) -> Write:
        """Return the write by which a caller's idempotency key leads to a new run."""
        item = {
            schema.KEY: Kind.IDEMPOTENCY.key(idempotency.id),
            "run_id": run.run_id,
            "fingerprint": idempotency.fingerprint,
            schema.EXPIRY: codec.epoch_seconds(now + _IDEMPOTENCY_KEY_LIFE),
        }
        # DynamoDB deletes items some time after their expiry, which counts here.
        is_expired = Attr(schema.EXPIRY).lte(codec.epoch_seconds(now))
        return self.database.runs.put(
            "idempotency",
            codec.marshal(item),
            DOES_NOT_EXIST | is_expired,
        )

    def forget(self, run: RunRecord) -> Write:
        """Return the write by which a caller's idempotency key no longer leads to a run."""
        key = Kind.IDEMPOTENCY.key(str(run.idempotency_id))
        is_of_run = Attr("run_id").eq(run.run_id)
        return self.database.runs.delete(
            "forget", key, DOES_NOT_EXIST | is_of_run
        )

    def feed(self, update: FeedUpdate) -> list[Write]:
        """Return the writes of the feed pointer, and of the held run that it supersedes.

        A publication also leaves the work of sending it to the tenant's servers.
        """
        after_item = feed_item(update.after)
        if update.before is None:
            writes = [self.database.runs.new("feed", after_item)]
        else:
            before_item = feed_item(update.before)
            revision = update.before.revision
            writes = [
                self.database.runs.change(
                    "feed", before_item, after_item, revision
                ),
            ]
        if update.is_publication:
            publication = update.after.in_force
            writes.append(
                DELIVERIES.planned_now(
                    self.database.runs,
                    update.after.tenant_id,
                    publication.published_at,
                ),
            )
        if update.superseded is not None:
            held_run, superseded_run = update.superseded
            superseded_run = replace(
                superseded_run,
                revision=held_run.revision + 1,
                write_id=uuid.uuid4().hex,
            )
            change = RecordChange(held_run, superseded_run)
            writes.append(
                record_write(self.database.runs, "superseded", change)
            )
        return writes

    def triggers(self, update: TriggerUpdate) -> Write:
        """Return the write that removes the work of this run from the tenant's triggers."""
        return trigger_change(self.database.runs, update.before, update.after)

    def vendor_results(self, run: RunRecord) -> list[Write]:
        """Return the write of the vendors' results if a run of all vendors ends, or none.

        The results of a run that was requested later stay.
        """
        if (
            run.vendors is not None
            or not run.vendor_results
            or not run.has_ended
        ):
            return []
        requested_key = codec.by_time(run.requested_at, run.run_id)
        plain = {
            schema.KEY: Kind.RESULTS.key(run.tenant_id),
            "run_id": run.run_id,
            "results_of": requested_key,
            "vendor_results": codec.ROWS.write(run.vendor_results),
        }
        item = codec.marshal(plain)
        is_newest = DOES_NOT_EXIST | Attr("results_of").lte(requested_key)
        write = self.database.runs.overwrite(
            "results", item, item.keys(), is_newest
        )
        return [replace(write, optional=True)]
