"""Work in a process of its own, whose memory, processor time and clock are limited.

The process is a fresh one, not a fork, so that any thread of any program can start it. A sandbox
that starts another shares its limits with it: memory is refused to both, the processor's time that
the inner one takes is the outer one's, and they end together.
"""

import importlib
import os
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any, Protocol, TypeAlias

from relay_core.domain.errors import RelayError

Ask: TypeAlias = Callable[[Any], Any]
"""Gets from the process that started a sandbox what a task needs of it."""
_READY, _ASKED, _RESULT, _END, _ERROR = "ready", "asked", "result", "end", "error"
_ENDING_SECONDS = 1
_SHORTEST = 1e-6
_inside = threading.Event()  # set in a process that is a sandbox


class Task(Protocol):
    """The work of a sandbox. It travels there as a pickle, and imports there what it needs."""

    def __call__(self, ask: Ask) -> Any:
        """Return the result, or an iterator of results."""


class TaskFailedError(Exception):
    """A task met an error that nobody has thought of; the message is its traceback."""


class TaskOutOfMemoryError(TaskFailedError):
    """A task was refused memory."""


class TaskTooSlowError(Exception):
    """A task took more of the processor's time, or of the clock's, than it may."""


class SandboxEndedError(Exception):
    """The process ended in a task, not for its time: its exit status, or a signal, negative."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the process of a task ended with status {status}")


class BusyError(Exception):
    """As many tasks are under way as there may be."""


class Sandbox:
    """A process that does one task after the other, from its start on, while it ``is_running``.

    ``modules`` are imported there before the first task, whose time they do not take. A process has
    ``memory_bytes`` at the most; 0 is no limit. It runs ``program``; by default it serves tasks.
    """

    def __init__(
        self,
        modules: Sequence[str] = (),
        *,
        memory_bytes: int = 0,
        program: str | None = None,
    ) -> None:
        self._line, theirs = Pipe()
        self._spent_before = _seconds_of_children()
        self._has_expired = self._is_ready = False
        self.is_running = True
        # The line ends with the process only if nobody else holds its other end.
        with theirs:
            serving = (
                f"import sys; sys.path[:] = {sys.path}; from {__name__} import serve\n"
                f"serve({theirs.fileno()}, {tuple(modules)}, {memory_bytes})"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-c", program or serving],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=None if _inside.is_set() else 0,
            )

    def run(
        self,
        task: Task,
        *,
        cpu_seconds: float = 0,
        seconds: float = 0,
        answer: Ask | None = None,
    ) -> Iterator[Any]:
        """Yield the results of a task; ``answer`` gives it what it asks for.

        The process is ended where they are not all taken, and for `TaskTooSlowError` and
        `TaskOutOfMemoryError`. ``cpu_seconds`` are the most time of the processor, that of the
        process's own children too; 0 is no limit but the one of this process, where it is a
        sandbox. ``seconds`` are the most time by the clock; 0 is no limit. What ``answer`` raises
        is raised here, as what the task raises is; `SandboxEndedError`: the process ended.
        """
        if not self._is_ready:  # the loading of modules is no task's time
            self._received()
            self._is_ready = True
        clock = threading.Timer(seconds, self._expire)
        clock.daemon, self._has_expired = True, False
        if seconds:
            clock.start()
        kind, is_done = "", False
        try:
            kind, value = self._exchange((task, cpu_seconds or _seconds_left()))
            while kind in (_ASKED, _RESULT):
                if kind == _RESULT:
                    yield value
                    kind, value = self._received()
                elif answer is None:
                    raise RuntimeError(
                        "a task asks for something, and nobody is given to answer"
                    )
                else:
                    kind, value = self._exchange(answer(value))
            is_done = not isinstance(value, TaskOutOfMemoryError)
        finally:
            clock.cancel()
            if not is_done:
                self.end()
        if kind == _ERROR:
            raise value

    def end(self) -> int:
        """End the process and those that it has started; return its exit status."""
        if self.is_running:
            self.is_running = False
            self._line.close()
            self._kill()
        status = self._process.wait()
        if _seconds_left():
            left = _seconds_left() - (_seconds_of_children() - self._spent_before)
            signal.setitimer(signal.ITIMER_PROF, max(left, _SHORTEST))
            self._spent_before = _seconds_of_children()
        return status

    def _exchange(self, message: Any) -> Any:
        with suppress(OSError):  # where it has ended, no answer comes either
            self._line.send(message)
        return self._received()

    def _received(self) -> Any:
        try:
            return self._line.recv()
        except (EOFError, OSError) as error:
            with suppress(
                subprocess.TimeoutExpired
            ):  # its own status, before it is killed
                self._process.wait(_ENDING_SECONDS)
            status = self.end()
            if self._has_expired or status == -signal.SIGPROF:
                raise TaskTooSlowError from error
            raise SandboxEndedError(status) from error

    def _expire(self) -> None:
        self._has_expired = True
        self._kill()

    def _kill(self) -> None:
        if _inside.is_set():
            self._process.kill()
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


class SandboxPool:
    """Sandboxes for any number of threads; one starts with the first task that finds none free.

    Each, and each process that it starts, has ``memory_bytes``; 0 is no limit.
    """

    def __init__(self, modules: Sequence[str], *, memory_bytes: int = 0) -> None:
        self._modules = modules
        self._memory_bytes = memory_bytes
        self._lock = threading.Lock()
        self._idle: list[Sandbox] = []

    def do(
        self,
        task: Task,
        *,
        cpu_seconds: float = 0,
        seconds: float = 0,
        answer: Ask | None = None,
    ) -> Any:
        """Return a task's result, as ``Sandbox.run``; a process that has ended is replaced once."""
        try:
            return self._do(task, cpu_seconds, seconds, answer)
        except SandboxEndedError:
            return self._do(task, cpu_seconds, seconds, answer)

    def close(self) -> None:
        """End the processes that are idle; the next task starts another."""
        with self._lock:
            idle, self._idle = self._idle, []
        for sandbox in idle:
            sandbox.end()

    def _do(
        self, task: Task, cpu_seconds: float, seconds: float, answer: Ask | None
    ) -> Any:
        with self._lock:
            sandbox = self._idle.pop() if self._idle else None
        sandbox = sandbox or Sandbox(self._modules, memory_bytes=self._memory_bytes)
        try:
            (result,) = sandbox.run(
                task, cpu_seconds=cpu_seconds, seconds=seconds, answer=answer
            )
            return result
        finally:
            if sandbox.is_running:
                with self._lock:
                    self._idle.append(sandbox)


