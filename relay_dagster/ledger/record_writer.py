"""The one way in which a run's record is written, with all that goes with it.

The tenant's lock, feed pointer, webhook events and audit entries are written in the
same transaction as the record. The transaction fails if another process has changed the
record since it was read; then the record is read and changed again.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from relay_dagster.aws.dynamodb.run_store import RunStore
from relay_dagster.aws.dynamodb.run_writes import RecordChange, RunItemWrites
from relay_dagster.aws.dynamodb.writes import Write
from relay_dagster.external_errors import ThrottledError
from relay_dagster.feeds.pointer import FeedUpdate, with_publication
from relay_dagster.runs.errors import CommitLostError, UnknownRunError
from relay_dagster.runs.model import LockState, RunRecord
from relay_dagster.runs.poll_schedule import PollSchedule
from relay_dagster.runs.transitions import Rule
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.webhooks.run_events import events_of

MAX_ROUNDS = 20
"""How often a change is tried while other writers come first."""

TOO_MANY_WRITERS = "too many writers at once"

FeedUpdateOf = Callable[[RunRecord], FeedUpdate | None]
"""Returns the feed update that goes with a record as it will be; None for none."""

AuditEntryOf = Callable[[RunRecord], AuditEntry | None]
"""Returns the audit entry that goes with a record as it will be; None for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedChange:
    """A change of a run's record, and what goes with it.

    The functions are called again in each round, with the record of that round.
    """

    run_id: str
    rule: Rule  # makes the next record
    # The record as the caller read or wrote it last; trying it first spares a read
    cached_record: RunRecord | None = None
    feed_update: FeedUpdateOf | None = None
    audit_entry: AuditEntryOf | None = None
    # Whether the change needs a tenant that has no active run and is not being deleted
    needs_idle_tenant: bool = False


@dataclass(frozen=True, slots=True)
class ChangeResult:
    """The outcome of a requested change."""

    record: RunRecord  # the record as it is stored now
    # Whether this call changed it; a rule may leave a record as it is
    was_changed: bool


class RecordWriter:
    """Writes records of runs.

    Attributes:
        item_writes: Makes the writes that go with a record's.
    """

    def __init__(
        self,
        runs: RunStore,
        schedule: PollSchedule,
        clock: Callable[[], datetime],
    ) -> None:
        self.item_writes = RunItemWrites(runs.database)
        self._runs = runs
        self._schedule = schedule
        self._clock = clock

    def create(
        self,
        record: RunRecord,
        *,
        further_writes: Sequence[Write] = (),
        yield_to_waiters: bool = False,
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Store a new record; return it as it was committed.

        With ``yield_to_waiters``, a run does not take the tenant's lock while other
        runs wait for it. ``sent_at`` is when the run's message was sent; a tenant that
        was deleted before may begin again.

        Raises:
            CommitLostError: there is a record of this run_id, or an item of another
                write has changed.
            TenantBusyError: the tenant has an active run.
            TenantClosingError: the tenant is being deleted.
        """
        change = self._record_change(None, record, None, ())
        maker = self.item_writes
        writes = [
            *maker.lock(change, yield_to_waiters=yield_to_waiters),
            *maker.vendor_results(change.after),
            maker.database.tenant_active(record.tenant_id, sent_at),
            *further_writes,
        ]
        return self._runs.commit(change, writes)

    def apply_rule(
        self,
        run_id: str,
        rule: Rule,
        cached_record: RunRecord | None = None,
    ) -> RunRecord:
        """Apply a rule, and nothing else, as `apply` does; return the record."""
        change = RequestedChange(
            run_id=run_id,
            rule=rule,
            cached_record=cached_record,
        )
        return self.apply(change).record

    def apply(self, change: RequestedChange) -> ChangeResult:
        """Apply a rule to a record; commit the result unless the rule changes nothing.

        There is no wait between rounds: a lost round means that another writer got
        through, and writers of one record are few.

        Raises:
            UnknownRunError: there is no record of this run_id.
            ThrottledError: other writers came first in every round.
            RunError: the rule, or a condition of the transaction, refuses the change.
        """
        cached_record = change.cached_record
        for _ in range(MAX_ROUNDS):
            before = cached_record or self._runs.get(change.run_id)
            cached_record = None
            if before is None:
                raise UnknownRunError(change.run_id)
            after = change.rule(before)
            if after is before:
                return ChangeResult(before, was_changed=False)
            with suppress(CommitLostError):
                record = self._commit(change, before, after)
                return ChangeResult(record, was_changed=True)
        raise ThrottledError(
            "change",
            f"run {change.run_id}: {TOO_MANY_WRITERS}",
        )

    def _commit(
        self,
        change: RequestedChange,
        before: RunRecord,
        after: RunRecord,
    ) -> RunRecord:
        """Commit a record and all that goes with the change, in one transaction."""
        feed_update = None
        if change.feed_update is not None:
            feed_update = change.feed_update(after)
        if feed_update is not None:
            after = with_publication(after, feed_update.after)
        if feed_update is not None and feed_update.superseded is not None:
            held_run, superseded_run = feed_update.superseded
            superseded_run = self._schedule.scheduled(
                held_run,
                superseded_run,
                self._clock(),
            )
            feed_update = replace(
                feed_update,
                superseded=(held_run, superseded_run),
            )
        entry = None
        if change.audit_entry is not None:
            entry = change.audit_entry(after)
        entries = [] if entry is None else [entry]
        if after.pending_audit is not None and not after.hidden:
            # The audit learns who asked for a run with the first change that does not
            # withdraw it: until its message is sent, there may be no run.
            entries.insert(0, after.pending_audit)
            after = replace(after, pending_audit=None)
        record_change = self._record_change(before, after, feed_update, entries)
        maker = self.item_writes
        tenant_active = maker.database.tenant_active(after.tenant_id)
        writes = [*maker.lock(record_change), *maker.vendor_results(after)]
        is_owner = after.lock_state is LockState.OWNER
        if is_owner and before.lock_state is not LockState.OWNER:
            writes.append(tenant_active)
        elif after.hidden and not before.hidden and after.idempotency_id:
            writes.append(maker.forget(after))
        if feed_update is not None:
            writes += maker.feed(feed_update)
        if change.needs_idle_tenant:
            writes.append(maker.tenant_idle(record_change))
            writes.append(tenant_active)
        return self._runs.commit(record_change, writes)

    def _record_change(
        self,
        before: RunRecord | None,
        after: RunRecord,
        feed_update: FeedUpdate | None,
        entries: Sequence[AuditEntry],
    ) -> RecordChange:
        """Return the change with the record's next check and with its events."""
        now = self._clock()
        after = self._schedule.scheduled(before, after, now)
        events = events_of(before, after, feed_update, now)
        return RecordChange(before, after, tuple(events), tuple(entries))
