"""Feeds held against a config, as far as their first bytes tell: the engine's, in its process."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from relay_core.config import TenantConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.check_results import FeedCheck
from relay_core.onboarding.feed_sample import FeedSample
from relay_dagster.api.engine_processes import EngineProcesses, Read, Turns
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits

Checks = Mapping[str, FeedCheck | str]
"""By vendor: what its feed comes to, or why its bytes cannot be read at all."""


class FeedChecker:
    """Holds feeds against a config, for any number of threads.

    Args:
        processes: where it is done.
        limits: how many checks there are at once, and how much of the processor each takes.
    """

    def __init__(self, processes: EngineProcesses, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._processes = processes
        self._cpu_seconds = limits.check_cpu_seconds
        self._turns = Turns(limits.checks)

    def turn(self) -> AbstractContextManager[None]:
        """Let a check be made within.

        Raises:
            TurnsTakenError: there are enough of them.
        """
        return self._turns.turn()

    def check(self, config: TenantConfig, feeds: Mapping[str, FeedSample]) -> Checks:
        """Return what each vendor's feed comes to.

        Raises:
            TaskTooSlowError: it took too much of the processor.
        """
        if not feeds:
            return {}
        task = _CheckFeeds(config, feeds)
        checks: Checks = self._processes.do(task, cpu_seconds=self._cpu_seconds)
        return checks


@dataclass(frozen=True, slots=True)
class _CheckFeeds:
    config: TenantConfig
    feeds: Mapping[str, FeedSample]

    def __call__(self, read: Read) -> Checks:
        from relay_core.onboarding.feed_check import check_feed

        found: dict[str, FeedCheck | str] = {}
        for vendor_id, feed in self.feeds.items():
            try:
                parser = self.config.vendor(vendor_id).parser
                found[vendor_id] = check_feed(feed, parser, self.config)
            except FeedUnreadableError as error:
                found[vendor_id] = str(error)
        return found
