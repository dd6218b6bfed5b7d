"""A platform on embedded AWS."""

from collections.abc import Iterator

import pytest

from relay_dagster.wiring import Platform
from support.fakes import embedded_platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    with embedded_platform() as platform:
        yield platform
