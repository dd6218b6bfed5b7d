"""Run a function over items on a few threads, in order, with a bounded look-ahead.

The Arrow and numpy kernels of the engine release the interpreter's lock, so two threads serve; a
process is set up for them once.
"""

import ctypes
import gc
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import pyarrow as pa

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 2
# What glibc's mallopt is asked for, as malloc.h numbers it.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_MALLOC = {
    _M_TRIM_THRESHOLD: 1 << 30,
    _M_TOP_PAD: 64 << 20,
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_ARENA_MAX: 2,
}
"""Blocks of up to 32 MB come from two heaps that all threads share; a GB may lie unused in each."""


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Yield ``function(item)`` of each item, in order; at most ``WORKERS`` + 1 are held at once."""
    if isinstance(items, Sequence) and len(items) <= 1:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > WORKERS:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@cache
def tune_process() -> None:
    """Set this process up, before it reads a feed, for whole columns on a few threads."""
    gc.freeze()  # the collector need not look again and again at what is loaded
    sys.setswitchinterval(
        0.0005
    )  # kernels wait for the lock that other threads' Python holds
    pa.set_memory_pool(
        pa.system_memory_pool()
    )  # holds less that was let go than others do
    # By itself glibc gives large blocks back to the system, and gets others page by page.
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in _MALLOC.items():
            libc.mallopt(parameter, value)
