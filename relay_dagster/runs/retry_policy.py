"""Attempts in numbers: how many a run has, the wait between them, and what ended one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from relay_dagster.runs.model import Fence, RunRecord, Trigger


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How many attempts a run has, and how long it waits before each but the first."""

    max_attempts: int = 3
    base_seconds: float = 10
    max_seconds: float = 300

    def attempts_of(self, record: RunRecord) -> int:
        """Return how many attempts the run has in all; a run that Dagster started has one."""
        return 1 if record.trigger is Trigger.DAGSTER else self.max_attempts

    def has_attempts_left(self, record: RunRecord) -> bool:
        """Tell whether another attempt may follow the latest one."""
        return record.attempt < self.attempts_of(record)

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """Return the wait after an attempt: exponential, capped, spread by 20 % either way.

        The first attempt is 1; the jitter is a random number from 0 to 1.
        """
        seconds = self.base_seconds
        for _ in range(attempt - 1):
            if seconds >= self.max_seconds:
                break
            seconds *= 3
        return timedelta(seconds=min(seconds, self.max_seconds) * (0.8 + 0.4 * jitter))


@dataclass(frozen=True, slots=True)
class Loss:
    """An attempt that ended without a verdict; ``fence`` is None where it was not claimed."""

    attempt: int
    fence: Fence | None
    error_code: str
    message: str
    now: datetime
    retry_at: datetime
