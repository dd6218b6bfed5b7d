"""What a duty remembers from one time to the next."""

import json
from dataclasses import dataclass, field

import pytest

from relay_dagster.maintenance.housekeeping import Memory


@dataclass
class Kept(Memory):
    """A memory with something in it."""

    at: float = 0
    seen: list[float] = field(default_factory=list)


def test_a_memory_keeps_everything() -> None:
    memory = Kept(5.0, [1.0, 2.5])
    assert Kept.read(json.loads(json.dumps(memory.values()))) == memory


@pytest.mark.parametrize("values", [None, "", "text", [], 3, {"other": 1}])
def test_a_memory_that_cannot_be_read_is_none(values: object) -> None:
    assert Kept.read(values) == Kept()
