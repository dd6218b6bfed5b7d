"""One contender once, in this process: what it took, as one line of JSON.

Imports and work are timed apart: a worker that stays up pays for imports once.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import resource
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    """Measure one contender."""
    started = time.perf_counter()
    options = argparse.ArgumentParser(description=main.__doc__)
    options.add_argument("contender")
    options.add_argument("folder", type=Path)
    options.add_argument("out", type=Path)
    chosen = options.parse_args()
    # A tool of our tests, which Pandera would load where it finds it; no installation has it.
    sys.modules["hypothesis"] = None  # type: ignore[assignment]
    contender = importlib.import_module(
        f"benchmarks.contenders.{chosen.contender}"
    )
    children = ChildPeak()
    imported = time.perf_counter()
    contender.run(chosen.folder, chosen.out)
    work_end = time.perf_counter()
    children.stop()
    own_usage, child_usage = map(
        resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    measured = {
        "import_s": imported - started,
        "work_s": work_end - imported,
        "cpu_s": own_usage.ru_utime
        + own_usage.ru_stime
        + child_usage.ru_utime
        + child_usage.ru_stime,
        "peak_mib": peak_mib() + children.peak_mib,
    }
    print(json.dumps(measured))


class ChildPeak:
    """Looks at this process's children, many times a second, for the most that one has held.

    Until a child runs a program of its own its memory is this process's.
    """

    def __init__(self) -> None:
        self.peak_mib = 0.0
        self._own = Path("/proc/self/cmdline").read_bytes()
        self._done = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True)
        self._looking.start()

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            for listed in Path("/proc/self/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    for pid in listed.read_text("ascii").split():
                        if Path("/proc", pid, "cmdline").read_bytes() not in (
                            self._own,
                            b"",
                        ):
                            self.peak_mib = max(self.peak_mib, peak_mib(pid))


def peak_mib(pid: str = "self") -> float:
    """Return the most memory that a process has held, files mapped into it included.

    ``getrusage`` also counts what the parent held when it started us, so Linux is asked itself.
    """
    status = Path("/proc", pid, "status")
    if status.exists():
        for line in status.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
