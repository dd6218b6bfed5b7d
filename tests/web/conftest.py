"""A merchant who has signed in."""

import pytest

from support.api_fixtures import one_event_loop, served_world, world
from support.api_world import ApiWorld
from support.page_visitor import Visitor, signed_in

__all__ = ["one_event_loop", "served_world", "visitor", "world"]


@pytest.fixture
def visitor(world: ApiWorld) -> Visitor:
    world.store_config()
    return signed_in(world)
