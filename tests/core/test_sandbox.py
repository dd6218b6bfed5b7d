"""Sandboxes: for how long, with how much memory, and what becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from integration.waiting import wait_for
from relay_core.columnar.growing_columns import GrowingArray
from relay_core.domain.errors import SkuNotFoundError
from relay_core.sandbox import (
    Ask,
    Sandbox,
    SandboxPool,
    TaskFailedError,
    TaskOutOfMemoryError,
    TaskTooSlowError,
)

ENDS_WITHIN_SECONDS = 10
MODULES = ("pyarrow",)


@dataclass(frozen=True)
class Answer:
    """A task that answers at once."""

    value: Any

    def __call__(self, ask: Ask) -> Any:
        return self.value


@dataclass(frozen=True)
class Raise:
    """A task that goes wrong."""

    error: Exception

    def __call__(self, ask: Ask) -> Any:
        raise self.error


class Toil:
    """A task that never ends."""

    def __call__(self, ask: Ask) -> Any:
        ask(os.getpid())
        while True:
            pass


class AskTwice:
    """A task that asks for what it needs, twice."""

    def __call__(self, ask: Ask) -> Any:
        return [ask([("a", (0, 1)), ("b", (2, 4))]), ask([("c", (5, 6))])]


class HasModules:
    """A task that tells whether the modules are loaded."""

    def __call__(self, ask: Ask) -> Any:
        return "pyarrow" in sys.modules


class Sleep:
    """A task that takes no time of the processor."""

    def __call__(self, ask: Ask) -> Any:
        ask(os.getpid())
        time.sleep(3600)


@dataclass(frozen=True)
class Inner:
    """A task that has another process do one."""

    task: Any

    def __call__(self, ask: Ask) -> Any:
        return list(Sandbox.start().run(self.task, answer=ask))


class Hoard:
    """A task that takes a gigabyte."""

    def __call__(self, ask: Ask) -> Any:
        return len(bytearray(1 << 30))


class Map:
    """A task that grows pages of its own until it has a gigabyte."""

    def __call__(self, ask: Ask) -> Any:
        column = GrowingArray(np.uint8)
        try:
            while column.size < 1 << 30:
                column.skip(1 << 24)
        except OSError as error:
            raise RuntimeError("the column cannot grow") from error


class Stack:
    """A task that starts a thread whose stack takes a gigabyte."""

    def __call__(self, ask: Ask) -> Any:
        threading.stack_size(1 << 30)
        threading.Thread(target=int).start()


class Spend:
    """A task that takes 0.3 s of the processor."""

    def __call__(self, ask: Ask) -> Any:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass


class SpendInThree:
    """A task that has three processes do one each, one after the other."""

    def __call__(self, ask: Ask) -> Any:
        for _ in range(3):
            sandbox = Sandbox.start()
            list(sandbox.run(Spend()))
            sandbox.end()


@pytest.fixture
def pool() -> Iterator[SandboxPool]:
    pool = SandboxPool(MODULES)
    yield pool
    pool.close()


def children() -> set[int]:
    """Return the processes that this one has started and that have not ended."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {
        int(child)
        for task in tasks
        for child in task.read_text("ascii").split()
    }


def test_a_task_that_takes_too_much_of_the_processor_is_ended_and_the_next_one_is_done(
    pool: SandboxPool,
) -> None:
    before = children()
    for _ in range(2):
        with pytest.raises(TaskTooSlowError):
            pool.do(Toil(), cpu_seconds=0.1, answer=str)
    assert children() <= before
    assert pool.do(Answer(1)) == 1


def test_each_task_has_its_own_time(pool: SandboxPool) -> None:
    # A task takes less than a millisecond; the loading of modules is nobody's.
    started = time.monotonic()
    while time.monotonic() < started + 3:
        assert pool.do(HasModules(), cpu_seconds=1)


def test_a_process_that_was_killed_is_replaced(pool: SandboxPool) -> None:
    before = children()
    assert pool.do(Answer(1)) == 1
    (process,) = children() - before
    os.kill(process, signal.SIGKILL)
    assert pool.do(Answer(2)) == 2


