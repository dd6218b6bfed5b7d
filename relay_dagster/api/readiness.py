"""The states of everything that the API depends on, checked at most once in some seconds.

Anybody may ask, so asking costs AWS and this process next to nothing: an answer stands for a while,
and a request that comes during a check waits for it, without a thread of its own.
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
_log = event_log()


class ReadinessProbe:
    """Checks the dependencies of a platform; an answer stands for ``keep_seconds``."""

    def __init__(
        self,
        platform: Platform,
        keep_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = _checks(platform)
        self._keep_seconds = keep_seconds
        self._clock = clock
        # All at once: each may take a time-out.
        self._pool = ThreadPoolExecutor(len(self._checks), thread_name_prefix="ready")
        self._found: States = {}
        self._stands_until = 0.0
        self._check: asyncio.Future[States] | None = None

    async def states(self) -> States:
        """Return the state of each dependency."""
        if self._found and self._clock() < self._stands_until:
            return self._found
        if self._check is None or self._check.done():
            self._check = asyncio.ensure_future(self._check_all())
        # Who hangs up ends nobody else's check.
        return await asyncio.shield(self._check)

    async def _check_all(self) -> States:
        run = asyncio.get_running_loop().run_in_executor
        checks = [
            run(self._pool, _state, name, check) for name, check in self._checks.items()
        ]
        found = dict(zip(self._checks, await asyncio.gather(*checks), strict=True))
        self._found, self._stands_until = found, self._clock() + self._keep_seconds
        return found


def _checks(platform: Platform) -> Mapping[str, Callable[[], list[str] | None]]:
    """Return a check for each dependency; it returns what is set wrongly, or raises."""
    return {
        "runs_table": platform.database.runs.check,
        "tenants_table": platform.database.tenants.check,
        "audit_table": platform.database.audit.check,
        "artifact_bucket": platform.objects.check,
        "queue": platform.queue_differences,
    }


def _state(name: str, check: Callable[[], list[str] | None]) -> Dependency:
    try:
        differences = check()
    except ExternalServiceError as error:
        _log.warning("not_ready", dependency=name, error=str(error)[:500])
        return Dependency(state=error.error_code)
    if not differences:
        return Dependency(state="ok")
    _log.warning("queue_misconfigured", differences=differences)
    # Their values hold account numbers, which are for the log alone.
    attributes = [each.partition(" is ")[0] for each in differences]
    return Dependency(state="queue_misconfigured", details=attributes)
