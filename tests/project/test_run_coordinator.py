"""Dagster's queue of runs: how many at once."""

import pytest

from relay_dagster.run_coordinator import RunQueue
from relay_dagster.settings import SettingsError


def at_once(queue: RunQueue) -> int:
    return queue.get_run_queue_config().max_concurrent_runs


@pytest.mark.parametrize(
    ("variable", "limit"), [("3", 3), ("", 2)], ids=["set", "default"]
)
def test_the_variable_says_how_many_runs_execute_at_once(
    monkeypatch: pytest.MonkeyPatch, variable: str, limit: int
) -> None:
    monkeypatch.setenv("WORKER_MAX_CONCURRENCY", variable)
    assert at_once(RunQueue()) == limit


def test_what_the_instance_file_says_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKER_MAX_CONCURRENCY", "3")
    assert at_once(RunQueue(max_concurrent_runs=7)) == 7


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_MAX_CONCURRENCY", "many")
    with pytest.raises(SettingsError, match=r"^WORKER_MAX_CONCURRENCY must be"):
        RunQueue()


@pytest.mark.parametrize(("option", "seconds"), [(1, 0.5), (2, 2), (None, 5)])
def test_the_shortest_option_is_the_shortest_pause_that_the_daemon_makes(
    option: int | None, seconds: float
) -> None:
    queue = RunQueue(dequeue_interval_seconds=option)
    assert queue.dequeue_interval_seconds == seconds
