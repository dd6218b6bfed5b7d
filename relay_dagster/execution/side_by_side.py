"""Calls to AWS that need not wait for each other, on a few threads of a run's process."""

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

THREADS = 8


class SideBySide:
    """Begins calls and waits for them; none may begin others, or all threads could wait."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="relay-aws")
        self._begun: list[Future[object]] = []

    def begin(self, call: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> None:
        """Begin a call whose fault `wait` raises."""
        self._begun.append(self._pool.submit(call, *args, **kwargs))

    def wait(self) -> None:
        """Wait for all calls begun, however one ends.

        Raises:
            Exception: the fault of the first that failed.
        """
        begun, self._begun = self._begun, []
        wait(begun)
        for each in begun:
            each.result()

    def drain(self) -> None:
        """Wait for all calls begun; what became of them does not matter any more."""
        begun, self._begun = self._begun, []
        wait(begun)

    def ask(
        self, call: Callable[_P, _Result], *args: _P.args, **kwargs: _P.kwargs
    ) -> "Future[_Result]":
        """Begin a call whose caller waits for its answer."""
        return self._pool.submit(call, *args, **kwargs)

    def map(self, call: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Return the answer for each item, in order; all calls have ended then.

        Raises:
            Exception: the fault of the first item that failed.
        """
        asked = [self._pool.submit(call, item) for item in items]
        wait(asked)
        return [each.result() for each in asked]

    def close(self) -> None:
        """Let calls that are under way end, and begin no other."""
        self._pool.shutdown(wait=True, cancel_futures=True)
