"""What a duty keeps from tick to tick."""

from dataclasses import dataclass, field

import pytest

from relay_dagster.reconciler.cursor import Cursor


@dataclass
class Kept(Cursor):
    """A cursor with something in it."""

    at: float = 0
    seen: list[float] = field(default_factory=list)


def test_a_cursor_keeps_everything() -> None:
    kept = Kept(5.0, [1.0, 2.5])
    assert Kept.parse(kept.dump()) == kept


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3", '{"other": 1}'])
def test_a_cursor_that_cannot_be_read_is_none(text: str | None) -> None:
    assert Kept.parse(text) == Kept()
