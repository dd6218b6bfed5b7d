"""Processes that are forked from a warm one: what they are, and what a death leaves."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from integration.waiting import wait_for
from relay_dagster.execution.memory_limit import MemoryLimit
from relay_dagster.launching import warm_process
from relay_dagster.launching.warm_process import (
    LOST_STATUS,
    WarmContext,
    WarmProcess,
    can_fork,
    start_warm_process,
)

# macOS, and kernels without pidfds, have no warm process: each run there is a cold one.
pytestmark = pytest.mark.skipif(not can_fork(), reason="runs start cold here")
SECONDS = 60


@pytest.fixture(autouse=True)
def warm_pid() -> Iterator[int]:
    """Return the pid of a warm process that forks; it is the same for many tests."""
    WarmProcess.cold_until = 0.0
    start_warm_process()
    pid = pid_of_warm_process()
    yield pid
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module", autouse=True)
def ended_warm_process() -> Iterator[None]:
    """End the warm process after the last test."""
    yield
    os.kill(pid_of_warm_process(), signal.SIGKILL)


def pid_of_warm_process() -> int:
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    return int(server._forkserver_pid)


def describe(answers: Connection) -> None:
    """Tell what a process finds when it begins."""
    answers.send(
        {
            "parent": os.getppid(),
            "threads": len([*Path("/proc/self/task").iterdir()]),
            "is_loaded": "relay_dagster.definitions" in sys.modules,
            "number": random.random(),
        },
    )


def exit_with(status: int) -> None:
    sys.exit(status)


def answer_until_told(pipe: Connection) -> None:
    """Tell the pid, and end with the first message."""
    pipe.send(os.getpid())
    pipe.recv()


def exceed_the_memory_limit(answers: Connection) -> None:
    """Limit this process as a run does, and ask for more; tell what came of it."""
    limit = MemoryLimit(64)
    limit.hold()
    try:
        bytearray(256 << 20)
    except MemoryError as error:
        answers.send((limit.is_reached(error), oom_score(os.getpid())))
    else:
        answers.send(None)


def oom_score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def described(context: WarmContext) -> dict[str, Any]:
    receiver, sender = context.Pipe(duplex=False)
    started = context.Process(target=describe, args=(sender,))
    started.start()
    assert receiver.poll(SECONDS)
    answer = receiver.recv()
    started.join(SECONDS)
    assert started.exitcode == 0
    return dict(answer)


def started_until_told(context: WarmContext) -> tuple[WarmProcess, Connection]:
    pipe, other_end = context.Pipe()
    started = context.Process(target=answer_until_told, args=(other_end,))
    started.start()
    assert pipe.poll(SECONDS)
    assert pipe.recv() == started.pid
    return started, pipe


def wait_for_end(pid: int) -> None:
    process_fd = os.pidfd_open(pid)
    assert connection.wait([process_fd], SECONDS)
    os.close(process_fd)


def test_a_process_is_forked_with_all_code_and_one_thread(
    warm_pid: int,
) -> None:
    answer = described(WarmContext())
    del answer["number"]
    assert answer == {"parent": warm_pid, "threads": 1, "is_loaded": True}


def test_two_processes_share_no_state_of_random_numbers() -> None:
    context = WarmContext()
    assert described(context)["number"] != described(context)["number"]


@pytest.mark.parametrize("status", [0, 3])
def test_the_exit_status_is_that_of_the_process(status: int) -> None:
    started = WarmContext().Process(target=exit_with, args=(status,))
    started.start()
    started.join(SECONDS)
    assert started.exitcode == status


def test_a_killed_process_is_seen_at_once_with_its_signal() -> None:
    started, _ = started_until_told(WarmContext())
    assert started.is_alive()
    started.kill()
    started.join(SECONDS)
    assert (started.is_alive(), started.exitcode) == (False, -signal.SIGKILL)


def test_the_memory_of_a_process_is_limited_and_not_that_of_the_warm_one(
    warm_pid: int,
) -> None:
    context = WarmContext()
    receiver, sender = context.Pipe(duplex=False)
    started = context.Process(target=exceed_the_memory_limit, args=(sender,))
    started.start()
    assert receiver.poll(SECONDS)
    assert receiver.recv() == (True, 500)
    assert oom_score(warm_pid) == oom_score(os.getpid())
    limits = resource.prlimit(warm_pid, resource.RLIMIT_AS)
    assert limits == resource.getrlimit(resource.RLIMIT_AS)


def test_a_process_outlives_the_warm_one_and_is_still_watched(
    warm_pid: int,
) -> None:
    started, pipe = started_until_told(WarmContext())
    os.kill(warm_pid, signal.SIGKILL)
    wait_for_end(warm_pid)
    assert started.is_alive()
    pipe.send("end")
    wait_for("its end is seen", lambda: not started.is_alive(), within=SECONDS)
    assert started.exitcode == LOST_STATUS


def test_after_the_death_of_the_warm_process_another_one_forks(
    warm_pid: int,
) -> None:
    os.kill(warm_pid, signal.SIGKILL)
    wait_for_end(warm_pid)
    answer = described(WarmContext())
    assert answer["parent"] == pid_of_warm_process() != warm_pid
    assert answer["is_loaded"]


def test_a_process_starts_once_and_cold_if_the_warm_one_dies_as_it_forks(
    warm_pid: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    described(WarmContext())
    os.kill(warm_pid, signal.SIGSTOP)
    killer = threading.Timer(0.5, os.kill, (warm_pid, signal.SIGKILL))
    killer.start()
    answer = described(WarmContext())
    killer.join()
    assert (answer["parent"], answer["is_loaded"]) == (os.getpid(), False)
    assert "warm_process_failed" in capfd.readouterr().err


def test_a_warm_process_that_does_not_answer_is_replaced(
    warm_pid: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    described(WarmContext())
    monkeypatch.setattr(warm_process, "ANSWER_SECONDS", 0.5)
    os.kill(warm_pid, signal.SIGSTOP)
    assert described(WarmContext())["parent"] == os.getpid()
    assert not Path(f"/proc/{warm_pid}").exists()
    monkeypatch.undo()
    WarmProcess.cold_until = 0.0
    answer = described(WarmContext())
    assert answer["parent"] == pid_of_warm_process() != warm_pid


def test_runs_start_cold_for_a_while_after_a_failure_and_then_warm_again(
    warm_pid: int,
) -> None:
    described(WarmContext())
    WarmProcess.cold_until = time.monotonic() + SECONDS
    assert described(WarmContext())["parent"] == os.getpid()
    WarmProcess.cold_until = time.monotonic()
    assert described(WarmContext())["parent"] == warm_pid


def test_a_process_with_threads_is_never_a_warm_one() -> None:
    program = (
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "import relay_dagster.launching.warm_start"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert "a library started a thread" in process.stderr


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_runs_start_cold_where_libraries_do_not_survive_a_fork(
    monkeypatch: pytest.MonkeyPatch,
    platform: str,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert not can_fork()
