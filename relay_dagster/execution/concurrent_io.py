"""Calls to AWS that need not wait for each other, on a few threads of a run's process.

`ConcurrentIO` makes calls at once and gathers their results; `ReadAhead` uses it to read objects
before they are needed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

from relay_dagster.aws.object_store import ObjectStore

_P = ParamSpec("_P")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

THREADS = 8
MAX_READ_AHEAD_BYTES = 64 << 20
"""The most that is read ahead into memory; a larger feed is read when it is needed."""


class ConcurrentIO:
    """Starts calls and waits for them; none may start others, or all threads could wait."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="relay-aws")
        self._started: list[Future[object]] = []

    def start(self, call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Start a call whose fault `wait` raises."""
        self._started.append(self._pool.submit(call, *args, **kwargs))

    def wait(self) -> None:
        """Wait for all started calls; raise the fault of the first that failed."""
        started = self._started
        self.drain()
        for each in started:
            each.result()

    def drain(self) -> None:
        """Wait for all started calls, and ignore their results."""
        started, self._started = self._started, []
        wait(started)

    def submit(
        self, call: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs
    ) -> "Future[_Result]":
        """Start a call whose caller takes its result."""
        return self._pool.submit(call, *args, **kwargs)

    def map(self, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Return the results in order, once all calls have ended; raise the first fault."""
        started = [self._pool.submit(call, item) for item in items]
        wait(started)
        return [each.result() for each in started]

    def close(self) -> None:
        """Let running calls end, and start no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class ReadAhead:
    """Reads objects ahead, in the order of ``sizes`` (bytes by key), as many as fit into memory."""

    def __init__(self, objects: ObjectStore, io: ConcurrentIO, sizes: Mapping[str, int]) -> None:
        self._objects = objects
        self._io = io
        self._sizes = dict(sizes)
        self._waiting = deque(self._sizes)
        self._coming: dict[str, Future[bytes]] = {}

    def take(self, key: str) -> bytes:
        """Return an object's bytes, kept no longer; `MissingResourceError` where there is none."""
        coming = self._coming.pop(key, None)
        if coming is None and key in self._waiting:
            self._waiting.remove(key)
        data = self._objects.read(key) if coming is None else coming.result()
        self.fill()
        return data

    def fill(self) -> None:
        """Begin to read as many more as there is room for."""
        room = MAX_READ_AHEAD_BYTES - sum(self._sizes[key] for key in self._coming)
        while self._waiting and self._sizes[self._waiting[0]] <= room:
            key = self._waiting.popleft()
            room -= self._sizes[key]
            self._coming[key] = self._io.submit(self._objects.read, key)
