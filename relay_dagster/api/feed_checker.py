"""Feeds held against a config, as far as their first bytes tell: the engine's, in its process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from relay_core.config import TenantConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_core.sandbox import Ask, SandboxPool, hold
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits

Checks = Mapping[str, FeedCheck | str]
"""By vendor: what its feed comes to, or why its bytes cannot be read at all."""

_CLOCK_SECONDS = 60
"""A check that waits for anything so long never ends."""


class FeedChecker:
    """Holds feeds against a config, for any number of threads.

    Args:
        sandboxes: where it is done.
        limits: how many checks there are at once, and how much of the processor each takes.
    """

    def __init__(self, sandboxes: SandboxPool, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._sandboxes = sandboxes
        self._cpu_seconds = limits.check_cpu_seconds
        self._slots = threading.Semaphore(limits.checks)

    def slot(self) -> AbstractContextManager[None]:
        """Hold one of the slots for checks within.

        Raises:
            BusyError: none is free.
        """
        return hold(self._slots)

    def check(self, config: TenantConfig, feeds: Mapping[str, FeedSample]) -> Checks:
        """Return what each vendor's feed comes to.

        Raises:
            TaskTooSlowError: it took too long.
        """
        if not feeds:
            return {}
        task = _CheckFeeds(config, feeds)
        checks: Checks = self._sandboxes.do(
            task, cpu_seconds=self._cpu_seconds, seconds=_CLOCK_SECONDS
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
