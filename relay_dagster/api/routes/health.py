"""Whether the process lives, and whether what it needs answers. Open to everybody: tells little.

A load balancer asks the first, an operator the second; neither needs a key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from fastapi import APIRouter

from relay_dagster.api.http.dependencies import PlatformDep
from relay_dagster.api.http.error_codes import documented
from relay_dagster.api.http.problems import unavailable
from relay_dagster.api.models.runs_tenants import Dependency, Health, Readiness
from relay_dagster.external_errors import ExternalServiceError
from relay_dagster.logs import event_log
from relay_dagster.wiring import Platform

router = APIRouter(tags=["health"])
_log = event_log()


@router.get("/v1/health")
async def get_health() -> Health:
    """Tell that the process answers; nothing else is looked at."""
    return Health()


@router.get("/v1/ready", responses=documented("NOT_READY"))
def get_readiness(platform: PlatformDep) -> Readiness:
    """Tell whether everything that the API needs answers, with the state of each."""
    dependencies = _states(_checks(platform))
    if all(each.state == "ok" for each in dependencies.values()):
        return Readiness(dependencies=dependencies)
    shown = {name: each.model_dump() for name, each in dependencies.items()}
    raise unavailable("NOT_READY", "not ready", dependencies=shown)


def _checks(platform: Platform) -> Mapping[str, Callable[[], list[str]]]:
    """Return a check for each dependency; it returns what is set wrongly, or raises."""

    def touch(check: Callable[[], None]) -> Callable[[], list[str]]:
        def touched() -> list[str]:
            check()
            return []

        return touched

    def queue() -> list[str]:
        return platform.queue.differences(
            visibility_timeout_seconds=platform.settings.visibility_timeout_seconds,
            max_receives=platform.settings.max_attempts,
        )

    return {
        "runs_table": touch(platform.runs.check),
        "tenants_table": touch(platform.tenants.check),
        "artifact_bucket": touch(platform.objects.check),
        "queue": queue,
    }


def _states(checks: Mapping[str, Callable[[], list[str]]]) -> dict[str, Dependency]:
    """Carry all checks out at once: each may take a time-out."""
    with ThreadPoolExecutor(len(checks)) as pool:
        return dict(zip(checks, pool.map(_state, checks, checks.values()), strict=True))


def _state(name: str, check: Callable[[], list[str]]) -> Dependency:
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
