"""Work in a separate process with limits of memory, processor time and clock time.

The process is a new one, not a fork, so any thread of any program can start it. A
sandbox that starts another shares its limits with it: both are refused memory, the
inner one takes processor time of the outer one, and they end together.
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
from multiprocessing import connection
from typing import Any, Protocol, TypeAlias

from relay_core.domain.errors import RelayError, is_out_of_memory

Ask: TypeAlias = Callable[[Any], Any]
"""Gets what a task needs from the process that started the sandbox."""

# The kinds of messages that a sandbox sends.
_READY = "ready"
_REQUEST = "request"
_RESULT = "result"
_END = "end"
_ERROR = "error"

_ENDING_SECONDS = 1
_MIN_SECONDS = 1e-6
"""The shortest time for a timer; 0 would stop it."""
_is_sandbox = threading.Event()
"""Set in a process that is a sandbox."""


class Task(Protocol):
    """The work of a sandbox; it is pickled, and the sandbox imports its modules."""

    def __call__(self, ask: Ask) -> Any:
        """Return the result, or an iterator of results."""


class TaskFailedError(Exception):
    """A task met an unexpected error; the message is its traceback."""


class TaskOutOfMemoryError(TaskFailedError):
    """A task needed more memory than its sandbox may have."""


class TaskTooSlowError(Exception):
    """A task took more time of the processor, or of the clock, than it may."""


class SandboxEndedError(Exception):
    """The process of a sandbox ended during a task, but not because of a time limit.

    Attributes:
        status: The exit status of the process; negative for the number of a signal.
    """

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the process of a task ended with status {status}")


class BusyError(Exception):
    """No more tasks may run at once."""


class Sandbox:
    """A process that runs one task after another; `start` makes one.

    Attributes:
        is_running: Whether the process can run tasks.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        pipe: "connection.Connection[Any, Any]",
        child_seconds_before: float,
    ) -> None:
        self._process = process
        self._pipe = pipe
        # The processor time of this process's ended children when the sandbox started.
        self._child_seconds_before = child_seconds_before
        self._has_expired = False
        self._is_ready = False
        self.is_running = True

    @classmethod
    def start(
        cls,
        modules: Sequence[str] = (),
        *,
        memory_bytes: int = 0,
        program: str | None = None,
    ) -> "Sandbox":
        """Start a sandbox.

        Args:
            modules: The modules that it imports before its first task. The time for
                that is not the task's.
            memory_bytes: The most memory that the process may have; 0 is no limit.
            program: Python code to run instead of the server of tasks.
        """
        pipe, sandbox_pipe = connection.Pipe()
        child_seconds_before = _seconds_of_children()
        # The pipe ends with the process only if nobody else has its other end open.
        with sandbox_pipe:
            arguments = (
                f"{sandbox_pipe.fileno()}, {tuple(modules)}, {memory_bytes}"
            )
            serving = (
                f"import sys; sys.path[:] = {sys.path}; from {__name__} import serve\n"
                f"serve({arguments})"
            )
            process = subprocess.Popen(
                [sys.executable, "-c", program or serving],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[sandbox_pipe.fileno()],
                process_group=None if _is_sandbox.is_set() else 0,
            )
        return cls(process, pipe, child_seconds_before)

    def run(
        self,
        task: Task,
        *,
        cpu_seconds: float = 0,
        seconds: float = 0,
        answer: Ask | None = None,
    ) -> Iterator[Any]:
        """Yield the results of a task.

        The process is ended if the caller stops before the last result, or if the task
        exceeds a limit.

        Args:
            task: The task.
            cpu_seconds: The most processor time for the task and its child processes; 0
                means the limit of this process if it is a sandbox, else no limit.
            seconds: The most time by the clock; 0 is no limit.
            answer: Answers the task's requests. Its errors are raised here.

        Raises:
            TaskTooSlowError: The task took too much time.
            TaskOutOfMemoryError: The task needed too much memory.
            TaskFailedError: The task met an unexpected error.
            SandboxEndedError: The process ended.
            RelayError: The task raised it.
        """
        if not self._is_ready:
            self._receive()
            self._is_ready = True
        timer = self._start_timer(seconds)
        is_finished = False
        try:
            kind, value = self._exchange(
                (task, cpu_seconds or _remaining_cpu_seconds()),
            )
            while kind in (_REQUEST, _RESULT):
                if kind == _RESULT:
                    yield value
                    kind, value = self._receive()
                else:
                    answer_request = answer or _no_answer
                    kind, value = self._exchange(answer_request(value))
            is_finished = not isinstance(value, TaskOutOfMemoryError)
        finally:
            timer.cancel()
            if not is_finished:
                self.end()
        if kind == _ERROR:
            raise value

    def end(self) -> int:
        """End the process and its child processes; return the exit status."""
        if self.is_running:
            self.is_running = False
            self._pipe.close()
            self._kill()
        status = self._process.wait()
        limit = _remaining_cpu_seconds()
        if limit:
            # The time that the inner sandbox took is this one's too.
            child_seconds = _seconds_of_children()
            remaining = limit - (child_seconds - self._child_seconds_before)
            signal.setitimer(signal.ITIMER_PROF, max(remaining, _MIN_SECONDS))
            self._child_seconds_before = child_seconds
        return status

    def _exchange(self, message: Any) -> Any:
        with suppress(OSError):  # if the process has ended, receiving says so
            self._pipe.send(message)
        return self._receive()

    def _receive(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            # Wait for the exit status of the process itself before it is killed.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_ENDING_SECONDS)
            status = self.end()
            if self._has_expired or status == -signal.SIGPROF:
                raise TaskTooSlowError from error
            raise SandboxEndedError(status) from error

    def _start_timer(self, seconds: float) -> threading.Timer:
        """Return a timer that ends the process; it is started unless seconds is 0."""
        self._has_expired = False
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        if seconds:
            timer.start()
        return timer

    def _expire(self) -> None:
        self._has_expired = True
        self._kill()

    def _kill(self) -> None:
        if _is_sandbox.is_set():
            self._process.kill()
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _no_answer(_: Any) -> Any:
    raise RuntimeError(
        "a task asks for something, and nobody is given to answer",
    )


class SandboxPool:
    """Sandboxes for any number of threads; a task that finds none idle starts one.

    Each sandbox, and each process that it starts, has at most ``memory_bytes``; 0 is no
    limit.
    """

    def __init__(
        self,
        modules: Sequence[str],
        *,
        memory_bytes: int = 0,
    ) -> None:
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
        """Return the result of a task; the arguments are those of `Sandbox.run`.

        If the process of the sandbox ends, the task runs once more in another one.

        Raises:
            TaskTooSlowError: The task took too much time.
            TaskOutOfMemoryError: The task needed too much memory.
            TaskFailedError: The task met an unexpected error.
            SandboxEndedError: The process ended twice.
            RelayError: The task raised it.
        """
        try:
            return self._do_once(task, cpu_seconds, seconds, answer)
        except SandboxEndedError:
            return self._do_once(task, cpu_seconds, seconds, answer)

    def close(self) -> None:
        """End the idle processes; the next task starts another one."""
        with self._lock:
            sandboxes = self._idle
            self._idle = []
        for sandbox in sandboxes:
            sandbox.end()

    def _do_once(
        self,
        task: Task,
        cpu_seconds: float,
        seconds: float,
        answer: Ask | None,
    ) -> Any:
        with self._lock:
            sandbox = self._idle.pop() if self._idle else None
        if sandbox is None:
            sandbox = Sandbox.start(
                self._modules,
                memory_bytes=self._memory_bytes,
            )
        try:
            (result,) = sandbox.run(
                task,
                cpu_seconds=cpu_seconds,
                seconds=seconds,
                answer=answer,
            )
            return result
        finally:
            if sandbox.is_running:
                with self._lock:
                    self._idle.append(sandbox)


# --- in the sandbox -----------------------------------------------------------------


def serve(pipe_fd: int, modules: Sequence[str], memory_bytes: int) -> None:
    """Run tasks until the other end of the pipe, a file descriptor, is closed."""
    _is_sandbox.set()
    pipe = connection.Connection(pipe_fd)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    if memory_bytes:
        # Arrow's own allocator reserves a gigabyte, which the limit would count.
        os.putenv("ARROW_DEFAULT_MEMORY_POOL", "system")
    for module in modules:
        importlib.import_module(module)
    _limit_memory(memory_bytes)
    # The other end is closed, or ended a task.
    with suppress(
        EOFError,
        OSError,
    ):
        pipe.send((_READY, None))
        while True:
            kind, value = _run_task(pipe)
            signal.setitimer(signal.ITIMER_PROF, 0)
            pipe.send((kind, value))
            if isinstance(value, TaskOutOfMemoryError):
                return  # half of an earlier message may be in the pipe


def _limit_memory(memory_bytes: int) -> None:
    """Have the system refuse more memory, unless it already has a lower limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limits = [
        limit
        for limit in (memory_bytes or soft, soft, hard)
        if limit != resource.RLIM_INFINITY
    ]
    resource.setrlimit(resource.RLIMIT_DATA, (min(limits, default=soft), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run_task(pipe: "connection.Connection[Any, Any]") -> tuple[str, Any]:
    """Receive a task, send its results, and return the last message.

    Only our own errors are sent: to unpickle others, the other process might load
    Arrow.
    """

    def ask(request: Any) -> Any:
        pipe.send((_REQUEST, request))
        return pipe.recv()

    try:
        task, cpu_seconds = pipe.recv()
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        outcome = task(ask)
        results = outcome if isinstance(outcome, Iterator) else (outcome,)
        for result in results:
            pipe.send((_RESULT, result))
    except (RelayError, TaskFailedError, TaskTooSlowError) as error:
        return _ERROR, error
    except Exception as error:  # noqa: BLE001 - the process that asked raises it
        kind = TaskFailedError
        if is_out_of_memory(error):
            kind = TaskOutOfMemoryError
        return _ERROR, kind(traceback.format_exc())
    return _END, None


def _remaining_cpu_seconds() -> float:
    """Return the processor time that this process's task has left; 0 is no limit."""
    return (
        signal.getitimer(signal.ITIMER_PROF)[0] if _is_sandbox.is_set() else 0
    )


def _seconds_of_children() -> float:
    """Return the processor time of all child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
