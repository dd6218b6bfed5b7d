"""The limit of a run's memory, and the errors that show that it is reached.

The limit is of addresses (``RLIMIT_AS``): it counts the memory that a process asks for,
used or not. If a machine runs out of memory all the same, the system ends its runs
before the processes that serve everybody.
"""

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from relay_core.domain.errors import is_out_of_memory
from relay_core.report.html import load_templates
from relay_core.validation.row_checks import are_contracts_loaded

CONTRACTS_BYTES = 128 << 20
"""The addresses that the contracts of rows take.

A process loads them only for a row in doubt, and maps up to 117 MiB for them (measured
in December 2026).
"""
_MAPPED = Path("/proc/self/statm")
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_SCORE_OF_RUNS = 500


@dataclass(eq=False)
class MemoryLimit:
    """A limit of this process's memory in MiB, from `hold` to `lift`; 0 is no limit."""

    megabytes: int
    _limits_before: tuple[int, int] | None = None
    _score_before: str = ""

    def hold(self, *, beside: int = 0) -> None:
        """Limit the process to the memory that is mapped now, plus ``megabytes``.

        There is no limit if the system does not report mapped memory. Code that the
        engine loads on its way does not count. ``beside`` is the number of bytes that
        are left to a process that reads feeds.
        """
        if not self._score_before and _OOM_SCORE.exists():
            self._score_before = _OOM_SCORE.read_text("ascii").strip()
            _write_score(max(int(self._score_before), _SCORE_OF_RUNS))
        if self.megabytes and _MAPPED.exists():
            load_templates()
            if self._limits_before is None:
                self._limits_before = resource.getrlimit(resource.RLIMIT_AS)
            pages = int(_MAPPED.read_text("ascii").split()[0])
            code_bytes = pages * os.sysconf("SC_PAGE_SIZE")
            if not are_contracts_loaded():
                code_bytes += CONTRACTS_BYTES
            _set_limit(code_bytes + (self.megabytes << 20) - beside)

    def lift(self) -> None:
        """Restore the limit that was in force before."""
        if self._limits_before is not None:
            resource.setrlimit(resource.RLIMIT_AS, self._limits_before)
            self._limits_before = None
        if self._score_before:
            _write_score(int(self._score_before))
            self._score_before = ""

    def is_reached(self, error: BaseException) -> bool:
        """Return True if an error was caused by the system's refusal of memory."""
        return bool(self.megabytes) and is_out_of_memory(error)


def _set_limit(wanted_bytes: int) -> None:
    """Lower this process's limit of addresses; a smaller one stays."""
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
    limit = wanted_bytes
    for existing_limit in (soft_limit, hard_limit):
        if existing_limit != resource.RLIM_INFINITY:
            limit = min(limit, existing_limit)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))


def _write_score(score: int) -> None:
    """Set how soon this process ends if memory is short; not all systems allow it."""
    with suppress(OSError):
        _OOM_SCORE.write_text(f"{score}\n", "ascii")
