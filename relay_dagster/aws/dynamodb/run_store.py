"""The runs table: run records, tenant locks, feed pointers, idempotency items, heartbeats.

Reads anybody may call. `RunStore.commit` is for the ledger alone. A row of the index of what is due
has its queue and a shard as partition, the instant as sort key: a tick reads the runs that are due,
however many there are, and no partition takes all writes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from relay_core.domain.codes import RunStatus
from relay_dagster.audit import AuditEntry
from relay_dagster.aws.dynamodb import quotas, schema, tenant_lock
from relay_dagster.aws.dynamodb.codec import (
    JSON_TEXT,
    ROWS,
    SECONDS,
    Codec,
    Item,
    epoch_seconds,
    marshal,
    unmarshal,
)
from relay_dagster.aws.dynamodb.cursors import cursor_after, listing_of, run_id_of, start_key
from relay_dagster.aws.dynamodb.database import Database, refuse_closing
from relay_dagster.aws.dynamodb.idempotency import idempotency_writes
from relay_dagster.aws.dynamodb.schema import (
    beat_key,
    by_time,
    due_place,
    feed_key,
    hidden_list,
    idempotency_key,
    lock_key,
    run_key,
)
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write, transact
from relay_dagster.aws.dynamodb.trigger_store import trigger_change
from relay_dagster.aws.dynamodb.webhook_store import new_event_write
from relay_dagster.aws.error_mapping import CONDITION_FAILED, error_code, maps_aws_errors
from relay_dagster.runs.errors import (
    CommitLostError,
    FenceLostError,
    RunQuotaExceededError,
    TenantBusyError,
)
from relay_dagster.runs.feeds.pointer import FeedMove, FeedPointer
from relay_dagster.runs.identifiers import is_run_id
from relay_dagster.runs.model import Idempotency, Lane, RunRecord, TenantLock
from relay_dagster.runs.ports import RunPage, utc_now
from relay_dagster.runs.triggers.state import TriggerMove
from relay_dagster.runs.webhooks.events import events_of

_RECORDS = Codec(
    kind=RunRecord,
    forms={
        "hold": JSON_TEXT,
        "untold": JSON_TEXT,
        "vendor_results": ROWS,
        schema.EXPIRY: SECONDS,
    },
)
_FEEDS = Codec(kind=FeedPointer)
# So many runs are looked through for one of a kind; the first page mostly has it.
_PAGE_BACK, _PAGES_BACK = 10, 5
# All of a record that is written without a new revision.
_CHECKED = (
    schema.DUE_SHARD,
    schema.DUE_AT,
    "due_lane",
    "hidden_until",
    "reports_tried_at",
    "watched_as",
    "watched_at",
)
_BEAT_LIFE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class RunStore:
    """Run records and what belongs to them."""

    database: Database

    # --- records --------------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord | None:
        """Return the record, read consistently; hidden ones too."""
        if not is_run_id(run_id):
            return None
        return self.database.runs.read(run_key(run_id), to_record)

    def get_visible(self, run_id: str) -> RunRecord | None:
        """Return the record for those outside: a hidden one does not exist."""
        record = self.get(run_id)
        return None if record is None or record.hidden else record

    def get_many(self, run_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the records there are, by run_id, each read consistently; hidden ones too."""
        keys = [run_key(run_id) for run_id in run_ids if is_run_id(run_id)]
        return {each.run_id: each for each in self.database.runs.read_all(keys, to_record)}

    def list_runs(
        self,
        tenant_id: str | None = None,
        status: RunStatus | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> RunPage:
        """Return runs, newest first: of one tenant or all, in one status or any.

        A page may hold fewer than ``limit``, or none, and have a ``next_cursor`` all the same.

        Raises:
            BadCursorError: the cursor is not one of ``next_cursor``.
        """
        index, key, value = listing_of(tenant_id, status)
        start = None if cursor is None else start_key(cursor, key, value)
        filtered = ("status", status.value) if tenant_id and status else None
        rows, last = self.database.runs.rows(index, (key, value), filtered, limit, start)
        found = self.get_many(run_id_of(row) for row in rows)
        ordered = (found.get(run_id_of(row)) for row in rows)
        records = tuple(
            record
            for record in ordered
            if record is not None and not record.hidden and status in (None, record.status)
        )
        return RunPage(records, cursor_after(last) if last else None)

    def newest_runs(self, tenant_id: str) -> Iterator[RunRecord]:
        """Yield a tenant's newest runs, as far back as is looked for one of a kind."""
        cursor: str | None = None
        for _ in range(_PAGES_BACK):
            page = self.list_runs(tenant_id, limit=_PAGE_BACK, cursor=cursor)
            yield from page.records
            cursor = page.next_cursor
            if cursor is None:
                return

    # --- what is due ----------------------------------------------------------------------------

    def due(self, lane: Lane, until: datetime, limit: int = 200) -> list[RunRecord]:
        """Return runs that are due in a queue up to an instant, the longest due first."""
        found = self.database.runs.read_due(lane, until, limit, to_record)
        return [each for each in found if each.is_due(lane, until)]

    def note_look(self, record: RunRecord) -> bool:
        """Write what a check has seen of a record, and when the next is due.

        Returns:
            False where the record is not as it was read; nothing is written then.
        """
        table, item = self.database.runs, to_item(record)
        noted = {name: item[name] for name in (schema.KEY, *_CHECKED) if name in item}
        write = table.change("record", noted, noted, record.revision, always=_CHECKED)
        return table.carry_out(write)

    def put_many(self, records: Iterable[RunRecord]) -> None:
        """Store records as they are, in batches, past the ledger: for benchmarks and their like.

        Locks, feed pointers and keys that belong to them are not written.

        Raises:
            ThrottledError: DynamoDB did not take all of them in many tries.
        """
        self.database.runs.write_all(
            {"PutRequest": {"Item": to_item(record)}} for record in records
        )

    # --- changes --------------------------------------------------------------------------------

    def commit(
        self,
        before: RunRecord | None,
        after: RunRecord,
        *,
        now: datetime,
        idempotency: Idempotency | None = None,
        yield_to_waiters: bool = False,
        feed: FeedMove | None = None,
        while_idle: bool = False,
        runs_per_hour: int | None = None,
        trigger: TriggerMove | None = None,
        audit: Sequence[AuditEntry] = (),
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Write ``after`` if the record still is ``before``, with everything that goes with it.

        What webhooks are told of the change goes with it too.

        Args:
            before: as it was read, None for a new record.
            after: as it is to be; ``revision`` and ``write_id`` are set here.
            now: against which an old idempotency item is judged.
            idempotency: remembered with a new record.
            yield_to_waiters: a free lock that runs wait for is not free.
            feed: what becomes of the tenant's feed.
            while_idle: only while the tenant has no run that is queued or running.
            runs_per_hour: a new record counts as one of so many that the tenant may have.
            trigger: what a new record takes from the tenant's triggers.
            audit: who does what with it.
            sent_at: when the message was sent that a new record is made for.

        Raises:
            TenantClosingError: the tenant is being deleted: no run begins, no feed is published
                by anybody.
            CommitLostError: the record, the idempotency item, the feed or what the triggers want
                is not as it was read.
            TenantBusyError: the lock is held by another run.
            RunQuotaExceededError: it is one too many.
        """
        revision = before.revision + 1 if before else 1
        after = replace(after, revision=revision, write_id=uuid.uuid4().hex)
        table = self.database.runs
        writes = [self._record_write(before, after)]
        writes += tenant_lock.of_change(table, before, after, yield_to_waiters=yield_to_waiters)
        writes += idempotency_writes(table, before, after, idempotency, now)
        if while_idle:
            writes.append(tenant_lock.while_idle(table, before, after))
        if feed:
            writes += self._feed_writes(feed)
        if runs_per_hour is not None:
            writes.append(quotas.counted(table, after, runs_per_hour))
        if trigger is not None:
            writes.append(trigger_change(table, trigger.before, trigger.after))
        if while_idle or tenant_lock.is_wanted(before, after):
            writes.append(self.database.tenant_active(after.tenant_id, sent_at))
        writes += [new_event_write(table, event) for event in events_of(before, after, feed, now)]
        writes += [self.database.audit_write(entry) for entry in audit]
        try:
            self._transact(writes, tenant_lock.is_given_back(before, after))
        except ConditionsFailedError as error:
            self._explain(error, after, runs_per_hour)
        return after

    def uncount(self, record: RunRecord) -> None:
        """Take a run that was counted, and then was none, out of the count of its hour."""
        self.database.runs.carry_out(quotas.given_back(self.database.runs, record))

    # --- what belongs to them -------------------------------------------------------------------

    def lock(self, tenant_id: str) -> TenantLock:
        """Return the tenant's lock, read consistently."""
        return to_lock(tenant_id, self.database.runs.item(lock_key(tenant_id)))

    def locks(self, tenant_ids: Iterable[str]) -> dict[str, TenantLock]:
        """Return the locks of tenants, each read consistently."""
        wanted = {lock_key(tenant_id): tenant_id for tenant_id in tenant_ids}
        found = self.database.runs.batch(wanted)
        return {tenant_id: to_lock(tenant_id, found.get(key)) for key, tenant_id in wanted.items()}

    def feed(self, tenant_id: str) -> FeedPointer | None:
        """Return the tenant's feed, None before the first."""
        return self.database.runs.read(feed_key(tenant_id), _FEEDS.read)

    def feeds(self, tenant_ids: Iterable[str]) -> dict[str, FeedPointer]:
        """Return the feeds of those tenants that have one, each read consistently."""
        found = self.database.runs.read_all(map(feed_key, tenant_ids), _FEEDS.read)
        return {feed.tenant_id: feed for feed in found}

    def idempotent_run(self, idempotency_id: str, now: datetime) -> tuple[str, str] | None:
        """Return run_id and fingerprint of an idempotency item that has not expired."""
        item = self.database.runs.item(idempotency_key(idempotency_id))
        plain = unmarshal(item or {})
        if not plain or plain[schema.EXPIRY] <= epoch_seconds(now):
            return None
        return plain["run_id"], plain["fingerprint"]

    def check(self) -> None:
        """Touch the table, for readiness: returns, or raises the fault."""
        self.database.runs.item("CHECK")

    # --- heartbeats -----------------------------------------------------------------------------

    @maps_aws_errors
    def beat(self, run_id: str, attempt: int, *, has_beaten: bool = False) -> int:
        """Count an attempt's heartbeat up and return the new count.

        Where it ``has_beaten`` and nothing tells of that any more, its tenant has been deleted.

        ``execution/heartbeat.py`` calls, and tells what becomes of it. The item is no part of any
        transaction, so beats never collide with the run's own writes.

        Raises:
            FenceLostError: the attempt was given up; its process is to end.
        """
        expires = epoch_seconds(utc_now() + _BEAT_LIFE)
        known = f" AND attribute_exists({schema.KEY})" if has_beaten else ""
        try:
            answer = self.database.clients.dynamodb_beats.update_item(
                TableName=self.database.runs.name,
                Key=marshal({schema.KEY: beat_key(run_id, attempt)}),
                UpdateExpression="ADD beats :one SET #expiry = :expiry",
                ConditionExpression=f"attribute_not_exists(stopped){known}",
                ExpressionAttributeNames={"#expiry": schema.EXPIRY},
                ExpressionAttributeValues=marshal({":one": 1, ":expiry": expires}),
                ReturnValues="UPDATED_NEW",
            )
        except ClientError as error:
            if error_code(error) in CONDITION_FAILED:
                raise FenceLostError(run_id, f"attempt {attempt} was given up") from error
            raise
        return int(unmarshal(answer["Attributes"])["beats"])

    def stop_beats(self, run_id: str, attempt: int) -> None:
        """Let an attempt's process know, at its next heartbeat, that the attempt was given up."""
        expires = epoch_seconds(utc_now() + _BEAT_LIFE)
        self.database.runs.carry_out(
            self.database.runs.write(
                "beats",
                "Update",
                beat_key(run_id, attempt),
                "SET stopped = :yes, #expiry = :expiry",
                values={":yes": True, ":expiry": expires},
                names={"#expiry": schema.EXPIRY},
            )
        )

    def heartbeats(self, records: Iterable[RunRecord]) -> dict[str, int]:
        """Return the count of each record's latest attempt, by run_id; 0 before the first beat.

        A count says nothing by itself: ``reconciler/tick.py`` notes when it last changed.
        """
        wanted = {beat_key(each.run_id, each.attempt): each.run_id for each in records}
        found = self.database.runs.batch(wanted)
        return {
            run_id: int(unmarshal(found.get(key, {})).get("beats", 0))
            for key, run_id in wanted.items()
        }

    # --- how ------------------------------------------------------------------------------------

    @maps_aws_errors
    def _transact(self, writes: list[Write], gives_lock_back: bool) -> None:
        """Write all or none; a lock that is to be given back may be in other hands by then."""
        try:
            transact(self.database.clients.dynamodb, writes)
        except ConditionsFailedError as error:
            if not gives_lock_back or error.items.keys() != {"lock"}:
                raise
            rest = [write for write in writes if write.role != "lock"]
            transact(self.database.clients.dynamodb, rest)

    def _record_write(self, before: RunRecord | None, after: RunRecord) -> Write:
        known = {} if before is None else to_item(before)
        revision = 0 if before is None else before.revision
        # Whose it is stands in each write, for those who watch the wire.
        always = (*_CHECKED, "tenant_id")
        return self.database.runs.change("record", known, to_item(after), revision, always)

    def _feed_writes(self, move: FeedMove) -> list[Write]:
        before = {} if move.before is None else _feed_item(move.before)
        revision = 0 if move.before is None else move.before.revision
        writes = [self.database.runs.change("feed", before, _feed_item(move.after), revision)]
        if move.voided is not None:
            held, after = move.voided
            after = replace(after, revision=held.revision + 1, write_id=uuid.uuid4().hex)
            writes.append(replace(self._record_write(held, after), role="voided"))
        return writes

    def _explain(
        self, error: ConditionsFailedError, after: RunRecord, runs_per_hour: int | None
    ) -> None:
        """Raise what a failed condition means; return where this very write had arrived before."""
        if "record" in error.items:
            found = unmarshal(error.items["record"] or {})
            if found.get("write_id") == after.write_id:
                return
        refuse_closing(error, after.tenant_id)
        if error.items.keys() - {"lock", "quota"}:
            raise CommitLostError(str(error)) from error
        if "lock" not in error.items:
            wait = quotas.seconds_left_of_hour(after)
            raise RunQuotaExceededError(after.tenant_id, runs_per_hour or 0, wait) from error
        lock = to_lock(after.tenant_id, error.items["lock"])
        active = (lock if lock.active_run_id else self.lock(after.tenant_id)).active_run_id
        if active is None or active == after.run_id:
            raise CommitLostError(str(error)) from error
        raise TenantBusyError(after.tenant_id, active) from error


# --- items --------------------------------------------------------------------------------------


def to_record(item: Mapping[str, Any]) -> RunRecord:
    """Return the record of a run's item; attributes that it does not know are ignored."""
    return _RECORDS.read(item)


def to_item(record: RunRecord) -> Item:
    """Return a run's item, with the keys of the indexes that it is to be found in."""
    plain = {
        schema.KEY: run_key(record.run_id),
        schema.REQUESTED_KEY: by_time(record.requested_at, record.run_id),
        schema.LISTED_TENANT: hidden_list(record.tenant_id),
        **_RECORDS.attributes(record),
    }
    if not record.hidden:
        plain[schema.LISTED] = schema.ALL_RUNS
        plain[schema.LISTED_TENANT] = record.tenant_id
        plain[schema.LISTED_STATUS] = record.status.value
    if record.due_lane is not None:
        plain[schema.DUE_SHARD] = due_place(record.due_lane, record.run_id)
    return marshal(plain)


def _feed_item(feed: FeedPointer) -> Item:
    return marshal({schema.KEY: feed_key(feed.tenant_id), **_FEEDS.attributes(feed)})


def to_lock(tenant_id: str, item: Mapping[str, Any] | None) -> TenantLock:
    """Return the lock of its item; no item is a free lock.

    Those that wait are stored with the instants by which they sort.
    """
    plain = unmarshal(item or {})
    waiters = sorted(plain.get("waiters", ()))
    return TenantLock(
        tenant_id,
        holder=plain.get("holder"),
        waiters=tuple(each.rpartition("#")[2] for each in waiters),
        consecutive_failures=int(plain.get("consecutive_failures", 0)),
    )
