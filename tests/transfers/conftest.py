"""A platform whose pulls and webhooks may lead to this machine, and its worlds."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from support.pulls_fixtures import served, world

__all__ = ["over", "served", "world"]


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set once the test is over: what waits until then, or sends until then, ends."""
    event = threading.Event()
    yield event
    event.set()
