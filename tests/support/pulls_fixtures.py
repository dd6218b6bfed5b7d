"""A platform whose transfers may lead to this machine, and a world of pulls on it for each test."""

from collections.abc import Iterator

import pytest

from relay_dagster.wiring import Platform
from support.fakes import served_platform
from support.pulls_world import PullsWorld, pulls_world


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """Start the platform once; a module may say how many bytes a file may have."""
    limit = getattr(request.module, "MAX_FEED_BYTES", 2 << 30)
    with served_platform(
        pull_allow_loopback=True,
        webhook_allow_loopback=True,
        max_feed_bytes=limit,
    ) as platform:
        assert platform.clients.secrets  # made while its variables are there
        yield platform


@pytest.fixture
def world(served: Platform) -> Iterator[PullsWorld]:
    with pulls_world(served) as world:
        yield world
