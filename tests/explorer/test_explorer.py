"""A part of `make explore`: enough ways through for each change of the ledger to be judged by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from explorer.acts import BEGINNINGS
from explorer.explore import seeds_of
from explorer.exploring import Explorer, Part, Tally
from explorer.faults import (
    event_outside,
    lock_outside,
    receives_nothing,
    spoil,
    unconditional_pointer,
)
from explorer.random_worlds import random_world
from explorer.world import new_world


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_world_settles_whatever_its_actor_dies_of(name: str) -> None:
    with new_world() as world:
        explorer = Explorer(world, name)
        assert explorer.deaths(Part(24, 7)).broken == []
        assert explorer.lost_answers(Part(48, 2)).broken == []


FAULTS: dict[str, tuple[Any, str, Callable[[Explorer], Tally], str]] = {
    "an unconditional pointer": (
        unconditional_pointer,
        "roll back",
        lambda explorer: explorer.pairs("a whole run"),
        "an older feed after a newer one",
    ),
    "a lock freed outside the transaction": (
        lock_outside,
        "cancel, queued",
        Explorer.deaths,
        "a stuck tenant",
    ),
    "an event outside the transaction": (
        event_outside,
        "cancel, queued",
        Explorer.deaths,
        "events that lack",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_is_put_in_is_found(fault: str) -> None:
    sabotage, beginning, explore, message = FAULTS[fault]
    with new_world() as world:
        tally = explore(
            Explorer(world, beginning, lambda world: spoil(world, sabotage))
        )
    assert any(message in fault for fault in tally.broken)


def test_an_error_that_nobody_expects_breaks_one_world_and_the_rest_goes_on() -> (
    None
):
    with new_world() as world:
        explorer = Explorer(
            world, "submit", lambda world: spoil(world, receives_nothing)
        )
        tally = explorer.deaths(Part(2, 0))
    assert tally.worlds > 1
    assert 1 < len(tally.broken) <= tally.worlds
    assert all(
        "Traceback" in fault and "ZeroDivisionError" in fault
        for fault in tally.broken
    )


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("1-3", [1, 2, 3]),
        ("1,4,9", [1, 4, 9]),
        ("1-2,7", [1, 2, 7]),
    ],
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert seeds_of(text) == seeds


def test_the_same_seed_makes_the_same_world() -> None:
    first = random_world(3, steps=30)
    again = random_world(3, steps=30)
    assert (first.calls, first.broken) == (again.calls, again.broken)
    assert first.worlds == 1
