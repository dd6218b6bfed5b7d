"""Feeds are checked in processes of their own: they have the engine loaded, the API's stays light.

A process starts with the first check that finds none free, serves later ones, and ends with the
API's process, however that ends. What a check may cost is the system's to hold: a process that has
used up its time is ended by it, in the midst of whatever it is at.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from relay_core.config import TenantConfig
from relay_core.domain.errors import FeedUnreadableError
from relay_core.onboarding.head import FeedBytes
from relay_core.onboarding.reading import FeedCheck
from relay_dagster.api.limits import DEFAULT_API_LIMITS, ApiLimits

Checks = Mapping[str, FeedCheck | str]
"""By vendor: what its feed comes to, or why its bytes cannot be read at all."""


class ChecksBusyError(Exception):
    """As many checks are under way as there may be."""


class CheckTooSlowError(Exception):
    """A check took more of the processor than it may."""


class _ProcessDiedError(Exception):
    """The process ended for another reason than its time."""


class FeedChecker:
    """Holds feeds against a config, for any number of threads.

    Args:
        limits: how many checks there are at once, and how much of the processor each takes.
    """

    def __init__(self, limits: ApiLimits = DEFAULT_API_LIMITS) -> None:
        self._limits = limits
        self._turns = threading.Semaphore(limits.checks)
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let a check be made within; nobody waits for one.

        Raises:
            ChecksBusyError: there are enough of them.
        """
        if not self._turns.acquire(blocking=False):
            raise ChecksBusyError
        try:
            yield
        finally:
            self._turns.release()

    def check(self, config: TenantConfig, feeds: Mapping[str, FeedBytes]) -> Checks:
        """Return what each vendor's feed comes to; a process that has died is replaced once.

        Raises:
            CheckTooSlowError: it took too much of the processor.
        """
        if not feeds:
            return {}
        try:
            return self._in_a_process(config, feeds)
        except _ProcessDiedError:
            return self._in_a_process(config, feeds)

    def close(self) -> None:
        """End the processes that nobody uses; the next check starts another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    def _in_a_process(self, config: TenantConfig, feeds: Mapping[str, FeedBytes]) -> Checks:
        with self._lock:
            process = self._idle.pop() if self._idle else None
        process = process or _Process.started(self._limits.check_cpu_seconds)
        found = process.check(config, feeds)
        with self._lock:
            self._idle.append(process)
        return found


@dataclass(frozen=True, slots=True)
class _Process:
    """A process that checks one config after the other."""

    process: multiprocessing.process.BaseProcess
    line: Connection

    @classmethod
    def started(cls, cpu_seconds: float) -> _Process:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=_serve, args=(theirs, cpu_seconds), daemon=True)
        process.start()
        # The line ends with the process only if nobody else holds that end.
        theirs.close()
        return cls(process, ours)

    def check(self, config: TenantConfig, feeds: Mapping[str, FeedBytes]) -> Checks:
        try:
            self.line.send((config, feeds))
            answer: Checks | Exception = self.line.recv()
        except (EOFError, OSError) as error:
            self.end()
            if self.process.exitcode == -signal.SIGPROF:
                raise CheckTooSlowError from error
            raise _ProcessDiedError from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def end(self) -> None:
        """End the process, which may have ended."""
        self.line.close()
        self.process.join(1)
        self.process.kill()
        self.process.join()


def _serve(line: Connection, cpu_seconds: float) -> None:
    """Answer checks until the other side is gone. Runs in the process."""
    # Here, so that only this process loads it.
    from relay_core.onboarding.feed_check import check_feed

    def check(config: TenantConfig, feeds: Mapping[str, FeedBytes]) -> Checks:
        found: dict[str, FeedCheck | str] = {}
        for vendor_id, feed in feeds.items():
            try:
                found[vendor_id] = check_feed(feed, config.vendor(vendor_id).parser, config)
            except FeedUnreadableError as error:
                found[vendor_id] = str(error)
        return found

    # Ctrl-C in a terminal reaches this process too; the one that it is meant for ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    answer: Checks | Exception
    while True:
        try:
            config, feeds = line.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            answer = check(config, feeds)
        except Exception as error:  # noqa: BLE001 - raised again by whoever asked
            answer = error
        signal.setitimer(signal.ITIMER_PROF, 0)
        line.send(answer)
