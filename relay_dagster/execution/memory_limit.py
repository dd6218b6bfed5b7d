"""How much memory a run's process may ask the system for, and how it tells that it needs more.

The limit is of addresses (``RLIMIT_AS``): what a process asks for, whether it is used or not.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_MAPPED = Path("/proc/self/statm")
_NO_THREAD = ("can't start new thread", "Failed to launch worker thread")
"""What Python and Arrow say where there is no memory for a thread's stack."""


class MemoryLimit:
    """A limit of this process's memory, from `hold` to `lift`.

    Args:
        megabytes: MiB; 0 is no limit.
    """

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        self._before = resource.getrlimit(resource.RLIMIT_AS)

    def hold(self) -> None:
        """Hold the process to what it has mapped by now and so much more.

        Where the system does not say what is mapped, there is no limit.
        """
        if self.megabytes and _MAPPED.exists():
            self._before = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            pages = int(_MAPPED.read_text("ascii").split()[0])
            wanted = pages * os.sysconf("SC_PAGE_SIZE") + (self.megabytes << 20)
            known = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))

    def lift(self) -> None:
        """Let the process have more again: as much as before."""
        resource.setrlimit(resource.RLIMIT_AS, self._before)

    def is_reached(self, error: BaseException) -> bool:
        """Tell whether an error comes of memory that the system refused."""
        return bool(self.megabytes) and any(map(_is_of_memory, _chain(error)))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came of."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_THREAD)
