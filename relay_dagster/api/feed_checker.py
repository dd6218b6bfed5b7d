"""Feeds held against a config, as far as their first bytes tell: the engine's, in its process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from relay_core.config import TenantConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.sandbox import Ask, SandboxPool
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits
from relay_dagster.api.task_slots import Deadline, TaskSlots

Checks = Mapping[str, FeedCheck | str]
"""By vendor: what its feed comes to, or why its bytes cannot be read at all."""


class FeedChecker:
    """Holds feeds against a config, for any number of threads.

    Args:
        sandboxes: where it is done.
        slots: who may have it done.
        limits: how much of the processor a check takes.
    """

    def __init__(
        self, sandboxes: SandboxPool, slots: TaskSlots, limits: ApiLimits = DEFAULT_API_LIMITS
    ) -> None:
        self._sandboxes = sandboxes
        self._cpu_seconds = limits.task_cpu_seconds
        self.slots = slots

    def check(
        self, config: TenantConfig, feeds: Mapping[str, FeedSample], deadline: Deadline
    ) -> Checks:
        """Return what each vendor's feed comes to.

        Raises:
            TaskTooSlowError: it took too long.
            TaskOutOfMemoryError: it took too much memory.
        """
        if not feeds:
            return {}
        task = _CheckFeeds(config, feeds)
        checks: Checks = self._sandboxes.do(
            task, cpu_seconds=self._cpu_seconds, seconds=deadline.left()
        )
        return checks


@dataclass(frozen=True, slots=True)
class _CheckFeeds:
    config: TenantConfig
    feeds: Mapping[str, FeedSample]

    def __call__(self, ask: Ask) -> Checks:
        from relay_core.onboarding.feed_check import check_feed

        found: dict[str, FeedCheck | str] = {}
        for vendor_id, feed in self.feeds.items():
            try:
                parser = self.config.vendor(vendor_id).parser
                found[vendor_id] = check_feed(feed, parser, self.config)
            except FeedUnreadableError as error:
                found[vendor_id] = str(error)
        return found
