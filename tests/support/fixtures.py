"""Fixtures for tests of the platform: a clock, a platform, its ledger, Dagster, a world.

`tests/conftest.py` offers them to every test. ``pytest.mark.platform(max_attempts=2)``, on a
test or as a module's ``pytestmark``, changes the platform's settings. If a test asks for
``clock``, the platform's ledger tells the time by that clock.

The imports are inside the fixtures: tests of the engine do not wait for AWS and Dagster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import dagster as dg

    from relay_dagster.ledger.runs import RunLedger
    from relay_dagster.wiring import Platform
    from support.fakes import FakeClock
    from support.run_world import World


@pytest.fixture
def clock() -> FakeClock:
    """A clock that is set by hand, at noon of a day in March."""
    from support.fakes import FakeClock

    return FakeClock()


@pytest.fixture
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    """A platform on embedded AWS, by the clock of a test that has one."""
    from support.fakes import embedded_platform

    marker = request.node.get_closest_marker("platform")
    settings = {} if marker is None else marker.kwargs
    has_clock = "clock" in request.fixturenames
    clock = request.getfixturevalue("clock") if has_clock else None
    with embedded_platform(clock, **settings) as platform:
        yield platform


@pytest.fixture
def ledger(platform: Platform) -> RunLedger:
    """The ledger of the platform's runs."""
    return platform.ledger


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's state, in memory."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(platform: Platform, instance: dg.DagsterInstance) -> World:
    """The platform, a Dagster instance, and the few acts that tests of runs need."""
    from support.run_world import World

    return World(platform, instance)


@pytest.fixture(params=["kernel", "python"])
def either_reader(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read feeds with the kernel, and then without it."""
    from relay_core.kernel import compiled

    if request.param == "python":
        monkeypatch.setattr(compiled, "is_used", lambda: False)
