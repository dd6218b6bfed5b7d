"""Stores run records, tenants' locks, feed pointers, idempotency items, and heartbeats.

Every part of the program may read. Only the ledger may use `RunStore.commit`.

The due index has a queue and a shard as its partition key, and an instant as its sort
key. A tick reads just the runs that are due, however many runs there are, and no
partition takes all writes.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from boto3.dynamodb.conditions import Attr, ConditionBase, Key
from botocore.exceptions import ClientError

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws import errors
from relay_dagster.aws.dynamodb import codec, run_writes, schema
from relay_dagster.aws.dynamodb.codec import Item
from relay_dagster.aws.dynamodb.cursors import cursor_after, start_key
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.expressions import EXISTS, Update, at_revision
from relay_dagster.aws.dynamodb.run_writes import RecordChange
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.webhook_store import event_item
from relay_dagster.aws.dynamodb.work_queue import DueShards, TableQueue
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.errors import CommitLostError, FenceLostError
from relay_dagster.runs.job_message import is_run_id
from relay_dagster.runs.model import DueQueue, RunRecord, TenantLock
from relay_dagster.runs.ports import Page, utc_now

# How many of a tenant's runs each page has, as far as `newest_runs` looks back. The first
# page is small, because it usually suffices and a record may have 100 KB.
_NEWEST_RUNS_PAGES = (2, 8, 10, 10, 10, 10)
_REQUESTS_PAGE = 100
_HEARTBEAT_LIFE = timedelta(days=7)
_TOMBSTONE_LIFE = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class RunStore:
    """Run records and the items that belong to them."""

    database: Database

    # --- records ----------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord | None:
        """Return a record, read consistently, or None. Hidden records are returned too."""
        if not is_run_id(run_id):
            return None
        return self.database.runs.read(
            Kind.RUN.key(run_id), run_writes.to_record
        )

    def get_visible(self, run_id: str) -> RunRecord | None:
        """Return a record like `get`, or None if it is hidden."""
        record = self.get(run_id)
        return None if record is None or record.hidden else record

    def get_many(self, run_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the records that exist by run id, like `get`."""
        keys = [Kind.RUN.key(run_id) for run_id in run_ids if is_run_id(run_id)]
        records = self.database.runs.read_all(keys, run_writes.to_record)
        return {record.run_id: record for record in records}

    def has_expired(self, run_id: str) -> bool:
        """Return True if a run's record was deleted because it had expired."""
        return self.database.runs.item(Kind.GONE.key(run_id)) is not None

    def ids_by_request(
        self,
        after: str,
        before: datetime,
    ) -> Iterator[tuple[str, str]]:
        """Yield the sort keys and ids of runs in the order of their requests.

        The first run is the one behind the sort key ``after``. The last one was requested
        before the instant.
        """
        rows = self.database.runs.rows(
            schema.listed_runs(None),
            Key(schema.REQUESTED_KEY).gt(after or " "),
            page_size=_REQUESTS_PAGE,
        )
        for row in rows:
            sort_key = str(row[schema.REQUESTED_KEY])
            if sort_key >= codec.instant_text(before):
                return
            yield sort_key, Kind.RUN.name_in(row)

    def expire(self, record: RunRecord, now: datetime) -> bool:
        """Delete a record, and store for 400 days that it existed.

        Return False if the stored record is not as it was read.
        """
        tombstone = {
            schema.KEY: Kind.GONE.key(record.run_id),
            schema.EXPIRY: codec.epoch_seconds(now + _TOMBSTONE_LIFE),
        }
        key = Kind.RUN.key(record.run_id)
        return self.database.carry_out(
            self.database.runs.delete(
                "record", key, at_revision(record.revision)
            ),
            self.database.runs.put("tombstone", codec.marshal(tombstone)),
        )

    def list_runs(
        self,
        tenant_id: str | None = None,
        status: RunStatus | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRecord]:
        """Return a page of runs, the newest first: of one tenant or all, with any status.

        A page may have fewer runs than ``limit``, or none, even though it has a
        ``next_cursor``.

        Raises:
            BadCursorError: The cursor was not a ``next_cursor`` of a page.
        """
        partition = schema.listed_runs(tenant_id, status)
        is_filtered = tenant_id is not None and status is not None
        rows, last_row = self.database.runs.page(
            partition,
            matching=Attr("status").eq(str(status)) if is_filtered else None,
            limit=limit,
            start=start_key(cursor, Kind.RUN, is_run_id, partition),
        )
        listed_records = self.get_many(Kind.RUN.name_in(row) for row in rows)
        records = [
            record
            for record in listed_records.values()
            if not record.hidden and status in (None, record.status)
        ]
        return Page(tuple(records), cursor_after(last_row))

    def newest_runs(self, tenant_id: str) -> Iterator[RunRecord]:
        """Yield a tenant's last 50 runs, the newest first."""
        cursor: str | None = None
        for limit in _NEWEST_RUNS_PAGES:
            page = self.list_runs(tenant_id, limit=limit, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def due(
        self,
        queue: DueQueue,
        until: datetime,
        limit: int = 200,
    ) -> list[RunRecord]:
        """Return a queue's runs that are due by an instant, the longest due first."""
        records = self.database.runs.read_due(
            queue,
            until,
            limit,
            run_writes.to_record,
        )
        # The index may learn too late that a run is in another queue.
        return [record for record in records if record.due_queue is queue]

    def note_check(self, record: RunRecord) -> bool:
        """Store what a check has found, as a part of the record.

        Return False if the stored record is not as it was read.
        """
        item = run_writes.to_item(record)
        checked = {
            name: item[name]
            for name in (schema.KEY, *run_writes.CHECKED)
            if name in item
        }
        is_current = at_revision(record.revision)
        write = self.database.runs.overwrite(
            "record",
            checked,
            run_writes.CHECKED,
            is_current,
        )
        return self.database.runs.carry_out(write)

    # --- changes of a record ----------------------------------------------------------

    def commit(
        self,
        change: RecordChange,
        also: Sequence[Write] = (),
    ) -> RunRecord:
        """Store a record and all that goes with it, or nothing. Return it as stored.

        The record's ``revision`` and ``write_id`` are set here.

        Raises:
            CommitLostError: The stored record, or an item that goes with it, is not as it
                was read.
            RunError: The condition of another write failed; the error is its meaning.
        """
        revision = change.before.revision + 1 if change.before else 1
        after = replace(
            change.after,
            revision=revision,
            write_id=uuid.uuid4().hex,
        )
        stored = replace(change, after=after)
        table = self.database.runs
        writes = [
            run_writes.record_write(table, "record", stored),
            *also,
            # A write that is repeated stores the same events again.
            *(table.put("event", event_item(event)) for event in change.events),
            *(self.database.audit_write(entry) for entry in change.audit),
        ]
        try:
            self.database.transact(*writes)
        except ConditionsFailedError as error:
            stored_item = codec.unmarshal(error.items.get("record") or {})
            if stored_item.get("write_id") == after.write_id:
                # DynamoDB carried out this very write before, and its answer was lost.
                return after
            failed_writes = [
                write for write in writes if write.role in error.items
            ]
            decisive_write = min(
                failed_writes,
                key=lambda write: write.precondition,
            )
            if decisive_write.refusal is None:
                raise CommitLostError(str(error)) from error
            raise decisive_write.refusal(
                error.items[decisive_write.role],
            ) from error
        return after

    # --- locks, feeds and results -----------------------------------------------------

    def lock(self, tenant_id: str) -> TenantLock:
        """Return a tenant's lock, read consistently."""
        key = Kind.LOCK.key(tenant_id)
        lock = self.database.runs.read(
            key, partial(run_writes.to_lock, tenant_id)
        )
        return lock or run_writes.to_lock(tenant_id, None)

    def locks(self, tenant_ids: Iterable[str]) -> dict[str, TenantLock]:
        """Return the locks of tenants, read consistently, without unreadable ones."""
        names_by_key = {
            Kind.LOCK.key(tenant_id): tenant_id for tenant_id in tenant_ids
        }
        return self.database.runs.read_by_name(names_by_key, run_writes.to_lock)

    def feed(self, tenant_id: str) -> FeedPointer | None:
        """Return a tenant's feed pointer, or None if it has not published a feed yet."""
        return self.database.runs.read(
            Kind.FEED.key(tenant_id), run_writes.to_feed
        )

    def feeds(self, tenant_ids: Iterable[str]) -> dict[str, FeedPointer]:
        """Return the feed pointers of those tenants that have one, read consistently."""
        keys = [Kind.FEED.key(tenant_id) for tenant_id in tenant_ids]
        feeds = self.database.runs.read_all(keys, run_writes.to_feed)
        return {feed.tenant_id: feed for feed in feeds}

    @property
    def publications(self) -> TableQueue[FeedPointer]:
        """The feed pointers with publications that are to be reported to Dagster."""
        return TableQueue(
            database=self.database,
            index=DueShards(self.database.runs, schema.PUBLISHED),
            role="feed",
            to_item=run_writes.feed_item,
            read=run_writes.to_feed,
        )

    def vendor_results(
        self,
        tenant_id: str,
        run_id: str | None = None,
    ) -> tuple[VendorResult, ...]:
        """Return the results of a tenant's last ended run of all vendors, one a vendor.

        With ``run_id``, return none if another run was the last one.
        """

        def read(item: Item) -> tuple[VendorResult, ...]:
            if run_id is not None and codec.unmarshal(item)["run_id"] != run_id:
                return ()
            return run_writes.to_results(item)

        return self.database.runs.read(Kind.RESULTS.key(tenant_id), read) or ()

    def last_runs(self, tenant_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the last ended run of all vendors, by tenant, where there is one."""
        keys = [Kind.RESULTS.key(tenant_id) for tenant_id in tenant_ids]
        items = self.database.runs.items_by_key(keys).values()
        run_ids = [str(codec.unmarshal(item)["run_id"]) for item in items]
        records = self.get_many(run_ids).values()
        return {record.tenant_id: record for record in records}

    def idempotent_run(
        self,
        idempotency_id: str,
        now: datetime,
    ) -> tuple[str, str] | None:
        """Return the run id and the fingerprint of a caller's idempotency key.

        Return None if the key is unknown or has expired.
        """

        def read(item: Item) -> tuple[str, str] | None:
            plain = codec.unmarshal(item)
            if plain[schema.EXPIRY] <= codec.epoch_seconds(now):
                return None
            return plain["run_id"], plain["fingerprint"]

        return self.database.runs.read(
            Kind.IDEMPOTENCY.key(idempotency_id), read
        )

    # --- heartbeats -------------------------------------------------------------------

    @errors.maps_aws_errors
    def beat(
        self,
        run_id: str,
        attempt: int,
        *,
        has_beaten: bool = False,
    ) -> int:
        """Add 1 to the number of an attempt's heartbeats, and return the new number.

        The item is in no transaction, so heartbeats never collide with the run's writes.

        Raises:
            FenceLostError: The attempt was given up, or its tenant was deleted. In the
                latter case the item of an attempt that ``has_beaten`` is missing.
        """
        condition: ConditionBase = Attr("stopped").not_exists()
        if has_beaten:
            condition &= EXISTS
        expiry = codec.epoch_seconds(utc_now() + _HEARTBEAT_LIFE)
        write = self.database.runs.update(
            "beats",
            Kind.HEARTBEAT.key(run_id, attempt),
            Update(adds={"beats": 1}, sets={schema.EXPIRY: expiry}),
            condition,
        )
        try:
            response = self.database.clients.dynamodb_heartbeats.update_item(
                **write.arguments,
                ReturnValues="UPDATED_NEW",
            )
        except ClientError as error:
            if errors.error_code(error) in errors.CONDITION_FAILED:
                message = f"attempt {attempt} was given up"
                raise FenceLostError(run_id, message) from error
            raise
        return int(codec.unmarshal(response["Attributes"])["beats"])

    def stop_heartbeats(self, run_id: str, attempt: int) -> None:
        """Let an attempt's process learn, at its next heartbeat, that it was given up."""
        expiry = codec.epoch_seconds(utc_now() + _HEARTBEAT_LIFE)
        update = Update(sets={"stopped": True, schema.EXPIRY: expiry})
        key = Kind.HEARTBEAT.key(run_id, attempt)
        self.database.runs.carry_out(
            self.database.runs.update("beats", key, update)
        )

    def heartbeats(self, records: Iterable[RunRecord]) -> dict[str, int]:
        """Return the number of heartbeats of each run's latest attempt, by run id.

        The number is 0 before the first heartbeat. An unreadable number is left out.
        """
        names_by_key = {
            Kind.HEARTBEAT.key(record.run_id, record.attempt): record.run_id
            for record in records
        }
        return self.database.runs.read_by_name(names_by_key, _heartbeat_count)


def _heartbeat_count(_run_id: str, item: Item | None) -> int:
    return int(codec.unmarshal(item or {}).get("beats", 0))
