"""The fixtures of tests that send requests to the process."""

from support.api_fixtures import (
    document,
    one_event_loop,
    served_world,
    unplugged,
    unplugged_platform,
    world,
)

__all__ = [
    "document",
    "one_event_loop",
    "served_world",
    "unplugged",
    "unplugged_platform",
    "world",
]
