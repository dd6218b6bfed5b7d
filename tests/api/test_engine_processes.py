"""The processes that have the engine: how many, for how long, and what becomes of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from integration.waiting import wait_for
from relay_core.domain.errors import SkuNotFoundError
from relay_dagster.api.engine_processes import (
    EngineProcesses,
    Read,
    TaskFailedError,
    TaskTooSlowError,
    Turns,
    TurnsTakenError,
)

ENDS_WITHIN_SECONDS = 10


@dataclass(frozen=True)
class Answer:
    """A task that answers at once."""

    value: Any

    def __call__(self, read: Read) -> Any:
        return self.value


@dataclass(frozen=True)
class Raise:
    """A task that goes wrong."""

    error: Exception

    def __call__(self, read: Read) -> Any:
        raise self.error


class Toil:
    """A task that never ends."""

    def __call__(self, read: Read) -> Any:
        while True:
            pass


class Ask:
    """A task that asks for what it needs, twice."""

    def __call__(self, read: Read) -> Any:
        return [read([("a", (0, 1)), ("b", (2, 4))]), read([("c", (5, 6))])]


class LoadedEngine:
    """A task that tells whether the engine is loaded."""

    def __call__(self, read: Read) -> Any:
        return "pyarrow" in sys.modules


@pytest.fixture
def processes() -> Iterator[EngineProcesses]:
    processes = EngineProcesses()
    yield processes
    processes.close()


def children() -> set[int]:
    """Return the processes that this one has started and that have not ended."""
    return {child.pid or 0 for child in multiprocessing.active_children()}


def test_a_task_that_takes_too_much_of_the_processor_is_ended_and_the_next_one_is_done(
    processes: EngineProcesses,
) -> None:
    before = children()
    for _ in range(2):
        with pytest.raises(TaskTooSlowError):
            processes.do(Toil(), cpu_seconds=0.1)
    assert children() <= before
    assert processes.do(Answer(1)) == 1


def test_each_task_has_its_own_time(processes: EngineProcesses) -> None:
    # A task takes less than a millisecond; the loading of the engine, seconds, is nobody's.
    started = time.monotonic()
    while time.monotonic() < started + 3:
        assert processes.do(LoadedEngine(), cpu_seconds=1)


def test_a_process_that_was_killed_is_replaced(processes: EngineProcesses) -> None:
    before = children()
    assert processes.do(Answer(1)) == 1
    (process,) = children() - before
    os.kill(process, signal.SIGKILL)
    assert processes.do(Answer(2)) == 2


def test_what_a_task_asks_for_is_read_here(processes: EngineProcesses) -> None:
    asked: list[Any] = []

    def read(parts: Any) -> list[bytes]:
        asked.append(parts)
        return [key.encode() for key, _ in parts]

    assert processes.do(Ask(), read=read) == [[b"a", b"b"], [b"c"]]
    assert asked == [[("a", (0, 1)), ("b", (2, 4))], [("c", (5, 6))]]


@pytest.mark.parametrize("error", [OSError("gone"), EOFError("cut off"), ZeroDivisionError("no")])
def test_a_task_whose_reading_fails_is_given_up_and_the_fault_is_the_readings(
    processes: EngineProcesses, error: Exception
) -> None:
    before = children()

    def fail(parts: Any) -> list[bytes]:
        raise error

    with pytest.raises(type(error), match=str(error)):
        processes.do(Ask(), read=fail)
    assert children() <= before
    assert processes.do(Answer(1)) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [(SkuNotFoundError("no S"), SkuNotFoundError), (ZeroDivisionError("oh"), TaskFailedError)],
)
def test_a_task_that_goes_wrong_says_so_and_its_process_goes_on(
    processes: EngineProcesses, error: Exception, kind: type[Exception]
) -> None:
    before = children()
    assert processes.do(Answer(1)) == 1
    known = children() - before
    with pytest.raises(kind, match=str(error)):
        processes.do(Raise(error))
    assert processes.do(Answer(2)) == 2
    assert children() - before == known


def test_there_are_as_many_turns_as_there_may_be_and_the_next_one_is_told() -> None:
    turns = Turns(2)
    with turns.turn():
        with turns.turn(), pytest.raises(TurnsTakenError), turns.turn():
            pytest.fail("a third one had its turn")
        with turns.turn():
            pass


def test_a_turn_ends_however_the_task_does() -> None:
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn():
            raise ZeroDivisionError


def test_the_process_ends_when_the_one_that_started_it_is_killed() -> None:
    script = (
        "import sys; sys.path[:0] = ['tests']\n"
        "import os, signal\n"
        "from api.test_engine_processes import Answer, EngineProcesses, children\n"
        "if __name__ == '__main__':\n"
        "    assert EngineProcesses().do(Answer(1)) == 1\n"
        "    print(*children(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    process = int(done.stdout)
    wait_for("the process ended", lambda: not is_alive(process), within=ENDS_WITHIN_SECONDS)
    assert not is_alive(process)


def is_alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text("ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
