"""A warm process, from which the processes of runs are forked.

It is Python's fork server: a process that has loaded what a run needs, and that only
forks. It has one thread, and no client, connection, or file of a run. A run is a process
of its own, as it would be if it had started cold.
"""

import io
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, suppress
from multiprocessing import (
    connection,
    context,
    forkserver,
    popen_fork,
    popen_forkserver,
    popen_spawn_posix,
    process,
    reduction,
    spawn,
    util,
)

from relay_dagster.logs import event_log

WARM_START = "relay_dagster.launching.warm_start"
"""The module that the warm process imports before it forks."""
ANSWER_SECONDS = 20.0
"""The longest wait for the warm process, which may have to load first.

Dagster's daemon waits 60 seconds for a run to start, and then starts it again.
"""
COLD_SECONDS = 60.0
"""The time in which runs start cold after the warm process has failed.

Meanwhile, another one loads.
"""
_END_SECONDS = 1.0
LOST_STATUS = 255
"""The exit status of a process that outlived the warm process, its parent."""

_log = event_log()


def can_fork() -> bool:
    """Return True if this system can fork a process that has loaded libraries.

    The libraries of macOS do not survive a fork. Elsewhere, the kernel must be able to
    report the end of a process that is not a child.
    """
    if sys.platform != "linux":
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def start_warm_process() -> None:
    """Start the warm process of this process, which loads in the background."""
    forkserver.set_forkserver_preload([WARM_START])
    forkserver.ensure_running()


def remove_socket_folder() -> None:
    """Remove the folder of the warm process's socket; no more runs are forked.

    Python removes it at exit, but an exit waits for all threads.
    """
    folder = process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


class ForkedPopen(popen_forkserver.Popen):
    """A process that the warm process has forked, and that may outlive it.

    Python's own class takes a process for dead once its fork server is dead.

    Raises:
        OSError: The warm process did not fork.
        EOFError: The warm process died meanwhile.
    """

    _fds: list[int]

    def _launch(self, process_obj: process.BaseProcess) -> None:
        task = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            preparation = spawn.get_preparation_data(process_obj.name)
            reduction.dump(preparation, task)
            reduction.dump(process_obj, task)
        finally:
            context.set_spawning_popen(None)
        # The process ends itself if its pipe ends before its task is complete.
        with ExitStack() as pipes:
            status, task_pipe = forkserver.connect_to_new_process(self._fds)
            pipes.callback(os.close, status)
            pipes.callback(os.close, task_pipe)
            if not connection.wait([status], ANSWER_SECONDS):
                message = f"no answer in {ANSWER_SECONDS:.0f} seconds"
                raise TimeoutError(message)
            self.pid = forkserver.read_signed(status)
            self._life: int | None = None
            with suppress(OSError):
                self._life = os.pidfd_open(self.pid)
                pipes.callback(os.close, self._life)
            with open(task_pipe, "wb", closefd=False) as stream:
                stream.write(task.getbuffer())
            self.sentinel = status
            self.finalizer = util.Finalize(self, pipes.pop_all().close)

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Return the exit status, or None if the process is still running."""
        if self.returncode is not None:
            return self.returncode
        timeout = 0 if flag == os.WNOHANG else None
        if not connection.wait([self.sentinel], timeout):
            return None
        try:
            self.returncode = forkserver.read_signed(self.sentinel)
        except (OSError, EOFError):
            # The warm process is dead; only the kernel knows whether this one is.
            life = [] if self._life is None else [self._life]
            if life and not connection.wait(life, timeout):
                return None
            self.returncode = LOST_STATUS
        return self.returncode


class WarmProcess(process.BaseProcess):
    """A process that is forked from the warm process, or else started cold."""

    # What the process itself starts is started as if it were cold.
    _start_method = "spawn"
    cold_until = 0.0

    @classmethod
    def _Popen(cls, process_obj: process.BaseProcess) -> popen_fork.Popen:  # noqa: N802 - Python's name
        if time.monotonic() >= WarmProcess.cold_until:
            try:
                return ForkedPopen(process_obj)
            except (OSError, EOFError) as error:
                _log.warning(
                    "warm_process_failed",
                    error=repr(error),
                    cold_seconds=COLD_SECONDS,
                )
                WarmProcess.cold_until = time.monotonic() + COLD_SECONDS
                _replace_warm_process()
        return popen_spawn_posix.Popen(process_obj)


class WarmContext(context.ForkServerContext):
    """The context of `multiprocessing` whose processes are each a `WarmProcess`."""

    Process = WarmProcess  # type: ignore[assignment]


def _replace_warm_process() -> None:
    """End a warm process that has failed, and start another one; runs go on."""
    pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    with suppress(OSError):
        if pid is not None:
            life = os.pidfd_open(pid)
            os.kill(pid, signal.SIGKILL)
            connection.wait([life], _END_SECONDS)
            os.close(life)
        forkserver.ensure_running()
