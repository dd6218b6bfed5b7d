"""The health of the process and of its dependencies.

No key is needed, so the responses are brief. A load balancer calls the first route, an
operator the second.
"""

from relay_dagster.api.documented_responses import problem_responses
from relay_dagster.api.request_parsing import router
from relay_dagster.http.problems import unavailable
from relay_dagster.http.security.auth import PartsDep
from relay_dagster.wire.base import Health, Readiness

routes = router("health")


@routes.get("/v1/health")
async def get_health() -> Health:
    """Check that the process responds. Its dependencies are not checked."""
    return Health()


@routes.get("/v1/ready", responses=problem_responses("NOT_READY"))
async def get_readiness(parts: PartsDep) -> Readiness:
    """Check that every dependency of the API works, and return the state of each.

    The result is cached for 2 seconds.
    """
    dependencies = await parts.readiness.states()
    is_ready = all(
        dependency.state == "ok" for dependency in dependencies.values()
    )
    if is_ready:
        return Readiness(dependencies=dict(dependencies))
    documents = {
        name: dependency.model_dump()
        for name, dependency in dependencies.items()
    }
    raise unavailable(
        "NOT_READY",
        "at least one dependency is not ready",
        dependencies=documents,
    )
