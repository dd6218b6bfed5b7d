"""Whether the process lives, and whether its dependencies answer; open to all, so brief.

A load balancer asks the first, an operator the second; neither needs a key.
"""

from relay_dagster.api.http.error_codes import problem_responses
from relay_dagster.api.http.problems import unavailable
from relay_dagster.api.http.request_parsing import router
from relay_dagster.api.security.auth import PartsDep
from relay_dagster.wire.base import Health, Readiness

routes = router("health")


@routes.get("/v1/health")
async def get_health() -> Health:
    """Return that the process answers; nothing else is looked at."""
    return Health()


@routes.get("/v1/ready", responses=problem_responses("NOT_READY"))
async def get_readiness(parts: PartsDep) -> Readiness:
    """Return whether everything that the API needs answers, with the state of each.

    An answer stands for 2 seconds.
    """
    dependencies = await parts.readiness.states()
    if all(each.state == "ok" for each in dependencies.values()):
        return Readiness(dependencies=dict(dependencies))
    shown = {name: each.model_dump() for name, each in dependencies.items()}
    raise unavailable("NOT_READY", "not ready", dependencies=shown)