def test_what_a_task_asks_for_is_read_here(pool: SandboxPool) -> None:
    requests: list[Any] = []

    def read(parts: Any) -> list[bytes]:
        requests.append(parts)
        return [key.encode() for key, _ in parts]

    assert pool.do(AskTwice(), answer=read) == [[b"a", b"b"], [b"c"]]
    assert requests == [[("a", (0, 1)), ("b", (2, 4))], [("c", (5, 6))]]


@pytest.mark.parametrize(
    "error", [OSError("gone"), EOFError("cut off"), ZeroDivisionError("no")]
)
def test_a_task_whose_reading_fails_is_given_up_and_the_fault_is_the_readings(
    pool: SandboxPool, error: Exception
) -> None:
    before = children()

    def fail(parts: Any) -> list[bytes]:
        raise error

    with pytest.raises(type(error), match=str(error)):
        pool.do(AskTwice(), answer=fail)
    assert children() <= before
    assert pool.do(Answer(1)) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (SkuNotFoundError("no S"), SkuNotFoundError),
        (ZeroDivisionError("oh"), TaskFailedError),
    ],
)
def test_a_task_that_goes_wrong_says_so_and_its_process_goes_on(
    pool: SandboxPool, error: Exception, kind: type[Exception]
) -> None:
    before = children()
    assert pool.do(Answer(1)) == 1
    child = children() - before
    with pytest.raises(kind, match=str(error)):
        pool.do(Raise(error))
    assert pool.do(Answer(2)) == 2
    assert children() - before == child


def test_a_task_that_takes_too_long_by_the_clock_is_ended(
    pool: SandboxPool,
) -> None:
    with pytest.raises(TaskTooSlowError):
        pool.do(Sleep(), seconds=0.2, answer=str)
    assert pool.do(Answer(1)) == 1


@pytest.mark.parametrize(
    ("task", "limit"),
    [(Toil(), {"cpu_seconds": 0.5}), (Sleep(), {"seconds": 10})],
)
def test_the_time_of_a_task_holds_for_the_processes_that_it_starts(
    pool: SandboxPool, task: Any, limit: dict[str, float]
) -> None:
    # A process has started, however long that takes.
    assert pool.do(Answer(1)) == 1
    started: list[int] = []
    with pytest.raises(TaskTooSlowError):
        pool.do(Inner(task), answer=started.append, **limit)
    (inner,) = started
    wait_for(
        "the inner one ended",
        lambda: not is_alive(inner),
        within=ENDS_WITHIN_SECONDS,
    )
    assert not is_alive(inner)


def test_the_time_of_all_processes_that_a_task_starts_is_its_own(
    pool: SandboxPool,
) -> None:
    with pytest.raises(TaskTooSlowError):
        pool.do(SpendInThree(), cpu_seconds=0.8)


def test_a_process_that_was_refused_memory_is_replaced() -> None:
    pool = SandboxPool((), memory_bytes=512 << 20)
    try:
        before = children()
        assert pool.do(Answer(1)) == 1
        child = children() - before
        with pytest.raises(
            TaskOutOfMemoryError, match="the column cannot grow"
        ):
            pool.do(Map())
        assert pool.do(Answer(2)) == 2
        assert not child & children()
    finally:
        pool.close()


@pytest.mark.parametrize(
    "task", [Hoard(), Inner(Hoard()), Map(), Inner(Map()), Stack()]
)
def test_the_memory_of_a_sandbox_is_refused_to_the_processes_that_it_starts(
    task: Any,
) -> None:
    sandbox = Sandbox.start(memory_bytes=512 << 20)
    with pytest.raises(TaskOutOfMemoryError):
        list(sandbox.run(task, answer=str))
    assert not sandbox.is_running


def test_the_process_ends_when_the_one_that_started_it_is_killed() -> None:
    script = (
        "import sys; sys.path[:0] = ['tests']\n"
        "import os, signal\n"
        "from core.test_sandbox import Answer, MODULES, SandboxPool, children\n"
        "if __name__ == '__main__':\n"
        "    assert SandboxPool(MODULES).do(Answer(1)) == 1\n"
        "    print(*children(), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, check=False
    )
    process = int(completed.stdout)
    wait_for(
        "the process ended",
        lambda: not is_alive(process),
        within=ENDS_WITHIN_SECONDS,
    )
    assert not is_alive(process)


def is_alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text("ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"
