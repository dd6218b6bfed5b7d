"""The parts of the app that routes are given: ``app.create_app`` or a test makes each once."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request

from relay_dagster.api.engine_tasks import Explainer, FeedChecker
from relay_dagster.api.readiness import ReadinessProbe
from relay_dagster.api.security.api_keys import CallerRates, Keyring
from relay_dagster.api.security.bearers import LinkReaders, Sessions
from relay_dagster.api.security.rate_limits import TokenBuckets
from relay_dagster.wiring import Platform


def _part(name: str) -> Callable[[Request], Any]:
    """Return the dependency that is a part of the app's state."""

    def part(request: Request) -> Any:
        return getattr(request.app.state, name)

    return part


PlatformDep = Annotated[Platform, Depends(_part("platform"))]
KeyringDep = Annotated[Keyring, Depends(_part("keyring"))]
ReadinessDep = Annotated[ReadinessProbe, Depends(_part("readiness"))]
SessionsDep = Annotated[Sessions, Depends(_part("sessions"))]
RatesDep = Annotated[CallerRates, Depends(_part("rates"))]
WebhookTestsDep = Annotated[TokenBuckets, Depends(_part("webhook_tests"))]
FeedCheckerDep = Annotated[FeedChecker, Depends(_part("feed_checker"))]
ExplainerDep = Annotated[Explainer, Depends(_part("explainer"))]
LinkReadersDep = Annotated[LinkReaders, Depends(_part("link_readers"))]
