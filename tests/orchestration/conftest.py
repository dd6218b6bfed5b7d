"""Dagster's state in memory, and a platform on embedded AWS whose runs it holds."""

from collections.abc import Iterator

import dagster as dg
import pytest

from support.fakes import embedded_platform
from support.run_world import World


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def world(instance: dg.DagsterInstance) -> Iterator[World]:
    with embedded_platform() as platform:
        yield World(platform, instance)
