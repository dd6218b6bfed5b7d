"""One contender once, in this process: what it took, as one line of JSON.

Imports and work are timed apart: a worker that stays up pays for imports once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
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
    contender = importlib.import_module(f"benchmarks.contenders.{chosen.contender}")
    imported = time.perf_counter()
    contender.run(chosen.folder, chosen.out)
    done = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    measured = {
        "import_s": imported - started,
        "work_s": done - imported,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": peak_mib(),
    }
    print(json.dumps(measured))


def peak_mib() -> float:
    """Return the most memory that this process has held, files mapped into it included.

    ``getrusage`` also counts what the parent held when it started us, so Linux is asked itself.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
