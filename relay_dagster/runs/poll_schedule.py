"""How many attempts a run has, how long it waits between them, and when it is checked next.

The next check is set with every commit of its record, in a queue of what is due. So a tick costs
the records that are due, and not all that exist: ``aws/dynamodb/run_store.py`` reads their index.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay_dagster.runs.model import DueQueue, Fence, LockState, RunRecord, Trigger

UNSENT_AFTER = timedelta(seconds=60)
"""After which a run whose message nobody has noted gets one."""

WAITS_HIDDEN = timedelta(hours=1)
"""For how long the message of a job stays out of sight that waits for its tenant."""

DEAD_LETTER_LIFE = timedelta(days=14)
"""For how long the dead-letter queue keeps a message."""

_CHECK_BEFORE_SIGHT = timedelta(minutes=10)
_MAX_BETWEEN_CHECKS = 10.0


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """An attempt that ended without a verdict; ``fence`` is None where it was not claimed."""

    attempt: int
    fence: Fence | None
    error_code: str
    message: str
    now: datetime
    retry_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSchedule:
    """How many attempts a run has, the waits between them, and the times of its checks."""

    max_attempts: int = 3
    base_seconds: float = 10  # before the second attempt, thrice that before the next
    max_seconds: float = 300  # the longest wait between attempts
    stale_seconds: float = 90  # after so long without a heartbeat an attempt is dead
    visibility_seconds: float = (
        300  # for so long a message that was received stays out of sight
    )
    message_lost_seconds: float = 3600  # after so long without a sign a message is lost

    def attempts_of(self, record: RunRecord) -> int:
        """Return how many attempts the run has in all; a run that Dagster started has one."""
        return 1 if record.trigger is Trigger.DAGSTER else self.max_attempts

    def has_attempts_left(self, record: RunRecord) -> bool:
        """Return whether another attempt may follow the latest one."""
        return record.attempt < self.attempts_of(record)

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """Return the wait after an attempt (from 1): exponential, capped, spread by 20 %."""
        seconds = self.base_seconds
        for _ in range(attempt - 1):
            if seconds >= self.max_seconds:
                break
            seconds *= 3
        return timedelta(seconds=min(seconds, self.max_seconds) * (0.8 + 0.4 * jitter))

    @property
    def between_checks(self) -> timedelta:
        """How long an attempt that is under way is left alone.

        Its message must not come into sight meanwhile, and a heartbeat that stops must be noticed
        in time: it is stale so long after the check that saw it stand still for the first time.
        """
        return timedelta(
            seconds=min(
                self.stale_seconds / 4, self.visibility_seconds / 4, _MAX_BETWEEN_CHECKS
            )
        )

    def scheduled(
        self, before: RunRecord | None, after: RunRecord, now: datetime
    ) -> RunRecord:
        """Return a changed record with its next check; one that is due soon keeps its place."""
        queue, due_at = self._next(after, now)
        is_same_attempt = (
            before is not None
            and before.is_dispatched
            and after.is_dispatched
            and before.attempt == after.attempt
        )
        if before is not None and due_at is not None and is_same_attempt:
            known = before.due_at
            if before.due_queue is queue and known is not None and now < known < due_at:
                due_at = known
        return replace(after, due_queue=queue, due_at=due_at)

    def until_next(self, record: RunRecord, now: datetime) -> timedelta:
        """Return how long a record may be left alone that stays as it is."""
        _, due_at = self._next(record, now)
        return max((due_at or now) - now, self.between_checks)

    def _next(
        self, record: RunRecord, now: datetime
    ) -> tuple[DueQueue | None, datetime | None]:
        if record.acknowledged_at is not None:
            return (
                (DueQueue.DEAD_LETTER, record.finished_at)
                if record.has_dead_letter
                else (None, None)
            )
        if record.has_ended:
            return DueQueue.END, now
        if record.cancel_requested_at is not None:
            return DueQueue.ATTEMPT, now
        if record.is_dispatched:
            return DueQueue.ATTEMPT, now + self.between_checks
        if not self.has_attempts_left(record):
            return DueQueue.ATTEMPT, now
        if record.next_attempt_at is not None:
            return DueQueue.READY, record.next_attempt_at
        if record.message_id is None:
            return DueQueue.ATTEMPT, (
                record.send_claimed_at or record.requested_at
            ) + UNSENT_AFTER
        if record.lock_state is LockState.QUEUED and record.hidden_until is not None:
            # So long before its message comes into sight.
            early = min(
                _CHECK_BEFORE_SIGHT, max(record.hidden_until - now, timedelta(0)) / 4
            )
            return DueQueue.ATTEMPT, max(now, record.hidden_until - early)
        signs = [at for at in (record.sent_at, record.received_at) if at is not None]
        last_sign = max(signs, default=now)
        return DueQueue.MESSAGE, last_sign + timedelta(
            seconds=self.message_lost_seconds
        )


DEFAULT_SCHEDULE = PollSchedule()
