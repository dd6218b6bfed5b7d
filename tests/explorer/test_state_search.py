"""A part of the search through all states: small enough for each change of the rules."""

from __future__ import annotations

import pytest

from explorer.small_world import Model
from explorer.state_search import search


@pytest.mark.parametrize(
    ("model", "at_least"),
    [
        pytest.param(Model(runs=1, attempts=3, copies=2, faults=2), 1000, id="a run, two faults"),
    ],
)
def test_no_state_breaks_a_rule_and_from_each_all_comes_to_rest(
    model: Model, at_least: int
) -> None:
    found = search(model)
    assert found.broken == []
    assert found.states > at_least
