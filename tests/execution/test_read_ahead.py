"""Objects that are read before they are needed."""

from collections.abc import Iterator
from typing import Any

import pytest

from relay_dagster.execution import read_ahead
from relay_dagster.execution.read_ahead import ReadAhead
from relay_dagster.execution.side_by_side import SideBySide
from relay_dagster.external_errors import MissingResourceError

HALF = read_ahead.MOST_BYTES // 2


class Bucket:
    """Says which keys are read, and has all but one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def read(self, key: str) -> bytes:
        self.asked.append(key)
        if key == "absent":
            raise MissingResourceError("s3.GetObject", key)
        return key.encode()


@pytest.fixture
def side() -> Iterator[SideBySide]:
    side = SideBySide(1)
    yield side
    side.close()


def begun(bucket: Bucket, side: SideBySide) -> list[str]:
    """Return what has been asked for, once the one thread is through."""
    side.ask(lambda: None).result()
    return bucket.asked


def ahead_of(bucket: Any, side: SideBySide, **sizes: int) -> ReadAhead:
    return ReadAhead(bucket, side, sizes)


def test_what_fits_is_read_at_once_in_order(side: SideBySide) -> None:
    bucket = Bucket()
    ahead = ahead_of(bucket, side, a=HALF, b=HALF, c=1)
    assert begun(bucket, side) == ["a", "b"]
    assert ahead.take("a") == b"a"
    assert begun(bucket, side) == ["a", "b", "c"]
    assert (ahead.take("b"), ahead.take("c")) == (b"b", b"c")
    assert bucket.asked == ["a", "b", "c"]


def test_a_feed_that_is_too_large_is_read_when_it_is_needed(side: SideBySide) -> None:
    bucket = Bucket()
    ahead = ahead_of(bucket, side, large=3 * HALF, small=1)
    assert begun(bucket, side) == []
    assert ahead.take("large") == b"large"
    assert begun(bucket, side) == ["large", "small"]


def test_an_object_that_is_not_there_is_told_to_whoever_takes_it(side: SideBySide) -> None:
    ahead = ahead_of(Bucket(), side, absent=1, a=1)
    with pytest.raises(MissingResourceError):
        ahead.take("absent")
    assert ahead.take("a") == b"a"
