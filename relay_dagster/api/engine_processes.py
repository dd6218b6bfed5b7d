"""What needs the engine is done in processes that have it loaded; the API's own stays light.

A process starts with the first task that finds none free, serves later ones, and ends with the
API's process, however that ends. What a task may cost is the system's to hold: a process that has
used up its time is ended by it, in the midst of whatever it is at. What a task reads is read here,
by whoever has it done.
"""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeAlias

from relay_core.domain.errors import RelayError

_ENGINE = ("relay_core.onboarding.feed_check", "relay_core.publish.explanation")
FilePart: TypeAlias = tuple[str, tuple[int, int]]
"""Some bytes of an object: its key, from where and up to where."""
Read: TypeAlias = Callable[[Sequence[FilePart]], Sequence[bytes]]


class Task(Protocol):
    """What a process does; it travels there, and imports the engine when it is done."""

    def __call__(self, read: Read) -> Any:
        """Do it; ``read`` gives it what it needs of the bucket."""


class TaskFailedError(Exception):
    """A task met what nobody has thought of; the message is its traceback."""


class TaskTooSlowError(Exception):
    """A task took more of the processor than it may."""


class TurnsTakenError(Exception):
    """As many tasks are under way as there may be."""


class _ProcessDiedError(Exception):
    """The process ended for another reason than its time."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a task asks for before it can go on."""

    parts: Sequence[FilePart]


class Turns:
    """How many tasks of a kind may be under way; nobody waits for a turn.

    Args:
        count: so many.
    """

    def __init__(self, count: int) -> None:
        self._free = threading.Semaphore(count)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let a task be done within.

        Raises:
            TurnsTakenError: there are enough of them.
        """
        if not self._free.acquire(blocking=False):
            raise TurnsTakenError
        try:
            yield
        finally:
            self._free.release()


class EngineProcesses:
    """Processes that do tasks, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Process] = []

    def do(self, task: Task, *, cpu_seconds: float = 0, read: Read | None = None) -> Any:
        """Return what a task comes to; a process that has died is replaced once.

        Args:
            task: what is to be done.
            cpu_seconds: how much of the processor it may take; 0 is no limit.
            read: reads what the task needs of the bucket.

        Raises:
            TaskTooSlowError: it took too much of the processor.
            Exception: whatever the task, or ``read``, raises.
        """
        try:
            return self._in_a_process(task, cpu_seconds, read)
        except _ProcessDiedError:
            return self._in_a_process(task, cpu_seconds, read)

    def close(self) -> None:
        """End the processes that nobody uses; the next task starts another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.end()

    def _in_a_process(self, task: Task, cpu_seconds: float, read: Read | None) -> Any:
        with self._lock:
            process = self._idle.pop() if self._idle else None
        process = process or _Process.started()
        answer = process.do(task, cpu_seconds, read)
        with self._lock:
            self._idle.append(process)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(frozen=True, slots=True)
class _Process:
    """A process that does one task after the other."""

    process: multiprocessing.process.BaseProcess
    line: Connection

    @classmethod
    def started(cls) -> _Process:
        spawning = multiprocessing.get_context("spawn")
        ours, theirs = spawning.Pipe()
        process = spawning.Process(target=_serve, args=(theirs,), daemon=True)
        process.start()
        # The line ends with the process only if nobody else holds that end.
        theirs.close()
        return cls(process, ours)

    def do(self, task: Task, cpu_seconds: float, read: Read | None) -> Any:
        """Return what a task comes to, or the exception that it raises."""
        answer = self._asked((task, cpu_seconds))
        while isinstance(answer, _Wanted):
            answer = self._asked(self._read(read, answer.parts))
        return answer

    def _asked(self, message: Any) -> Any:
        """Send a message; return what the process answers."""
        try:
            self.line.send(message)
            return self.line.recv()
        except (EOFError, OSError) as error:
            self.end()
            if self.process.exitcode == -signal.SIGPROF:
                raise TaskTooSlowError from error
            raise _ProcessDiedError from error

    def _read(self, read: Read | None, parts: Sequence[FilePart]) -> Sequence[bytes]:
        """Return what a task asks for; where it cannot be had, the task is given up."""
        try:
            if read is None:
                raise RuntimeError("a task asks for objects, and was given nothing to read with")
            return read(parts)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End the process, which may have ended."""
        self.line.close()
        self.process.join(1)
        self.process.kill()
        self.process.join()


def _serve(line: Connection) -> None:
    """Do tasks until the other side is gone. Runs in the process."""
    # Here, so that only this process loads it, and before any task's time begins.
    for module in _ENGINE:
        importlib.import_module(module)

    def read(parts: Sequence[FilePart]) -> Sequence[bytes]:
        line.send(_Wanted(parts))
        got: Sequence[bytes] = line.recv()
        return got

    # Ctrl-C in a terminal reaches this process too; the one that it is meant for ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with suppress(EOFError):  # the other side is gone, or has given a task up
        while True:
            task, cpu_seconds = line.recv()
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            answer = _done(task, read)
            signal.setitimer(signal.ITIMER_PROF, 0)
            line.send(answer)


def _done(task: Task, read: Read) -> Any:
    """Return what a task comes to; of exceptions only ours travel, others would bring Arrow."""
    try:
        return task(read)
    except RelayError as error:
        return error
    except EOFError:
        raise
    except Exception:  # noqa: BLE001 - raised by whoever asked
        return TaskFailedError(traceback.format_exc())
