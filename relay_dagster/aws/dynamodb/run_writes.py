"""The writes that go with a change of a run's record: each feature's own, in the same transaction.

The lock's item holds the run that may run (``holder``), the jobs sent straight to the queue that
wait (``waiters``, with the instants by which they sort), how many runs have failed running
(``consecutive_failures``), and when the last run ended that has executed (``served_at``). A
caller's ``Idempotency-Key`` is an item of its own, and so is the count of the runs that a tenant's
callers made in an hour.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from relay_core.domain.codes import RunStatus
from relay_dagster.aws.dynamodb import schema
from relay_dagster.aws.dynamodb.codec import epoch_seconds, instant_text, marshal
from relay_dagster.aws.dynamodb.database import Database, closing_error
from relay_dagster.aws.dynamodb.quotas import DAY, hour_of, seconds_left_of_hour
from relay_dagster.aws.dynamodb.run_items import feed_item, record_change, results_change, to_lock
from relay_dagster.aws.dynamodb.schema import by_time, idempotency_key, lock_key, run_count_key
from relay_dagster.aws.dynamodb.table import IS_THERE
from relay_dagster.aws.dynamodb.transactions import Write
from relay_dagster.aws.dynamodb.trigger_store import trigger_change
from relay_dagster.aws.dynamodb.webhook_store import new_event_write
from relay_dagster.feeds.pointer import FeedUpdate
from relay_dagster.runs.errors import CommitLostError, RunQuotaExceededError, TenantBusyError
from relay_dagster.runs.model import Idempotency, LockState, RunRecord
from relay_dagster.runs.ports import Change
from relay_dagster.tenants.audit import AuditEntry
from relay_dagster.triggers.state import TriggerUpdate
from relay_dagster.webhooks.model import Event

_KEY_LIFE = timedelta(hours=24)
_FREE = "attribute_not_exists(holder)"
_UNWANTED = f"{_FREE} AND attribute_not_exists(waiters)"
_MINE = f"{_FREE} OR holder = :run"


@dataclass(frozen=True, slots=True)
class RunWrites:
    """Makes the writes; ``RunStore.commit`` carries them out."""

    database: Database

    # --- the tenant's lock ----------------------------------------------------------------------

    def lock(self, change: Change, *, yield_to_waiters: bool = False) -> list[Write]:
        """Return the lock's write for a change of a record's lock state, or none.

        Whoever has helped a tenant by deleting the lock's item has let another run have it: a run
        that ends without its lock ends all the same. A new holder may step back where other runs
        wait.
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

    def tenant_idle(self, change: Change) -> Write:
        """Return the condition that no run of the tenant is queued or running.

        A held run that succeeds after all clears the count of failures.
        """
        before, after = change.before, change.after
        has_changed = before is not None and before.status is not after.status
        if has_changed and after.status is RunStatus.SUCCEEDED:
            return self._lock(after, "SET consecutive_failures = :zero", _UNWANTED)
        return self._lock(after, None, _UNWANTED)

    def _lock(self, run: RunRecord, expression: str | None, condition: str | None = None) -> Write:
        waiter = by_time(run.requested_at, run.run_id)
        served = None if run.finished_at is None else instant_text(run.finished_at)
        values = {":run": run.run_id, ":runs": {waiter}, ":zero": 0, ":one": 1, ":served": served}
        named = re.findall(r":\w+", f"{expression} {condition or ''}")
        used = {name for name in values if name in named}
        write = self.database.runs.write(
            "lock",
            "ConditionCheck" if expression is None else "Update",
            lock_key(run.tenant_id),
            expression,
            condition=condition,
            values={name: values[name] for name in sorted(used)},
        )
        return write.refusing(lambda item: self._busy(run, item), rank=2)

    def _busy(self, run: RunRecord, item: Mapping[str, Any] | None) -> Exception:
        key, lock = lock_key(run.tenant_id), to_lock(run.tenant_id, item)
        if lock.active_run_id is None:
            lock = to_lock(run.tenant_id, self.database.runs.item(key))
        active = lock.active_run_id
        if active is None or active == run.run_id:
            return CommitLostError(f"the lock of tenant {run.tenant_id} has changed")
        return TenantBusyError(run.tenant_id, active)

    # --- what a new run is made on condition of -------------------------------------------------

    def tenant_active(self, run: RunRecord, sent_at: datetime | None = None) -> Write:
        """Return the condition that nothing of a run's tenant is being deleted.

        ``sent_at`` is when the message was sent that a new record is made for.
        """
        write = self.database.tenant_active(run.tenant_id, sent_at)
        return write.refusing(lambda item: closing_error(run.tenant_id, item), rank=0)

    def quota(self, run: RunRecord, runs_per_hour: int) -> Write:
        """Return the write that counts a run, on condition that it is not one too many."""
        expiry = epoch_seconds(hour_of(run.requested_at) + DAY)
        write = self.database.runs.write(
            "quota",
            "Update",
            _count_key(run),
            "ADD runs :one SET #expiry = :expiry",
            condition="attribute_not_exists(runs) OR runs < :most",
            values={":one": 1, ":most": runs_per_hour, ":expiry": expiry},
            names={"#expiry": schema.EXPIRY},
        )
        wait = seconds_left_of_hour(run.requested_at)
        return write.refusing(
            lambda _: RunQuotaExceededError(run.tenant_id, runs_per_hour, wait), rank=3
        )

    def uncount(self, run: RunRecord) -> None:
        """Take a run that was counted, and then was none, out of the count of its hour."""
        table = self.database.runs
        table.carry_out(
            table.write(
                "quota",
                "Update",
                _count_key(run),
                "ADD runs :less",
                condition=IS_THERE,
                values={":less": -1},
            )
        )

    def remember(self, run: RunRecord, asked: Idempotency, now: datetime) -> Write:
        """Return the write by which a caller's key leads to a new run."""
        item = {
            schema.KEY: idempotency_key(asked.id),
            "run_id": run.run_id,
            "fingerprint": asked.fingerprint,
            schema.EXPIRY: epoch_seconds(now + _KEY_LIFE),
        }
        return self.database.runs.put(
            "idempotency",
            marshal(item),
            # Time-to-live deletes late: an item that is over counts as gone.
            ConditionExpression="attribute_not_exists(pk) OR #expiry <= :now",
            ExpressionAttributeNames={"#expiry": schema.EXPIRY},
            ExpressionAttributeValues=marshal({":now": epoch_seconds(now)}),
        )

    def forget(self, run: RunRecord) -> Write:
        """Return the write by which a caller's key leads to no run: there is none after all."""
        return self.database.runs.write(
            "forget",
            "Delete",
            idempotency_key(str(run.idempotency_id)),
            condition="attribute_not_exists(pk) OR run_id = :run",
            values={":run": run.run_id},
        )

    # --- what else a run changes ----------------------------------------------------------------

    def feed(self, update: FeedUpdate) -> list[Write]:
        """Return the writes of the tenant's feed pointer, and of the held run that gives way."""
        table, before = self.database.runs, update.before
        known, revision = ({}, 0) if before is None else (feed_item(before), before.revision)
        writes = [table.change("feed", known, feed_item(update.after), revision)]
        if update.voided is not None:
            held, after = update.voided
            after = replace(after, revision=held.revision + 1, write_id=uuid.uuid4().hex)
            writes.append(record_change(table, "voided", Change(held, after)))
        return writes

    def triggers(self, update: TriggerUpdate) -> Write:
        """Return the write by which a run takes from its tenant's triggers what it is for."""
        return trigger_change(self.database.runs, update.before, update.after)

    def vendor_results(self, run: RunRecord) -> list[Write]:
        """Return the write of what a run of all vendors that ends came to with each, or none."""
        if run.vendors is None and run.vendor_results and run.has_ended:
            return [results_change(self.database.runs, run)]
        return []

    def events(self, events: Iterable[Event]) -> list[Write]:
        """Return the writes that add events for the tenant's webhooks."""
        return [new_event_write(self.database.runs, event) for event in events]

    def audit(self, entries: Iterable[AuditEntry | None]) -> list[Write]:
        """Return the writes that add entries to the audit; None adds nothing."""
        return [self.database.audit_write(entry) for entry in entries if entry is not None]


def _tally(after: RunRecord) -> str:
    """Return what an end does to the lock's item, beside freeing it.

    A success clears the count of failures, a cancel leaves it. A run that has executed has served
    its tenant.
    """
    has_served = after.started_at is not None and after.finished_at is not None
    sets = ["consecutive_failures = :zero"] * (after.status is RunStatus.SUCCEEDED)
    sets += ["served_at = :served"] * has_served
    text = f" SET {', '.join(sets)}" if sets else ""
    return f"{text} ADD consecutive_failures :one" if after.status is RunStatus.FAILED else text


def _count_key(run: RunRecord) -> str:
    return run_count_key(run.tenant_id, hour_of(run.requested_at))
