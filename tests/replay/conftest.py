"""Runs that Dagster has executed, behind the API that the commands speak to."""

from collections.abc import Iterator

import dagster as dg
import pytest

from support.client_fixtures import served_world, world
from support.client_world import ClientWorld
from support.run_world import World

__all__ = ["runs", "served_world", "world"]


@pytest.fixture
def runs(world: ClientWorld) -> Iterator[World]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield World(world.platform, instance)
