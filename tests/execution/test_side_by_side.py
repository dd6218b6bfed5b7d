"""Calls that are made at once: each ends, and a fault is told."""

from collections.abc import Iterator
from threading import Barrier, Event

import pytest

from relay_dagster.execution.side_by_side import SideBySide


@pytest.fixture
def side() -> Iterator[SideBySide]:
    side = SideBySide(2)
    yield side
    side.close()


def refuse() -> None:
    raise ValueError("refused")


def test_calls_are_made_at_once(side: SideBySide) -> None:
    both = Barrier(2, timeout=30)
    side.begin(both.wait)
    side.begin(both.wait)
    side.wait()


def test_a_fault_is_raised_once_when_all_calls_have_ended(side: SideBySide) -> None:
    done: list[int] = []
    side.begin(refuse)
    side.begin(done.append, 1)
    with pytest.raises(ValueError, match="refused"):
        side.wait()
    assert done == [1]
    side.wait()


def test_what_has_failed_does_not_matter_once_it_is_drained(side: SideBySide) -> None:
    side.begin(refuse)
    side.drain()
    side.wait()


def test_answers_come_in_the_order_of_the_items(side: SideBySide) -> None:
    last = Event()

    def answer(number: int) -> int:
        if number == 1:
            assert last.wait(30)
        else:
            last.set()
        return number * 10

    assert side.map(answer, [1, 2]) == [10, 20]


def test_the_first_item_s_fault_is_raised_when_all_have_ended(side: SideBySide) -> None:
    done: list[int] = []

    def answer(number: int) -> None:
        if number == 1:
            refuse()
        done.append(number)

    with pytest.raises(ValueError, match="refused"):
        side.map(answer, [1, 2, 3])
    assert done == [2, 3]


def test_an_answer_can_be_asked_for_and_taken_later(side: SideBySide) -> None:
    assert side.ask(lambda: 5).result() == 5
