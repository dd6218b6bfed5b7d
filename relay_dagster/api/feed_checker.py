"""Feeds held against a config, as far as their first bytes tell: the engine's, in its process."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from relay_core.config import TenantConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.sandbox import (
    Ask,
    SandboxEndedError,
    SandboxPool,
    TaskOutOfMemoryError,
    TaskTooSlowError,
)
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.api.task_slots import TaskDeadline, TaskSlots

Checks = Mapping[str, FeedCheck | str]
"""By vendor: what its feed comes to, or why its bytes cannot be read at all."""

Whole = tuple[int, Ask]
"""How large an upload is, and what gives its bytes from the offset that it is asked for."""
PIECE_BYTES = 4 << 20
"""So many are given at once."""
MAX_WHOLE_BYTES = 64 << 20
"""A larger upload is not read whole."""
_MIN_ROWS, _MAX_ROWS_OF_ALL = 200, 20_000
"""So many rows of each upload are looked at for guesses, and of all together."""
_SHORTEST_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class FeedChecker:
    """Holds feeds against a config, for any number of threads."""

    sandboxes: SandboxPool
    slots: TaskSlots
    limits: ApiLimits = DEFAULT_API_LIMITS

    def check(
        self, config: TenantConfig, feeds: Mapping[str, FeedSample], deadline: TaskDeadline
    ) -> Checks:
        """Return what each vendor's feed comes to.

        Raises:
            TaskTooSlowError: it took too long.
            TaskOutOfMemoryError: it took too much memory.
        """
        if not feeds:
            return {}
        rows = max(_MIN_ROWS, _MAX_ROWS_OF_ALL // len(feeds))
        feeds = {name: replace(feed, rows=min(feed.rows, rows)) for name, feed in feeds.items()}
        task = _CheckFeeds(config, feeds)
        checks: Checks = self.sandboxes.do(
            task, cpu_seconds=self.limits.task_cpu_seconds, seconds=deadline.left()
        )
        return checks

    def read_on(
        self,
        config: TenantConfig,
        checks: Checks,
        wholes: Mapping[str, Whole],
        deadline: TaskDeadline,
    ) -> Checks:
        """Return the checks with uploads read whole, one after the other, while there is time."""
        found, started = dict(checks), time.monotonic()
        for vendor_id, (size, read) in wholes.items():
            check, spent = found[vendor_id], time.monotonic() - started
            if isinstance(check, str) or size > MAX_WHOLE_BYTES:
                continue
            left = self.limits.task_cpu_seconds - spent
            if left < _SHORTEST_SECONDS:
                break
            task = _ReadWhole(config, vendor_id, check, size)
            try:
                found[vendor_id] = self.sandboxes.do(
                    task, cpu_seconds=left, seconds=deadline.left(), answer=read
                )
            except (TaskTooSlowError, TaskOutOfMemoryError, SandboxEndedError):
                continue  # its first rows have to do
        return found


@dataclass(frozen=True, slots=True)
class _CheckFeeds:
    config: TenantConfig
    feeds: Mapping[str, FeedSample]

    def __call__(self, ask: Ask) -> Checks:
        from relay_core.onboarding.feed_check import check_feed, with_rows

        found: dict[str, FeedCheck | str] = {}
        for vendor_id, feed in self.feeds.items():
            try:
                vendor = self.config.vendor(vendor_id)
                check = check_feed(feed, vendor.parser, self.config)
                found[vendor_id] = with_rows(check, feed, vendor, self.config)
            except FeedUnreadableError as error:
                found[vendor_id] = str(error)
        return found


@dataclass(frozen=True, slots=True)
class _ReadWhole:
    config: TenantConfig
    vendor_id: str
    check: FeedCheck
    size: int

    def __call__(self, ask: Ask) -> FeedCheck:
        from relay_core.onboarding.feed_check import with_rows

        data = b"".join(map(ask, range(0, self.size, PIECE_BYTES)))
        vendor = self.config.vendor(self.vendor_id)
        return with_rows(self.check, FeedSample(data, is_whole=True), vendor, self.config)
