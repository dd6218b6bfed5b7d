"""How many attempts a run has, the waits between them, and the times of its checks.

The next check is set with every commit of a record, in a queue of the due index. So a
tick costs as much as there are records that are due, however many records exist.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from relay_dagster.runs.model import (
    DueQueue,
    Fence,
    LockState,
    RunRecord,
    Trigger,
)

UNSENT_AFTER = timedelta(seconds=60)
"""The time after which a run whose message nobody has noted gets another one."""

WAITS_HIDDEN = timedelta(hours=1)
"""How long the message of a job that waits for its tenant stays out of sight."""

DEAD_LETTER_LIFE = timedelta(days=14)
"""How long the dead-letter queue keeps a message."""

_CHECK_BEFORE_SIGHT = timedelta(minutes=10)
_MAX_SECONDS_BETWEEN_CHECKS = 10.0


@dataclass(frozen=True, slots=True)
class LostAttempt:
    """An attempt that ended without a verdict."""

    attempt: int
    fence: Fence | None  # None for an attempt that no Dagster run has claimed
    error_code: str
    message: str
    now: datetime
    retry_at: datetime  # the time of the next attempt, if there is one


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSchedule:
    """The number of a run's attempts, the waits between them, and its checks."""

    max_attempts: int = 3
    # The wait before the second attempt; each next is thrice.
    base_seconds: float = 10
    max_seconds: float = 300  # the longest wait between attempts
    stale_seconds: float = 90  # the silence after which an attempt is dead
    # How long a received message stays out of sight.
    visibility_seconds: float = 300
    # The silence after which a message is lost.
    message_lost_seconds: float = 3600

    def attempts_of(self, record: RunRecord) -> int:
        """Return how many attempts a run has; a run that Dagster started has one."""
        return 1 if record.trigger is Trigger.DAGSTER else self.max_attempts

    def has_attempts_left(self, record: RunRecord) -> bool:
        """Return True if another attempt may follow the latest one."""
        return record.attempt < self.attempts_of(record)

    def lost_attempt(
        self,
        attempt: int,
        fence: Fence | None,
        error_code: str,
        message: str,
        now: datetime,
        jitter: float,
    ) -> LostAttempt:
        """Return the facts of an attempt that ends without a verdict now."""
        return LostAttempt(
            attempt=attempt,
            fence=fence,
            error_code=error_code,
            message=message,
            now=now,
            retry_at=now + self.delay(attempt, jitter),
        )

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """Return the wait after an attempt; the first attempt is 1.

        The wait grows exponentially up to ``max_seconds``. ``jitter``, from 0 to 1,
        spreads it by 20 % either way.
        """
        seconds = self.base_seconds
        for _ in range(attempt - 1):
            if seconds >= self.max_seconds:
                break
            seconds *= 3
        return timedelta(
            seconds=min(seconds, self.max_seconds) * (0.8 + 0.4 * jitter)
        )

    @property
    def between_checks(self) -> timedelta:
        """Return how long an attempt that is in progress is left alone.

        Its message must not come into sight in the meantime. A heartbeat that stops must be
        noticed in time: it is stale ``stale_seconds`` after the check that first saw it
        stand still.
        """
        seconds = min(
            self.stale_seconds / 4,
            self.visibility_seconds / 4,
            _MAX_SECONDS_BETWEEN_CHECKS,
        )
        return timedelta(seconds=seconds)

    def scheduled(
        self, before: RunRecord | None, after: RunRecord, now: datetime
    ) -> RunRecord:
        """Return a changed record with its queue and the time of its next check.

        While an attempt is in progress, a check that is due sooner keeps its time.
        """
        queue, due_at = self._next_check(after, now)
        is_same_attempt = (
            before is not None
            and before.is_dispatched
            and after.is_dispatched
            and before.attempt == after.attempt
        )
        if before is not None and is_same_attempt:
            due_before = before.due_at if before.due_queue is queue else None
            if due_before is not None and due_at is not None:
                is_sooner = now < due_before < due_at
                due_at = due_before if is_sooner else due_at
        return replace(after, due_queue=queue, due_at=due_at)

    def until_next(self, record: RunRecord, now: datetime) -> timedelta:
        """Return how long a record that stays as it is may be left alone."""
        _, due_at = self._next_check(record, now)
        return max((due_at or now) - now, self.between_checks)

    def _next_check(
        self, record: RunRecord, now: datetime
    ) -> tuple[DueQueue | None, datetime | None]:
        if record.acknowledged_at is not None:
            if record.has_dead_letter:
                return DueQueue.DEAD_LETTER, record.finished_at
            return None, None
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
            send_claimed_at = record.send_claimed_at or record.requested_at
            return DueQueue.ATTEMPT, send_claimed_at + UNSENT_AFTER
        if (
            record.lock_state is LockState.QUEUED
            and record.hidden_until is not None
        ):
            return DueQueue.ATTEMPT, _before_sight(record.hidden_until, now)
        signs = [
            instant
            for instant in (record.sent_at, record.received_at)
            if instant is not None
        ]
        last_sign = max(signs, default=now)
        message_life = timedelta(seconds=self.message_lost_seconds)
        return DueQueue.MESSAGE, last_sign + message_life


def _before_sight(hidden_until: datetime, now: datetime) -> datetime:
    """Return a time shortly before a hidden message comes into sight, at least now."""
    hidden_for = max(hidden_until - now, timedelta(0))
    lead = min(_CHECK_BEFORE_SIGHT, hidden_for / 4)
    return max(now, hidden_until - lead)


DEFAULT_SCHEDULE = PollSchedule()
