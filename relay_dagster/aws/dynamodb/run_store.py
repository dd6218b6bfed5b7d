"""The runs table: run records, tenant locks, feed pointers, idempotency items.

Reads anybody may call. `RunStore.commit` is for the ledger alone. What is due, and heartbeats, are
in `looks`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.audit import AuditEntry
from relay_dagster.aws.dynamodb import quotas, schema, tenant_lock
from relay_dagster.aws.dynamodb.audit.items import audit_write
from relay_dagster.aws.dynamodb.idempotency import idempotency_writes
from relay_dagster.aws.dynamodb.looks import RunLooks
from relay_dagster.aws.dynamodb.reads import cursor_after, listing_of, run_id_of, start_key
from relay_dagster.aws.dynamodb.serialization import (
    epoch_seconds,
    feed_is,
    feed_key,
    from_feed,
    from_record,
    idempotency_key,
    is_at,
    lock_key,
    run_key,
    to_feed,
    to_lock,
    to_record,
    unmarshal,
)
from relay_dagster.aws.dynamodb.tenants.openness import is_open, refuse_closing
from relay_dagster.aws.dynamodb.transactions import ConditionsFailedError, Write, transact
from relay_dagster.aws.dynamodb.triggers import items
from relay_dagster.aws.dynamodb.webhooks.items import event_write
from relay_dagster.aws.error_mapping import maps_aws_errors
from relay_dagster.runs.errors import CommitLostError, RunQuotaExceededError, TenantBusyError
from relay_dagster.runs.feeds.pointer import FeedMove, FeedPointer
from relay_dagster.runs.identifiers import is_run_id
from relay_dagster.runs.model import Idempotency, RunRecord, TenantLock
from relay_dagster.runs.ports import RunPage
from relay_dagster.runs.triggers.state import TriggerMove
from relay_dagster.runs.webhooks.events import events_of

# So many runs are looked through for one of a kind; the first page mostly has it.
_PAGE_BACK, _PAGES_BACK = 10, 5


class RunStore(RunLooks):
    """Run records and what belongs to them; what looks at runs need is inherited."""

    # --- records --------------------------------------------------------------------------------

    def get(self, run_id: str) -> RunRecord | None:
        """Return the record, read consistently; hidden ones too."""
        if not is_run_id(run_id):
            return None
        item = self._table.item(run_key(run_id))
        return None if item is None else to_record(item)

    def get_visible(self, run_id: str) -> RunRecord | None:
        """Return the record for those outside: a hidden one does not exist."""
        record = self.get(run_id)
        return None if record is None or record.hidden else record

    def get_many(self, run_ids: Iterable[str]) -> dict[str, RunRecord]:
        """Return the records there are, by run_id, each read consistently; hidden ones too."""
        keys = [run_key(run_id) for run_id in run_ids if is_run_id(run_id)]
        return {each.run_id: each for each in map(to_record, self._table.batch(keys).values())}

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
        rows, last = self._table.rows(index, (key, value), filtered, limit, start)
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

    @maps_aws_errors
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
        writes = [self._record_write(before, after)]
        writes += tenant_lock.of_change(
            self._table.name, before, after, yield_to_waiters=yield_to_waiters
        )
        writes += idempotency_writes(self._table.name, before, after, idempotency, now)
        if while_idle:
            writes.append(tenant_lock.while_idle(self._table.name, before, after))
        if feed:
            writes += self._feed_writes(feed)
        if runs_per_hour is not None:
            writes.append(quotas.counted(self._table.name, after, runs_per_hour))
        if trigger is not None:
            change = items.put(self._table.name, trigger.before, trigger.after)
            writes.append(Write("trigger", "Put", change))
        if self._tenants_table and (while_idle or tenant_lock.is_wanted(before, after)):
            writes.append(is_open(self._tenants_table, after.tenant_id, sent_at))
        writes += [
            event_write(self._table.name, event) for event in events_of(before, after, feed, now)
        ]
        writes += [audit_write(self._audit_table, entry) for entry in audit]
        try:
            self._transact(writes, tenant_lock.is_given_back(before, after))
        except ConditionsFailedError as error:
            self._explain(error, after, runs_per_hour)
        return after

    @maps_aws_errors
    def uncount(self, record: RunRecord) -> None:
        """Take a run that was counted, and then was none, out of the count of its hour."""
        self._clients.dynamodb.update_item(**quotas.given_back(self._table.name, record))

    # --- what belongs to them -------------------------------------------------------------------

    def lock(self, tenant_id: str) -> TenantLock:
        """Return the tenant's lock, read consistently."""
        return to_lock(tenant_id, self._table.item(lock_key(tenant_id)))

    def locks(self, tenant_ids: Iterable[str]) -> dict[str, TenantLock]:
        """Return the locks of tenants, each read consistently."""
        wanted = {lock_key(tenant_id): tenant_id for tenant_id in tenant_ids}
        found = self._table.batch(wanted)
        return {tenant_id: to_lock(tenant_id, found.get(key)) for key, tenant_id in wanted.items()}

    def feed(self, tenant_id: str) -> FeedPointer | None:
        """Return the tenant's feed, None before the first."""
        item = self._table.item(feed_key(tenant_id))
        return None if item is None else to_feed(item)

    def feeds(self, tenant_ids: Iterable[str]) -> dict[str, FeedPointer]:
        """Return the feeds of those tenants that have one, each read consistently."""
        found = self._table.batch(map(feed_key, tenant_ids)).values()
        return {feed.tenant_id: feed for feed in map(to_feed, found)}

    def idempotent_run(self, idempotency_id: str, now: datetime) -> tuple[str, str] | None:
        """Return run_id and fingerprint of an idempotency item that has not expired."""
        item = self._table.item(idempotency_key(idempotency_id))
        plain = unmarshal(item or {})
        if not plain or plain[schema.EXPIRY] <= epoch_seconds(now):
            return None
        return plain["run_id"], plain["fingerprint"]

    @maps_aws_errors
    def check(self) -> None:
        """Touch the table, for readiness: returns, or raises the fault."""
        self._table.item("CHECK")

    # --- how ------------------------------------------------------------------------------------

    def _put(self, item: Mapping[str, Any]) -> dict[str, Any]:
        return {"TableName": self._table.name, "Item": item}

    def _transact(self, writes: list[Write], gives_lock_back: bool) -> None:
        """Write all or none; a lock that is to be given back may be in other hands by then."""
        try:
            transact(self._clients.dynamodb, writes)
        except ConditionsFailedError as error:
            if not gives_lock_back or error.items.keys() != {"lock"}:
                raise
            rest = [write for write in writes if write.role != "lock"]
            transact(self._clients.dynamodb, rest)

    def _record_write(self, before: RunRecord | None, after: RunRecord) -> Write:
        condition = is_at(before.revision if before else 0)
        return Write("record", "Put", {**self._put(from_record(after)), **condition})

    def _feed_writes(self, move: FeedMove) -> list[Write]:
        put = {**self._put(from_feed(move.after)), **feed_is(move.before)}
        writes = [Write("feed", "Put", put)]
        if move.voided is not None:
            before, after = move.voided
            after = replace(after, revision=before.revision + 1, write_id=uuid.uuid4().hex)
            writes.append(replace(self._record_write(before, after), role="voided"))
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
