"""Calls that are made at once: each ends, and a fault is raised; objects read before their time."""

from collections.abc import Iterator
from threading import Barrier, Event
from typing import Any

import pytest

from relay_dagster.execution.concurrent_io import (
    MAX_READ_AHEAD_BYTES,
    ConcurrentIO,
    ReadAhead,
)
from relay_dagster.external_errors import MissingResourceError

HALF = MAX_READ_AHEAD_BYTES // 2


@pytest.fixture
def io() -> Iterator[ConcurrentIO]:
    io = ConcurrentIO(2)
    yield io
    io.close()


def refuse() -> None:
    raise ValueError("refused")


def test_calls_are_made_at_once(io: ConcurrentIO) -> None:
    barrier = Barrier(2, timeout=30)
    io.start(barrier.wait)
    io.start(barrier.wait)
    io.wait()


def test_a_fault_is_raised_once_when_all_calls_have_ended(
    io: ConcurrentIO,
) -> None:
    calls: list[int] = []
    io.start(refuse)
    io.start(calls.append, 1)
    with pytest.raises(ValueError, match="refused"):
        io.wait()
    assert calls == [1]
    io.wait()


def test_what_has_failed_does_not_matter_once_it_is_drained(
    io: ConcurrentIO,
) -> None:
    io.start(refuse)
    io.drain()
    io.wait()


def test_answers_come_in_the_order_of_the_items(io: ConcurrentIO) -> None:
    last = Event()

    def answer(number: int) -> int:
        if number == 1:
            assert last.wait(30)
        else:
            last.set()
        return number * 10

    assert io.map(answer, [1, 2]) == [10, 20]


def test_the_first_item_s_fault_is_raised_when_all_have_ended(
    io: ConcurrentIO,
) -> None:
    calls: list[int] = []

    def answer(number: int) -> None:
        if number == 1:
            refuse()
        calls.append(number)

    with pytest.raises(ValueError, match="refused"):
        io.map(answer, [1, 2, 3])
    assert calls == [2, 3]


def test_an_answer_can_be_asked_for_and_taken_later(io: ConcurrentIO) -> None:
    assert io.submit(lambda: 5).result() == 5


# --- read ahead ---------------------------------------------------------------------------------


@pytest.fixture
def one_thread() -> Iterator[ConcurrentIO]:
    io = ConcurrentIO(1)
    yield io
    io.close()


class Bucket:
    """Says which keys are read, and has all but one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, key: str) -> bytes:
        self.asked.append(key)
        if key == "absent":
            raise MissingResourceError("s3.GetObject", key)
        return key.encode()


def begun(bucket: Bucket, io: ConcurrentIO) -> list[str]:
    """Return what has been asked for, once the one thread is through."""
    io.submit(lambda: None).result()
    return bucket.asked


def ahead_of(bucket: Any, io: ConcurrentIO, **sizes: int) -> ReadAhead:
    ahead = ReadAhead(bucket, io, sizes)
    ahead.fill()
    return ahead


def test_what_fits_is_read_at_once_in_order(one_thread: ConcurrentIO) -> None:
    bucket = Bucket()
    ahead = ahead_of(bucket, one_thread, a=HALF, b=HALF, c=1)
    assert begun(bucket, one_thread) == ["a", "b"]
    assert ahead.take("a") == b"a"
    assert begun(bucket, one_thread) == ["a", "b", "c"]
    assert (ahead.take("b"), ahead.take("c")) == (b"b", b"c")
    assert bucket.asked == ["a", "b", "c"]


def test_a_feed_that_is_too_large_is_read_when_it_is_needed(
    one_thread: ConcurrentIO,
) -> None:
    bucket = Bucket()
    ahead = ahead_of(bucket, one_thread, large=3 * HALF, small=1)
    assert begun(bucket, one_thread) == []
    assert ahead.take("large") == b"large"
    assert begun(bucket, one_thread) == ["large", "small"]


def test_an_object_that_is_not_there_is_told_to_whoever_takes_it(
    one_thread: ConcurrentIO,
) -> None:
    ahead = ahead_of(Bucket(), one_thread, absent=1, a=1)
    with pytest.raises(MissingResourceError):
        ahead.take("absent")
    assert ahead.take("a") == b"a"
