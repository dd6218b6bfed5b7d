"""The one policy of making a call again."""

import pytest
from botocore.exceptions import ClientError

from relay_dagster.aws.errors import has_answered, retrying


class Flaky:
    """Raises so often, then answers; keeps the pauses between its calls."""

    def __init__(self, times: int, error: Exception) -> None:
        self._times = times
        self._error = error
        self.calls = 0
        self.pauses: list[float] = []

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self._times:
            raise self._error
        return "done"


def is_value_error(error: BaseException) -> bool:
    return isinstance(error, ValueError)


def test_a_call_is_made_until_it_succeeds() -> None:
    flaky = Flaky(3, ValueError("busy"))
    assert retrying(is_value_error, sleep=flaky.pauses.append)(flaky) == "done"
    assert (flaky.calls, len(flaky.pauses)) == (4, 3)


def test_the_last_error_is_raised_as_it_is() -> None:
    flaky = Flaky(99, ValueError("busy"))
    with pytest.raises(ValueError, match="busy"):
        retrying(is_value_error, tries=5, sleep=flaky.pauses.append)(flaky)
    assert flaky.calls == 5


def test_another_error_is_raised_at_once() -> None:
    flaky = Flaky(99, KeyError("broken"))
    with pytest.raises(KeyError):
        retrying(is_value_error, sleep=flaky.pauses.append)(flaky)
    assert (flaky.calls, flaky.pauses) == (1, [])


def test_no_pause_is_longer_than_the_limit() -> None:
    flaky = Flaky(29, ValueError("busy"))
    retrying(
        is_value_error,
        tries=30,
        max_pause_seconds=0.1,
        sleep=flaky.pauses.append,
    )(flaky)
    assert max(flaky.pauses) <= 0.1
    assert len(set(flaky.pauses)) > 1


def test_an_answer_is_told_by_its_code() -> None:
    busy = ClientError({"Error": {"Code": "409"}}, "PutObject")
    assert has_answered("409", "Conflict")(busy)
    assert not has_answered("412")(busy)
    assert not has_answered("409")(ValueError("409"))
