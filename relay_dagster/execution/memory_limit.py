"""The limit of a run's memory, and the errors that show that it is reached.

The limit is of addresses (``RLIMIT_AS``): it counts memory that a process asks for, used or not.
"""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

_MAPPED = Path("/proc/self/statm")
_NO_THREAD = ("can't start new thread", "Failed to launch worker thread")
"""The messages of Python and Arrow if there is no memory for a thread's stack."""


class MemoryLimit:
    """A limit of this process's memory, from `hold` to `lift`.

    Args:
        megabytes: MiB; 0 is no limit.
    """

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        self._before = resource.getrlimit(resource.RLIMIT_AS)

    def hold(self) -> None:
        """Limit the process to its mapped memory of now plus ``megabytes``.

        If the system does not report mapped memory, there is no limit.
        """
        if self.megabytes and _MAPPED.exists():
            self._before = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            pages = int(_MAPPED.read_text("ascii").split()[0])
            wanted = pages * os.sysconf("SC_PAGE_SIZE") + (self.megabytes << 20)
            known = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))

    def lift(self) -> None:
        """Restore the limit of before."""
        resource.setrlimit(resource.RLIMIT_AS, self._before)

    def is_reached(self, error: BaseException) -> bool:
        """Return whether the system's refusal of memory caused an error."""
        cause: BaseException | None = error if self.megabytes else None
        while cause is not None and not _is_of_memory(cause):
            cause = cause.__cause__ or cause.__context__
        return cause is not None


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_THREAD)
