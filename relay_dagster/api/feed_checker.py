"""Feeds are checked in a process of its own: it has the engine loaded, and the API's stays light.

The process starts with the first check, serves all later ones, and ends with the API's process,
however that ends.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from relay_core.config import TenantConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.head import FeedBytes
from relay_core.onboarding.reading import FeedCheck

Checks = Mapping[str, FeedCheck | str]
"""By vendor: what its feed comes to, or why its bytes cannot be read at all."""


class FeedChecker:
    """Holds feeds against a config, for any number of threads, one request after the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def check(self, config: TenantConfig, feeds: Mapping[str, FeedBytes]) -> Checks:
        """Return what each vendor's feed comes to; a process that has died is replaced once."""
        if not feeds:
            return {}
        try:
            return self._ready().submit(_check, config, feeds).result()
        except BrokenProcessPool:
            self.close()
            return self._ready().submit(_check, config, feeds).result()

    def close(self) -> None:
        """End the process; the next check starts another."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _ready(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                spawned = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, spawned, initializer=_end_with_parent)
            return self._pool


def _check(config: TenantConfig, feeds: Mapping[str, FeedBytes]) -> Checks:
    # Here, so that only this process loads it.
    from relay_core.onboarding.feed_check import check_feed

    found: dict[str, FeedCheck | str] = {}
    for vendor_id, feed in feeds.items():
        try:
            found[vendor_id] = check_feed(feed, config.vendor(vendor_id).parser, config)
        except FeedUnreadableError as error:
            found[vendor_id] = str(error)
    return found


def _end_with_parent() -> None:
    """Have this process end when the one that started it has, even if that was killed."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
