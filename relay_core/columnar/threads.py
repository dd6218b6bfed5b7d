"""Run a function over items on a few threads, in order, with a bounded look-ahead.

The Arrow and numpy kernels of the engine release the interpreter's lock, so two threads
are enough. `tune_process` sets a process up for them once.
"""

import ctypes
import gc
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

# `numpy.unique` loads this module when it is first called. If two threads call it at that
# moment, `numpy.__getattr__` may call itself until Python raises a RecursionError.
import numpy.ma  # noqa: F401
import pyarrow as pa

from relay_core.columnar.arrow_start import use_arrow_alone

Item = TypeVar("Item")
Result = TypeVar("Result")

WORKERS = 2
_SWITCH_INTERVAL = 0.0005
"""The seconds that a thread may run Python while another one waits for a kernel."""
# The parameters of glibc's mallopt, with the numbers of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MALLOC_SETTINGS = {
    _M_TRIM_THRESHOLD: 1 << 30,
    _M_TOP_PAD: 64 << 20,
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_ARENA_MAX: 2,
}
"""Take blocks of up to 32 MB from two heaps that all threads share.

Up to a gigabyte of each heap may be unused.
"""


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int = WORKERS,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order.

    At most ``workers`` + 1 items and results are in memory at once.
    """
    if isinstance(items, Sequence) and len(items) <= 1:
        yield from map(function, items)
        return
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@cache
def tune_process() -> None:
    """Set up this process for work on whole columns; call it before a feed is read."""
    use_arrow_alone()
    # The garbage collector need not look at the loaded modules again and again.
    gc.freeze()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    # The system's allocator keeps less freed memory than Arrow's others do.
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform != "linux":
        return
    # By default glibc returns large blocks to the system and gets them back by page.
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for parameter, value in _MALLOC_SETTINGS.items():
            libc.mallopt(parameter, value)
