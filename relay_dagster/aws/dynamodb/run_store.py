"""The runs table: run records, tenant locks, feed pointers, idempotency items, heartbeats.

Anybody may read. `RunStore.commit` is for the ledger alone. A row of the due index has its queue
and a shard as partition, the instant as sort key: a tick reads the runs that are due, however many
there are, and no partition takes all writes.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from relay_core.domain.codes import RunStatus
from relay_core.domain.records import VendorResult
from relay_dagster.aws.clients import CONDITION_FAILED, error_code, maps_aws_errors
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import (
    epoch_seconds,
    instant_text,
    marshal,
    unmarshal,
)
from relay_dagster.aws.dynamodb.database import ConditionsFailedError, Database
from relay_dagster.aws.dynamodb.run_writes import (
    CHECKED,
    RecordChange,
    RunItemWrites,
    feed_item,
    record_write,
    to_feed,
    to_item,
    to_lock,
    to_record,
    to_results,
)
from relay_dagster.aws.dynamodb.schema import Kind
from relay_dagster.aws.dynamodb.table import Write, cursor_after, listing_of, start_key
from relay_dagster.aws.dynamodb.webhook_store import new_event_write
from relay_dagster.feeds.pointer import FeedPointer
from relay_dagster.runs.errors import CommitLostError, FenceLostError
from relay_dagster.runs.job_message import is_run_id
from relay_dagster.runs.model import DueQueue, RunRecord, TenantLock
from relay_dagster.runs.ports import Page, utc_now

# So many runs are looked through for one of a kind; the first page mostly has it, and a record may
# have 100 KB: one that is under way, and the last that has ended.
_PAGES_BACK = (2, 8, 10, 10, 10, 10)
_BEAT_LIFE = timedelta(days=7)
_EXPIRED_LIFE = timedelta(days=400)
_PAGE_BY_REQUEST = 100


@dataclass(frozen=True, slots=True)
class RunStore:
    """Run records and the items that belong to them."""

    database: Database

    def get(self, run_id: str) -> RunRecord | None:
        """Return the record, read consistently; hidden ones too."""
        if not is_run_id(run_id):
            return None
        return self.database.runs.read(Kind.RUN.key(run_id), to_record)

    def get_visible(self, run_id: str) -> RunRecord | None:
        """Return the record for those outside: a hidden one does not exist."""
        record = self.get(run_id)
        return None if record is None or record.hidden else record

    def get_many(self, run_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the records there are, by run_id, each read consistently; hidden ones too."""
        keys = [Kind.RUN.key(run_id) for run_id in run_ids if is_run_id(run_id)]
        return {
            each.run_id: each for each in self.database.runs.read_all(keys, to_record)
        }

    def has_expired(self, run_id: str) -> bool:
        """Return whether a run's record was deleted once its time of keeping was over."""
        return self.database.runs.item(Kind.GONE.key(run_id)) is not None

    def ids_by_request(self, after: str, before: datetime) -> Iterator[tuple[str, str]]:
        """Yield places and ids of runs by request, from after a place to before an instant."""
        rows = self.database.runs.partition(
            schema.BY_TIME,
            (schema.LISTED, schema.ALL_RUNS),
            (schema.REQUESTED_KEY, ">", after or " "),
            page=_PAGE_BY_REQUEST,
        )
        for row in rows:
            place = str(row[schema.REQUESTED_KEY])
            if place >= instant_text(before):
                return
            yield place, Kind.RUN.name_in(row)

    def expire(self, record: RunRecord, now: datetime) -> bool:
        """Delete a record if it is as it was read, and note for 400 days that it was there."""
        table, key, until = (
            self.database.runs,
            Kind.RUN.key(record.run_id),
            now + _EXPIRED_LIFE,
        )
        gone = Kind.GONE.key(record.run_id)
        tombstone = {schema.KEY: gone, schema.EXPIRY: epoch_seconds(until)}
        return self.database.carry_out(
            table.removal("record", key, record.revision),
            table.put("tombstone", marshal(tombstone)),
        )

    def list_runs(
        self,
        tenant_id: str | None = None,
        status: RunStatus | None = None,
        *,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[RunRecord]:
        """Return runs, newest first: of one tenant or all, in one status or any.

        A page may hold fewer than ``limit``, or none, and have a ``next_cursor`` all the same.
        `BadCursorError` where the cursor is not one of ``next_cursor``.
        """
        index, key, value = listing_of(tenant_id, status)
        start = start_key(cursor, Kind.RUN, is_run_id, (key, value))
        filtered = ("status", status.value) if tenant_id and status else None
        rows, last = self.database.runs.rows(
            index, (key, value), filtered, limit, start
        )
        found = self.get_many(Kind.RUN.name_in(row) for row in rows)
        ordered = (found.get(Kind.RUN.name_in(row)) for row in rows)
        records = tuple(
            record
            for record in ordered
            if record is not None
            and not record.hidden
            and status in (None, record.status)
        )
        return Page(records, cursor_after(last))

    def newest_runs(self, tenant_id: str) -> Iterator[RunRecord]:
        """Yield a tenant's newest runs, as far back as is looked for one of a kind."""
        cursor: str | None = None
        for limit in _PAGES_BACK:
            page = self.list_runs(tenant_id, limit=limit, cursor=cursor)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def due(
        self, queue: DueQueue, until: datetime, limit: int = 200
    ) -> list[RunRecord]:
        """Return runs that are due in a queue up to an instant, the longest due first."""
        found = self.database.runs.read_due(queue, until, limit, to_record)
        return [each for each in found if each.is_due(queue, until)]

    def note_check(self, record: RunRecord) -> bool:
        """Store the findings of a check in a record; False where it is not as it was read."""
        table, item = self.database.runs, to_item(record)
        noted = {name: item[name] for name in (schema.KEY, *CHECKED) if name in item}
        write = table.change("record", noted, noted, record.revision, always=CHECKED)
        return table.carry_out(write)

    @property
    def writes(self) -> RunItemWrites:
        """The maker of the writes that go with a change."""
        return RunItemWrites(self.database)

    def commit(self, change: RecordChange, also: Sequence[Write] = ()) -> RunRecord:
        """Write a record if it still is as it was read, with all that goes with it, or nothing.

        ``revision`` and ``write_id`` of the record are set here. `CommitLostError` where the
        record, or what goes with it, is not as it was read; `RunError`: what a failed condition of
        the other writes means.
        """
        revision = change.before.revision + 1 if change.before else 1
        after = replace(change.after, revision=revision, write_id=uuid.uuid4().hex)
        table = self.database.runs
        writes = [
            record_write(table, "record", replace(change, after=after)),
            *also,
            *(new_event_write(table, event) for event in change.events),
            *map(self.database.audit_write, change.audit),
        ]
        try:
            self.database.transact(*writes)
        except ConditionsFailedError as error:
            stored = error.items.get("record")
            if (
                stored is not None
                and unmarshal(stored).get("write_id") == after.write_id
            ):
                return after  # this very write had arrived before
            failed_writes = [write for write in writes if write.role in error.items]
            decisive_write = min(failed_writes, key=lambda write: write.condition)
            if decisive_write.refusal is None:
                raise CommitLostError(str(error)) from error
            raise decisive_write.refusal(error.items[decisive_write.role]) from error
        return after

    def lock(self, tenant_id: str) -> TenantLock:
        """Return the tenant's lock, read consistently."""
        key, read = Kind.LOCK.key(tenant_id), partial(to_lock, tenant_id)
        return self.database.runs.read(key, read) or to_lock(tenant_id, None)

    def locks(self, tenant_ids: Iterable[str]) -> dict[str, TenantLock]:
        """Return the locks of tenants, each read consistently, but those that cannot be read."""
        return self.database.runs.read_each(
            {Kind.LOCK.key(each): each for each in tenant_ids}, to_lock
        )

    def feed(self, tenant_id: str) -> FeedPointer | None:
        """Return the tenant's feed, None before the first."""
        return self.database.runs.read(Kind.FEED.key(tenant_id), to_feed)

    def feeds(self, tenant_ids: Iterable[str]) -> dict[str, FeedPointer]:
        """Return the feeds of those tenants that have one, each read consistently."""
        found = self.database.runs.read_all(map(Kind.FEED.key, tenant_ids), to_feed)
        return {feed.tenant_id: feed for feed in found}

    def feeds_to_report(self, until: datetime, limit: int) -> list[FeedPointer]:
        """Return feeds with publications to report by an instant, the longest due first."""
        return self.database.runs.read_due(schema.PUBLISHED, until, limit, to_feed)

    def put_feed(self, before: FeedPointer, after: FeedPointer) -> FeedPointer | None:
        """Write a feed down, and return it as it now stands; None where it is not as it was."""
        after = replace(after, revision=before.revision + 1)
        table = self.database.runs
        write = table.change(
            "feed", feed_item(before), feed_item(after), before.revision
        )
        return after if table.carry_out(write) else None

    def vendor_results(
        self, tenant_id: str, run_id: str | None = None
    ) -> tuple[VendorResult, ...]:
        """Return the vendors' results of the last ended run of all, or only of ``run_id``."""

        def results(item: Mapping[str, Any]) -> tuple[VendorResult, ...]:
            is_of_it = run_id is None or unmarshal(item)["run_id"] == run_id
            return to_results(item) if is_of_it else ()

        return self.database.runs.read(Kind.RESULTS.key(tenant_id), results) or ()

    def last_runs(self, tenant_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the last run of all vendors that has ended of tenants, where it is known."""
        found = self.database.runs.batch(map(Kind.RESULTS.key, tenant_ids)).values()
        records = self.get_many(str(unmarshal(item)["run_id"]) for item in found)
        return {each.tenant_id: each for each in records.values()}

    def idempotent_run(
        self, idempotency_id: str, now: datetime
    ) -> tuple[str, str] | None:
        """Return run_id and fingerprint of an idempotency item that has not expired."""

        def read(item: Mapping[str, Any]) -> tuple[str, str] | None:
            plain = unmarshal(item)
            found = plain["run_id"], plain["fingerprint"]
            return found if plain[schema.EXPIRY] > epoch_seconds(now) else None

        return self.database.runs.read(Kind.IDEMPOTENCY.key(idempotency_id), read)

    @maps_aws_errors
    def beat(self, run_id: str, attempt: int, *, has_beaten: bool = False) -> int:
        """Count an attempt's heartbeat up and return the new count.

        The item is no part of any transaction, so heartbeats never collide with the run's own
        writes. `FenceLostError` where the attempt was given up, or its tenant deleted: then
        the item of an attempt that ``has_beaten`` is gone.
        """
        expires = epoch_seconds(utc_now() + _BEAT_LIFE)
        known = f" AND attribute_exists({schema.KEY})" if has_beaten else ""
        beat = self.database.runs.write(
            "beats",
            "Update",
            Kind.HEARTBEAT.key(run_id, attempt),
            f"ADD beats :one SET {schema.EXPIRY} = :expiry",
            f"attribute_not_exists(stopped){known}",
            one=1,
            expiry=expires,
        )
        try:
            answer = self.database.clients.dynamodb_heartbeats.update_item(
                **beat.arguments, ReturnValues="UPDATED_NEW"
            )
        except ClientError as error:
            if error_code(error) in CONDITION_FAILED:
                raise FenceLostError(
                    run_id, f"attempt {attempt} was given up"
                ) from error
            raise
        return int(unmarshal(answer["Attributes"])["beats"])

    def stop_heartbeats(self, run_id: str, attempt: int) -> None:
        """Let an attempt's process know, at its next heartbeat, that the attempt was given up."""
        table, key = self.database.runs, Kind.HEARTBEAT.key(run_id, attempt)
        stop = f"SET stopped = :yes, {schema.EXPIRY} = :expiry"
        until = epoch_seconds(utc_now() + _BEAT_LIFE)
        table.carry_out(
            table.write("beats", "Update", key, stop, yes=True, expiry=until)
        )

    def heartbeats(self, records: Iterable[RunRecord]) -> dict[str, int]:
        """Return each latest attempt's count by run_id, 0 before the first, but unreadable ones."""
        wanted = {
            Kind.HEARTBEAT.key(each.run_id, each.attempt): each.run_id
            for each in records
        }
        return self.database.runs.read_each(
            wanted, lambda _, item: int(unmarshal(item or {}).get("beats", 0))
        )
