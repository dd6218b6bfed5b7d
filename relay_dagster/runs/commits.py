"""How every commit of a record is made, and what each writes beside: when to look at it next.

Read, decide, commit, and once more where somebody else has committed in between. `PollSchedule`
says when a record is due, so that a tick costs the records that are due and not all that exist;
``aws/dynamodb/run_store.py`` reads the index of them. Which rule is applied, the callers say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from relay_dagster.audit import AuditEntry
from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.errors import CommitLostError, UnknownRunError
from relay_dagster.runs.feeds.pointer import FeedMove, MoveOf, no_move
from relay_dagster.runs.model import Lane, LockState, RunRecord
from relay_dagster.runs.ports import Change, RunRecords
from relay_dagster.runs.retry_policy import RetryPolicy
from relay_dagster.runs.webhooks.events import events_of

Rule = Callable[[RunRecord], RunRecord]
EntryOf = Callable[[RunRecord], AuditEntry]
"""What the audit tells of a change, of the record as it is to be."""
_Result = TypeVar("_Result")
_ROUNDS = 20

# --- when to look -------------------------------------------------------------------------------

UNSENT_AFTER = timedelta(seconds=60)
"""After which a run whose message nobody has noted gets one."""

WAITS_HIDDEN = timedelta(hours=1)
"""For how long the message of a job stays out of sight that waits for its tenant."""

LETTER_LIFE = timedelta(days=14)
"""For how long the dead-letter queue keeps a message."""

_LOOK_BEFORE_SIGHT = timedelta(minutes=10)
_SELDOM = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSchedule:
    """The times that decide when a run is looked at.

    Args:
        retries: how many attempts a run has.
        stale_seconds: after so long without a heartbeat an attempt is dead.
        visibility_seconds: for so long a message that was received stays out of sight.
        message_lost_seconds: after so long without a sign a message is lost.
    """

    retries: RetryPolicy = field(default_factory=RetryPolicy)
    stale_seconds: float = 90
    visibility_seconds: float = 300
    message_lost_seconds: float = 3600

    @property
    def between_looks(self) -> timedelta:
        """How long an attempt that is under way is left alone.

        Its message must not come into sight meanwhile, and a heartbeat that stops must be noticed
        in time: it is stale so long after the look that saw it stand still for the first time.
        """
        return timedelta(seconds=min(self.stale_seconds / 4, self.visibility_seconds / 4, _SELDOM))

    @property
    def visibility(self) -> timedelta:
        """For how long a message that was received stays out of sight."""
        return timedelta(seconds=self.visibility_seconds)

    def scheduled(self, before: RunRecord | None, after: RunRecord, now: datetime) -> RunRecord:
        """Return a changed record with its next look.

        An attempt that is looked at soon anyway keeps its place, which spares the index a write.
        """
        lane, due_at = self._next(after, now)
        if before is not None and due_at is not None and _is_same_attempt(before, after):
            known = before.due_at
            if before.due_lane is lane and known is not None and now < known < due_at:
                due_at = known
        return replace(after, due_lane=lane, due_at=due_at)

    def until_next(self, record: RunRecord, now: datetime) -> timedelta:
        """Return how long a record may be left alone that stays as it is."""
        _, due_at = self._next(record, now)
        return max((due_at or now) - now, self.between_looks)

    def _next(self, record: RunRecord, now: datetime) -> tuple[Lane | None, datetime | None]:
        if record.acknowledged_at is not None:
            return (Lane.LETTER, record.finished_at) if record.has_letter else (None, None)
        if record.has_ended:
            return Lane.END, now
        if record.cancel_requested_at is not None:
            return Lane.ATTEMPT, now
        if record.is_dispatched:
            return Lane.ATTEMPT, now + self.between_looks
        return self._next_of_queued(record, now)

    def _next_of_queued(self, record: RunRecord, now: datetime) -> tuple[Lane, datetime]:
        if not self.retries.has_attempts_left(record):
            return Lane.ATTEMPT, now
        if record.next_attempt_at is not None:
            return Lane.READY, record.next_attempt_at
        if record.message_id is None:
            return Lane.ATTEMPT, (record.send_claimed_at or record.requested_at) + UNSENT_AFTER
        if record.lock_state is LockState.QUEUED and record.hidden_until is not None:
            return Lane.ATTEMPT, max(now, record.hidden_until - self._early(record, now))
        signs = [at for at in (record.sent_at, record.received_at) if at is not None]
        last_sign = max(signs, default=now)
        return Lane.MESSAGE, last_sign + timedelta(seconds=self.message_lost_seconds)

    def _early(self, record: RunRecord, now: datetime) -> timedelta:
        """Return how long before its message comes into sight a run that waits is looked at."""
        hidden_for = (record.hidden_until or now) - now
        return min(_LOOK_BEFORE_SIGHT, max(hidden_for, timedelta(0)) / 4)


def _is_same_attempt(before: RunRecord, after: RunRecord) -> bool:
    return before.is_dispatched and after.is_dispatched and before.attempt == after.attempt


# --- read, decide, commit -----------------------------------------------------------------------


def until_committed(operation: str, run_id: str, try_once: Callable[[], _Result]) -> _Result:
    """Return what the first round gives that loses no commit.

    No waiting: a lost round means that another writer got through, and writers of a record are few.

    Args:
        operation: what is tried, for the message.
        run_id: the run that it is about.
        try_once: reads afresh, decides and commits.

    Raises:
        ThrottledError: every round was lost.
    """
    for _ in range(_ROUNDS):
        try:
            return try_once()
        except CommitLostError:
            continue
    raise ThrottledError(operation, f"run {run_id}: too many writers at once")


@dataclass(frozen=True, slots=True)
class Commits:
    """Commits records, each with its next look.

    Args:
        runs: where records are kept.
        looks: when each is to be looked at next.
        clock: tells the time, aware.
    """

    runs: RunRecords
    looks: PollSchedule
    clock: Callable[[], datetime]

    def create(
        self,
        record: RunRecord,
        also: Sequence[Any] = (),
        *,
        yield_to_waiters: bool = False,
        sent_at: datetime | None = None,
    ) -> RunRecord:
        """Commit a new record, once, with the lock that it takes and what else is written with it.

        ``sent_at`` is when the message was sent that the record is made for, where one is. What it
        raises is what the writes refuse for.
        """
        now, writes = self.clock(), self.runs.writes
        change = Change(None, self.looks.scheduled(None, record, now))
        events = events_of(None, change.after, None, now)
        return self.runs.commit(
            change,
            [
                *writes.lock(change, yield_to_waiters=yield_to_waiters),
                *also,
                writes.tenant_active(record, sent_at),
                *writes.events(events),
            ],
        )

    def change(
        self,
        run_id: str,
        rule: Rule,
        known: RunRecord | None = None,
        move: MoveOf = no_move,
        *,
        while_idle: bool = False,
        entry: EntryOf | None = None,
    ) -> RunRecord:
        """Apply a rule to a record, and commit what comes of it.

        Who asked for the run is told with the first change that does not withdraw it: until its
        message is sent, it may be that there is no run after all.

        Args:
            run_id: whose record.
            rule: returns the next record, or raises why not.
            known: the record as it was read or written last; it is tried first, to spare a read.
            move: what becomes of the tenant's feed.
            while_idle: only while the tenant has no run that is queued or running.
            entry: what the audit tells of the change; a rule that changes nothing tells nothing.

        Raises:
            UnknownRunError: there is no such record.
            TenantBusyError: the tenant has one.
        """
        given = [] if known is None else [known]

        def try_once() -> RunRecord:
            before = given.pop() if given else self._get(run_id)
            after = rule(before)
            if after is before:
                return before
            now, feed = self.clock(), move(after)
            if feed is not None:
                after, feed = self._moved(after, feed, now)
            audit = [] if entry is None else [entry(after)]
            if after.untold is not None and not after.hidden:
                audit, after = [after.untold, *audit], replace(after, untold=None)
            change = Change(before, self.looks.scheduled(before, after, now))
            also = [*self._belonging(change, feed, now), *self.runs.writes.audit(audit)]
            if while_idle:
                also += [
                    self.runs.writes.tenant_idle(change),
                    self.runs.writes.tenant_active(after),
                ]
            return self.runs.commit(change, also)

        return until_committed("change", run_id, try_once)

    def _belonging(self, change: Change, feed: FeedMove | None, now: datetime) -> list[Any]:
        """Return the writes that follow from a change: of the lock, feed, key and events."""
        writes, before, after = self.runs.writes, change.before, change.after
        also = [*writes.lock(change), *writes.events(events_of(before, after, feed, now))]
        if feed is not None:
            also += writes.feed(feed)
        held = before is not None and before.lock_state is LockState.OWNER
        if after.lock_state is LockState.OWNER and not held:
            also.append(writes.tenant_active(after))
        was_hidden = before is not None and before.hidden
        if after.hidden and not was_hidden and after.idempotency_id:
            also.append(writes.forget(after))
        return also

    def look_again(
        self, record: RunRecord, after: timedelta, lane: Lane | None, seen: dict[str, Any]
    ) -> bool:
        """Note of a record that stays as it is when to look again; False where it has changed."""
        due_at = self.clock() + after
        noted = replace(record, due_at=due_at, due_lane=lane or record.due_lane, **seen)
        return self.runs.note_look(noted)

    def _moved(
        self, record: RunRecord, feed: FeedMove, now: datetime
    ) -> tuple[RunRecord, FeedMove]:
        """Note of a published record when it was, and of one given up when to look at it."""
        newest = feed.after.in_force
        if newest.run_id == record.run_id:
            record = replace(record, published_at=newest.published_at, published_seq=newest.seq)
        if feed.voided is not None:
            held, over = feed.voided
            feed = replace(feed, voided=(held, self.looks.scheduled(held, over, now)))
        return record, feed

    def _get(self, run_id: str) -> RunRecord:
        if (record := self.runs.get(run_id)) is None:
            raise UnknownRunError(run_id)
        return record
