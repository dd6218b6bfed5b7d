"""The states of the API's dependencies, checked at most once in a few seconds.

Anyone may request them, so a request must cost AWS and this process almost nothing. The
states are cached. Requests during a check wait for it, without threads of their own.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.wire.base import Dependency
from relay_dagster.wiring import Platform

States = Mapping[str, Dependency]
Check = Callable[[], list[str] | None]
"""Checks a dependency: it returns the settings that are wrong, or raises."""
_log = event_log()


class ReadinessProbe:
    """Checks the dependencies of a platform, and caches their states."""

    def __init__(
        self,
        platform: Platform,
        keep_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = _checks(platform)
        self._keep_seconds = keep_seconds
        self._clock = clock
        # All checks run at once, because each may take until its timeout.
        self._threads = ThreadPoolExecutor(
            len(self._checks), thread_name_prefix="ready"
        )
        self._states: States = {}
        self._valid_until = 0.0
        self._running_check: asyncio.Future[States] | None = None

    async def states(self) -> States:
        """Return the state of each dependency, keyed by name."""
        if self._states and self._clock() < self._valid_until:
            return self._states
        if self._running_check is None or self._running_check.done():
            self._running_check = asyncio.ensure_future(self._check_all())
        # A client that disconnects must not cancel the check for the others.
        return await asyncio.shield(self._running_check)

    async def _check_all(self) -> States:
        loop = asyncio.get_running_loop()
        futures = [
            loop.run_in_executor(self._threads, _state_of, name, check)
            for name, check in self._checks.items()
        ]
        states = await asyncio.gather(*futures)
        self._states = dict(zip(self._checks, states, strict=True))
        self._valid_until = self._clock() + self._keep_seconds
        return self._states


def _checks(platform: Platform) -> Mapping[str, Check]:
    return {
        "runs_table": platform.database.runs.check,
        "tenants_table": platform.database.tenants.check,
        "audit_table": platform.database.audit.check,
        "artifact_bucket": platform.objects.check,
        "queue": platform.queue_differences,
    }


def _state_of(name: str, check: Check) -> Dependency:
    try:
        differences = check()
    except ExternalServiceError as error:
        _log.warning("not_ready", dependency=name, error=str(error)[:500])
        return Dependency(state=error.error_code)
    if not differences:
        return Dependency(state="ok")
    _log.warning("queue_misconfigured", differences=differences)
    # The values contain account numbers, which only the log may have.
    attributes = [difference.partition(" is ")[0] for difference in differences]
    return Dependency(state="queue_misconfigured", details=attributes)
