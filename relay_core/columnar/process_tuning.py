"""Settings of a process in which the engine runs: they change speed and memory, no result."""

import ctypes
import gc
import sys
from functools import cache

import pyarrow as pa

# What glibc's mallopt is asked for, as malloc.h numbers it.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8
_MALLOC = {
    _M_TRIM_THRESHOLD: 1 << 30,
    _M_TOP_PAD: 64 << 20,
    _M_MMAP_THRESHOLD: 32 << 20,
    _M_ARENA_MAX: 2,
}
"""Blocks of up to 32 MB come from two heaps that all threads share; a GB may lie unused in each."""


@cache
def tune_process() -> None:
    """Set this process up, before it reads a feed, for whole columns on a few threads."""
    gc.freeze()  # the collector need not look again and again at what is loaded
    sys.setswitchinterval(0.0005)  # kernels wait for the lock that other threads' Python holds
    pa.set_memory_pool(pa.system_memory_pool())  # holds less that was let go than others do
    # By itself glibc gives large blocks back to the system, and gets others page by page.
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in _MALLOC.items():
            libc.mallopt(parameter, value)
