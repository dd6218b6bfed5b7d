"""The loop over items that are due: one that fails spoils only itself, and time ends it."""

import pytest

from relay_dagster.drain import Deadline, drain, wait_for_due
from support.fakes import Seconds


def halve(number: int) -> int:
    if number % 2:
        raise ValueError(str(number))
    return number // 2


@pytest.mark.parametrize("threads", [1, 4])
def test_one_that_fails_is_reported_and_the_others_are_handled(
    threads: int,
) -> None:
    faults = []
    results = drain(
        [2, 3, 4],
        halve,
        lambda item, error: faults.append((item, str(error))),
        threads=threads,
    )
    assert results == [1, None, 2]
    assert faults == [(3, "3")]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_fault_that_cannot_be_reported_is_raised_once_all_are_handled(
    threads: int,
) -> None:
    handled = []

    def handle(number: int) -> None:
        handled.append(number)
        halve(number)

    def on_fault(item: int, error: Exception) -> None:
        raise RuntimeError(f"no place for {item}") from error

    with pytest.raises(RuntimeError, match="no place for 3"):
        drain([3, 5, 8], handle, on_fault, threads=threads)
    assert sorted(handled) == [3, 5, 8]


def test_after_the_deadline_none_is_begun_but_the_first() -> None:
    seconds = Seconds()
    deadline = Deadline.after(10, seconds)
    started = []

    def handle(number: int) -> None:
        started.append(number)
        seconds.now += 6

    assert (
        len(drain([1, 2, 3], handle, lambda *_: None, deadline=deadline)) == 2
    )
    assert started == [1, 2]
    assert drain([4, 5], handle, lambda *_: None, deadline=deadline) == [None]


def test_an_interrupt_is_no_fault_of_an_item() -> None:
    def handle(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drain([1], handle, lambda *_: None)


def test_a_tick_that_finds_nothing_asks_again_until_its_time_is_up() -> None:
    seconds = Seconds()
    instants = list[float]()

    def wait(some: float) -> None:
        seconds.now += some

    def look() -> int:
        instants.append(seconds())
        return 0

    assert wait_for_due(look, 12, every=5, monotonic=seconds, sleep=wait) == 0
    assert [at - instants[0] for at in instants] == [0, 5, 10, 15]


def test_a_tick_that_finds_something_ends() -> None:
    seconds = Seconds()
    due = iter([0, 3, 9])

    def wait(some: float) -> None:
        seconds.now += some

    assert (
        wait_for_due(lambda: next(due), 60, monotonic=seconds, sleep=wait) == 3
    )