# --- in the process -----------------------------------------------------------------------------


def serve(line: int, modules: Sequence[str], memory_bytes: int) -> None:
    """Do tasks until the other side of the line, a file descriptor, is gone."""
    _inside.set()
    connection = Connection(line)

    def send(kind: str, value: Any) -> None:
        connection.send((kind, value))

    def ask(request: Any) -> Any:
        send(_ASKED, request)
        return connection.recv()

    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    if (
        memory_bytes
    ):  # Arrow's own allocator reserves a gigabyte, which the limit would count
        os.putenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    for module in modules:
        importlib.import_module(module)
    # Have the system refuse more than so many bytes, unless it refuses fewer already.
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    known = [
        each
        for each in (memory_bytes or soft, soft, hard)
        if each != resource.RLIM_INFINITY
    ]
    resource.setrlimit(resource.RLIMIT_DATA, (min(known, default=soft), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(EOFError, OSError):  # the other side is gone, or has given a task up
        send(_READY, None)
        while True:
            outcome = _do(connection.recv, ask, send)
            signal.setitimer(signal.ITIMER_PROF, 0)
            send(*outcome)
            if isinstance(
                outcome[1], TaskOutOfMemoryError
            ):  # half a message may be left
                return


def _do(
    receive: Callable[[], Any], ask: Ask, send: Callable[[str, Any], None]
) -> tuple[str, Any]:
    """Do a task, and return how it ends; only our own errors travel, others would bring Arrow."""
    try:
        task, cpu_seconds = receive()
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        found = task(ask)
        for result in found if isinstance(found, Iterator) else (found,):
            send(_RESULT, result)
    except (RelayError, TaskFailedError, TaskTooSlowError) as error:
        return _ERROR, error
    except MemoryError:
        return _ERROR, TaskOutOfMemoryError(traceback.format_exc())
    except Exception:  # noqa: BLE001 - raised by the side that asked
        return _ERROR, TaskFailedError(traceback.format_exc())
    return _END, None


def _seconds_left() -> float:
    """Return the processor's time that is left for this process's task; 0 is no limit."""
    return signal.getitimer(signal.ITIMER_PROF)[0] if _inside.is_set() else 0


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
