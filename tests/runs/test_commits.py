"""Reading and deciding again where somebody else was quicker."""

import pytest

from relay_dagster.external_errors import ThrottledError
from relay_dagster.runs.commits import until_committed
from relay_dagster.runs.errors import CommitLostError, TenantBusyError


def losing(times: int) -> tuple[list[int], object]:
    """Return the rounds so far, and something to try that loses so many of them."""
    rounds: list[int] = []

    def try_once() -> str:
        rounds.append(len(rounds) + 1)
        if len(rounds) <= times:
            raise CommitLostError("somebody else was quicker")
        return "committed"

    return rounds, try_once


def test_a_round_that_is_lost_is_made_again() -> None:
    rounds, try_once = losing(3)
    assert until_committed("change", "r", try_once) == "committed"  # type: ignore[arg-type]
    assert rounds == [1, 2, 3, 4]


def test_losing_without_end_is_a_throttle_that_names_the_run() -> None:
    _, try_once = losing(10_000)
    with pytest.raises(ThrottledError, match="change: run r: too many writers"):
        until_committed("change", "r", try_once)  # type: ignore[arg-type]


def test_a_refusal_is_no_lost_round() -> None:
    def refuse() -> None:
        raise TenantBusyError("acme", "r2")

    with pytest.raises(TenantBusyError):
        until_committed("reserve", "r", refuse)
