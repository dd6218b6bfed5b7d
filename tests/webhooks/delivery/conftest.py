from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from relay_dagster.wiring import Platform
from support.fakes import served_platform


@pytest.fixture(scope="module")
def served() -> Iterator[Platform]:
    """A platform that threads may share, whose webhooks may lead to this machine."""
    with served_platform() as platform:
        settings = platform.settings.model_copy(update={"webhook_allow_loopback": True})
        yield replace(platform, settings=settings)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set once the test is over: what waits until then, or sends until then, ends."""
    event = threading.Event()
    yield event
    event.set()
