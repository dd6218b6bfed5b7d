"""The limit of a run's memory, and the errors that show that it is reached.

The limit is of addresses (``RLIMIT_AS``): it counts memory that a process asks for, used or not.
Where a machine has no memory left all the same, its runs are ended before what serves everybody.
"""

import errno
import os
import resource
from contextlib import suppress
from pathlib import Path

from relay_core.publish.report.content import load_templates
from relay_core.validation.contracts import OFFER_SCHEMA, check_offers

_MAPPED = Path("/proc/self/statm")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_SCORE_OF_RUNS = 500
_NO_THREAD = ("can't start new thread", "Failed to launch worker thread")
"""The messages of Python and Arrow if there is no memory for a thread's stack."""


class MemoryLimit:
    """A limit of this process's memory in MiB, from `hold` to `lift`; 0 is no limit."""

    def __init__(self, megabytes: int) -> None:
        self.megabytes = megabytes
        self._before = resource.getrlimit(resource.RLIMIT_AS)
        self._score = ""

    def hold(self, *, beside: int = 0) -> None:
        """Limit the process to its mapped memory of now plus ``megabytes``.

        If the system does not report mapped memory, there is no limit. Code that the engine loads
        on its way is loaded before. ``beside`` are bytes left to a process that reads feeds.
        """
        if not self._score and _OOM_SCORE.exists():
            self._score = _OOM_SCORE.read_text("ascii").strip()
            _write_score(max(int(self._score), _SCORE_OF_RUNS))
        if self.megabytes and _MAPPED.exists():
            check_offers(OFFER_SCHEMA)
            load_templates()
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            pages = int(_MAPPED.read_text("ascii").split()[0])
            more = (self.megabytes << 20) - beside
            wanted = pages * os.sysconf("SC_PAGE_SIZE") + more
            known = [
                limit
                for limit in (wanted, soft, hard)
                if limit != resource.RLIM_INFINITY
            ]
            resource.setrlimit(resource.RLIMIT_AS, (min(known), hard))

    def lift(self) -> None:
        """Restore the limit of before."""
        resource.setrlimit(resource.RLIMIT_AS, self._before)
        if self._score:
            _write_score(int(self._score))
            self._score = ""

    def is_reached(self, error: BaseException) -> bool:
        """Return whether the system's refusal of memory caused an error."""
        cause: BaseException | None = error if self.megabytes else None
        while cause is not None and not _is_of_memory(cause):
            cause = cause.__cause__ or cause.__context__
        return cause is not None


def _write_score(score: int) -> None:
    """Say how soon this process is ended where memory is short; some systems allow no change."""
    with suppress(OSError):
        _OOM_SCORE.write_text(f"{score}\n", "ascii")


def _is_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in _NO_THREAD
    )
