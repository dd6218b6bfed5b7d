"""Calls to AWS beside a run's steps: several at once, and objects read ahead."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

from relay_dagster.aws.object_store import ObjectStore

_Arguments = ParamSpec("_Arguments")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

THREADS = 8
MAX_READ_AHEAD_BYTES = 64 << 20
"""The most bytes that are read ahead; a larger object is read when it is needed."""


class ConcurrentIO:
    """Starts calls and waits for them.

    A call must not start another one: if all threads waited for calls, none would run.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="relay-aws")
        self._started: list[Future[object]] = []

    def start(
        self,
        call: Callable[_Arguments, object],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> None:
        """Start a call whose error `wait` raises."""
        self._started.append(self._pool.submit(call, *args, **kwargs))

    def wait(self) -> None:
        """Wait for all started calls; raise the error of the first one that failed."""
        started = self._started
        self.drain()
        for future in started:
            future.result()

    def drain(self) -> None:
        """Wait for all started calls, and ignore their results and errors."""
        started = self._started
        self._started = []
        wait(started)

    def submit(
        self,
        call: Callable[_Arguments, _Result],
        *args: _Arguments.args,
        **kwargs: _Arguments.kwargs,
    ) -> "Future[_Result]":
        """Start a call whose caller takes its result."""
        return self._pool.submit(call, *args, **kwargs)

    def map(
        self,
        call: Callable[[_Item], _Result],
        items: Iterable[_Item],
    ) -> list[_Result]:
        """Return the results of calls, one an item, once all have ended.

        The error of the first call that failed is raised then.
        """
        futures = [self._pool.submit(call, item) for item in items]
        wait(futures)
        return [future.result() for future in futures]

    def close(self) -> None:
        """Let running calls end, and start no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ReadAhead:
    """Reads objects before they are needed, in order, as many as fit into memory."""

    def __init__(
        self,
        objects: ObjectStore,
        io: ConcurrentIO,
        sizes: Mapping[str, int],  # bytes by key, in the order of reading
    ) -> None:
        self._objects = objects
        self._io = io
        self._sizes = dict(sizes)
        self._waiting = deque(self._sizes)
        self._reading: dict[str, Future[bytes]] = {}

    def take(self, key: str) -> bytes:
        """Return an object's bytes, and keep them no longer.

        Raises:
            MissingResourceError: there is no such object.
        """
        future = self._reading.pop(key, None)
        if future is None:
            if key in self._waiting:
                self._waiting.remove(key)
            data = self._objects.read(key)
        else:
            data = future.result()
        self.fill()
        return data

    def fill(self) -> None:
        """Begin to read as many more objects as there is room for."""
        room = MAX_READ_AHEAD_BYTES - sum(
            self._sizes[key] for key in self._reading
        )
        while self._waiting and self._sizes[self._waiting[0]] <= room:
            key = self._waiting.popleft()
            room -= self._sizes[key]
            self._reading[key] = self._io.submit(self._objects.read, key)
